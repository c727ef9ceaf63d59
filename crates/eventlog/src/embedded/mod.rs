//! The log embedded in one process, on `fjall`.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;

use crate::backend::{Backend, ConsumerBackend, ReaderBackend};
use crate::{AppendError, Bounds, LogError, Pending, Record, Subscription, Topic, TopicPartition, TopicSpec};

/// Where the embedded log lives.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// Its folder; made when missing.
    pub folder: PathBuf,
}

pub(crate) struct EmbeddedLog;

impl EmbeddedLog {
    pub(crate) async fn open(_config: EmbeddedConfig) -> Result<Self, LogError> {
        Err(LogError::Fatal { cause: "skeleton".into() })
    }
}

#[async_trait]
impl Backend for EmbeddedLog {
    fn append(&self, _: &TopicPartition, _: Record) -> Result<Pending, AppendError> {
        unimplemented!()
    }
    async fn ensure(&self, _: &TopicSpec) -> Result<(), LogError> {
        unimplemented!()
    }
    async fn partitions(&self, _: &Topic) -> Result<Option<u32>, LogError> {
        unimplemented!()
    }
    async fn bounds(&self, _: &TopicPartition) -> Result<Bounds, LogError> {
        unimplemented!()
    }
    async fn committed(&self, _: &str, _: &TopicPartition) -> Result<Option<u64>, LogError> {
        unimplemented!()
    }
    async fn subscribe(&self, _: Subscription) -> Result<Box<dyn ConsumerBackend>, LogError> {
        unimplemented!()
    }
    async fn reader(&self, _: &TopicPartition, _: u64) -> Result<Box<dyn ReaderBackend>, LogError> {
        unimplemented!()
    }
    async fn ping(&self) -> Result<(), LogError> {
        unimplemented!()
    }
    async fn close(&self, _: Duration) {}
}
