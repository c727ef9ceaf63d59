//! Watches the loss equation: what is nowhere for a minute is sent through the router again.
//!
//! The order of looking is what makes a hole one: first how far the router is, then the ends of what it writes, then the wait
//! until the coverage view has read that far. What is missing below the router's position then is missing.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use control::ControlPlane;
use eventlog::{EventLog, Topic, TopicPartition};
use schemas::{Action, RawRef};
use service::Clock;
use store::{RawProgress, ViewsDb};
use tracing::{error, warn};

use crate::metrics::Metrics;

const ROUTER: &str = "router";
const COVERAGE: &str = "coverage";
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const SETTLE: Duration = Duration::from_secs(5);
/// How long what was said of deliveries waits to be folded: as long as readers of the loss equation wait, or while one
/// projection is far ahead of the other.
pub(crate) const TIDY_SOON: Duration = Duration::from_millis(200);
const TIDY_LATER: Duration = Duration::from_secs(1);
/// So many deliveries are folded twice without a thought.
const FEW: u64 = 1_000;
/// The least and the most time between two re-routes of one hole.
const AGAIN_MS: i64 = 60_000;
const AGAIN_MOST_MS: i64 = 3_600_000;
/// As many deliveries as one `control` record names.
const AT_ONCE: usize = 1_000;

/// What is known of a hole.
struct Hole {
    since_ms: i64,
    next_ms: i64,
    pause_ms: i64,
}

pub(crate) struct Monitor {
    pub(crate) log: EventLog,
    pub(crate) plane: ControlPlane,
    pub(crate) db: ViewsDb,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
    pub(crate) raw: Topic,
    /// What the router writes.
    pub(crate) outputs: [Topic; 2],
    pub(crate) hole_age: Duration,
    pub(crate) holes: Holes,
}

/// The holes there are, and when each is due to be re-routed.
#[derive(Default)]
pub(crate) struct Holes(HashMap<RawRef, Hole>);

impl Holes {
    /// Takes what is missing now; returns what has been missing for so long that it is due.
    fn due(&mut self, missing: &[RawRef], now_ms: i64, age_ms: i64) -> Vec<RawRef> {
        let mut known = std::mem::take(&mut self.0);
        self.0 = missing
            .iter()
            .map(|raw| {
                let fresh = || Hole { since_ms: now_ms, next_ms: now_ms + age_ms, pause_ms: AGAIN_MS };
                (*raw, known.remove(raw).unwrap_or_else(fresh))
            })
            .collect();
        let mut due: Vec<RawRef> = Vec::new();
        for (raw, hole) in &mut self.0 {
            if now_ms >= hole.next_ms && due.len() < AT_ONCE {
                hole.next_ms = now_ms + hole.pause_ms;
                hole.pause_ms = (hole.pause_ms * 2).min(AGAIN_MOST_MS);
                due.push(*raw);
            }
        }
        due.sort_unstable();
        due
    }

    fn oldest_ms(&self, now_ms: i64) -> i64 {
        self.0.values().map(|hole| now_ms - hole.since_ms).max().unwrap_or(0)
    }
}

impl Monitor {
    /// Folds what the projections said of deliveries.
    ///
    /// Tells how long to wait before the next time. While one projection is far ahead of the other, most of what it said
    /// waits for the other's word, and had better wait unfolded.
    pub(crate) async fn tidy(&self) -> anyhow::Result<Duration> {
        let (mut kept, mut settled) = (0, 0);
        while let Some(folded) = self.db.fold_coverage().await? {
            kept += folded.kept;
            settled += folded.settled;
        }
        Ok(if kept > FEW && kept > settled / 4 { TIDY_LATER } else { TIDY_SOON })
    }

    /// One look.
    pub(crate) async fn look(&mut self) -> anyhow::Result<()> {
        let mut progress = Vec::new();
        let mut kept = HashMap::new();
        for at in self.partitions(&self.raw).await? {
            let committed = self.log.committed(ROUTER, &at).await?;
            let bounds = self.log.bounds(&at).await?;
            kept.insert(at.partition, bounds.earliest);
            progress.push(RawProgress {
                partition: at.partition,
                committed: committed.unwrap_or(bounds.earliest).max(bounds.earliest),
                end: bounds.end,
            });
        }
        let settled = self.settle().await? && self.folded().await?;
        let coverage = self.db.coverage(&progress).await?;
        self.metrics.covers(&coverage);
        if !settled {
            return Ok(());
        }
        self.metrics.holes.set(i64::try_from(coverage.missing_count).unwrap_or(i64::MAX));
        let (back, gone): (Vec<RawRef>, Vec<RawRef>) = coverage
            .missing
            .iter()
            .partition(|raw| kept.get(&raw.partition).is_some_and(|earliest| raw.offset >= *earliest));
        let now_ms = self.clock.now_ms();
        let due = self.holes.due(&back, now_ms, i64::try_from(self.hole_age.as_millis()).unwrap_or(i64::MAX));
        if !gone.is_empty() {
            error!(deliveries = gone.len(), "deliveries are nowhere and no longer kept in raw");
        }
        if !due.is_empty() {
            let (count, oldest_ms) = (due.len(), self.holes.oldest_ms(now_ms));
            warn!(
                deliveries = count,
                oldest_ms, "parts of {count} deliveries are nowhere; sending them through the router again"
            );
            self.plane
                .act(now_ms, "platform", Action::HolesRerouted { raw: due })
                .await
                .context("re-routing holes")?;
            self.metrics.rerouted.inc_by(count as u64);
        }
        Ok(())
    }

    /// Waits until the coverage view has read all that the router's outputs hold now; false when it took too long.
    async fn settle(&self) -> anyhow::Result<bool> {
        let mut ends = Vec::new();
        for topic in &self.outputs {
            for at in self.partitions(topic).await? {
                let bounds = self.log.bounds(&at).await?;
                if bounds.end > bounds.earliest {
                    ends.push((at, bounds.end));
                }
            }
        }
        let until = tokio::time::Instant::now() + SETTLE;
        loop {
            let offsets = self.db.offsets().await?;
            let read = |at: &TopicPartition| {
                offsets
                    .iter()
                    .find(|offset| {
                        offset.projection == COVERAGE
                            && offset.topic == at.topic.as_str()
                            && offset.partition == at.partition
                    })
                    .map_or(0, |offset| offset.next)
            };
            if ends.iter().all(|(at, end)| read(at) >= *end) {
                return Ok(true);
            }
            if tokio::time::Instant::now() >= until {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Folds what there is by now; false when another process is at it.
    async fn folded(&self) -> anyhow::Result<bool> {
        let Some((_, last)) = self.db.unfolded_coverage().await? else { return Ok(true) };
        self.tidy().await?;
        Ok(self.db.unfolded_coverage().await?.is_none_or(|(first, _)| first > last))
    }

    async fn partitions(&self, topic: &Topic) -> anyhow::Result<Vec<TopicPartition>> {
        let count = self.log.partitions(topic).await?.unwrap_or(0);
        Ok((0..count).map(|partition| TopicPartition::new(topic, partition)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(offset: u64) -> RawRef {
        RawRef { partition: 0, offset }
    }

    #[test]
    fn a_hole_is_due_after_its_age_and_then_ever_more_rarely() {
        let mut holes = Holes::default();
        let missing = [raw(1), raw(2)];
        assert!(holes.due(&missing, 0, 60_000).is_empty());
        assert!(holes.due(&missing, 59_999, 60_000).is_empty());
        assert_eq!(holes.due(&missing, 60_000, 60_000), missing);
        assert!(holes.due(&missing, 119_999, 60_000).is_empty());
        // One was filled and came back: its age begins anew.
        assert_eq!(holes.due(&missing[..1], 120_000, 60_000), missing[..1]);
        assert!(holes.due(&missing, 180_000, 60_000).is_empty());
        assert_eq!(holes.due(&missing, 240_000, 60_000), missing);
        assert_eq!(holes.oldest_ms(240_000), 240_000);
    }
}
