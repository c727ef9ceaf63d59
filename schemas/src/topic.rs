//! Topic names (`design.md` §3). A prefix lets several deployments, or tests, share one cluster.

use crate::TenantId;

/// The names of one deployment's topics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topics {
    prefix: String,
}

impl Topics {
    /// Names without a prefix, or with one such as `staging.`.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into() }
    }

    fn name(&self, topic: &str) -> String {
        format!("{}{topic}", self.prefix)
    }

    /// Verified bodies as they came.
    pub fn raw(&self) -> String {
        self.name("raw")
    }

    /// Every tenant's events, for projectors.
    pub fn events(&self) -> String {
        self.name("events")
    }

    /// Pointers to raw deliveries that were parked or quarantined, or that held nothing.
    pub fn quarantine(&self) -> String {
        self.name("quarantine")
    }

    /// Tenants, apps, assets and operator actions.
    pub fn control(&self) -> String {
        self.name("control")
    }

    /// Whom Meta's deletion callbacks are about, sealed, by confirmation code, until somebody has looked. Apart from
    /// [`Topics::control`], which is kept.
    pub fn callbacks(&self) -> String {
        self.name("callbacks")
    }

    /// One tenant's feed.
    pub fn inbox(&self, tenant: &TenantId) -> String {
        self.name(&format!("inbox.{tenant}"))
    }
}
