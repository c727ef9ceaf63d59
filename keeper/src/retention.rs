//! How long what is kept: one table, and the sweep that goes by it. Each class is swept by itself, in small steps; broken
//! off anywhere, the next sweep goes on.

use std::time::Duration;

use schemas::{Action, TenantState};
use serde::Serialize;
use tracing::{info, warn};

use crate::KeepError;
use crate::backup::BackupKind;
use crate::erasure::LEDGER;
use crate::keeper::Keeper;
use crate::scan::oldest;

/// Rows that one statement removes.
const AT_ONCE: i64 = 1_000;
const PAGE: usize = 1_000;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A class of things that are kept for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Sealed bodies in `raw`.
    Raw,
    /// Records of tenants' feeds.
    Inbox,
    /// Pointers in `quarantine`.
    Quarantine,
    /// Everything of a tenant that ended.
    Tenant,
    /// What came back of people who were forgotten and of tenants that ended.
    Forgotten,
    /// By what a repeat of somebody forgotten is known.
    IdentityTombstone,
    /// Entries of the audit.
    Audit,
    /// Objects that no message names.
    AttachmentOrphan,
    /// Uploads that never ended.
    Upload,
    /// Notes that a message was taken back before its files came.
    AttachmentUnsent,
    /// Entries of the ledger of erasures in the store of objects.
    Ledger,
    /// Daily backups.
    BackupDaily,
    /// Monthly backups.
    BackupMonthly,
    /// Backups whose making was broken off.
    BackupUnfinished,
    /// Generations of the root key that were replaced.
    RootGeneration,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Of what.
    pub class: Class,
    /// From when its time counts.
    pub anchor: &'static str,
    /// For how long it is kept.
    pub keep: Duration,
    /// How it goes.
    pub action: &'static str,
}

const fn rule(class: Class, anchor: &'static str, days: u32, action: &'static str) -> Rule {
    Rule { class, anchor, keep: DAY.saturating_mul(days), action }
}

const DAILY: u32 = 30;
const MONTHLY: u32 = 365;

/// How long what is kept. `docs/retention.md` explains each.
pub const RETENTION: [Rule; 15] = [
    rule(Class::Raw, "it arrived", 7, "the log drops it"),
    rule(Class::Inbox, "it was routed", 7, "the log drops it"),
    rule(Class::Quarantine, "it was set aside", 30, "the log drops it"),
    rule(
        Class::Tenant,
        "the tenant was terminated",
        30,
        "keys, rows, objects and records are destroyed, with a certificate",
    ),
    rule(Class::Forgotten, "it was forgotten", 0, "it is removed again"),
    rule(Class::IdentityTombstone, "the person was forgotten", 21, "the row is deleted"),
    rule(Class::Audit, "it was done", 365, "the entry is deleted; its hash stays as the chain's beginning"),
    rule(Class::AttachmentOrphan, "it was stored", 1, "the object is deleted in every version"),
    rule(Class::Upload, "it began", 1, "its parts are deleted"),
    rule(Class::AttachmentUnsent, "the message was taken back", 30, "the row is deleted"),
    // As long as any backup could bring the person back, and thirty days.
    rule(Class::Ledger, "the person was forgotten", MONTHLY + 30, "the object is deleted"),
    rule(Class::BackupDaily, "it was made", DAILY, "its key is deleted, then the backup"),
    rule(Class::BackupMonthly, "it was made", MONTHLY, "its key is deleted, then the backup"),
    rule(Class::BackupUnfinished, "it was begun", 1, "its key is deleted, then the rest"),
    // A day longer than the bodies that were sealed for it.
    rule(Class::RootGeneration, "it was replaced", 8, "it leaves the key file, once nothing needs it"),
];

impl Class {
    /// The class as its one word: in `control`, the audit and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Inbox => "inbox",
            Self::Quarantine => "quarantine",
            Self::Tenant => "tenant",
            Self::Forgotten => "forgotten",
            Self::IdentityTombstone => "identity_tombstone",
            Self::Audit => "audit",
            Self::AttachmentOrphan => "attachment_orphan",
            Self::Upload => "upload",
            Self::AttachmentUnsent => "attachment_unsent",
            Self::Ledger => "ledger",
            Self::BackupDaily => "backup_daily",
            Self::BackupMonthly => "backup_monthly",
            Self::BackupUnfinished => "backup_unfinished",
            Self::RootGeneration => "root_generation",
        }
    }

    /// Its row of the table.
    pub const fn rule(self) -> &'static Rule {
        // In the order of the table; a test holds them together.
        &RETENTION[self as usize]
    }
}

/// What there is of a class now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanRow {
    /// The class.
    pub class: &'static str,
    /// From when its time counts.
    pub anchor: &'static str,
    /// For how many days it is kept.
    pub keep_days: u64,
    /// How old the oldest is, in seconds; `None` when there is none, or nobody can tell.
    pub oldest_age_seconds: Option<u64>,
    /// How many would go now.
    pub due: u64,
    /// How they go.
    pub action: &'static str,
}

/// What a sweep removed of a class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SweptRow {
    /// The class.
    pub class: &'static str,
    /// How many went; in a dry run, would go.
    pub removed: u64,
}

/// What one class came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    /// When the oldest that is left counts from, Unix milliseconds.
    pub(crate) oldest_ms: Option<i64>,
    /// How many went, or in a dry run would go.
    pub(crate) count: u64,
}

impl Keeper {
    /// What there is of each class, and what the next sweep would remove. Changes nothing.
    ///
    /// # Errors
    /// Something does not answer.
    pub async fn plan(&self) -> Result<Vec<PlanRow>, KeepError> {
        let mut rows = Vec::with_capacity(RETENTION.len());
        for Rule { class, anchor, action, .. } in RETENTION {
            let turn = self.turn(class, true).await?;
            rows.push(PlanRow {
                class: class.as_str(),
                anchor,
                keep_days: self.config.keep(class).as_secs() / DAY.as_secs(),
                oldest_age_seconds: self.measured(class, turn),
                due: turn.count,
                action,
            });
        }
        Ok(rows)
    }

    /// Removes what was kept for long enough; in a dry run, only counts it. A class that cannot be swept now does not keep
    /// the others from it.
    ///
    /// # Errors
    /// Something does not answer: the first such, after every class had its turn.
    pub async fn sweep(&self, dry: bool) -> Result<Vec<SweptRow>, KeepError> {
        let _turn = if dry { None } else { Some(self.sweeping.lock().await) };
        let mut rows = Vec::with_capacity(RETENTION.len());
        let mut failed = None;
        for Rule { class, .. } in RETENTION {
            match self.swept(class, dry).await {
                Ok(removed) => rows.push(SweptRow { class: class.as_str(), removed }),
                Err(cause) => {
                    warn!(error = %cause, class = class.as_str(), "a class could not be swept now");
                    failed.get_or_insert(cause);
                }
            }
        }
        if !dry {
            self.forget_answered(self.asked().await?).await?;
        }
        failed.map_or(Ok(rows), Err)
    }

    async fn swept(&self, class: Class, dry: bool) -> Result<u64, KeepError> {
        let turn = self.turn(class, dry).await?;
        self.measured(class, turn);
        if !dry && turn.count > 0 {
            self.metrics.swept(class, turn.count);
            info!(class = class.as_str(), count = turn.count, "swept {} of {}", turn.count, class.as_str());
            let class = class.as_str().to_owned();
            self.act(Action::RetentionSwept { class, count: turn.count }).await?;
        }
        Ok(turn.count)
    }

    fn measured(&self, class: Class, turn: Turn) -> Option<u64> {
        let age_ms = turn.oldest_ms.map(|oldest_ms| (self.steady.now_ms() - oldest_ms).max(0));
        let seconds = age_ms.map(|age_ms| age_ms / 1000);
        self.metrics.oldest(class, seconds.unwrap_or(0));
        seconds.and_then(|seconds| u64::try_from(seconds).ok())
    }

    /// What the log drops by itself.
    async fn logged(&self, topics: Vec<String>) -> Result<Turn, KeepError> {
        Ok(Turn { oldest_ms: oldest(&self.log, topics).await?, count: 0 })
    }

    async fn sweep_ledger(&self, before_ms: i64, dry: bool) -> Result<Turn, KeepError> {
        let mut turn = Turn::default();
        let mut after = None;
        loop {
            let page = self.blobs.list(LEDGER, after.clone(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(turn) };
            after = Some(last.key.clone());
            for object in &page {
                if object.modified_ms < before_ms {
                    turn.count += 1;
                    if !dry {
                        self.blobs.delete(&object.key).await?;
                        continue;
                    }
                }
                turn.oldest_ms = turn.oldest_ms.into_iter().chain([object.modified_ms]).min();
            }
        }
    }

    /// One class: what went of it, or would, and how old what is left is.
    async fn turn(&self, class: Class, dry: bool) -> Result<Turn, KeepError> {
        let before_ms = self.steady.now_ms().saturating_sub(self.config.keep_ms(class));
        match class {
            Class::Raw => self.logged(vec![self.topics.raw()]).await,
            Class::Inbox => {
                let state = self.plane.state();
                let alive = state.tenants.iter().filter(|(_, tenant)| tenant.state != TenantState::Purged);
                self.logged(alive.map(|(tenant, _)| self.topics.inbox(tenant)).collect()).await
            }
            Class::Quarantine => self.logged(vec![self.topics.quarantine()]).await,
            Class::Tenant => self.ended_tenants(dry).await,
            Class::Forgotten => {
                let count = if dry { self.brought_back().await? } else { self.replay().await? };
                Ok(Turn { oldest_ms: None, count })
            }
            Class::IdentityTombstone => {
                let db = self.keyring.db();
                let count = db.sweep_tombstones(before_ms, dry).await?;
                Ok(Turn { oldest_ms: db.oldest_tombstone().await?, count })
            }
            Class::Audit => self.prune_audit(before_ms, dry).await,
            Class::AttachmentOrphan => self.orphans(before_ms, dry).await,
            Class::Upload => {
                // The store tells by its own clock, and only removes.
                let count =
                    if dry { 0 } else { self.blobs.abort_stale_uploads(self.config.keep(class)).await? };
                Ok(Turn { oldest_ms: None, count })
            }
            Class::AttachmentUnsent => {
                let mut count = self.views.sweep_unsent(before_ms, AT_ONCE, dry).await?;
                let mut last = count;
                while !dry && last == AT_ONCE.unsigned_abs() {
                    last = self.views.sweep_unsent(before_ms, AT_ONCE, false).await?;
                    count += last;
                }
                Ok(Turn { oldest_ms: self.views.oldest_unsent().await?, count })
            }
            Class::Ledger => self.sweep_ledger(before_ms, dry).await,
            Class::BackupDaily => self.expire_backups(BackupKind::Daily, before_ms, dry).await,
            Class::BackupMonthly => self.expire_backups(BackupKind::Monthly, before_ms, dry).await,
            Class::BackupUnfinished => self.expire_unfinished(before_ms, dry).await,
            Class::RootGeneration => self.retire_generations(before_ms, dry).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_own_row() {
        let mut words = std::collections::BTreeSet::new();
        for row in &RETENTION {
            assert_eq!(row.class.rule(), row);
            assert!(words.insert(row.class.as_str()));
        }
    }

    #[test]
    fn what_is_kept_for_something_else_is_kept_longer() {
        let keep = |class: Class| class.rule().keep;
        assert!(keep(Class::RootGeneration) > keep(Class::Raw));
        assert!(keep(Class::IdentityTombstone) > 2 * keep(Class::Raw));
        let backups = keep(Class::BackupDaily).max(keep(Class::BackupMonthly));
        assert_eq!(keep(Class::Ledger), backups + 30 * DAY);
    }
}
