//! What a member of each of the router's groups does with a batch.

use std::time::Duration;

use eventlog::{Batch, LogError, Topic};
use schemas::{RawRef, Topics};

use crate::engine::{Delivery, Engine};
use crate::error::RouteError;
use crate::judge::Wanted;
use crate::reroute;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    /// Routes new deliveries.
    Raw,
    /// Looks at every pointer judged before a connect, and does what operators ask.
    Control,
    /// Looks at each new pointer with a state at least as new as `control` is then.
    Pointers,
}

impl Job {
    pub(crate) const fn group(self) -> &'static str {
        match self {
            Self::Raw => "router",
            Self::Control => "router-control",
            Self::Pointers => "router-parked",
        }
    }

    pub(crate) fn topic(self, topics: &Topics) -> Result<Topic, LogError> {
        Topic::new(match self {
            Self::Raw => topics.raw(),
            Self::Control => topics.control(),
            Self::Pointers => topics.quarantine(),
        })
    }

    /// How much of the time there is when stopping it may have: re-routes begin again next time.
    pub(crate) const fn grace(self, whole: Duration) -> Duration {
        match self {
            Self::Raw => whole,
            Self::Control | Self::Pointers => Duration::ZERO,
        }
    }

    /// Does the batch. Returns when all that it leads to is durable; on an error, doing it again is harmless.
    pub(crate) async fn work(self, engine: &Engine, batch: &Batch) -> Result<(), RouteError> {
        match self {
            Self::Raw => deliveries(engine, batch).await,
            Self::Control => reroute::ordered(engine, batch).await,
            Self::Pointers => reroute::late(engine, batch).await,
        }
    }
}

async fn deliveries(engine: &Engine, batch: &Batch) -> Result<(), RouteError> {
    let partition = batch.source.partition;
    let deliveries: Vec<Delivery> = batch
        .records
        .iter()
        .map(|stored| Delivery {
            raw: RawRef { partition, offset: stored.offset },
            record: stored.record.clone(),
            wanted: Wanted::All { attempts: 0 },
        })
        .collect();
    let done = engine.route(&deliveries).await?;
    for fate in done.fates {
        engine.metrics.delivery(fate);
    }
    engine.metrics.lag_seconds.set(Duration::from_millis(done.age_ms.unsigned_abs()).as_secs_f64());
    Ok(())
}
