//! The coverage view: which items of each raw delivery became what, as bits; and the loss equation over it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use deadpool_postgres::Transaction;
use schemas::{RawRef, Reason, TenantId};

use crate::offset::{advance, big, int, unsigned};
use crate::{Moved, OffsetMove, StoreError, ViewsDb};

/// Keeps a fold and a batch from crossing: batches share it, a fold has it alone.
const FOLD_LOCK: i64 = 0x7469_6469_6e67_7302;

/// Whose bits they are.
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
}

/// Something about a delivery as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whole {
    /// Nothing.
    #[default]
    No,
    /// It holds no item.
    Empty,
    /// It is in quarantine.
    Quarantined,
}

/// What a batch says about deliveries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CoverageChange {
    deliveries: BTreeMap<RawRef, Bits>,
    /// Whose the routed items are.
    tenants: BTreeMap<TenantId, BTreeSet<(RawRef, u32)>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Bits {
    whole: Whole,
    routed: Vec<bool>,
    parked: Vec<bool>,
    quarantined: Vec<bool>,
}

impl CoverageChange {
    /// An item became an event of this tenant.
    pub fn routed(&mut self, tenant: &TenantId, raw: RawRef, index: u32, count: u32) {
        set(&mut self.sized(raw, count).routed, index);
        match self.tenants.get_mut(tenant) {
            Some(items) => items.insert((raw, index)),
            None => self.tenants.entry(tenant.clone()).or_default().insert((raw, index)),
        };
    }

    /// An item is parked.
    pub fn parked(&mut self, raw: RawRef, index: u32, count: u32) {
        set(&mut self.sized(raw, count).parked, index);
    }

    /// An item is in quarantine.
    pub fn quarantined(&mut self, raw: RawRef, index: u32, count: u32) {
        set(&mut self.sized(raw, count).quarantined, index);
    }

    /// Something about the delivery as a whole.
    pub fn whole(&mut self, raw: RawRef, whole: Whole) {
        let bits = self.deliveries.entry(raw).or_default();
        bits.whole = bits.whole.max(whole);
    }

    fn sized(&mut self, raw: RawRef, count: u32) -> &mut Bits {
        let bits = self.deliveries.entry(raw).or_default();
        let count = count as usize;
        if bits.routed.len() < count {
            bits.routed.resize(count, false);
            bits.parked.resize(count, false);
            bits.quarantined.resize(count, false);
        }
        bits
    }
}

fn set(bits: &mut [bool], index: u32) {
    if let Some(bit) = bits.get_mut(index as usize) {
        *bit = true;
    }
}

fn text(bits: &[bool]) -> String {
    bits.iter().map(|bit| if *bit { '1' } else { '0' }).collect()
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
    /// Items the conversation projection applied.
    pub projected: u64,
    /// How many deliveries below the router's committed position are not fully accounted for.
    pub missing_count: u64,
    /// The first of those.
    pub missing: Vec<RawRef>,
    /// What each tenant has of `routed` and `projected`, by tenant.
    pub tenants: Vec<TenantCoverage>,
}

/// Records a batch's bits. A delivery that has left the table because all of it was routed and applied stays out: it is below
/// the watermark and has no row of what reached the output topics, which every other one there has.
///
/// `source` is the partition that the batch was read from.
pub(crate) async fn mark(
    transaction: &Transaction<'_>,
    view: CoverageView,
    source: u32,
    change: &CoverageChange,
) -> Result<(), StoreError> {
    if change.deliveries.is_empty() {
        return Ok(());
    }
    let number = view.number();
    transaction.execute("SELECT pg_advisory_xact_lock_shared($1)", &[&FOLD_LOCK]).await?;
    let partitions: Vec<i32> = change.deliveries.keys().map(|raw| int(raw.partition)).collect();
    let offsets: Vec<i64> = change.deliveries.keys().map(|raw| big(raw.offset)).collect();
    let whole: Vec<i16> = change.deliveries.values().map(|bits| bits.whole as i16).collect();
    let routed: Vec<String> = change.deliveries.values().map(|bits| text(&bits.routed)).collect();
    let parked: Vec<String> = change.deliveries.values().map(|bits| text(&bits.parked)).collect();
    let quarantined: Vec<String> = change.deliveries.values().map(|bits| text(&bits.quarantined)).collect();
    let statement = transaction
        .prepare_cached(
            "INSERT INTO coverage AS c (view, partition, raw_offset, whole, routed, parked, quarantined, fresh)
             SELECT $1, n.partition, n.raw_offset, n.whole, n.routed::varbit, n.parked::varbit, n.quarantined::varbit, n.routed::varbit
             FROM unnest($2::integer[], $3::bigint[], $4::smallint[], $5::text[], $6::text[], $7::text[])
                  AS n (partition, raw_offset, whole, routed, parked, quarantined)
             LEFT JOIN coverage_total t ON t.partition = n.partition
             WHERE t.watermark IS NULL OR n.raw_offset >= t.watermark
                OR EXISTS (SELECT FROM coverage o WHERE o.view = 0 AND o.partition = n.partition AND o.raw_offset = n.raw_offset)
             ON CONFLICT (view, partition, raw_offset) DO UPDATE
             SET whole = GREATEST(c.whole, excluded.whole), routed = either(c.routed, excluded.routed),
                 parked = either(c.parked, excluded.parked), quarantined = either(c.quarantined, excluded.quarantined),
                 fresh = CASE WHEN length(c.routed) = length(excluded.routed) THEN excluded.routed & ~c.routed ELSE excluded.routed END
             RETURNING partition, raw_offset, fresh::text",
        )
        .await?;
    let rows = transaction
        .query(&statement, &[&number, &partitions, &offsets, &whole, &routed, &parked, &quarantined])
        .await?;
    let fresh: HashMap<(i32, i64), &str> =
        rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect();
    count(transaction, view, source, &change.tenants, |raw, index| {
        let bits = fresh.get(&(int(raw.partition), big(raw.offset)));
        bits.and_then(|bits| bits.as_bytes().get(index as usize)) == Some(&b'1')
    })
    .await
}

/// Counts the items that no earlier batch had, for their tenants.
async fn count(
    transaction: &Transaction<'_>,
    view: CoverageView,
    source: u32,
    tenants: &BTreeMap<TenantId, BTreeSet<(RawRef, u32)>>,
    is_new: impl Fn(RawRef, u32) -> bool,
) -> Result<(), StoreError> {
    let (mut names, mut counts) = (Vec::new(), Vec::new());
    for (tenant, items) in tenants {
        let new = items.iter().filter(|(raw, index)| is_new(*raw, *index)).count();
        if new > 0 {
            names.push(tenant.as_str());
            counts.push(big(new as u64));
        }
    }
    if names.is_empty() {
        return Ok(());
    }
    let statement = transaction
        .prepare_cached(
            "INSERT INTO coverage_tenant AS c (tenant_id, view, source, items)
             SELECT n.tenant_id, $1, $2, n.items FROM unnest($3::text[], $4::bigint[]) AS n (tenant_id, items)
             ON CONFLICT (tenant_id, view, source) DO UPDATE SET items = c.items + excluded.items",
        )
        .await?;
    transaction.execute(&statement, &[&view.number(), &int(source), &names, &counts]).await?;
    Ok(())
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
        mark(&transaction, CoverageView::Outputs, step.partition, change).await?;
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

    /// Moves the watermark over deliveries that are all accounted for, and takes those that became events and were applied
    /// entirely out of the table into the totals. At most some ten thousand at a time; returns how many went.
    pub async fn fold_coverage(&self) -> Result<u64, StoreError> {
        let mut connection = self.get().await?;
        let transaction = connection.transaction().await?;
        transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&FOLD_LOCK]).await?;
        transaction
            .execute(
                "INSERT INTO coverage_total (partition, watermark, items)
                 SELECT partition, 0, 0 FROM coverage WHERE view = 0 GROUP BY partition ON CONFLICT DO NOTHING",
                &[],
            )
            .await?;
        // A delivery is accounted for when each of its items is somewhere, or all of it is.
        transaction
            .execute(
                "WITH ahead AS (
                     SELECT c.partition, c.raw_offset,
                            c.raw_offset - t.watermark - row_number() OVER (PARTITION BY c.partition ORDER BY c.raw_offset) AS gap,
                            c.whole > 0 OR (length(c.routed) > 0 AND
                              bit_count(c.routed | c.parked | c.quarantined) = length(c.routed)) AS accounted
                     FROM coverage_total t JOIN LATERAL (
                         SELECT * FROM coverage o WHERE o.view = 0 AND o.partition = t.partition AND o.raw_offset >= t.watermark
                         ORDER BY o.raw_offset LIMIT 20000) c ON true),
                 stop AS (
                     SELECT partition, COALESCE(min(raw_offset) FILTER (WHERE gap <> -1 OR NOT accounted), max(raw_offset) + 1) AS at
                     FROM ahead GROUP BY partition),
                 reach AS (
                     SELECT a.partition, max(a.raw_offset) + 1 AS watermark FROM ahead a JOIN stop s USING (partition)
                     WHERE a.raw_offset < s.at GROUP BY a.partition)
                 UPDATE coverage_total t SET watermark = r.watermark FROM reach r
                 WHERE t.partition = r.partition AND r.watermark > t.watermark",
                &[],
            )
            .await?;
        let row = transaction
            .query_one(
                "WITH done AS (
                     SELECT c.partition, c.raw_offset, length(c.routed) AS items
                     FROM coverage_total t
                     JOIN coverage c ON c.view = 0 AND c.partition = t.partition AND c.raw_offset < t.watermark
                     LEFT JOIN coverage a ON a.view = 1 AND a.partition = c.partition AND a.raw_offset = c.raw_offset
                     WHERE (c.whole = 1 AND length(c.routed) = 0)
                        OR (length(c.routed) > 0 AND bit_count(c.routed) = length(c.routed)
                            AND bit_count(a.routed) = length(c.routed))),
                 gone AS (
                     DELETE FROM coverage c USING done d WHERE c.partition = d.partition AND c.raw_offset = d.raw_offset),
                 counted AS (
                     UPDATE coverage_total t SET items = t.items + d.items
                     FROM (SELECT partition, sum(items) AS items FROM done GROUP BY partition) d
                     WHERE t.partition = d.partition),
                 cleared AS (
                     DELETE FROM quarantine q USING done d WHERE q.partition = d.partition AND q.raw_offset = d.raw_offset)
                 SELECT count(*) FROM done",
                &[],
            )
            .await?;
        transaction.commit().await?;
        Ok(unsigned(row.get(0)))
    }
}
