//! How big the chaos is, and when what is killed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sandbox::{Ledger, Mix, Pace, Secret, SenderConfig, TrafficConfig};

use crate::rig::{APP, SECRET};

/// The size of one run, from the environment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) events: u64,
    pub(crate) kills: usize,
}

impl Plan {
    pub(crate) fn from_environment() -> Self {
        let read = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
        Self {
            seed: read("TIDINGS_CHAOS_SEED").unwrap_or_else(|| rand::random_range(1..1_000_000)),
            events: read("TIDINGS_CHAOS_EVENTS").unwrap_or(6_000),
            kills: read("TIDINGS_CHAOS_KILLS").unwrap_or(3) as usize,
        }
    }

    /// A tenth of the deliveries again, everything out of order, people called now this and now that.
    pub(crate) fn traffic(&self) -> TrafficConfig {
        // Conversations' clocks run by some seconds per update, from a few days ago.
        let start_ms = jiff::Timestamp::now().as_millisecond() - 72 * 60 * 60 * 1000;
        TrafficConfig {
            mix: Mix::LIVELY,
            repeats: 0.1,
            disorder: 200,
            forged: 0.005,
            partly_named: 0.5,
            ..TrafficConfig::new(self.seed, self.events, start_ms, Secret::new(SECRET.as_bytes()))
        }
    }

    pub(crate) fn sender(webhooks: &str) -> SenderConfig {
        let target = format!("{webhooks}/webhooks/{APP}").parse().unwrap();
        SenderConfig { pace: Pace::AsFastAsAnswered, connections: 24, ..SenderConfig::new(target) }
    }

    /// After how many acknowledged updates to kill: spread at random over the run, the last one at its very end, when only
    /// the later stages still work.
    pub(crate) fn moments(&self, kills: usize, salt: u64) -> Vec<u64> {
        let mut random = StdRng::seed_from_u64(self.seed ^ salt);
        let mut moments: Vec<u64> =
            (1..kills).map(|_| random.random_range(self.events / 50..self.events.max(51))).collect();
        moments.sort_unstable();
        moments.extend((kills > 0).then_some(self.events));
        moments
    }
}

/// Waits until this many updates are acknowledged.
pub(crate) async fn acknowledged(ledger: &Ledger, count: u64) {
    let (mut last, mut since) = (0, std::time::Instant::now());
    loop {
        let now = ledger.tally().acknowledged;
        if now >= count {
            return;
        }
        if now > last {
            (last, since) = (now, std::time::Instant::now());
        }
        assert!(
            since.elapsed() < Duration::from_secs(120),
            "nothing is acknowledged any more after {now} of {count}"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
