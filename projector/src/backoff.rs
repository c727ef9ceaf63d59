//! How long to wait before the same thing is tried again.

use std::time::Duration;

const LEAST: Duration = Duration::from_millis(200);
const MOST: Duration = Duration::from_secs(30);

/// Doubling pauses, each shortened by a random part so that many who wait do not come back at once.
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self(LEAST)
    }

    /// The next pause: 0.2 to 30 s.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(MOST);
        pause.mul_f64(rand::random_range(0.5..=1.0)).max(LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_in_their_bounds() {
        let mut backoff = Backoff::new();
        let pauses: Vec<Duration> = (0..20).map(|_| backoff.next()).collect();
        assert!(pauses.iter().all(|pause| (LEAST..=MOST).contains(pause)));
        assert!(pauses[19] >= MOST / 2);
    }
}
