//! The time that things are removed by: never later than it is. A clock that jumps ahead is believed after a while only,
//! because what was removed too early does not come back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use service::Clock;
use tracing::warn;

/// A clock may be corrected by this much without a word.
const SLACK_MS: i64 = 5 * 60 * 1000;

/// Tells the time that is certain to have come.
#[derive(Clone)]
pub(crate) struct Steady {
    clock: Clock,
    settle: Duration,
    state: Arc<Mutex<State>>,
}

struct State {
    /// What the clock said then, and how long ago that is by the machine's own count.
    base_ms: i64,
    since: Instant,
    /// Since when the clock says something else.
    apart: Option<Instant>,
}

impl Steady {
    /// Believes a jump of the clock once it has lasted for `settle`.
    pub(crate) fn new(clock: Clock, settle: Duration) -> Self {
        let state = State { base_ms: clock.now_ms(), since: Instant::now(), apart: None };
        Self { clock, settle, state: Arc::new(Mutex::new(state)) }
    }

    /// Unix milliseconds.
    pub(crate) fn now_ms(&self) -> i64 {
        let now_ms = self.clock.now_ms();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let passed_ms = i64::try_from(state.since.elapsed().as_millis()).unwrap_or(i64::MAX);
        let expected_ms = state.base_ms.saturating_add(passed_ms);
        if now_ms.abs_diff(expected_ms) <= SLACK_MS.unsigned_abs() {
            state.apart = None;
            return now_ms.min(expected_ms);
        }
        let apart = *state.apart.get_or_insert_with(|| {
            if self.settle > Duration::ZERO {
                let seconds = (now_ms - expected_ms) / 1000;
                warn!(
                    seconds,
                    "the clock has jumped; nothing is removed by what it says until it has stayed so"
                );
            }
            Instant::now()
        });
        if apart.elapsed() >= self.settle {
            *state = State { base_ms: now_ms, since: Instant::now(), apart: None };
            return now_ms;
        }
        now_ms.min(expected_ms)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn clock() -> (Arc<AtomicI64>, Clock) {
        let now = Arc::new(AtomicI64::new(100 * DAY_MS));
        let told = now.clone();
        (now, Clock::from_fn(move || told.load(Ordering::Relaxed)))
    }

    #[test]
    fn a_clock_that_jumps_ahead_is_not_believed_at_once() {
        let (now, clock) = clock();
        let steady = Steady::new(clock, Duration::from_secs(86_400));
        assert!(steady.now_ms() <= 100 * DAY_MS);
        now.store(102 * DAY_MS, Ordering::Relaxed);
        assert!(steady.now_ms() < 101 * DAY_MS);
        // Set back, it is believed: later is never too early.
        now.store(98 * DAY_MS, Ordering::Relaxed);
        assert_eq!(steady.now_ms(), 98 * DAY_MS);
        now.store(100 * DAY_MS + 1_000, Ordering::Relaxed);
        assert!((100 * DAY_MS..100 * DAY_MS + 60_000).contains(&steady.now_ms()));
    }

    #[test]
    fn a_jump_that_lasts_is_the_time() {
        let (now, clock) = clock();
        let steady = Steady::new(clock, Duration::ZERO);
        now.store(131 * DAY_MS, Ordering::Relaxed);
        assert_eq!(steady.now_ms(), 131 * DAY_MS);
        now.store(90 * DAY_MS, Ordering::Relaxed);
        assert_eq!(steady.now_ms(), 90 * DAY_MS);
    }
}
