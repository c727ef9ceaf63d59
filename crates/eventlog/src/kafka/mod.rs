//! The log on Apache Kafka.

use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

use crate::backend::{Backend, ConsumerBackend, ReaderBackend};
use crate::{AppendError, Bounds, LogError, Pending, Record, Subscription, Topic, TopicPartition, TopicSpec};

/// How to reach Kafka.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    /// `host:port,host:port`.
    pub brokers: String,
    /// `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.
    pub security_protocol: Option<String>,
    /// `SCRAM-SHA-512`, `SCRAM-SHA-256` or `PLAIN`.
    pub sasl_mechanism: Option<String>,
    /// SASL user.
    pub sasl_username: Option<String>,
    /// SASL password.
    pub sasl_password: Option<SecretString>,
    /// Certificate authorities file (PEM) for TLS.
    pub ssl_ca_file: Option<String>,
    /// Client certificate (PEM) for TLS.
    pub ssl_certificate_file: Option<String>,
    /// Client key (PEM) for TLS.
    pub ssl_key_file: Option<String>,
    /// How long an append may take before it is [`crate::AppendError::Unconfirmed`].
    pub append_timeout: Duration,
    /// How long a produce batch waits for company.
    pub linger: Duration,
    /// The most unconfirmed appends; above it an append is [`crate::AppendError::Full`].
    pub queue_records: usize,
    /// Replicas of topics that `ensure` makes.
    pub replication: i32,
}

impl KafkaConfig {
    /// Plain text to these brokers, with the defaults.
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            security_protocol: None,
            sasl_mechanism: None,
            sasl_username: None,
            sasl_password: None,
            ssl_ca_file: None,
            ssl_certificate_file: None,
            ssl_key_file: None,
            append_timeout: Duration::from_millis(3500),
            linger: Duration::from_millis(1),
            queue_records: 20_000,
            replication: 1,
        }
    }
}

pub(crate) struct KafkaLog;

impl KafkaLog {
    pub(crate) async fn connect(_config: KafkaConfig) -> Result<Self, LogError> {
        Err(LogError::Fatal { cause: "skeleton".into() })
    }
}

#[async_trait]
impl Backend for KafkaLog {
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
