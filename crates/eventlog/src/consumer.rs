//! Reading as a member of a group: assignments, batches per partition, committed positions.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::backend::{ConsumerBackend, ConsumerControls};
use crate::{ConsumeError, Stored, Topic, TopicPartition};

/// Which group to join, as whom, for which topics.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// The group that shares the partitions.
    pub group: String,
    /// This member's stable name: unique in the group, the same after a restart.
    pub member: String,
    /// The topics.
    pub topics: Vec<Topic>,
    /// The most records a batch holds.
    pub max_batch: usize,
}

/// What a member is told.
#[derive(Debug)]
pub enum Delivery {
    /// Partitions are now ours; say where to begin.
    Assigned(Assignment),
    /// Partitions are being taken; finish or abandon their work, then drop this.
    Revoked(Revocation),
    /// Records of one partition, in order.
    Batch(Batch),
}

/// Where to begin in a partition that was just assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the group's committed position; at the oldest record when there is none.
    Committed,
    /// At this offset: the position a store keeps with its rows.
    Offset(u64),
}

/// Newly assigned partitions. Nothing of them is read until this is answered; dropping it starts each at `Committed`.
#[derive(Debug)]
pub struct Assignment {
    /// The partitions.
    pub partitions: Vec<TopicPartition>,
    pub(crate) answer: Option<oneshot::Sender<HashMap<TopicPartition, Start>>>,
}

impl Assignment {
    /// Starts each partition where `positions` says, the others at their committed position.
    pub fn start(self, positions: HashMap<TopicPartition, Start>) {
        // Whoever begins at the committed position begins there, too, when the answer comes too late.
        let _ = self.try_start(positions);
    }

    /// The same; false when the answer came too late, because the consumer is closing or went on without it: then the
    /// partitions that are still this member's began at their committed positions, and have to be sought.
    #[must_use]
    pub fn try_start(mut self, positions: HashMap<TopicPartition, Start>) -> bool {
        self.answer.take().is_some_and(|answer| answer.send(positions).is_ok())
    }
}

/// Partitions that are going to another member. The hand-over waits a few seconds for this to be dropped.
#[derive(Debug)]
pub struct Revocation {
    /// The partitions.
    pub partitions: Vec<TopicPartition>,
    /// They are lost already: commits for them will be refused.
    pub lost: bool,
    /// Dropping it tells the consumer to go on.
    pub(crate) _release: Option<oneshot::Sender<()>>,
}

/// Records of one partition, in order of offset.
#[derive(Debug)]
pub struct Batch {
    /// Where they come from.
    pub source: TopicPartition,
    /// The records, at least one.
    pub records: Vec<Stored>,
}

impl Batch {
    /// The offset to commit once every record of the batch is done.
    pub fn next_offset(&self) -> u64 {
        self.records.last().map_or(0, |record| record.offset + 1)
    }

    /// What it takes in memory, roughly.
    pub fn size_bytes(&self) -> usize {
        self.records.iter().map(|stored| stored.record.size_bytes() + size_of::<Stored>()).sum()
    }
}

/// A member of a group.
pub struct Consumer(pub(crate) Box<dyn ConsumerBackend>);

impl Consumer {
    /// Waits for the next thing to do. Cancel-safe. Must be called again within two minutes for the member to stay in its group.
    pub async fn next(&mut self) -> Result<Delivery, ConsumeError> {
        self.0.next().await
    }

    /// A handle for commits, seeks and pauses from elsewhere.
    pub fn handle(&self) -> ConsumerHandle {
        ConsumerHandle(self.0.controls())
    }

    /// Leaves the group's work in order: stops reading and closes, without committing anything.
    pub async fn close(self) {
        self.0.close().await;
    }
}

/// Commits, seeks and pauses of one [`Consumer`].
#[derive(Clone)]
pub struct ConsumerHandle(Arc<dyn ConsumerControls>);

impl ConsumerHandle {
    /// Says that every record below `next` is done. Durable when this returns.
    pub async fn commit(&self, at: &TopicPartition, next: u64) -> Result<(), ConsumeError> {
        self.0.commit(at, next).await
    }

    /// Reads on from `offset`; batches from before are not delivered any more.
    pub async fn seek(&self, at: &TopicPartition, offset: u64) -> Result<(), ConsumeError> {
        self.0.seek(at, offset).await
    }

    /// Stops delivering a partition's batches; membership goes on.
    pub async fn pause(&self, at: &TopicPartition) -> Result<(), ConsumeError> {
        self.0.pause(at, true).await
    }

    /// Delivers a partition's batches again.
    pub async fn resume(&self, at: &TopicPartition) -> Result<(), ConsumeError> {
        self.0.pause(at, false).await
    }
}
