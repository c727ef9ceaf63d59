//! The async side of a group member: what its threads found, and what they are to do.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc, oneshot};

use super::commits::{self, Commit};
use super::config::KafkaConfig;
use super::membership::Membership;
use super::pump::{self, Command};
use super::rebalance::{self, Member};
use crate::backend::{ConsumerBackend, ConsumerControls};
use crate::{Batch, ConsumeError, Delivery, LogError, Subscription, TopicPartition};

/// How long closing may take before its threads are left to themselves (`reliability.md` §3, 18).
const CLOSE: Duration = Duration::from_secs(10);
/// How long a commit may take; librdkafka's own wait for a coordinator is shorter.
const COMMIT: Duration = Duration::from_secs(60);
/// What may wait for the async side before the thread stops fetching.
const QUEUED_BYTES: usize = 16 * 1024 * 1024;
const QUEUED_BATCHES: usize = 64;

pub(super) struct KafkaConsumer {
    shared: Arc<Shared>,
    told: mpsc::UnboundedReceiver<Result<Delivery, ConsumeError>>,
    batches: mpsc::UnboundedReceiver<Queued>,
    /// Batches of paused partitions, which came before the pause.
    kept: BTreeMap<TopicPartition, VecDeque<Queued>>,
    closed: oneshot::Receiver<()>,
}

/// A batch on its way to the async side.
pub(super) struct Queued {
    /// Of the partition's assignment or seek that it was read under.
    pub(super) epoch: u64,
    pub(super) size_bytes: usize,
    pub(super) batch: Batch,
}

/// What the async side and the threads share.
pub(super) struct Shared {
    owned: Mutex<HashMap<TopicPartition, Owned>>,
    epochs: AtomicU64,
    /// Something that a waiting `next` should look at: a partition resumed.
    changed: Notify,
    queued_bytes: AtomicUsize,
    queued_batches: AtomicUsize,
    taken: Mutex<Instant>,
    pub(super) stopping: AtomicBool,
    pub(super) pump: OnceLock<Thread>,
    pub(super) commands: Mutex<Option<Sender<Command>>>,
    commits: Mutex<Option<Sender<Commit>>>,
}

/// A partition of ours.
#[derive(Clone, Copy)]
pub(super) struct Owned {
    /// Another one with every assignment and seek: batches of an older one are thrown away.
    pub(super) epoch: u64,
    pub(super) paused: bool,
    /// It is being handed over: commits go on, batches do not.
    pub(super) leaving: bool,
}

impl Shared {
    pub(super) fn owned(&self) -> MutexGuard<'_, HashMap<TopicPartition, Owned>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epochs.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn queue(&self, size_bytes: usize) {
        self.queued_bytes.fetch_add(size_bytes, Ordering::AcqRel);
        self.queued_batches.fetch_add(1, Ordering::AcqRel);
    }

    fn unqueue(&self, size_bytes: usize) {
        let was_full = self.is_full();
        self.queued_bytes.fetch_sub(size_bytes, Ordering::AcqRel);
        self.queued_batches.fetch_sub(1, Ordering::AcqRel);
        if was_full && !self.is_full() {
            self.wake();
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.queued_bytes.load(Ordering::Acquire) >= QUEUED_BYTES
            || self.queued_batches.load(Ordering::Acquire) >= QUEUED_BATCHES
    }

    /// How long something has been waiting for an async side that does not come.
    pub(super) fn neglected(&self) -> Duration {
        if self.queued_batches.load(Ordering::Acquire) == 0 {
            return Duration::ZERO;
        }
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    pub(super) fn wake(&self) {
        if let Some(pump) = self.pump.get() {
            pump.unpark();
        }
    }

    fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        // The threads end when nobody can send to them any more.
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.commits.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.wake();
    }

    fn command(&self, command: Command) -> Result<(), ConsumeError> {
        let commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = commands.as_ref().is_some_and(|commands| commands.send(command).is_ok());
        self.wake();
        if sent { Ok(()) } else { Err(ended()) }
    }
}

fn ended() -> ConsumeError {
    ConsumeError::Fatal { cause: "the consumer was closed".into() }
}

impl KafkaConsumer {
    /// Makes the client and starts its threads. Blocks shortly.
    pub(super) fn join(config: &KafkaConfig, subscription: Subscription) -> Result<Self, LogError> {
        let (command, commands) = std::sync::mpsc::channel();
        let (commit, commits) = std::sync::mpsc::channel();
        let (tell, told) = mpsc::unbounded_channel();
        let (queue, batches) = mpsc::unbounded_channel();
        let (open, closed) = oneshot::channel();
        let shared = Arc::new(Shared {
            owned: Mutex::default(),
            epochs: AtomicU64::new(0),
            changed: Notify::new(),
            queued_bytes: AtomicUsize::new(0),
            queued_batches: AtomicUsize::new(0),
            taken: Mutex::new(Instant::now()),
            stopping: AtomicBool::new(false),
            pump: OnceLock::new(),
            commands: Mutex::new(Some(command)),
            commits: Mutex::new(Some(commit)),
        });
        let member = Member::new(shared.clone(), tell, commands, open);
        let settings = config.member(&subscription.group, &subscription.member);
        let membership = Arc::new(Membership::new(settings, subscription.topics, member)?);
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            let started = std::thread::Builder::new().name(name.into()).spawn(run);
            started.map_err(|cause| LogError::Fatal { cause: cause.to_string() })
        };
        let committer = membership.clone();
        spawn("log-commit", Box::new(move || commits::run(&committer, &commits)))?;
        let max_batch = subscription.max_batch.max(1);
        let pump = spawn("log-consume", Box::new(move || pump::run(&membership, &queue, max_batch)));
        match pump {
            Ok(pump) => {
                let _ = shared.pump.set(pump.thread().clone());
                Ok(Self { shared, told, batches, kept: BTreeMap::new(), closed })
            }
            Err(cause) => {
                shared.stop();
                Err(cause)
            }
        }
    }

    /// The batch, if it is still wanted now.
    fn admit(&mut self, queued: Queued) -> Option<Batch> {
        let owned = self.shared.owned().get(&queued.batch.source).copied();
        match owned {
            Some(owned) if owned.epoch == queued.epoch && !owned.leaving => {
                if owned.paused {
                    self.kept.entry(queued.batch.source.clone()).or_default().push_back(queued);
                    return None;
                }
                self.shared.unqueue(queued.size_bytes);
                Some(queued.batch)
            }
            _ => {
                self.shared.unqueue(queued.size_bytes);
                None
            }
        }
    }

    /// A batch that waited for its partition to be resumed.
    fn resumed(&mut self) -> Option<Batch> {
        let going: Vec<TopicPartition> = {
            let owned = self.shared.owned();
            let paused = |at: &TopicPartition| owned.get(at).is_some_and(|owned| owned.paused);
            self.kept.keys().filter(|at| !paused(at)).cloned().collect()
        };
        for at in going {
            while let Some(queued) = self.kept.get_mut(&at).and_then(VecDeque::pop_front) {
                if let Some(batch) = self.admit(queued) {
                    return Some(batch);
                }
            }
            self.kept.remove(&at);
        }
        None
    }
}

#[async_trait]
impl ConsumerBackend for KafkaConsumer {
    async fn next(&mut self) -> Result<Delivery, ConsumeError> {
        let shared = self.shared.clone();
        *shared.taken.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        loop {
            // Anything resumed after this line is seen by the wait below.
            let changed = shared.changed.notified();
            if let Ok(told) = self.told.try_recv() {
                return told;
            }
            if let Some(batch) = self.resumed() {
                return Ok(Delivery::Batch(batch));
            }
            tokio::select! {
                biased;
                told = self.told.recv() => return told.unwrap_or_else(|| Err(ended())),
                Some(queued) = self.batches.recv() => {
                    if let Some(batch) = self.admit(queued) {
                        return Ok(Delivery::Batch(batch));
                    }
                }
                () = changed => {}
            }
        }
    }

    fn controls(&self) -> Arc<dyn ConsumerControls> {
        Arc::new(Controls(self.shared.clone()))
    }

    async fn close(mut self: Box<Self>) {
        self.shared.stop();
        // Answered by the client's end, in whichever thread that comes.
        let _ = tokio::time::timeout(CLOSE, &mut self.closed).await;
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

struct Controls(Arc<Shared>);

impl Controls {
    fn ours(&self, at: &TopicPartition) -> Result<(), ConsumeError> {
        if self.0.owned().contains_key(at) { Ok(()) } else { Err(ConsumeError::NotOurs { at: at.clone() }) }
    }
}

#[async_trait]
impl ConsumerControls for Controls {
    async fn commit(&self, at: &TopicPartition, next: u64) -> Result<(), ConsumeError> {
        self.ours(at)?;
        let (confirm, confirmed) = oneshot::channel();
        let commit = Commit { at: at.clone(), next, confirm };
        let sent = {
            let commits = self.0.commits.lock().unwrap_or_else(PoisonError::into_inner);
            commits.as_ref().is_some_and(|commits| commits.send(commit).is_ok())
        };
        if !sent {
            return Err(ended());
        }
        match tokio::time::timeout(COMMIT, confirmed).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(ended()),
            Err(_) => Err(ConsumeError::Unavailable { cause: "no answer to a commit".into() }),
        }
    }

    async fn seek(&self, at: &TopicPartition, offset: u64) -> Result<(), ConsumeError> {
        self.ours(at)?;
        let (confirm, confirmed) = oneshot::channel();
        self.0.command(Command::Seek { at: at.clone(), offset, confirm })?;
        confirmed.await.unwrap_or_else(|_| Err(ended()))
    }

    async fn pause(&self, at: &TopicPartition, paused: bool) -> Result<(), ConsumeError> {
        {
            let mut owned = self.0.owned();
            let owned = owned.get_mut(at).ok_or_else(|| ConsumeError::NotOurs { at: at.clone() })?;
            owned.paused = paused;
        }
        self.0.changed.notify_one();
        self.0.command(Command::Pauses)
    }
}

const _: () = assert!(rebalance::ANSWER.as_secs() < pump::POLL_INTERVAL.as_secs());
