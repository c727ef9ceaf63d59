//! Routing again what was parked, quarantined or missing. Two readers, so that no race leaves anything parked: one of
//! `control`, which looks at every pointer judged before a connect; one of `quarantine`, which looks at each new pointer
//! with a state at least as new as `control` is then (`docs/adr/0004-parked-pointers.md`).

use std::time::Duration;

use eventlog::{Batch, EventLog, ReadError, Stored, Topic, TopicPartition};
use schemas::{ControlRecord, Pointer};
use tracing::{error, info};

use crate::engine::{Delivery, Engine};
use crate::error::RouteError;
use crate::fetch::{Fetch, silent};
use crate::metrics::Cause;
use crate::trigger::{Freed, Named, Orders};

const SCAN: usize = 1_000;
const WAIT: Duration = Duration::from_secs(2);
/// Deliveries routed again at once, and their bytes.
const CHUNK: usize = 200;
const CHUNK_BYTES: usize = 8 * 1024 * 1024;

/// Records of `control`: connects and resumptions free pointers, and operators name deliveries.
pub(crate) async fn ordered(engine: &Engine, batch: &Batch) -> Result<(), RouteError> {
    let mut orders = Orders::default();
    for stored in &batch.records {
        // One of a newer version is passed over: the control plane has said so.
        if let Ok(record) = serde_json::from_slice::<ControlRecord>(value(stored)) {
            orders.add(stored.offset, &record);
        }
    }
    if orders.is_empty() {
        return Ok(());
    }
    // At least everything this batch says. Before the scan: a pointer from after the scan is the other reader's.
    let state = engine.plane.caught_up().await?;
    let mut freed = Freed::default();
    let quarantine = Topic::new(engine.topics.quarantine())?;
    scan(&engine.log, &quarantine, |pointer| {
        freed.consider(&pointer, &state, Some(&orders.triggers));
        orders.remember(&pointer);
    })
    .await?;
    again(engine, freed.named(), Cause::Connect).await?;
    again(engine, orders.redriven, Cause::Redrive).await?;
    again(engine, orders.holes, Cause::Hole).await
}

/// New pointers, each looked at with a state at least as new as `control` is now.
pub(crate) async fn late(engine: &Engine, batch: &Batch) -> Result<(), RouteError> {
    let state = engine.plane.caught_up().await?;
    let mut freed = Freed::default();
    for pointer in batch.records.iter().filter_map(pointer) {
        freed.consider(&pointer, &state, None);
    }
    again(engine, freed.named(), Cause::LatePointer).await
}

/// Shows every pointer in `quarantine` up to its end now.
async fn scan(log: &EventLog, topic: &Topic, mut see: impl FnMut(Pointer)) -> Result<(), RouteError> {
    let partitions = log.partitions(topic).await?.unwrap_or(0);
    for at in (0..partitions).map(|partition| TopicPartition::new(topic, partition)) {
        let bounds = log.bounds(&at).await?;
        let mut next = bounds.earliest;
        let mut reader = log.reader(&at, next).await?;
        while next < bounds.end {
            let records = match reader.next(SCAN, WAIT).await {
                Ok(records) => records,
                Err(ReadError::Gone { .. }) => {
                    // Retention went on meanwhile.
                    next = log.bounds(&at).await?.earliest.max(next + 1);
                    reader = log.reader(&at, next).await?;
                    continue;
                }
                Err(cause) => return Err(cause.into()),
            };
            next = records.last().ok_or_else(silent)?.offset + 1;
            records.iter().filter_map(pointer).for_each(&mut see);
        }
    }
    Ok(())
}

/// Reads these deliveries from `raw` and routes what is wanted of them.
async fn again(engine: &Engine, named: Named, cause: Cause) -> Result<(), RouteError> {
    if named.is_empty() {
        return Ok(());
    }
    let count = named.len();
    let (mut routed, mut gone) = (0, 0);
    let mut fetch = Fetch::new(&engine.log, Topic::new(engine.topics.raw())?).await?;
    let mut chunk = Vec::new();
    let mut chunk_bytes = 0;
    for (raw, wanted) in named {
        let Some(record) = fetch.get(raw).await? else {
            gone += 1;
            continue;
        };
        chunk_bytes += record.size_bytes();
        chunk.push(Delivery { raw, record, wanted });
        if chunk.len() >= CHUNK || chunk_bytes >= CHUNK_BYTES {
            routed += engine.route(&chunk).await?.routed;
            chunk.clear();
            chunk_bytes = 0;
        }
    }
    if !chunk.is_empty() {
        routed += engine.route(&chunk).await?.routed;
    }
    engine.metrics.rerouted(cause, routed);
    engine.metrics.gone.inc_by(gone);
    let cause = cause.as_str();
    if gone > 0 {
        error!(cause, "{gone} of {count} deliveries to be routed again are not in the raw log any more");
    }
    info!(cause, "routed {routed} items of {count} deliveries again");
    Ok(())
}

fn value(stored: &Stored) -> &[u8] {
    stored.record.value.as_deref().unwrap_or_default()
}

fn pointer(stored: &Stored) -> Option<Pointer> {
    serde_json::from_slice(value(stored)).ok()
}
