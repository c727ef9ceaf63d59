//! Old generations of the root key: each stays in the key file until the bodies that were sealed for it are gone and nothing
//! else needs it.

use std::collections::BTreeSet;

use bytes::Bytes;
use eventlog::Stored;
use schemas::{KeyLevel, raw_header};
use seal::SealError;
use tracing::{info, warn};

use crate::KeepError;
use crate::backup::place;
use crate::keeper::Keeper;
use crate::reseal::{KEY_BYTES, texts};
use crate::retention::{Class, Turn};
use crate::rotation::RotationReport;
use crate::scan::{partitions, read_range};

/// As many of the newest bodies of a partition are looked at.
const NEWEST: u64 = 100;
/// Stands for what does not say which generation sealed it.
const UNKNOWN: &str = "";

/// When a generation was replaced is noted there, Unix milliseconds.
fn note(key_id: &str) -> String {
    format!("keeper/root/{key_id}")
}

impl Keeper {
    /// Takes generations out of the key file that were replaced before this time and that nothing needs.
    pub(crate) async fn retire_generations(&self, before_ms: i64, dry: bool) -> Result<Turn, KeepError> {
        let mut turn = Turn::default();
        let generations = self.root.key_ids();
        let Some((newest, old)) = generations.split_first().filter(|(_, old)| !old.is_empty()) else {
            return Ok(turn);
        };
        let mut used = self.used().await?;
        if !dry && used.iter().any(|key_id| key_id != newest) {
            // A rotation broke off, or somebody changed the file.
            self.reseal(&mut RotationReport::new(KeyLevel::Root)).await?;
            used = self.used().await?;
        }
        used.extend(self.kept_in_backups().await?);
        used.extend(self.used_by_ingest().await?);
        for key_id in old {
            let replaced_ms = match self.replaced_ms(key_id).await? {
                Some(replaced_ms) => replaced_ms,
                // Its time begins when somebody has seen that it was replaced.
                None if dry => self.steady.now_ms(),
                None => self.note_replaced(key_id).await?,
            };
            let is_used = used.contains(key_id) || used.contains(UNKNOWN);
            if replaced_ms >= before_ms || is_used {
                turn.oldest_ms = turn.oldest_ms.into_iter().chain([replaced_ms]).min();
                if is_used && replaced_ms < before_ms {
                    info!(
                        generation = key_id,
                        "an old generation of the root key is still needed, and stays"
                    );
                }
                continue;
            }
            turn.count += 1;
            if !dry {
                let retired = key_id.clone();
                self.with_root(move |root| root.retire(&retired)).await?;
                self.write_edge_key().await?;
                self.blobs.delete(&note(key_id)).await?;
            }
        }
        Ok(turn)
    }

    /// Notes that a generation is not the newest any more, unless that is noted. Answers since when.
    pub(crate) async fn note_replaced(&self, key_id: &str) -> Result<i64, KeepError> {
        if let Some(replaced_ms) = self.replaced_ms(key_id).await? {
            return Ok(replaced_ms);
        }
        let now_ms = self.clock.now_ms();
        self.blobs.put(&note(key_id), Bytes::from(now_ms.to_string())).await?;
        Ok(now_ms)
    }

    async fn replaced_ms(&self, key_id: &str) -> Result<Option<i64>, KeepError> {
        let text = self.small(&note(key_id), KEY_BYTES).await?;
        Ok(text.and_then(|text| std::str::from_utf8(&text).ok()?.trim().parse().ok()))
    }

    /// The generations that something is sealed with which can be sealed again.
    async fn used(&self) -> Result<BTreeSet<String>, KeepError> {
        let mut used = self.used_by_tenants().await?;
        let state = self.plane.caught_up().await?;
        let asked = self.asked().await?;
        for text in state.apps.values().flat_map(texts).chain(asked.values().map(String::as_str)) {
            used.insert(seal::key_id(text).unwrap_or(UNKNOWN).to_owned());
        }
        for (id, _) in self.backup_ids().await? {
            let Some(text) = self.small(&place(&id, "key"), KEY_BYTES).await? else { continue };
            let text = std::str::from_utf8(&text).map_err(|_| SealError::Format)?;
            used.insert(seal::key_id(text).unwrap_or(UNKNOWN).to_owned());
        }
        Ok(used)
    }

    /// The generations that tenants' keys are sealed with.
    pub(crate) async fn used_by_tenants(&self) -> Result<BTreeSet<String>, KeepError> {
        let db = self.keyring.db();
        let mut used = BTreeSet::new();
        for tenant in db.tenants().await? {
            let Some(row) = db.tenant_keys(&tenant).await? else { continue };
            let keys = row.generations.iter().map(|(_, sealed)| sealed);
            for text in [&row.id_key, &row.pepper].into_iter().chain(keys) {
                used.insert(seal::key_id(text).unwrap_or(UNKNOWN).to_owned());
            }
        }
        Ok(used)
    }

    /// The generations that keyrings in backups need: those cannot be sealed again.
    async fn kept_in_backups(&self) -> Result<BTreeSet<String>, KeepError> {
        Ok(self.backup_list().await?.into_iter().flat_map(|info| info.roots).collect())
    }

    /// The generations that ingest wraps keys for now: where it has not got the new edge key yet, an old one.
    async fn used_by_ingest(&self) -> Result<BTreeSet<String>, KeepError> {
        let mut used = BTreeSet::new();
        let newest = self.root.key_ids().into_iter().next();
        for at in partitions(&self.log, &self.topics.raw()).await? {
            let bounds = self.log.bounds(&at).await?;
            let from = bounds.end.saturating_sub(NEWEST).max(bounds.earliest);
            let kept_ms = self.config.keep_ms(Class::Raw);
            let now_ms = self.clock.now_ms();
            let generation = |stored: &Stored| {
                let is_kept = now_ms.saturating_sub(stored.timestamp_ms) < kept_ms;
                let wrapped = stored.record.header_str(raw_header::KEY).filter(|_| is_kept);
                wrapped.and_then(seal::key_id).map(str::to_owned)
            };
            used.extend(read_range(&self.log, &at, (from, bounds.end), generation).await?);
        }
        if used.iter().any(|key_id| Some(key_id) != newest.as_ref()) {
            warn!(
                "bodies that were kept last are sealed for an old generation of the root key: does ingest read the new edge key?"
            );
        }
        Ok(used)
    }
}
