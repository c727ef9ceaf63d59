//! The attachments worker as a service: a membership, two desks and a look at the queue that begin, fail and end together.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use blob::BlobStore;
use control::ControlPlane;
use eventlog::{EventLog, Topic};
use graph::Graph;
use keyring::Keyring;
use prometheus::Registry;
use publish::Outlets;
use schemas::Topics;
use service::{Clock, Gate, Readiness};
use store::{QueueWork, ViewsDb};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config::Config;
use crate::desk::Desk;
use crate::fetch::Fetcher;
use crate::job::Worker;
use crate::member::{GROUP, Member};
use crate::metrics::Metrics;

/// How long a member without a partition is not ready.
const SPARE: Duration = Duration::from_secs(15);
/// How often the queue is measured.
const MEASURE: Duration = Duration::from_secs(5);

/// Reads `events`, fetches the files they name, writes objects, `events` and feeds.
pub struct Attachments {
    worker: Worker,
    topics: Topics,
    gate: Gate,
}

impl Attachments {
    /// A worker; [`Attachments::run`] starts it. `db` is the views as [`store::ViewsRole::Attachments`]; of the keyring it
    /// needs no more than [`store::KeyringRole::Opener`] may.
    ///
    /// # Errors
    /// Another worker's instruments are in the registry.
    #[expect(clippy::too_many_arguments, reason = "every part a service is given, by name")]
    pub fn new(
        config: Config,
        log: EventLog,
        plane: ControlPlane,
        db: ViewsDb,
        keyring: Keyring,
        graph: Graph,
        blobs: BlobStore,
        topics: &Topics,
        registry: &Registry,
        readiness: &Readiness,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let metrics = Metrics::new(registry).context("registering the attachments worker's metrics")?;
        let outlets = Outlets::new(log.clone(), topics.clone(), config.partitions);
        let fetcher = Fetcher { graph, blobs, keyring };
        let worker = Worker { config: Arc::new(config), log, plane, db, fetcher, outlets, metrics, clock };
        Ok(Self { worker, topics: topics.clone(), gate: readiness.gate("attachments") })
    }

    /// Runs until stopped, then finishes what is being fetched, for as long as it may; what is cut short is fetched by
    /// whoever works on.
    ///
    /// # Errors
    /// The queue or the log refuses us for good. That something is away is waited out.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Self { worker, topics, gate } = self;
        let events = Topic::new(topics.events()).context("naming the topic of events")?;
        let (fetches, removals) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let wakes: Arc<[Arc<Notify>]> = [fetches.clone(), removals.clone()].into();
        let joined = stop.run_until_cancelled(Member::join(&worker, events, wakes)).await;
        let Some(member) = joined.transpose().with_context(|| format!("joining the group {GROUP}"))? else {
            return Ok(());
        };
        // One that fails ends the others, and with them the worker.
        let all = stop.child_token();
        let ends = |ended: anyhow::Result<()>| {
            all.cancel();
            ended
        };
        let reading = async {
            let ended = member.run(&all, || gate.open()).await;
            ends(ended.with_context(|| format!("working in the group {GROUP}")))
        };
        let desk = async |work, wake| {
            let ended = Desk::new(worker.clone(), work, wake).run(&all).await;
            ends(ended.context("working the queue of files"))
        };
        // Ready with the first partitions; a worker more than there are partitions is ready without, after a while.
        let readiness = async {
            tokio::select! {
                () = all.cancelled() => {}
                () = tokio::time::sleep(SPARE) => gate.open(),
            }
            all.cancelled().await;
            gate.close();
        };
        let (reading, fetching, removing, (), ()) = tokio::join!(
            reading,
            desk(QueueWork::Fetch, fetches),
            desk(QueueWork::Remove, removals),
            measure(&worker, &all),
            readiness
        );
        reading.and(fetching).and(removing)
    }
}

/// Tells how much waits, until stopped.
async fn measure(worker: &Worker, stop: &CancellationToken) {
    let mut tick = tokio::time::interval(MEASURE);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        match worker.db.attachment_backlog().await {
            Ok(backlog) => {
                let now_ms = worker.clock.now_ms();
                let oldest_ms = backlog.oldest_ms.map_or(0, |since_ms| now_ms.saturating_sub(since_ms));
                worker.metrics.queued.set(i64::try_from(backlog.files).unwrap_or(i64::MAX));
                worker.metrics.oldest_seconds.set(oldest_ms.max(0) / 1000);
            }
            Err(cause) => warn!(error = %cause, "the queue of files cannot be measured"),
        }
    }
}
