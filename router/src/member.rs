//! A membership in one group: partitions come and go, each with a worker of its own, so that one that waits holds up no
//! other and the group never waits for a worker.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use eventlog::{Batch, ConsumeError, Consumer, Delivery, Disposition, Subscription, TopicPartition};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::engine::Engine;
use crate::error::RouteError;
use crate::job::Job;
use crate::worker::work;

/// More than this waiting, in bytes, and the partition is paused; less than that and it goes on. A pause is for a real
/// backlog only: what was fetched ahead is thrown away by it.
const FULL: usize = 4 << 20;
const ROOM: usize = 1 << 20;
/// How long a hand-over waits for the batches in hand.
const HAND_OVER: Duration = Duration::from_secs(4);
const AWAY: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_secs(1);

pub(crate) struct Member {
    job: Job,
    engine: Engine,
    consumer: Consumer,
    max_batch: usize,
    workers: HashMap<TopicPartition, Worker>,
    room: (mpsc::UnboundedSender<TopicPartition>, mpsc::UnboundedReceiver<TopicPartition>),
}

struct Worker {
    batches: mpsc::Sender<Batch>,
    /// Ends with the router, however that ends.
    task: AbortOnDropHandle<Result<(), RouteError>>,
    leaving: CancellationToken,
    held: VecDeque<Batch>,
    held_bytes: usize,
    paused: bool,
}

impl Worker {
    fn hold(&mut self, batch: Batch) {
        self.held_bytes += batch.size_bytes();
        self.held.push_back(batch);
    }

    /// Everything that waits, up to a full batch: one round of appends and one commit for all of it.
    fn gather(&mut self, max_batch: usize) -> Option<Batch> {
        let mut whole = self.held.pop_front()?;
        while let Some(next) = self.held.front()
            && whole.records.len() + next.records.len() <= max_batch
        {
            whole.records.extend(self.held.pop_front().into_iter().flat_map(|batch| batch.records));
        }
        self.held_bytes = self.held_bytes.saturating_sub(whole.size_bytes());
        Some(whole)
    }
}

impl Member {
    pub(crate) async fn join(
        job: Job,
        engine: &Engine,
        member: &str,
        max_batch: usize,
    ) -> Result<Self, RouteError> {
        let subscription = Subscription {
            group: job.group().to_owned(),
            member: member.to_owned(),
            topics: vec![job.topic(&engine.topics)?],
            max_batch,
        };
        // The log may be away just when a router starts.
        let consumer = loop {
            match engine.log.subscribe(subscription.clone()).await {
                Ok(consumer) => break consumer,
                Err(cause) if cause.disposition() == Disposition::Retry => {
                    warn!(error = %cause, group = job.group(), "waiting for the log to join {}", job.group());
                    tokio::time::sleep(AWAY).await;
                }
                Err(cause) => return Err(cause.into()),
            }
        };
        let room = mpsc::unbounded_channel();
        Ok(Self { job, engine: engine.clone(), consumer, max_batch, workers: HashMap::new(), room })
    }

    /// Works until stopped, or until something fails for good. What is in hand then may take `grace` to finish. Calls
    /// `ours` whenever partitions have come, but not any more once stopped.
    pub(crate) async fn run(
        mut self,
        stop: &CancellationToken,
        grace: Duration,
        ours: impl Fn(),
    ) -> Result<(), RouteError> {
        let mut look = tokio::time::interval(LOOK);
        let ended = loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break Ok(()),
                Some(at) = self.room.1.recv() => self.feed(&at).await,
                _ = look.tick() => if let Some(cause) = self.failure().await { break Err(cause) },
                told = self.consumer.next() => match told {
                    Ok(told) => {
                        let assigned = matches!(told, Delivery::Assigned(_));
                        self.take(told).await;
                        if assigned {
                            ours();
                        }
                    }
                    Err(cause) if cause.disposition() == Disposition::Stop => break Err(cause.into()),
                    Err(cause) => {
                        warn!(error = %cause, group = self.job.group(), "the log is away");
                        tokio::time::sleep(AWAY).await;
                    }
                },
            }
        };
        finish(self.workers.into_values().collect(), self.job.grace(grace)).await;
        self.consumer.close().await;
        ended
    }

    async fn take(&mut self, told: Delivery) {
        match told {
            Delivery::Assigned(assignment) => {
                for at in &assignment.partitions {
                    self.begin(at);
                }
                assignment.start(HashMap::new());
            }
            Delivery::Revoked(revocation) => {
                let leaving = revocation.partitions.iter().filter_map(|at| self.workers.remove(at)).collect();
                // What is lost already cannot be committed any more.
                let within = if revocation.lost { Duration::ZERO } else { HAND_OVER };
                finish(leaving, within).await;
                drop(revocation);
            }
            Delivery::Batch(batch) => {
                let at = batch.source.clone();
                if let Some(worker) = self.workers.get_mut(&at) {
                    worker.hold(batch);
                    self.feed(&at).await;
                }
            }
        }
    }

    fn begin(&mut self, at: &TopicPartition) {
        let (batches, waiting) = mpsc::channel(1);
        let leaving = CancellationToken::new();
        let (room, handle) = (self.room.0.clone(), self.consumer.handle());
        let work = work(self.job, self.engine.clone(), waiting, handle, room, leaving.clone());
        let task = AbortOnDropHandle::new(tokio::spawn(work));
        info!(group = self.job.group(), "{} is ours", at);
        let worker = Worker { batches, task, leaving, held: VecDeque::new(), held_bytes: 0, paused: false };
        self.workers.insert(at.clone(), worker);
    }

    /// Gives a worker what it has room for; a partition whose worker has none is paused meanwhile.
    async fn feed(&mut self, at: &TopicPartition) {
        let Some(worker) = self.workers.get_mut(at) else { return };
        if worker.batches.capacity() > 0
            && let Some(batch) = worker.gather(self.max_batch)
        {
            // Only a worker that has failed does not take it; the next look finds out why.
            let _ = worker.batches.try_send(batch);
        }
        let full = worker.held_bytes > if worker.paused { ROOM } else { FULL };
        if full != worker.paused {
            worker.paused = full;
            let handle = self.consumer.handle();
            let told = if full { handle.pause(at).await } else { handle.resume(at).await };
            if let Err(cause) = told {
                // The partition is being taken from us: its revocation follows.
                warn!(error = %cause, group = self.job.group(), "{at} could not be paused or resumed");
            }
        }
    }

    /// Why a worker ended although its partition is ours.
    async fn failure(&mut self) -> Option<RouteError> {
        let ended = self.workers.iter().find(|(_, worker)| worker.task.is_finished());
        let at = ended.map(|(at, _)| at.clone())?;
        match self.workers.remove(&at)?.task.await {
            Ok(Ok(())) => None,
            Ok(Err(cause)) => Some(cause),
            Err(_) => {
                Some(RouteError::Consume(ConsumeError::Fatal { cause: format!("the worker of {at} broke") }))
            }
        }
    }
}

/// Lets workers finish the batch in hand, for so long; what is cut short is repeated by whoever reads on.
async fn finish(workers: Vec<Worker>, within: Duration) {
    let until = tokio::time::Instant::now() + within;
    let task = |worker: Worker| {
        worker.leaving.cancel();
        worker.task
    };
    // All are told before any is waited for.
    let tasks: Vec<_> = workers.into_iter().map(task).collect();
    for mut task in tasks {
        if tokio::time::timeout_at(until, &mut task).await.is_err() {
            task.abort();
            // It ends at its next await: nothing of it goes on after the hand-over.
            let _ = task.await;
        }
    }
}
