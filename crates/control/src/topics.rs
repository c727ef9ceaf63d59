//! Making the topics of a deployment.

use std::time::Duration;

use eventlog::{EventLog, LogError, Retention, Topic, TopicSpec};
use schemas::{TenantId, Topics};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// For how long it is kept whom a callback is about that nobody answers.
pub const CALLBACKS_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How many partitions topics are made with. Existing topics keep theirs.
#[derive(Debug, Clone, Copy)]
pub struct Partitions {
    /// Of `raw` and of `events`.
    pub main: u32,
    /// Of each `inbox.<tenant>`.
    pub inbox: u32,
}

impl Default for Partitions {
    fn default() -> Self {
        Self { main: 6, inbox: 3 }
    }
}

/// Makes `raw`, `events`, `quarantine` and `callbacks` unless they are there (`design.md` §3 has how long each is kept).
pub async fn ensure_topics(log: &EventLog, topics: &Topics, partitions: Partitions) -> Result<(), LogError> {
    let specs = [
        (topics.raw(), partitions.main, Retention::Age(7 * DAY)),
        (topics.events(), partitions.main, Retention::Compacted),
        (topics.quarantine(), 1, Retention::Age(30 * DAY)),
        // Gone with the answer; the month is for a keeper that is away.
        (topics.callbacks(), 1, Retention::CompactedAge(CALLBACKS_KEPT)),
    ];
    for (name, partitions, retention) in specs {
        log.ensure(&TopicSpec { topic: Topic::new(name)?, partitions, retention }).await?;
    }
    Ok(())
}

/// Makes a tenant's feed unless it is there, and names it. A tombstone takes a forgotten person's record out of it before
/// its week is over.
pub async fn ensure_inbox(
    log: &EventLog,
    topics: &Topics,
    tenant: &TenantId,
    partitions: Partitions,
) -> Result<Topic, LogError> {
    let topic = Topic::new(topics.inbox(tenant))?;
    let retention = Retention::CompactedAge(7 * DAY);
    log.ensure(&TopicSpec { topic: topic.clone(), partitions: partitions.inbox, retention }).await?;
    Ok(topic)
}
