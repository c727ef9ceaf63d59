//! Replacing keys, at every level, while everything goes on: the new one is there before anything is sealed with it, and the
//! old one stays until nothing needs it. A rotation that broke off is gone through again, or the sweep ends it.

use std::sync::Arc;

use schemas::{Action, KeyLevel, TenantId};
use seal::{RootKey, SealError};
use serde::Serialize;
use tracing::info;

use crate::KeepError;
use crate::keeper::{Keeper, reached};

/// What a rotation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RotationReport {
    /// The level.
    pub level: KeyLevel,
    /// Tenants whose keys were replaced, or sealed again.
    pub tenants: u64,
    /// People's keys that were sealed again.
    pub keys: u64,
    /// Apps whose secrets were sealed again.
    pub apps: u64,
    /// Backups whose keys were sealed again.
    pub backups: u64,
    /// Generations of tenants' keys that nothing needs any more and that are destroyed.
    pub retired: u64,
}

impl RotationReport {
    pub(crate) const fn new(level: KeyLevel) -> Self {
        Self { level, tenants: 0, keys: 0, apps: 0, backups: 0, retired: 0 }
    }
}

impl Keeper {
    /// Replaces the keys of a level; of tenants, one's or everybody's. Nothing fails meanwhile, and what was sealed before
    /// opens as before.
    ///
    /// # Errors
    /// Something does not answer, or the root key is kept in no file. It can be done again.
    pub async fn rotate(
        &self,
        level: KeyLevel,
        tenant: Option<TenantId>,
    ) -> Result<RotationReport, KeepError> {
        let mut report = RotationReport::new(level);
        match level {
            KeyLevel::Data => self.act(Action::KeysRotated { level, tenant: None }).await?,
            KeyLevel::Tenant => {
                let tenants = match tenant {
                    Some(tenant) => vec![tenant],
                    None => self.keyring.db().tenants().await?,
                };
                for tenant in &tenants {
                    report.keys += self.keyring.rotate_tenant(tenant).await?;
                    reached("tenant_rotated");
                    let tenant = Some(tenant.clone());
                    self.act(Action::KeysRotated { level, tenant }).await?;
                }
                // Whoever knows the old one only must not seal with it any more.
                self.evicted().await?;
                for tenant in &tenants {
                    report.retired += self.keyring.retire_tenant(tenant).await?;
                }
                report.tenants = tenants.len() as u64;
            }
            KeyLevel::Root => {
                let before = self.root.key_ids();
                let fresh = self.with_root(|root| root.rotate()).await?;
                reached("root_rotated");
                for old in &before {
                    self.note_replaced(old).await?;
                }
                self.reseal(&mut report).await?;
                self.act(Action::KeysRotated { level, tenant: None }).await?;
                self.evicted().await?;
                info!(generation = fresh, "the root key has the new generation {fresh}");
            }
        }
        Ok(report)
    }

    /// Seals everything with the root key's newest generation that is not.
    pub(crate) async fn reseal(&self, report: &mut RotationReport) -> Result<(), KeepError> {
        // Ingest first: it has to open what the apps' secrets are sealed with next.
        self.write_edge_key().await?;
        reached("edge_written");
        report.tenants += self.keyring.reseal_tenants().await?;
        reached("tenants_resealed");
        report.apps += self.reseal_apps().await?;
        reached("apps_resealed");
        report.backups += self.reseal_backups().await?;
        // Whom a callback is about stands sealed until somebody has looked.
        self.answer_callbacks().await?;
        Ok(())
    }

    pub(crate) async fn write_edge_key(&self) -> Result<(), KeepError> {
        let Some(path) = self.config.edge_key_file.clone() else { return Ok(()) };
        self.with_root(move |root| root.edge().write(&path)).await
    }

    /// What changes files, and may ask a KMS.
    pub(crate) async fn with_root<T: Send + 'static>(
        &self,
        work: impl FnOnce(Arc<RootKey>) -> Result<T, SealError> + Send + 'static,
    ) -> Result<T, KeepError> {
        let root = self.root.clone();
        let done = tokio::task::spawn_blocking(move || work(root)).await;
        done.map_err(|_| KeepError::Broken)?.map_err(KeepError::from)
    }
}
