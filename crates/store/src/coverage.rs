//! The coverage view: which items of each raw delivery became what, as bits; and the loss equation over it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use deadpool_postgres::Transaction;
use schemas::{RawRef, Reason, TenantId};

use crate::offset::{advance, big, int};
use crate::{Moved, OffsetMove, StoreError, ViewsDb};

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

/// Records a batch's bits. Below the watermark there is a row already, or the delivery has left the table for good.
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
    let partitions: Vec<i32> = change.deliveries.keys().map(|raw| int(raw.partition)).collect();
    let offsets: Vec<i64> = change.deliveries.keys().map(|raw| big(raw.offset)).collect();
    let whole: Vec<i16> = change.deliveries.values().map(|bits| bits.whole as i16).collect();
    let routed: Vec<String> = change.deliveries.values().map(|bits| text(&bits.routed)).collect();
    let parked: Vec<String> = change.deliveries.values().map(|bits| text(&bits.parked)).collect();
    let quarantined: Vec<String> = change.deliveries.values().map(|bits| text(&bits.quarantined)).collect();
    let statement = transaction
        .prepare_cached(
            "WITH n AS (
                 SELECT n.partition, n.raw_offset, n.whole, n.routed::varbit, n.parked::varbit, n.quarantined::varbit,
                        t.watermark IS NULL OR n.raw_offset >= t.watermark AS ahead
                 FROM unnest($2::integer[], $3::bigint[], $4::smallint[], $5::text[], $6::text[], $7::text[])
                      AS n (partition, raw_offset, whole, routed, parked, quarantined)
                 LEFT JOIN coverage_total t ON t.partition = n.partition),
             made AS (
                 INSERT INTO coverage AS c (view, partition, raw_offset, whole, routed, parked, quarantined, fresh)
                 SELECT $1, partition, raw_offset, whole, routed, parked, quarantined, routed FROM n WHERE ahead
                 ON CONFLICT (view, partition, raw_offset) DO UPDATE
                 SET whole = GREATEST(c.whole, excluded.whole), routed = either(c.routed, excluded.routed),
                     parked = either(c.parked, excluded.parked), quarantined = either(c.quarantined, excluded.quarantined),
                     fresh = beyond(excluded.routed, c.routed)
                 RETURNING partition, raw_offset, fresh),
             changed AS (
                 UPDATE coverage c
                 SET whole = GREATEST(c.whole, n.whole), routed = either(c.routed, n.routed),
                     parked = either(c.parked, n.parked), quarantined = either(c.quarantined, n.quarantined),
                     fresh = beyond(n.routed, c.routed)
                 FROM n WHERE NOT n.ahead AND c.view = $1 AND c.partition = n.partition AND c.raw_offset = n.raw_offset
                 RETURNING c.partition, c.raw_offset, c.fresh)
             SELECT partition, raw_offset, fresh::text FROM made UNION ALL SELECT partition, raw_offset, fresh::text FROM changed",
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
}
