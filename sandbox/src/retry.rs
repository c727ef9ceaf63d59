//! When a delivery that was not answered 200 goes out again.

use std::time::Duration;

/// Meta's policy: at once, then less and less often (`meta-platform.md` §1.5), with hours scaled down to what a test can
/// wait for. There is no last try: what is not acknowledged is sent until it is.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Wait before the second retry; the first goes out at once. Each later wait doubles.
    pub first: Duration,
    /// Longest wait.
    pub longest: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { first: Duration::from_millis(50), longest: Duration::from_secs(2) }
    }
}

impl RetryPolicy {
    /// How long to wait after this many failed attempts.
    pub(crate) fn wait(&self, failed: u32) -> Duration {
        match failed {
            0 | 1 => Duration::ZERO,
            _ => self.first.saturating_mul(1 << (failed - 2).min(16)).min(self.longest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(failed: u32, millis: u64) {
        let policy = RetryPolicy { first: Duration::from_millis(100), longest: Duration::from_secs(1) };
        assert_eq!(policy.wait(failed), Duration::from_millis(millis));
    }

    #[test]
    fn waits_longer_and_longer() {
        for (failed, millis) in [(1, 0), (2, 100), (3, 200), (4, 400), (5, 800), (6, 1000), (40, 1000)] {
            check(failed, millis);
        }
    }
}
