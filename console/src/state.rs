//! What every handler holds.

use std::ops::Deref;
use std::sync::Arc;

use control::ControlPlane;
use eventlog::EventLog;
use keeper::Keeper;
use keyring::Keyring;
use schemas::{Action, ControlState, Tenant, TenantId, Topics};
use seal::EdgeKey;
use service::{Clock, Readiness};
use store::ViewsDb;
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::token::TokenCheck;

/// Who acts through the admin API: the holder of the admin token.
const ACTOR: &str = "admin";

/// The console's parts. Clones share them.
#[derive(Clone)]
pub(crate) struct Shared(pub(crate) Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) token: TokenCheck,
    pub(crate) log: EventLog,
    pub(crate) plane: ControlPlane,
    pub(crate) views: ViewsDb,
    pub(crate) keeper: Keeper,
    pub(crate) keyring: Keyring,
    pub(crate) edge: EdgeKey,
    pub(crate) topics: Topics,
    pub(crate) readiness: Readiness,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
    /// Cancelled when streams should end.
    pub(crate) stop: CancellationToken,
}

impl Deref for Shared {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Parts {
    /// Writes to `control`; the state that comes back has it folded in.
    pub(crate) async fn act(&self, action: Action) -> Result<Arc<ControlState>, Problem> {
        let (state, _offset) = self.plane.act(self.clock.now_ms(), ACTOR, action).await?;
        Ok(state)
    }

    /// The tenant, or the answer that there is none.
    pub(crate) fn tenant(&self, tenant: &TenantId) -> Result<Tenant, Problem> {
        self.plane.state().tenants.get(tenant).cloned().ok_or_else(|| {
            Problem::not_found(
                format!("there is no tenant {tenant}"),
                format!("`tidings tenant list` shows the tenants; `tidings tenant add {tenant} --name NAME` makes one"),
            )
        })
    }
}
