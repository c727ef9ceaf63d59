//! What an implementation of the log provides. Two real ones exist; nothing outside this crate sees this trait.

use std::time::Duration;

use async_trait::async_trait;

use crate::append::Pending;
use crate::consumer::{Delivery, Subscription};
use crate::{
    AppendError, Bounds, ConsumeError, LogError, ReadError, Record, Stored, Topic, TopicPartition, TopicSpec,
};

#[async_trait]
pub(crate) trait Backend: Send + Sync + 'static {
    fn append(&self, at: &TopicPartition, record: Record) -> Result<Pending, AppendError>;
    async fn warm(&self, topic: &Topic, deadline: Duration) -> Result<(), LogError>;
    async fn ensure(&self, spec: &TopicSpec) -> Result<(), LogError>;
    async fn partitions(&self, topic: &Topic) -> Result<Option<u32>, LogError>;
    async fn bounds(&self, at: &TopicPartition) -> Result<Bounds, LogError>;
    async fn truncate(&self, at: &TopicPartition) -> Result<(), LogError>;
    async fn committed(&self, group: &str, at: &TopicPartition) -> Result<Option<u64>, LogError>;
    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn ConsumerBackend>, LogError>;
    async fn reader(&self, at: &TopicPartition, from: u64) -> Result<Box<dyn ReaderBackend>, LogError>;
    async fn ping(&self) -> Result<(), LogError>;
    async fn close(&self, deadline: Duration);
}

#[async_trait]
pub(crate) trait ConsumerBackend: Send {
    async fn next(&mut self) -> Result<Delivery, ConsumeError>;
    fn controls(&self) -> std::sync::Arc<dyn ConsumerControls>;
    async fn close(self: Box<Self>);
}

#[async_trait]
pub(crate) trait ConsumerControls: Send + Sync {
    async fn commit(&self, at: &TopicPartition, next: u64) -> Result<(), ConsumeError>;
    async fn seek(&self, at: &TopicPartition, offset: u64) -> Result<(), ConsumeError>;
    async fn pause(&self, at: &TopicPartition, paused: bool) -> Result<(), ConsumeError>;
}

#[async_trait]
pub(crate) trait ReaderBackend: Send {
    async fn next(&mut self, max_records: usize, wait: Duration) -> Result<Vec<Stored>, ReadError>;
}
