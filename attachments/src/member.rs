//! The worker's membership in its group: events come, the queue gets what they mean, then the position moves. The group never
//! waits for the queue.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use eventlog::{
    Batch, ConsumeError, Consumer, ConsumerHandle, Delivery, Disposition, Subscription, Topic, TopicPartition,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::error::Fatal;
use crate::intake::Intake;
use crate::job::Worker;
use crate::patience::Patience;

/// The group.
pub(crate) const GROUP: &str = "attachments";

/// More than this waiting of one partition, in bytes, and it is paused; less than that and it goes on.
const FULL: usize = 4 << 20;
const ROOM: usize = 1 << 20;
/// How long a hand-over waits for the batch in hand.
const HAND_OVER: Duration = Duration::from_secs(4);
const AWAY: Duration = Duration::from_millis(500);

/// The batch in hand: its partition, and the work on it.
type InHand = (TopicPartition, Pin<Box<dyn Future<Output = Result<(), Fatal>> + Send>>);

pub(crate) struct Member {
    worker: Worker,
    consumer: Consumer,
    /// Told when there are new jobs.
    wakes: Arc<[Arc<Notify>]>,
    waiting: VecDeque<Batch>,
    held_bytes: HashMap<TopicPartition, usize>,
    paused: HashSet<TopicPartition>,
    in_hand: Option<InHand>,
}

impl Member {
    pub(crate) async fn join(
        worker: &Worker,
        events: Topic,
        wakes: Arc<[Arc<Notify>]>,
    ) -> Result<Self, Fatal> {
        let subscription = Subscription {
            group: GROUP.to_owned(),
            member: worker.config.member.clone(),
            topics: vec![events],
            max_batch: worker.config.max_batch.max(1),
        };
        // The log may be away just when a worker starts.
        let consumer = loop {
            match worker.log.subscribe(subscription.clone()).await {
                Ok(consumer) => break consumer,
                Err(cause) if cause.disposition() == Disposition::Retry => {
                    warn!(error = %cause, "waiting for the log to join {GROUP}");
                    tokio::time::sleep(AWAY).await;
                }
                Err(cause) => return Err(cause.into()),
            }
        };
        Ok(Self {
            worker: worker.clone(),
            consumer,
            wakes,
            waiting: VecDeque::new(),
            held_bytes: HashMap::new(),
            paused: HashSet::new(),
            in_hand: None,
        })
    }

    /// Works until stopped, or until something fails for good. Calls `ours` whenever partitions have come.
    pub(crate) async fn run(mut self, stop: &CancellationToken, ours: impl Fn()) -> Result<(), Fatal> {
        let ended = loop {
            if self.in_hand.is_none() {
                self.take_up().await;
            }
            let working = async {
                match &mut self.in_hand {
                    Some((_, work)) => work.as_mut().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break Ok(()),
                done = working => {
                    self.in_hand = None;
                    if let Err(cause) = done {
                        break Err(cause);
                    }
                }
                told = self.consumer.next() => match told {
                    Ok(Delivery::Assigned(assignment)) => {
                        info!(group = GROUP, "{} partitions are ours", assignment.partitions.len());
                        assignment.start(HashMap::new());
                        ours();
                    }
                    Ok(Delivery::Revoked(revocation)) => {
                        let within = if revocation.lost { Duration::ZERO } else { HAND_OVER };
                        self.let_go(&revocation.partitions, within).await;
                        drop(revocation);
                    }
                    Ok(Delivery::Batch(batch)) => self.hold(batch).await,
                    Err(cause) if cause.disposition() == Disposition::Stop => break Err(cause.into()),
                    Err(cause) => {
                        warn!(error = %cause, group = GROUP, "the log is away");
                        tokio::time::sleep(AWAY).await;
                    }
                },
            }
        };
        if let Some((_, work)) = &mut self.in_hand {
            // What is cut short is repeated by whoever reads on.
            let _ = tokio::time::timeout(HAND_OVER, work.as_mut()).await;
        }
        self.consumer.close().await;
        ended
    }

    /// Takes the next batch in hand.
    async fn take_up(&mut self) {
        let Some(batch) = self.waiting.pop_front() else { return };
        let at = batch.source.clone();
        let held = self.held_bytes.entry(at.clone()).or_default();
        *held = held.saturating_sub(batch.size_bytes());
        if *held <= ROOM && self.paused.remove(&at) {
            let handle = self.consumer.handle();
            told(&at, handle.resume(&at).await);
        }
        let work = queue(self.worker.clone(), batch, self.consumer.handle(), self.wakes.clone());
        self.in_hand = Some((at, Box::pin(work)));
    }

    async fn hold(&mut self, batch: Batch) {
        let at = batch.source.clone();
        let held = self.held_bytes.entry(at.clone()).or_default();
        *held += batch.size_bytes();
        self.waiting.push_back(batch);
        if *held > FULL && self.paused.insert(at.clone()) {
            let handle = self.consumer.handle();
            told(&at, handle.pause(&at).await);
        }
    }

    async fn let_go(&mut self, partitions: &[TopicPartition], within: Duration) {
        self.waiting.retain(|batch| !partitions.contains(&batch.source));
        for at in partitions {
            self.held_bytes.remove(at);
            self.paused.remove(at);
        }
        if let Some((_, work)) = self.in_hand.as_mut().filter(|(at, _)| partitions.contains(at)) {
            let done = tokio::time::timeout(within, work.as_mut()).await;
            if let Ok(Err(cause)) = done {
                warn!(error = %cause, "a batch was not queued; whoever reads on repeats it");
            }
            self.in_hand = None;
        }
    }
}

fn told(at: &TopicPartition, told: Result<(), ConsumeError>) {
    if let Err(cause) = told {
        // The partition is being taken from us: its revocation follows.
        warn!(error = %cause, group = GROUP, "{at} could not be paused or resumed");
    }
}

/// Queues what a batch means and moves the position. While the queue is away the same batch is tried again.
async fn queue(
    worker: Worker,
    batch: Batch,
    handle: ConsumerHandle,
    wakes: Arc<[Arc<Notify>]>,
) -> Result<(), Fatal> {
    let intake = Intake::of(&batch.records);
    for (offset, cause) in &intake.unreadable {
        worker.metrics.unreadable.inc();
        error!(offset, error = %cause, "a record of {} cannot be read by this version; its files are not fetched", batch.source);
    }
    let mut patience = Patience::long();
    while !intake.is_empty() {
        match worker.db.queue_attachments(&intake.files, &intake.unsent, worker.clock.now_ms()).await {
            Ok(queued) => {
                debug!(queued, unsent = intake.unsent.len(), "queued files of {}", batch.source);
                wakes.iter().for_each(|wake| wake.notify_one());
                break;
            }
            Err(cause) if cause.disposition() == store::Disposition::Retry => {
                warn!(error = %cause, "a batch of {} waits", batch.source);
                patience.pause().await;
            }
            Err(cause) => return Err(cause.into()),
        }
    }
    match handle.commit(&batch.source, batch.next_offset()).await {
        Ok(()) => Ok(()),
        // The partition is being taken from us: whoever has it repeats the batch, which is harmless. If it is still ours
        // after all, or the log was away, the next commit covers this one.
        Err(cause @ (ConsumeError::NotOurs { .. } | ConsumeError::Unavailable { .. })) => {
            warn!(error = %cause, group = GROUP, "a position could not be committed");
            Ok(())
        }
        Err(cause @ (ConsumeError::PositionGone { .. } | ConsumeError::Fatal { .. })) => Err(cause.into()),
    }
}
