//! Growing pauses between attempts, spread so that many do not come back at the same moment.

use std::time::Duration;

use rand::Rng;

/// The pauses of one thing that is tried again and again.
#[derive(Debug)]
pub(crate) struct Patience {
    next: Duration,
    longest: Duration,
}

impl Patience {
    /// For a queue that is full for a moment.
    pub(crate) const fn quick() -> Self {
        Self { next: Duration::from_millis(20), longest: Duration::from_secs(5) }
    }

    /// For a part of ours that is away (`reliability.md` §2.5).
    pub(crate) const fn long() -> Self {
        Self { next: Duration::from_millis(200), longest: Duration::from_secs(30) }
    }

    /// The pause that is due now; the next one is longer.
    pub(crate) fn due(&mut self) -> Duration {
        let due = self.next;
        self.next = (due * 2).min(self.longest);
        spread(due)
    }

    /// Waits for the pause that is due.
    pub(crate) async fn pause(&mut self) {
        let due = self.due();
        tokio::time::sleep(due).await;
    }
}

/// The pause after so many failures, from 1.
pub(crate) fn backoff(first: Duration, longest: Duration, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    spread(first.saturating_mul(1 << doublings).min(longest))
}

/// Between half and the whole of it.
fn spread(whole: Duration) -> Duration {
    whole.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(failures: u32, whole_secs: u64) {
        let pause = backoff(Duration::from_secs(2), Duration::from_secs(900), failures);
        let whole = Duration::from_secs(whole_secs);
        assert!(pause >= whole / 2 && pause <= whole, "{failures} failures: {pause:?}");
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        check(0, 2);
        check(1, 2);
        check(2, 4);
        check(5, 32);
        check(10, 900);
        check(u32::MAX, 900);
    }
}
