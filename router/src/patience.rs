//! Growing pauses between attempts, spread so that many routers do not come back at the same moment.

use std::time::Duration;

use rand::Rng;

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

    /// For a database or a log that is away (`reliability.md` §2.5).
    pub(crate) const fn long() -> Self {
        Self { next: Duration::from_millis(200), longest: Duration::from_secs(30) }
    }

    /// Waits, longer each time: between half and the whole of the pause that is due.
    pub(crate) async fn pause(&mut self) {
        let due = self.next;
        self.next = (due * 2).min(self.longest);
        let share = rand::rng().random_range(0.5..=1.0);
        tokio::time::sleep(due.mul_f64(share)).await;
    }
}
