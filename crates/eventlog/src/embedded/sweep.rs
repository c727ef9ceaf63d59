//! Retention by age and compaction by key, in the background.
//!
//! Compaction goes the way Kafka's does: a pass takes the keys of what came since the last one, as many as it may hold in
//! memory, and removes every older record of those keys from the whole partition. Its progress is kept.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use tracing::warn;

use super::EmbeddedConfig;
use super::log::{PartitionState, Shared, now_ms};
use super::store::Kept;
use crate::LogError;

const READ_RECORDS: usize = 1_000;
/// A partition is compacted once it has grown by half of what was compacted, and by at least this many records; or later,
/// when the oldest of them has waited for long enough.
const GROWTH_RECORDS: u64 = 1_000;
/// The most keys that one pass looks for: 10 MB.
const PASS_KEYS: usize = 200_000;

/// Runs until nobody holds the other end of `stop`.
pub(super) fn run(shared: &Weak<Shared>, config: &EmbeddedConfig, stop: &Receiver<()>) {
    while stop.recv_timeout(config.sweep_every) == Err(RecvTimeoutError::Timeout) {
        let Some(shared) = shared.upgrade() else { return };
        if let Err(cause) = sweep(&shared, config) {
            warn!(error = %cause, "the embedded log could not remove old records; it tries again later");
        }
    }
}

fn sweep(shared: &Shared, config: &EmbeddedConfig) -> Result<(), LogError> {
    for topic in shared.all_topics() {
        for (partition, state) in (0..topic.facts.partitions).zip(&topic.partitions) {
            let at = (topic.facts.id, partition);
            match topic.facts.kept {
                Kept::AgeMs(age_ms) => expire(shared, at, state, before(u128::from(age_ms)))?,
                Kept::Compacted => compact(shared, at, state, config)?,
                Kept::CompactedAgeMs(age_ms) => {
                    expire(shared, at, state, before(u128::from(age_ms)))?;
                    compact(shared, at, state, config)?;
                }
                Kept::Forever => {}
            }
            if shared.is_closed() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// That long ago, Unix milliseconds.
fn before(age_ms: u128) -> i64 {
    now_ms().saturating_sub(i64::try_from(age_ms).unwrap_or(i64::MAX))
}

/// Removes everything that a partition holds now.
pub(super) fn truncate(shared: &Shared, at: (u32, u32), state: &PartitionState) -> Result<(), LogError> {
    let end = state.end.load(Ordering::Acquire);
    while let Some(low) = shared.store.expire(at, end, i64::MAX, READ_RECORDS)? {
        state.low.store(low, Ordering::Release);
    }
    Ok(())
}

fn expire(shared: &Shared, at: (u32, u32), state: &PartitionState, cutoff_ms: i64) -> Result<(), LogError> {
    while !shared.is_closed() {
        let end = state.end.load(Ordering::Acquire);
        let Some(low) = shared.store.expire(at, end, cutoff_ms, READ_RECORDS)? else { return Ok(()) };
        state.low.store(low, Ordering::Release);
    }
    Ok(())
}

fn compact(
    shared: &Shared,
    at: (u32, u32),
    state: &PartitionState,
    config: &EmbeddedConfig,
) -> Result<(), LogError> {
    let end = state.end.load(Ordering::Acquire);
    let mut done = state.compacted.load(Ordering::Acquire);
    let grown = end - done >= GROWTH_RECORDS.max(done / 2);
    let overdue = || -> Result<bool, LogError> {
        let (oldest, _) = shared.store.read(at, done, end, 1)?;
        Ok(oldest
            .first()
            .is_some_and(|oldest| oldest.timestamp_ms <= before(config.compaction_lag.as_millis())))
    };
    if end == done || !(grown || overdue()?) {
        return Ok(());
    }
    while done < end && !shared.is_closed() {
        done = pass(shared, at, done, end, before(config.tombstones_kept.as_millis()))?;
        shared.store.put_compacted(at, done)?;
        state.compacted.store(done, Ordering::Release);
    }
    Ok(())
}

/// Keeps the newest record of each key, and every record without one; tombstones from before `tombstones_ms` go too. The
/// last record always stays: it holds the end. Returns where the next pass goes on; `done` when it was interrupted.
fn pass(shared: &Shared, at: (u32, u32), done: u64, end: u64, tombstones_ms: i64) -> Result<u64, LogError> {
    // 128 bits of two keyed hashes stand for a key.
    let (one, two) = (RandomState::new(), RandomState::new());
    let hash = |key: &[u8]| (one.hash_one(key), two.hash_one(key));
    let mut newest: HashMap<(u64, u64), u64> = HashMap::new();
    let mut upto = done;
    while upto < end && newest.len() < PASS_KEYS {
        let (records, after) = shared.store.read(at, upto, end, READ_RECORDS)?;
        newest.extend(
            records.iter().filter_map(|stored| Some((hash(stored.record.key.as_deref()?), stored.offset))),
        );
        upto = after;
    }
    let mut next = 0;
    while next < upto {
        if shared.is_closed() {
            return Ok(done);
        }
        let (records, after) = shared.store.read(at, next, upto, READ_RECORDS)?;
        let goes = records.iter().filter(|stored| {
            let Some(key) = &stored.record.key else { return false };
            let superseded = newest.get(&hash(key)).is_some_and(|newest| *newest > stored.offset);
            // What it deleted has gone before it: that has smaller offsets.
            let spent = stored.record.value.is_none()
                && stored.timestamp_ms < tombstones_ms
                && stored.offset + 1 != end;
            superseded || spent
        });
        let goes: Vec<u64> = goes.map(|stored| stored.offset).collect();
        shared.store.remove(at, &goes)?;
        next = after;
    }
    Ok(upto)
}
