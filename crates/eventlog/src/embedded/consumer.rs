//! A member of a group in this process.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::TrySendError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{Notify, mpsc, oneshot};

use super::group::{Group, Told};
use super::log::Shared;
use super::writer::Command;
use crate::backend::{ConsumerBackend, ConsumerControls};
use crate::{
    Assignment, Batch, ConsumeError, Delivery, LogError, Revocation, Start, Subscription, TopicPartition,
};

/// Of which assignment, whose partitions, and where they begin.
type Answer = (u64, Vec<TopicPartition>, HashMap<TopicPartition, Start>);

pub(super) struct EmbeddedConsumer {
    controls: Arc<Controls>,
    told: mpsc::UnboundedReceiver<Told>,
    answers: FuturesUnordered<BoxFuture<'static, Answer>>,
    /// By partition that is ours, the assignment that it came with: an answer to an earlier one, since taken back, begins
    /// nothing. Else records would be delivered that nobody waits for, and the next owner's work would begin behind them.
    assigned: HashMap<TopicPartition, u64>,
    assignments: u64,
    max_batch: usize,
    turn: usize,
}

struct Controls {
    shared: Arc<Shared>,
    group: Arc<Group>,
    name: String,
    member: u64,
    cursors: Mutex<BTreeMap<TopicPartition, Cursor>>,
    changed: Notify,
    epochs: AtomicU64,
}

#[derive(Clone, Copy)]
struct Cursor {
    place: (u32, u32),
    next: u64,
    paused: bool,
    /// Another one with every assignment and seek, so that a read begun before it is thrown away.
    epoch: u64,
}

fn fatal(cause: impl std::fmt::Display) -> ConsumeError {
    ConsumeError::Fatal { cause: cause.to_string() }
}

impl EmbeddedConsumer {
    pub(super) fn join(shared: Arc<Shared>, subscription: Subscription) -> Result<Self, LogError> {
        for topic in &subscription.topics {
            if shared.topic(topic).is_none() {
                return Err(LogError::Fatal { cause: format!("no topic {topic}") });
            }
        }
        let group = shared.groups.group(&subscription.group);
        let (member, told) = group.join(&Arc::downgrade(&shared), &subscription.member, subscription.topics);
        let controls = Controls {
            shared,
            group,
            name: subscription.group,
            member,
            cursors: Mutex::default(),
            changed: Notify::new(),
            epochs: AtomicU64::new(0),
        };
        Ok(Self {
            controls: Arc::new(controls),
            told,
            answers: FuturesUnordered::new(),
            assigned: HashMap::new(),
            assignments: 0,
            max_batch: subscription.max_batch.max(1),
            turn: 0,
        })
    }

    fn announce(&mut self, told: Told) -> Result<Option<Delivery>, ConsumeError> {
        match told {
            Told::Assign(partitions) => {
                let (answer, answered) = oneshot::channel();
                self.assignments += 1;
                let (number, assigned) = (self.assignments, partitions.clone());
                self.assigned.extend(assigned.iter().map(|at| (at.clone(), number)));
                self.answers
                    .push(Box::pin(async move { (number, assigned, answered.await.unwrap_or_default()) }));
                Ok(Some(Delivery::Assigned(Assignment { partitions, answer: Some(answer) })))
            }
            Told::Revoke { partitions, release } => {
                let mut cursors = self.controls.lock();
                for at in &partitions {
                    cursors.remove(at);
                    self.assigned.remove(at);
                }
                drop(cursors);
                Ok(Some(Delivery::Revoked(Revocation { partitions, lost: false, _release: Some(release) })))
            }
            Told::Replaced => {
                self.controls.lock().clear();
                self.assigned.clear();
                Err(fatal("another member of this name joined the group"))
            }
        }
    }

    fn begin(&self, (number, partitions, starts): Answer) -> Result<(), ConsumeError> {
        let controls = &self.controls;
        let mut gone = None;
        for at in partitions {
            if self.assigned.get(&at) != Some(&number) || !controls.group.owns(controls.member, &at) {
                continue;
            }
            let (_, place) = controls.shared.locate(&at).map_err(fatal)?;
            let bounds = controls.shared.bounds(&at).map_err(fatal)?;
            let next = match starts.get(&at).copied().unwrap_or(Start::Committed) {
                Start::Offset(offset) => offset,
                Start::Committed => controls
                    .shared
                    .store
                    .position(&controls.name, place)
                    .map_err(fatal)?
                    .unwrap_or(bounds.earliest),
            };
            if next < bounds.earliest || next > bounds.end {
                gone = Some(at);
                continue;
            }
            controls.lock().insert(at, Cursor { place, next, paused: false, epoch: controls.epoch() });
        }
        gone.map_or(Ok(()), |at| Err(ConsumeError::PositionGone { at }))
    }

    /// One batch of the next partition in turn that has something.
    async fn read(&mut self) -> Result<Option<Batch>, ConsumeError> {
        let cursors: Vec<(TopicPartition, Cursor)> =
            self.controls.lock().iter().map(|(at, cursor)| (at.clone(), *cursor)).collect();
        let count = cursors.len();
        for step in 0..count {
            let Some((at, cursor)) = cursors.get((self.turn + step) % count) else { continue };
            if cursor.paused {
                continue;
            }
            let bounds = self.controls.shared.bounds(at).map_err(fatal)?;
            if cursor.next < bounds.earliest {
                return Err(ConsumeError::PositionGone { at: at.clone() });
            }
            if cursor.next >= bounds.end {
                continue;
            }
            let (store, place, from, max) =
                (self.controls.shared.store.clone(), cursor.place, cursor.next, self.max_batch);
            let read = tokio::task::spawn_blocking(move || store.read(place, from, bounds.end, max));
            let (records, next) = read.await.map_err(fatal)?.map_err(fatal)?;
            let mut now = self.controls.lock();
            match now.get_mut(at) {
                Some(current) if current.epoch == cursor.epoch && !current.paused => current.next = next,
                _ => continue,
            }
            drop(now);
            if !records.is_empty() {
                self.turn = (self.turn + step + 1) % count;
                return Ok(Some(Batch { source: at.clone(), records }));
            }
        }
        Ok(None)
    }
}

#[async_trait]
impl ConsumerBackend for EmbeddedConsumer {
    async fn next(&mut self) -> Result<Delivery, ConsumeError> {
        let mut appended = self.controls.shared.appended.subscribe();
        loop {
            appended.mark_unchanged();
            if let Ok(told) = self.told.try_recv() {
                if let Some(delivery) = self.announce(told)? {
                    return Ok(delivery);
                }
                continue;
            }
            if let Some(batch) = self.read().await? {
                return Ok(Delivery::Batch(batch));
            }
            if self.controls.shared.is_closed() {
                return Err(fatal("the log was closed"));
            }
            let controls = self.controls.clone();
            tokio::select! {
                told = self.told.recv() => {
                    let told = told.ok_or_else(|| fatal("the group is gone"))?;
                    if let Some(delivery) = self.announce(told)? {
                        return Ok(delivery);
                    }
                }
                Some(answer) = self.answers.next(), if !self.answers.is_empty() => self.begin(answer)?,
                _ = appended.changed() => {}
                () = controls.changed.notified() => {}
            }
        }
    }

    fn controls(&self) -> Arc<dyn ConsumerControls> {
        self.controls.clone()
    }

    async fn close(self: Box<Self>) {}
}

impl Drop for EmbeddedConsumer {
    fn drop(&mut self) {
        self.controls.lock().clear();
        self.controls.group.leave(&Arc::downgrade(&self.controls.shared), self.controls.member);
    }
}

impl Controls {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, Cursor>> {
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn epoch(&self) -> u64 {
        self.epochs.fetch_add(1, Ordering::Relaxed)
    }
}

#[async_trait]
impl ConsumerControls for Controls {
    async fn commit(&self, at: &TopicPartition, next: u64) -> Result<(), ConsumeError> {
        if !self.group.owns(self.member, at) {
            return Err(ConsumeError::NotOurs { at: at.clone() });
        }
        let (_, place) = self.shared.locate(at).map_err(fatal)?;
        loop {
            let (confirm, confirmed) = oneshot::channel();
            match self.shared.commands.try_send(Command::Commit {
                group: self.name.clone(),
                at: place,
                next,
                confirm,
            }) {
                Ok(()) => return confirmed.await.unwrap_or_else(|_| Err(fatal("the log was closed"))),
                // The queue is full of appends: they are on their way to disk, and there is room in a moment.
                Err(TrySendError::Full(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(TrySendError::Disconnected(_)) => return Err(fatal("the log was closed")),
            }
        }
    }

    async fn seek(&self, at: &TopicPartition, offset: u64) -> Result<(), ConsumeError> {
        let bounds = self.shared.bounds(at).map_err(fatal)?;
        if offset < bounds.earliest || offset > bounds.end {
            return Err(ConsumeError::PositionGone { at: at.clone() });
        }
        let mut cursors = self.lock();
        let cursor = cursors.get_mut(at).ok_or_else(|| ConsumeError::NotOurs { at: at.clone() })?;
        cursor.next = offset;
        cursor.epoch = self.epoch();
        drop(cursors);
        self.changed.notify_one();
        Ok(())
    }

    async fn pause(&self, at: &TopicPartition, paused: bool) -> Result<(), ConsumeError> {
        let mut cursors = self.lock();
        let cursor = cursors.get_mut(at).ok_or_else(|| ConsumeError::NotOurs { at: at.clone() })?;
        cursor.paused = paused;
        drop(cursors);
        self.changed.notify_one();
        Ok(())
    }
}
