//! The coverage view: what became of each item of each raw delivery, and the loss equation over it.

use std::collections::BTreeMap;

use schemas::{RawRef, Reason, TenantId};

use crate::coverage_mark::{CoverageChange, mark};
use crate::offset::{advance, big, int};
use crate::{Moved, OffsetMove, StoreError, ViewsDb};

/// Who says something of deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoverageView {
    /// What reached `events` and `quarantine`.
    Outputs,
    /// What the conversation projection applied.
    Conversation,
}

impl CoverageView {
    pub(crate) const fn number(self) -> i16 {
        match self {
            Self::Outputs => 0,
            Self::Conversation => 1,
        }
    }

    pub(crate) fn read(number: i16) -> Result<Self, StoreError> {
        let known = [Self::Outputs, Self::Conversation].into_iter().find(|view| view.number() == number);
        known.ok_or(StoreError::Damaged { table: "coverage_mark" })
    }
}

/// A delivery in quarantine, as its pointer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineChange {
    /// The delivery.
    pub raw: RawRef,
    /// Why.
    pub reason: Reason,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was set aside, Unix milliseconds.
    pub at_ms: i64,
}

/// A delivery in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineRow {
    /// The delivery.
    pub raw: RawRef,
    /// Why.
    pub reason: Reason,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was set aside last, Unix milliseconds.
    pub at_ms: i64,
}

/// How far one partition of `raw` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawProgress {
    /// The partition.
    pub partition: u32,
    /// The router's committed position.
    pub committed: u64,
    /// The end of the partition.
    pub end: u64,
}

/// The loss equation of one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantCoverage {
    /// The tenant.
    pub tenant: TenantId,
    /// Items that became its events.
    pub routed: u64,
    /// Those of them that the conversation projection applied.
    pub projected: u64,
}

/// The loss equation's terms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Deliveries.
    pub received: u64,
    /// Their items, and one for each delivery that could not be read.
    pub items: u64,
    /// Items that became events.
    pub routed: u64,
    /// Items that are parked.
    pub unroutable: u64,
    /// Items, or unreadable deliveries, in quarantine.
    pub quarantined: u64,
    /// Items that were dropped for good: their person was forgotten since they happened.
    pub forgotten: u64,
    /// Items the conversation projection applied.
    pub projected: u64,
    /// How many deliveries below the router's committed position are not fully accounted for.
    pub missing_count: u64,
    /// The first of those.
    pub missing: Vec<RawRef>,
    /// What each tenant has of `routed` and `projected`, by tenant.
    pub tenants: Vec<TenantCoverage>,
}

impl ViewsDb {
    /// Applies what a batch of `events` or `quarantine` says about deliveries, and moves the coverage projection.
    pub async fn apply_coverage(
        &self,
        step: &OffsetMove<'_>,
        change: &CoverageChange,
        quarantine: &[QuarantineChange],
    ) -> Result<Moved, StoreError> {
        let mut connection = self.get().await?;
        let transaction = connection.transaction().await?;
        if !advance(&transaction, step).await? {
            return Ok(Moved::Conflict);
        }
        mark(&transaction, CoverageView::Outputs, change).await?;
        // One row a delivery: the pointer of the latest attempt.
        let mut latest: BTreeMap<RawRef, &QuarantineChange> = BTreeMap::new();
        for pointer in quarantine {
            let known = latest.entry(pointer.raw).or_insert(pointer);
            if (pointer.attempts, pointer.at_ms) > (known.attempts, known.at_ms) {
                *known = pointer;
            }
        }
        if !latest.is_empty() {
            let partitions: Vec<i32> = latest.keys().map(|raw| int(raw.partition)).collect();
            let offsets: Vec<i64> = latest.keys().map(|raw| big(raw.offset)).collect();
            let reasons: Vec<&str> = latest.values().map(|pointer| pointer.reason.as_str()).collect();
            let attempts: Vec<i32> = latest.values().map(|pointer| int(pointer.attempts)).collect();
            let at: Vec<i64> = latest.values().map(|pointer| pointer.at_ms).collect();
            transaction
                .execute(
                    "INSERT INTO quarantine AS q (partition, raw_offset, reason, attempts, at_ms)
                     SELECT * FROM unnest($1::integer[], $2::bigint[], $3::text[], $4::integer[], $5::bigint[])
                     ON CONFLICT (partition, raw_offset) DO UPDATE
                     SET reason = excluded.reason, attempts = excluded.attempts, at_ms = excluded.at_ms
                     WHERE (excluded.attempts, excluded.at_ms) > (q.attempts, q.at_ms)",
                    &[&partitions, &offsets, &reasons, &attempts, &at],
                )
                .await?;
        }
        transaction.commit().await?;
        Ok(Moved::Applied)
    }
}
