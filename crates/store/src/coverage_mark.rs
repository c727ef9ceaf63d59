//! Marking in the coverage view what a batch says of deliveries, and counting for their tenants what no earlier batch said.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use deadpool_postgres::Transaction;
use schemas::{RawRef, TenantId};

use crate::StoreError;
use crate::coverage::{Bits, CoverageChange, CoverageView};
use crate::offset::{big, int};

/// Above the watermark: a row is made, or added to.
const MAKE: &str = "
INSERT INTO coverage AS c (view, partition, raw_offset, whole, routed, parked, quarantined, fresh)
SELECT $1, n.partition, n.raw_offset, n.whole, n.routed::varbit, n.parked::varbit, n.quarantined::varbit, n.routed::varbit
FROM unnest($2::integer[], $3::bigint[], $4::smallint[], $5::text[], $6::text[], $7::text[])
     AS n (partition, raw_offset, whole, routed, parked, quarantined)
LEFT JOIN coverage_total t ON t.partition = n.partition
WHERE t.watermark IS NULL OR n.raw_offset >= t.watermark
ON CONFLICT (view, partition, raw_offset) DO UPDATE
SET whole = GREATEST(c.whole, excluded.whole), routed = either(c.routed, excluded.routed),
    parked = either(c.parked, excluded.parked), quarantined = either(c.quarantined, excluded.quarantined),
    fresh = beyond(excluded.routed, c.routed)
RETURNING partition, raw_offset, fresh::text";

/// Below it: there is a row already, or the delivery has left the table for good.
const CHANGE: &str = "
UPDATE coverage c
SET whole = GREATEST(c.whole, n.whole), routed = either(c.routed, n.routed::varbit),
    parked = either(c.parked, n.parked::varbit), quarantined = either(c.quarantined, n.quarantined::varbit),
    fresh = beyond(n.routed::varbit, c.routed)
FROM unnest($2::integer[], $3::bigint[], $4::smallint[], $5::text[], $6::text[], $7::text[])
     AS n (partition, raw_offset, whole, routed, parked, quarantined)
WHERE c.view = $1 AND c.partition = n.partition AND c.raw_offset = n.raw_offset
RETURNING c.partition, c.raw_offset, c.fresh::text";

/// The bits that no earlier batch had set, by delivery.
type Fresh = HashMap<(i32, i64), String>;

/// Records a batch's bits. `source` is the partition that the batch was read from.
pub(crate) async fn mark(
    transaction: &Transaction<'_>,
    view: CoverageView,
    source: u32,
    change: &CoverageChange,
) -> Result<(), StoreError> {
    let mut fresh = Fresh::new();
    write(transaction, MAKE, view, change.deliveries.iter(), &mut fresh).await?;
    let below: Vec<_> =
        change.deliveries.iter().filter(|(raw, _)| !fresh.contains_key(&place(raw))).collect();
    write(transaction, CHANGE, view, below.into_iter(), &mut fresh).await?;
    let is_new = |raw: &RawRef, index: u32| {
        fresh.get(&place(raw)).and_then(|bits| bits.as_bytes().get(index as usize)) == Some(&b'1')
    };
    count(transaction, view, source, &change.tenants, is_new).await
}

fn place(raw: &RawRef) -> (i32, i64) {
    (int(raw.partition), big(raw.offset))
}

async fn write<'a>(
    transaction: &Transaction<'_>,
    sql: &str,
    view: CoverageView,
    deliveries: impl Iterator<Item = (&'a RawRef, &'a Bits)>,
    fresh: &mut Fresh,
) -> Result<(), StoreError> {
    let (mut partitions, mut offsets, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    let (mut routed, mut parked, mut quarantined) = (Vec::new(), Vec::new(), Vec::new());
    for (raw, bits) in deliveries {
        let (partition, offset) = place(raw);
        partitions.push(partition);
        offsets.push(offset);
        whole.push(bits.whole as i16);
        routed.push(text(&bits.routed));
        parked.push(text(&bits.parked));
        quarantined.push(text(&bits.quarantined));
    }
    if partitions.is_empty() {
        return Ok(());
    }
    let statement = transaction.prepare_cached(sql).await?;
    let rows = transaction
        .query(&statement, &[&view.number(), &partitions, &offsets, &whole, &routed, &parked, &quarantined])
        .await?;
    fresh.extend(rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))));
    Ok(())
}

fn text(bits: &[bool]) -> String {
    bits.iter().map(|bit| if *bit { '1' } else { '0' }).collect()
}

/// Counts the items that no earlier batch had, for their tenants.
async fn count(
    transaction: &Transaction<'_>,
    view: CoverageView,
    source: u32,
    tenants: &BTreeMap<TenantId, BTreeSet<(RawRef, u32)>>,
    is_new: impl Fn(&RawRef, u32) -> bool,
) -> Result<(), StoreError> {
    let (mut names, mut counts) = (Vec::new(), Vec::new());
    for (tenant, items) in tenants {
        let new = items.iter().filter(|(raw, index)| is_new(raw, *index)).count();
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
