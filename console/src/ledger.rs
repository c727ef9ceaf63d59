//! The loss equation: what the raw log holds against what came out of it, compared so that nothing in motion can look
//! like a loss.
//!
//! The order of looking is what makes it true. First the router's committed positions and the ends of `raw`: everything
//! below a committed position has all its outputs in `events` and `quarantine` by then. Then the ends of those two, and
//! the projections' positions: once these have reached those ends, whatever coverage still misses below a committed
//! position is a hole. Until they have, it is pending.

use std::collections::HashMap;

use eventlog::{Bounds, LogError, Topic, TopicPartition};
use store::{ProjectionOffset, RawProgress, TenantCoverage};
use tokio::time::{Duration, Instant};

use crate::problem::Problem;
use crate::state::Shared;
use crate::wire::{LogPosition, LossEquation, TenantEquation};

/// The router's group on `raw`.
const ROUTER: &str = "router";
/// The router's groups that let flow what was parked: on a connect, and on a pointer that came too late for it.
const ROUTER_CONTROL: &str = "router-control";
const ROUTER_PARKED: &str = "router-parked";
/// The view that says what is missing.
const COVERAGE: &str = "coverage";
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const EXAMPLES: usize = 20;

/// How far each stage has read each partition.
pub(crate) async fn positions(shared: &Shared) -> Result<Vec<LogPosition>, Problem> {
    let raw = Topic::new(shared.topics.raw())?;
    let mut positions = Vec::new();
    for partition in partitions(shared, &raw).await? {
        let committed = shared.log.committed(ROUTER, &partition).await?;
        let bounds = shared.log.bounds(&partition).await?;
        positions.push(position(ROUTER, &partition, committed, bounds));
    }
    let offsets = projected(shared).await?;
    for (projection, topic) in projections(shared)? {
        for partition in partitions(shared, &topic).await? {
            let next = offsets.get(&(projection, partition.clone())).copied();
            let bounds = shared.log.bounds(&partition).await?;
            positions.push(position(projection, &partition, next, bounds));
        }
    }
    Ok(positions)
}

/// One look at the loss equation. Waits a few seconds for the projections to reach what the log holds now.
pub(crate) async fn equation(shared: &Shared) -> Result<LossEquation, Problem> {
    // First how far the router is, and with it what it is re-routing; then everything it may have written by then.
    let rerouting = rerouting(shared).await?;
    let progress = raw_progress(shared).await?;
    let ends = ends(shared).await?;
    let unread = settle(shared, &ends).await?;
    let coverage = shared.views.coverage(&progress).await?;

    let unrouted: u64 = progress.iter().map(|raw| raw.end.saturating_sub(raw.committed)).sum();
    let missing = coverage.missing_count;
    let holes = if unread.outputs == 0 { missing } else { 0 };
    let unprojected = coverage.routed.saturating_sub(coverage.projected);
    Ok(LossEquation {
        ok: holes == 0,
        received: coverage.received,
        items: coverage.items,
        routed: coverage.routed,
        unroutable: coverage.unroutable,
        quarantined: coverage.quarantined,
        forgotten: coverage.forgotten,
        projected: coverage.projected,
        pending: rerouting + unrouted + unread.outputs + unread.others + unprojected + (missing - holes),
        holes,
        hole_examples: if holes == 0 {
            Vec::new()
        } else {
            coverage.missing.iter().take(EXAMPLES).map(ToString::to_string).collect()
        },
        tenants: coverage.tenants.into_iter().map(tenant_equation).collect(),
    })
}

fn tenant_equation(of: TenantCoverage) -> TenantEquation {
    TenantEquation { tenant: of.tenant.to_string(), routed: of.routed, projected: of.projected }
}

/// Records of `control` and `quarantine` that the router has yet to look at for what they let flow again.
async fn rerouting(shared: &Shared) -> Result<u64, Problem> {
    let mut behind = 0;
    for (group, topic) in
        [(ROUTER_CONTROL, shared.topics.control()), (ROUTER_PARKED, shared.topics.quarantine())]
    {
        for partition in partitions(shared, &Topic::new(topic)?).await? {
            let committed = shared.log.committed(group, &partition).await?;
            behind += position(group, &partition, committed, shared.log.bounds(&partition).await?).lag;
        }
    }
    Ok(behind)
}

/// The router's committed position and then the end of every partition of `raw`.
async fn raw_progress(shared: &Shared) -> Result<Vec<RawProgress>, Problem> {
    let raw = Topic::new(shared.topics.raw())?;
    let mut progress = Vec::new();
    for partition in partitions(shared, &raw).await? {
        let committed = shared.log.committed(ROUTER, &partition).await?;
        let bounds = shared.log.bounds(&partition).await?;
        let at = position(ROUTER, &partition, committed, bounds);
        progress.push(RawProgress { partition: at.partition, committed: at.position, end: at.end });
    }
    Ok(progress)
}

/// Where what the projections read ends now.
async fn ends(shared: &Shared) -> Result<Vec<(&'static str, TopicPartition, Bounds)>, Problem> {
    let mut ends = Vec::new();
    for (projection, topic) in projections(shared)? {
        for partition in partitions(shared, &topic).await? {
            let bounds = shared.log.bounds(&partition).await?;
            ends.push((projection, partition, bounds));
        }
    }
    Ok(ends)
}

/// Records that projections have yet to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Unread {
    /// By the coverage view: while there are any, nothing can be called missing.
    outputs: u64,
    /// By the other views.
    others: u64,
}

/// Waits for the projections to reach these ends, and says what they have yet to read.
async fn settle(shared: &Shared, ends: &[(&'static str, TopicPartition, Bounds)]) -> Result<Unread, Problem> {
    let until = Instant::now() + shared.config.settle;
    loop {
        let offsets = projected(shared).await?;
        let mut unread = Unread::default();
        for (projection, at, bounds) in ends {
            let lag = position(projection, at, offsets.get(&(*projection, at.clone())).copied(), *bounds).lag;
            if *projection == COVERAGE {
                unread.outputs += lag;
            } else {
                unread.others += lag;
            }
        }
        if unread == Unread::default() {
            unread.outputs = folded(shared, until).await?;
        }
        if unread == Unread::default() || Instant::now() >= until {
            return Ok(unread);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Waits until what the projections have said by now is folded; 1 when it is not by then.
async fn folded(shared: &Shared, until: Instant) -> Result<u64, Problem> {
    let Some((_, last)) = shared.views.unfolded_coverage().await? else { return Ok(0) };
    loop {
        let unfolded = shared.views.unfolded_coverage().await?;
        if unfolded.is_none_or(|(first, _)| first > last) {
            return Ok(0);
        }
        if Instant::now() >= until {
            return Ok(1);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// What each projection reads (`design.md` §5).
fn projections(shared: &Shared) -> Result<[(&'static str, Topic); 4], Problem> {
    let events = Topic::new(shared.topics.events())?;
    let quarantine = Topic::new(shared.topics.quarantine())?;
    let control = Topic::new(shared.topics.control())?;
    Ok([("conversation", events.clone()), (COVERAGE, events), (COVERAGE, quarantine), ("audit", control)])
}

async fn projected(shared: &Shared) -> Result<HashMap<(&'static str, TopicPartition), u64>, Problem> {
    let known = projections(shared)?;
    let offsets = shared.views.offsets().await?;
    Ok(offsets.into_iter().filter_map(|offset| placed(&known, offset)).collect())
}

fn placed(
    known: &[(&'static str, Topic)],
    offset: ProjectionOffset,
) -> Option<((&'static str, TopicPartition), u64)> {
    let (projection, topic) = known
        .iter()
        .find(|(projection, topic)| *projection == offset.projection && topic.as_str() == offset.topic)?;
    Some(((projection, TopicPartition::new(topic, offset.partition)), offset.next))
}

async fn partitions(shared: &Shared, topic: &Topic) -> Result<Vec<TopicPartition>, LogError> {
    let count = shared.log.partitions(topic).await?.unwrap_or(0);
    Ok((0..count).map(|partition| TopicPartition::new(topic, partition)).collect())
}

/// A stage that never committed begins at the oldest record; what retention removed need not be read any more.
fn position(stage: &str, at: &TopicPartition, next: Option<u64>, bounds: Bounds) -> LogPosition {
    let position = next.unwrap_or(bounds.earliest).max(bounds.earliest);
    LogPosition {
        stage: stage.to_owned(),
        topic: at.topic.as_str().to_owned(),
        partition: at.partition,
        earliest: bounds.earliest,
        position,
        end: bounds.end.max(position),
        lag: bounds.end.saturating_sub(position),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(next: Option<u64>, earliest: u64, end: u64, expected: (u64, u64, u64)) {
        let at = TopicPartition::new(&Topic::new("raw").unwrap(), 0);
        let got = position("router", &at, next, Bounds { earliest, end });
        assert_eq!((got.position, got.end, got.lag), expected);
    }

    #[test]
    fn lag_counts_what_is_kept_and_unread() {
        check(None, 0, 0, (0, 0, 0));
        check(None, 0, 7, (0, 7, 7));
        check(None, 5, 7, (5, 7, 2));
        check(Some(3), 0, 7, (3, 7, 4));
        check(Some(3), 7, 7, (7, 7, 0));
        check(Some(9), 0, 7, (9, 9, 0));
    }
}
