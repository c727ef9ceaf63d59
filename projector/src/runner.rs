//! One projection: a member of its group that hands each partition's batches to a worker of its own.
//!
//! The member is polled whatever the database does, so it stays in its group; a worker that cannot keep up gets its
//! partition paused. Every assignment begins where the rows say, never where the group's position stands.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use eventlog::{
    Assignment, Batch, ConsumeError, Consumer, Delivery, Disposition, EventLog, Revocation, Start,
    Subscription, TopicPartition,
};
use store::StoreError;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::worker::{Backlog, End, Surroundings, Worker};

/// The log makes batches of at most this many; a worker puts several of them into one transaction.
pub(crate) const FETCH: usize = 1_000;
/// How long a hand-over waits for a transaction in hand.
const FINISH: Duration = Duration::from_secs(5);
const AWAY: Duration = Duration::from_millis(500);

/// Where partitions begin, found out while the member goes on being polled.
struct Located {
    assignment: Assignment,
    /// By partition: its round, the position in the rows, and where to read from.
    places: Vec<(TopicPartition, u64, u64, u64)>,
}

/// A partition that is ours.
struct Held {
    round: u64,
    queue: mpsc::UnboundedSender<Batch>,
    backlog: Arc<Backlog>,
    stop: CancellationToken,
}

type Ended = (TopicPartition, u64, anyhow::Result<End>);

pub(crate) struct Runner {
    log: EventLog,
    around: Surroundings,
    /// Which partitions are ours, and in which round; a worker or an answer of an earlier round counts no more.
    ours: HashMap<TopicPartition, u64>,
    held: HashMap<TopicPartition, Held>,
    workers: JoinSet<Ended>,
    locating: JoinSet<anyhow::Result<Located>>,
    round: u64,
    /// Whether any partition is ours.
    serves: Arc<AtomicBool>,
}

impl Runner {
    pub(crate) fn new(log: EventLog, around: Surroundings, serves: Arc<AtomicBool>) -> Self {
        Self {
            log,
            around,
            ours: HashMap::new(),
            held: HashMap::new(),
            workers: JoinSet::new(),
            locating: JoinSet::new(),
            round: 0,
            serves,
        }
    }

    /// Runs until stopped.
    pub(crate) async fn run(mut self, mut consumer: Consumer, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = self.workers.join_next() => self.ended(ended).await?,
                Some(located) = self.locating.join_next() => self.begin(located??).await?,
                delivery = consumer.next() => match delivery {
                    Ok(Delivery::Batch(batch)) => self.take(batch).await,
                    Ok(Delivery::Assigned(assignment)) => self.assigned(assignment, &stop),
                    Ok(Delivery::Revoked(revocation)) => self.revoked(revocation).await?,
                    Err(ConsumeError::Unavailable { cause }) => {
                        warn!(projection = self.name(), error = cause, "the log is away");
                        tokio::time::sleep(AWAY).await;
                    }
                    Err(ConsumeError::NotOurs { at }) => info!(projection = self.name(), at = %at, "{at} went to another member"),
                    Err(cause) => return Err(cause).context("reading the log"),
                },
            }
        }
        self.locating.abort_all();
        self.finish(|_| true).await?;
        consumer.close().await;
        Ok(())
    }

    fn name(&self) -> &'static str {
        self.around.projection.name()
    }

    fn assigned(&mut self, assignment: Assignment, stop: &CancellationToken) {
        self.round += 1;
        let round = self.round;
        for at in &assignment.partitions {
            self.ours.insert(at.clone(), round);
        }
        let (log, around, stop) = (self.log.clone(), self.around.clone(), stop.clone());
        self.locating.spawn(async move {
            let mut places = Vec::with_capacity(assignment.partitions.len());
            for at in &assignment.partitions {
                let (position, from) = tokio::select! {
                    () = stop.cancelled() => break,
                    place = locate(&log, &around, at) => place?,
                };
                places.push((at.clone(), round, position, from));
            }
            Ok(Located { assignment, places })
        });
    }

    /// Starts the workers, then lets the log deliver.
    async fn begin(&mut self, located: Located) -> anyhow::Result<()> {
        let Located { assignment, mut places } = located;
        let starts = places.iter().map(|(at, _, _, from)| (at.clone(), Start::Offset(*from))).collect();
        places.retain(|(at, round, _, _)| self.ours.get(at) == Some(round));
        for (at, round, position, from) in &places {
            info!(projection = self.name(), at = %at, offset = from, "the {} view goes on with {at} at {from}", self.name());
            self.hold(at.clone(), *round, *position);
        }
        if !assignment.try_start(starts) {
            // PostgreSQL was away for so long that the log went on without us: from elsewhere, and what it delivered since was
            // nobody's. No worker may see what comes from there.
            for (at, round, position, from) in places {
                self.held.remove(&at);
                self.go_on(at, round, position, from).await?;
            }
        }
        self.serves.store(!self.held.is_empty(), Ordering::Release);
        Ok(())
    }

    fn hold(&mut self, at: TopicPartition, round: u64, position: u64) {
        let (queue, taken) = mpsc::unbounded_channel();
        let backlog = Arc::new(Backlog::default());
        let stop = CancellationToken::new();
        let worker = Worker {
            around: self.around.clone(),
            at: at.clone(),
            position,
            queue: taken,
            backlog: backlog.clone(),
            stop: stop.clone(),
        };
        let whose = at.clone();
        self.workers.spawn(async move { (whose, round, worker.run().await) });
        self.held.insert(at, Held { round, queue, backlog, stop });
    }

    async fn take(&mut self, batch: Batch) {
        // Without a worker the partition is not ours any more; a closed queue is one whose worker asked for a seek.
        let Some(held) = self.held.get(&batch.source) else { return };
        let (at, bytes) = (batch.source.clone(), batch.size_bytes());
        if held.queue.send(batch).is_ok() {
            held.backlog.add(bytes, &at, &self.around.handle).await;
        }
    }

    async fn ended(&mut self, ended: Result<Ended, JoinError>) -> anyhow::Result<()> {
        let (at, round, end) = ended.context("a worker broke")?;
        match end? {
            End::Stopped => {}
            End::Seek(offset) if self.held.get(&at).is_some_and(|held| held.round == round) => {
                // What the old worker had waiting goes with it; nothing from before the seek is delivered after it.
                self.held.remove(&at);
                self.go_on(at, round, offset, offset).await?;
            }
            End::Seek(_) => {}
        }
        Ok(())
    }

    /// Starts a worker with what comes from there, and nothing that was delivered before.
    async fn go_on(
        &mut self,
        at: TopicPartition,
        round: u64,
        position: u64,
        from: u64,
    ) -> anyhow::Result<()> {
        match self.around.handle.seek(&at, from).await {
            Ok(()) => {
                // The old worker may have paused it.
                let _ = self.around.handle.resume(&at).await;
                self.hold(at, round, position);
                Ok(())
            }
            Err(ConsumeError::NotOurs { .. }) => Ok(()),
            Err(cause) => Err(cause).with_context(|| format!("going to {from} in {at}")),
        }
    }

    async fn revoked(&mut self, revocation: Revocation) -> anyhow::Result<()> {
        for at in &revocation.partitions {
            self.ours.remove(at);
        }
        self.finish(|at| revocation.partitions.contains(at)).await?;
        self.serves.store(!self.held.is_empty(), Ordering::Release);
        Ok(())
    }

    /// Stops the workers of these partitions and waits for the transactions in their hands.
    async fn finish(&mut self, which: impl Fn(&TopicPartition) -> bool) -> anyhow::Result<()> {
        let mut leaving: Vec<(TopicPartition, u64)> = Vec::new();
        self.held.retain(|at, held| {
            let leaves = which(at);
            if leaves {
                held.stop.cancel();
                leaving.push((at.clone(), held.round));
            }
            !leaves
        });
        let finished = timeout(FINISH, async {
            while !leaving.is_empty() {
                let Some(ended) = self.workers.join_next().await else { break };
                if let Ok((at, round, _)) = &ended {
                    leaving.retain(|left| left != &(at.clone(), *round));
                }
                self.ended(ended).await?;
            }
            anyhow::Ok(())
        });
        match finished.await {
            Ok(done) => done,
            Err(_) => {
                warn!(
                    projection = self.name(),
                    "a transaction outlived the hand-over; its offset decides whether it counts"
                );
                Ok(())
            }
        }
    }
}

/// The position in the rows, and where to read from: the same, unless retention has removed what comes next.
async fn locate(log: &EventLog, around: &Surroundings, at: &TopicPartition) -> anyhow::Result<(u64, u64)> {
    let name = around.projection.name();
    let mut backoff = Backoff::new();
    loop {
        let bounds = match log.bounds(at).await {
            Ok(bounds) => bounds,
            Err(cause) if cause.disposition() == eventlog::Disposition::Retry => {
                warn!(projection = name, at = %at, error = %cause, "the log is away");
                tokio::time::sleep(backoff.next()).await;
                continue;
            }
            Err(cause) => return Err(cause).with_context(|| format!("looking at {at}")),
        };
        let stored: Result<u64, StoreError> =
            around.db.begin_offset(name, at.topic.as_str(), at.partition, bounds.earliest).await;
        match stored {
            Ok(position) if position > bounds.end => bail!(
                "the {name} view has read {at} up to {position}, but it ends at {}: this is not the log that the view was made from",
                bounds.end
            ),
            Ok(position) => {
                if position < bounds.earliest {
                    warn!(projection = name, at = %at, from = position, to = bounds.earliest, "retention has removed records of {at} that the {name} view never read; coverage shows what they held");
                }
                return Ok((position, position.max(bounds.earliest)));
            }
            Err(cause) if cause.disposition() == store::Disposition::Retry => {
                warn!(projection = name, at = %at, error = %cause, "the {name} view waits for PostgreSQL");
                tokio::time::sleep(backoff.next()).await;
            }
            Err(cause) => return Err(cause).with_context(|| format!("reading where the {name} view is")),
        }
    }
}

/// Joins the projection's group. Waits while the log is away: it may be, just when a projector starts.
pub(crate) async fn join(
    log: &EventLog,
    projection: &crate::projection::Projection,
    member: &str,
) -> anyhow::Result<Consumer> {
    let subscription = Subscription {
        group: format!("projector-{}", projection.name()),
        member: member.to_owned(),
        topics: projection.topics(),
        max_batch: FETCH,
    };
    let name = projection.name();
    let mut backoff = Backoff::new();
    loop {
        match log.subscribe(subscription.clone()).await {
            Err(cause) if cause.disposition() == Disposition::Retry => {
                warn!(projection = name, error = %cause, "the {name} view waits for the log");
                tokio::time::sleep(backoff.next()).await;
            }
            joined => return joined.with_context(|| format!("joining the group of the {name} view")),
        }
    }
}
