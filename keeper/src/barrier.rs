//! What has to be true before anything restored is served: everybody who was ever forgotten is forgotten here too.

use std::collections::HashSet;

use futures::StreamExt;
use schemas::{Action, ErasureReason, ErasureState, Person, TenantState};
use tracing::{info, warn};

use crate::KeepError;
use crate::erasure::{LEDGER, LedgerEntry};
use crate::keeper::Keeper;

const PAGE: usize = 1_000;

/// Replays the ledger of erasures, and the ends of tenants, against the databases: a database that was restored may know
/// people who were forgotten since. Answers how many it forgot again; nobody is served before.
///
/// # Errors
/// Something does not answer.
pub async fn barrier(keeper: &Keeper) -> Result<u64, KeepError> {
    let mut again = keeper.replay().await?;
    again += keeper.replay_ledger().await?;
    if again > 0 {
        warn!(again, "people who had been forgotten were in a restored database, and are forgotten again");
    }
    Ok(again)
}

impl Keeper {
    /// What `control` says, done again where a database does not know of it.
    pub(crate) async fn replay(&self) -> Result<u64, KeepError> {
        let state = self.plane.state();
        let people: Vec<Person> = state.people.forgotten.iter().cloned().collect();
        let mut again = 0;
        for some in people.chunks(PAGE) {
            for (tenant, subject) in self.views.not_forgotten(some).await? {
                again += u64::from(self.views.forget(&tenant, subject).await? > 0);
            }
            for (tenant, subject) in self.keyring.db().still_there(some).await? {
                // When it was: what happened before stays a repeat.
                let at_ms = state
                    .people
                    .erasures
                    .values()
                    .filter(|erasure| erasure.tenant == tenant && erasure.subject == subject)
                    .map(|erasure| erasure.at_ms)
                    .max();
                let at_ms = at_ms.unwrap_or_else(|| self.clock.now_ms());
                self.keyring.shred(&tenant, subject, at_ms).await?;
                again += 1;
            }
        }
        let known = self.keyring.db().tenants().await?;
        for (tenant, _) in state.tenants.iter().filter(|(_, tenant)| tenant.state == TenantState::Purged) {
            if known.contains(tenant) {
                again += self.keyring.db().shred_tenant(tenant).await?.max(1);
            }
            again += u64::from(self.views.forget_tenant(tenant).await? > 0);
        }
        Ok(again)
    }

    /// How many people who were forgotten the databases know of again. Changes nothing.
    pub(crate) async fn brought_back(&self) -> Result<u64, KeepError> {
        let people: Vec<Person> = self.plane.state().people.forgotten.iter().cloned().collect();
        let mut back = HashSet::new();
        for some in people.chunks(PAGE) {
            back.extend(self.views.not_forgotten(some).await?);
            back.extend(self.keyring.db().still_there(some).await?);
        }
        Ok(back.len() as u64)
    }

    /// What the store of objects remembers beside `control`, done again where `control` does not know of it: it may be the
    /// one that was restored.
    async fn replay_ledger(&self) -> Result<u64, KeepError> {
        let mut after = None;
        let mut again = 0;
        loop {
            let entries = self.blobs.list(LEDGER, after.clone(), PAGE).await?;
            let Some(last) = entries.last() else { return Ok(again) };
            after = Some(last.key.clone());
            for object in entries {
                let id = object.key.strip_prefix(LEDGER).and_then(|name| name.strip_suffix(".json"));
                let Some(erasure) = id.and_then(|id| id.parse::<schemas::ErasureId>().ok()) else { continue };
                let known = self.plane.state().people.erasures.get(&erasure).map(|known| known.state);
                if matches!(known, Some(ErasureState::Shredded | ErasureState::Done(_))) {
                    continue;
                }
                let Some(entry) = self.entry(&object.key).await? else { continue };
                let LedgerEntry { tenant, subject, at_ms, .. } = entry;
                if known.is_none() {
                    let (tenant, reason) = (tenant.clone(), ErasureReason::Request);
                    self.act(Action::ErasureRequested { erasure, tenant, subject, reason }).await?;
                }
                // Keys and rows now, before anybody is served; files and records as with every erasure.
                self.keyring.shred(&tenant, subject, at_ms).await?;
                self.views.forget(&tenant, subject).await?;
                self.act(Action::SubjectShredded { erasure, tenant, subject }).await?;
                info!(%erasure, "an erasure that control had lost is done again");
                again += 1;
            }
        }
    }

    async fn entry(&self, key: &str) -> Result<Option<LedgerEntry>, KeepError> {
        let Some(mut stream) = self.blobs.get(key).await? else { return Ok(None) };
        let mut json = Vec::new();
        while let Some(piece) = stream.next().await {
            json.extend_from_slice(&piece?);
        }
        Ok(serde_json::from_slice(&json).ok())
    }
}
