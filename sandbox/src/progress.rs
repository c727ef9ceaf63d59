//! How far the sending is, for whoever watches.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Counters of a running sender.
#[derive(Debug, Default)]
pub struct Progress {
    pub(crate) attempts: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
    pub(crate) updates: AtomicU64,
    pub(crate) repeats: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) unanswered: AtomicU64,
    pub(crate) unavailable: AtomicU64,
    pub(crate) other: AtomicU64,
    micros: Mutex<Vec<u32>>,
}

/// What the counters said at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProgressCounts {
    /// Requests sent.
    pub attempts: u64,
    /// Deliveries answered 200.
    pub acknowledged: u64,
    /// Updates in those, repeats not counted.
    pub updates: u64,
    /// Those of them that told nothing new.
    pub repeats: u64,
    /// Forged deliveries answered 401.
    pub refused: u64,
    /// Requests that were a second try or a later one.
    pub retries: u64,
    /// Requests that got no answer: refused, cut or too slow.
    pub unanswered: u64,
    /// Answers 503.
    pub unavailable: u64,
    /// Any other answer that was not the right one.
    pub other: u64,
}

/// How long an answer took, from the moment the delivery was due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latency {
    /// Half of the answers came within this.
    pub p50: Duration,
    /// All but one in a hundred came within this.
    pub p99: Duration,
    /// The slowest.
    pub max: Duration,
}

impl Progress {
    /// The counters now.
    pub fn counts(&self) -> ProgressCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ProgressCounts {
            attempts: read(&self.attempts),
            acknowledged: read(&self.acknowledged),
            updates: read(&self.updates),
            repeats: read(&self.repeats),
            refused: read(&self.refused),
            retries: read(&self.retries),
            unanswered: read(&self.unanswered),
            unavailable: read(&self.unavailable),
            other: read(&self.other),
        }
    }

    /// How long the acknowledged deliveries took so far.
    pub fn latency(&self) -> Latency {
        let mut micros = self.micros.lock().unwrap_or_else(PoisonError::into_inner).clone();
        micros.sort_unstable();
        let at = |thousandth: usize| {
            let index = (micros.len().saturating_sub(1)) * thousandth / 1000;
            Duration::from_micros(u64::from(micros.get(index).copied().unwrap_or(0)))
        };
        Latency { p50: at(500), p99: at(990), max: at(1000) }
    }

    pub(crate) fn took(&self, time: Duration) {
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        self.micros.lock().unwrap_or_else(PoisonError::into_inner).push(micros);
    }

    pub(crate) fn count(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}
