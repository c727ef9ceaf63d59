//! The handle that services hold.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::Backend;
use crate::embedded::EmbeddedConfig;
use crate::kafka::KafkaConfig;
use crate::{
    AppendError, Bounds, Consumer, LogError, Pending, Reader, Record, Subscription, Topic, TopicPartition,
    TopicSpec,
};

/// A log, Kafka or embedded. Clones share it.
#[derive(Clone)]
pub struct EventLog(Arc<dyn Backend>);

impl EventLog {
    /// Connects to Kafka. A wrong address fails here.
    pub async fn kafka(config: KafkaConfig) -> Result<Self, LogError> {
        Ok(Self(Arc::new(crate::kafka::KafkaLog::connect(config).await?)))
    }

    /// Opens the embedded log in a folder that no other process uses.
    pub async fn embedded(config: EmbeddedConfig) -> Result<Self, LogError> {
        Ok(Self(Arc::new(crate::embedded::EmbeddedLog::open(config).await?)))
    }

    /// Hands a record to the log without waiting. It is durable when the returned [`Pending`] says so.
    pub fn append(&self, at: &TopicPartition, record: Record) -> Result<Pending, AppendError> {
        self.0.append(at, record)
    }

    /// Makes the first append to a topic as quick as the later ones, without putting anything into it: on Kafka, the
    /// producer's id, its connections and its first exchange with every broker. Before readiness, so that nobody's first
    /// request pays for it. On Kafka it writes to a topic of its own, `<topic>.warm`.
    pub async fn warm(&self, topic: &Topic, deadline: Duration) -> Result<(), LogError> {
        self.0.warm(topic, deadline).await
    }

    /// Makes the topic unless it is there. An existing one keeps its partitions.
    pub async fn ensure(&self, spec: &TopicSpec) -> Result<(), LogError> {
        self.0.ensure(spec).await
    }

    /// How many partitions a topic has; `None` when there is no such topic.
    pub async fn partitions(&self, topic: &Topic) -> Result<Option<u32>, LogError> {
        self.0.partitions(topic).await
    }

    /// Which offsets a partition holds now.
    pub async fn bounds(&self, at: &TopicPartition) -> Result<Bounds, LogError> {
        self.0.bounds(at).await
    }

    /// Removes everything a partition holds now. Its offsets go on where they were. Not for a topic that is only compacted:
    /// there, tombstones remove.
    pub async fn truncate(&self, at: &TopicPartition) -> Result<(), LogError> {
        self.0.truncate(at).await
    }

    /// The group's committed position in a partition, if it has one.
    pub async fn committed(&self, group: &str, at: &TopicPartition) -> Result<Option<u64>, LogError> {
        self.0.committed(group, at).await
    }

    /// Joins a group.
    pub async fn subscribe(&self, subscription: Subscription) -> Result<Consumer, LogError> {
        Ok(Consumer(self.0.subscribe(subscription).await?))
    }

    /// A cursor at `from` in a partition, which may be the end.
    pub async fn reader(&self, at: &TopicPartition, from: u64) -> Result<Reader, LogError> {
        Ok(Reader(self.0.reader(at, from).await?))
    }

    /// Whether the log answers now.
    pub async fn ping(&self) -> Result<(), LogError> {
        self.0.ping().await
    }

    /// Stops taking appends and waits, at most until the deadline, for those already taken.
    pub async fn close(&self, deadline: Duration) {
        self.0.close(deadline).await;
    }
}
