//! Membership: partitions come and go, each with a worker of its own.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use anyhow::Context;
use control::ControlPlane;
use eventlog::{Batch, Consumer, Delivery, Disposition, EventLog, Subscription, Topic, TopicPartition};
use keyring::Keyring;
use prometheus::Registry;
use schemas::Topics;
use service::{Clock, Gate, Readiness};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Config;
use crate::engine::Engine;
use crate::error::RouteError;
use crate::metrics::Metrics;
use crate::reroute::Rerouter;
use crate::worker::work;

const GROUP: &str = "router";
const HAND_OVER: Duration = Duration::from_secs(4);
const AWAY: Duration = Duration::from_millis(500);

/// Reads `raw`, writes `events`, feeds and `quarantine`.
pub struct Router {
    config: Config,
    engine: Engine,
    raw: Topic,
    gate: Gate,
}

impl Router {
    /// A router; [`Router::run`] starts it.
    #[expect(clippy::too_many_arguments, reason = "every part a service is given, by name")]
    pub fn new(
        config: Config, log: EventLog, plane: ControlPlane, keyring: Keyring, topics: &Topics, registry: &Registry,
        readiness: &Readiness, clock: Clock,
    ) -> anyhow::Result<Self> {
        let metrics = Metrics::new(registry).context("registering the router's metrics")?;
        let raw = Topic::new(topics.raw())?;
        let engine = Engine::new(log, plane, keyring, topics.clone(), metrics, clock, config.partitions);
        Ok(Self { config, engine, raw, gate: readiness.gate("router") })
    }

    /// Runs until stopped, then finishes the batches in hand.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let log = &self.engine.log;
        let consumer = log
            .subscribe(Subscription {
                group: GROUP.into(),
                member: self.config.member.clone(),
                topics: vec![self.raw.clone()],
                max_batch: self.config.max_batch,
            })
            .await
            .context("joining the router's group")?;
        let rerouter = Rerouter::new(self.engine.clone(), self.config.member.clone());
        let members = Members::new(self.engine, consumer);
        // Both end when stopped; one that fails ends the other, and with it the router.
        let both = stop.child_token();
        let routing = async {
            let done = members.run(both.clone(), self.config.grace, &self.gate).await;
            both.cancel();
            done.context("routing")
        };
        let rerouting = async {
            let done = rerouter.run(both.clone()).await;
            both.cancel();
            done.context("re-routing")
        };
        let (routed, rerouted) = tokio::join!(routing, rerouting);
        routed.and(rerouted)
    }
}

struct Members {
    engine: Engine,
    consumer: Consumer,
    workers: HashMap<TopicPartition, Worker>,
    freed: (mpsc::UnboundedSender<TopicPartition>, mpsc::UnboundedReceiver<TopicPartition>),
}

struct Worker {
    batches: mpsc::Sender<Batch>,
    task: JoinHandle<Result<(), RouteError>>,
    held: VecDeque<Batch>,
    paused: bool,
}

impl Members {
    fn new(engine: Engine, consumer: Consumer) -> Self {
        Self { engine, consumer, workers: HashMap::new(), freed: mpsc::unbounded_channel() }
    }

    async fn run(mut self, stop: CancellationToken, grace: Duration, gate: &Gate) -> Result<(), RouteError> {
        gate.open();
        let mut look = tokio::time::interval(Duration::from_secs(1));
        let failed = loop {
            tokio::select! {
                () = stop.cancelled() => break Ok(()),
                Some(at) = self.freed.1.recv() => self.feed(&at).await,
                _ = look.tick() => if let Some(cause) = self.failure().await { break Err(cause) },
                delivery = self.consumer.next() => match delivery {
                    Ok(Delivery::Assigned(assignment)) => {
                        for at in &assignment.partitions {
                            self.take(at.clone());
                        }
                        assignment.start(HashMap::new());
                    }
                    Ok(Delivery::Revoked(revocation)) => {
                        let leaving: Vec<Worker> =
                            revocation.partitions.iter().filter_map(|at| self.workers.remove(at)).collect();
                        finish(leaving, HAND_OVER).await;
                        drop(revocation);
                    }
                    Ok(Delivery::Batch(batch)) => self.hold(batch).await,
                    Err(cause) if cause.disposition() == Disposition::Stop => break Err(cause.into()),
                    Err(cause) => {
                        warn!(error = %cause, "the raw log is away");
                        tokio::time::sleep(AWAY).await;
                    }
                },
            }
        };
        gate.close();
        finish(self.workers.into_values().collect(), grace).await;
        self.consumer.close().await;
        failed
    }

    fn take(&mut self, at: TopicPartition) {
        let (batches, waiting) = mpsc::channel(1);
        let task = tokio::spawn(work(self.engine.clone(), waiting, self.consumer.handle(), self.freed.0.clone()));
        info!(partition = at.partition, "routing partition {}", at.partition);
        self.workers.insert(at, Worker { batches, task, held: VecDeque::new(), paused: false });
    }

    async fn hold(&mut self, batch: Batch) {
        let at = batch.source.clone();
        if let Some(worker) = self.workers.get_mut(&at) {
            worker.held.push_back(batch);
            self.feed(&at).await;
        }
    }

    /// Gives a worker what it has room for; a partition whose worker has none is paused meanwhile.
    async fn feed(&mut self, at: &TopicPartition) {
        let Some(worker) = self.workers.get_mut(at) else { return };
        while let Some(batch) = worker.held.pop_front() {
            match worker.batches.try_send(batch) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(batch)) => {
                    worker.held.push_front(batch);
                    break;
                }
                // The worker has ended; the next look finds out why.
                Err(mpsc::error::TrySendError::Closed(_)) => return,
            }
        }
        let full = !worker.held.is_empty();
        if full != worker.paused {
            worker.paused = full;
            let handle = self.consumer.handle();
            let told = if full { handle.pause(at).await } else { handle.resume(at).await };
            if let Err(cause) = told {
                // The partition is being taken from us: its revocation follows.
                warn!(error = %cause, partition = at.partition, "a partition could not be paused or resumed");
            }
        }
    }

    async fn failure(&mut self) -> Option<RouteError> {
        let ended = self.workers.iter().find(|(_, worker)| worker.task.is_finished()).map(|(at, _)| at.clone())?;
        let worker = self.workers.remove(&ended)?;
        match worker.task.await {
            Ok(Ok(())) => None,
            Ok(Err(cause)) => Some(cause),
            Err(_) => Some(RouteError::Consume(eventlog::ConsumeError::Fatal { cause: "a worker panicked".into() })),
        }
    }
}

/// Lets workers finish the batch in hand, for so long; what is cut short is repeated by whoever reads on.
async fn finish(workers: Vec<Worker>, within: Duration) {
    let until = tokio::time::Instant::now() + within;
    let tasks: Vec<_> = workers.into_iter().map(|worker| worker.task).collect();
    for mut task in tasks {
        if tokio::time::timeout_at(until, &mut task).await.is_err() {
            task.abort();
        }
    }
}
