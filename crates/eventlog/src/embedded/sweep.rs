//! Retention by age and compaction by key, in the background.

use std::collections::HashMap;
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::warn;

use super::EmbeddedConfig;
use super::log::{PartitionState, Shared, now_ms};
use super::store::Kept;
use crate::LogError;

const TICK: Duration = Duration::from_millis(100);
const READ_RECORDS: usize = 1_000;
/// A partition is compacted again once it has grown by half of what it held, and by at least this many records.
const GROWTH_RECORDS: u64 = 1_000;

/// Runs until the log is gone or closed.
pub(super) fn run(shared: &Weak<Shared>, config: &EmbeddedConfig) {
    let mut last = Instant::now();
    loop {
        std::thread::sleep(TICK);
        let Some(shared) = shared.upgrade() else { return };
        if shared.closed.load(Ordering::Acquire) {
            return;
        }
        if last.elapsed() < config.sweep_every {
            continue;
        }
        if let Err(cause) = sweep(&shared, config) {
            warn!(error = %cause, "the embedded log could not remove old records; it tries again later");
        }
        last = Instant::now();
    }
}

fn sweep(shared: &Shared, config: &EmbeddedConfig) -> Result<(), LogError> {
    for topic in shared.all_topics() {
        for (partition, state) in (0..topic.facts.partitions).zip(&topic.partitions) {
            let at = (topic.facts.id, partition);
            match topic.facts.kept {
                Kept::AgeMs(age_ms) => expire(shared, at, state, age_ms)?,
                Kept::Compacted => compact(shared, at, state, config)?,
                Kept::Forever => {}
            }
            if shared.closed.load(Ordering::Acquire) {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn expire(shared: &Shared, at: (u32, u32), state: &PartitionState, age_ms: u64) -> Result<(), LogError> {
    let cutoff_ms = now_ms().saturating_sub(i64::try_from(age_ms).unwrap_or(i64::MAX));
    loop {
        let end = state.end.load(Ordering::Acquire);
        let Some(low) = shared.store.expire(at, end, cutoff_ms, READ_RECORDS)? else { return Ok(()) };
        state.low.store(low, Ordering::Release);
    }
}

/// Keeps the newest record of each key, and every record without one. The last record always stays: it holds the end.
fn compact(shared: &Shared, at: (u32, u32), state: &PartitionState, config: &EmbeddedConfig) -> Result<(), LogError> {
    let end = state.end.load(Ordering::Acquire);
    let done = state.compacted.load(Ordering::Acquire);
    let eager = config.sweep_every < Duration::from_secs(1);
    if end == done || (!eager && end - done < GROWTH_RECORDS.max(done / 2)) {
        return Ok(());
    }
    let tombstones_until = now_ms().saturating_sub(i64::try_from(config.tombstones_kept.as_millis()).unwrap_or(i64::MAX));
    let mut newest: HashMap<Bytes, u64> = HashMap::new();
    let mut superseded = Vec::new();
    let mut next = 0;
    while next < end {
        let (records, after) = shared.store.read(at, next, end, READ_RECORDS)?;
        for stored in records {
            let Some(key) = stored.record.key else { continue };
            let gone = stored.record.value.is_none() && stored.timestamp_ms < tombstones_until;
            let older = if gone { newest.remove(&key) } else { newest.insert(key, stored.offset) };
            superseded.extend(older);
            if gone && stored.offset + 1 != end {
                superseded.push(stored.offset);
            }
        }
        next = after;
    }
    shared.store.remove(at, &superseded)?;
    state.compacted.store(end, Ordering::Release);
    Ok(())
}
