//! The common interface, answered by Kafka.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::admin::Admin;
use super::config::KafkaConfig;
use super::consumer::KafkaConsumer;
use super::producer::KafkaProducer;
use super::reader::{KafkaReader, Readers};
use crate::backend::{Backend, ConsumerBackend, ReaderBackend};
use crate::{
    AppendError, Bounds, Disposition, LogError, Pending, Record, Retention, Subscription, Topic,
    TopicPartition, TopicSpec,
};

/// How long a wrong address may look like a slow one.
const CONNECT: Duration = Duration::from_secs(10);
const PING: Duration = Duration::from_secs(2);
/// Warming a topic up writes one record a partition, kept for this long.
const WARM_KEPT: Duration = Duration::from_secs(60 * 60);

pub(crate) struct KafkaLog {
    config: KafkaConfig,
    producer: Arc<KafkaProducer>,
    admin: Arc<Admin>,
    readers: Arc<Readers>,
}

impl KafkaLog {
    pub(crate) async fn connect(config: KafkaConfig) -> Result<Self, LogError> {
        let log = {
            let config = config.clone();
            blocking(move || {
                let producer = Arc::new(KafkaProducer::new(&config)?);
                let admin = Arc::new(Admin::new(config.clone())?);
                let readers = Arc::new(Readers::new(config.clone()));
                Ok(Self { config, producer, admin, readers })
            })
            .await?
        };
        let admin = log.admin.clone();
        let answer = blocking(move || admin.ping(CONNECT)).await;
        match answer {
            Ok(()) => Ok(log),
            Err(cause) => Err(match log.producer.trouble() {
                Some((true, refusal)) => LogError::Fatal { cause: refusal },
                _ => cause,
            }),
        }
    }
}

/// Runs what waits for a broker on a thread that may wait.
pub(super) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    match tokio::task::spawn_blocking(call).await {
        Ok(answer) => answer,
        Err(cause) => Err(LogError::Fatal { cause: cause.to_string() }),
    }
}

#[async_trait]
impl Backend for KafkaLog {
    fn append(&self, at: &TopicPartition, record: Record) -> Result<Pending, AppendError> {
        self.producer.append(at, &record)
    }

    async fn warm(&self, topic: &Topic, deadline: Duration) -> Result<(), LogError> {
        let until = Instant::now() + deadline;
        let partitions = self
            .partitions(topic)
            .await?
            .ok_or_else(|| LogError::Fatal { cause: format!("no topic {topic}") })?;
        let beside = Topic::new(format!("{topic}.warm"))?;
        let spec = TopicSpec { topic: beside.clone(), partitions, retention: Retention::Age(WARM_KEPT) };
        self.ensure(&spec).await?;
        for partition in 0..partitions {
            let at = TopicPartition::new(&beside, partition);
            loop {
                let answer = match self.append(&at, Record::default()) {
                    Ok(pending) => pending.await,
                    Err(cause) => Err(cause),
                };
                let cause = match answer {
                    Ok(_) => break,
                    Err(cause) => cause,
                };
                if cause.disposition() != Disposition::Retry {
                    return Err(LogError::Fatal { cause: cause.to_string() });
                }
                if Instant::now() > until {
                    return Err(LogError::Unavailable { cause: cause.to_string() });
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    async fn ensure(&self, spec: &TopicSpec) -> Result<(), LogError> {
        let (admin, spec) = (self.admin.clone(), spec.clone());
        blocking(move || admin.ensure(&spec)).await
    }

    async fn partitions(&self, topic: &Topic) -> Result<Option<u32>, LogError> {
        let (admin, topic) = (self.admin.clone(), topic.clone());
        blocking(move || admin.partitions(&topic)).await
    }

    async fn bounds(&self, at: &TopicPartition) -> Result<Bounds, LogError> {
        let (admin, at) = (self.admin.clone(), at.clone());
        blocking(move || admin.bounds(&at)).await
    }

    async fn truncate(&self, at: &TopicPartition) -> Result<(), LogError> {
        let (admin, at) = (self.admin.clone(), at.clone());
        blocking(move || admin.truncate(&at)).await
    }

    async fn committed(&self, group: &str, at: &TopicPartition) -> Result<Option<u64>, LogError> {
        let (admin, group, at) = (self.admin.clone(), group.to_owned(), at.clone());
        blocking(move || admin.committed(&group, &at)).await
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn ConsumerBackend>, LogError> {
        for topic in &subscription.topics {
            if self.partitions(topic).await?.is_none() {
                return Err(LogError::Fatal { cause: format!("no topic {topic}") });
            }
        }
        let config = self.config.clone();
        let consumer = blocking(move || KafkaConsumer::join(&config, subscription)).await?;
        Ok(Box::new(consumer))
    }

    async fn reader(&self, at: &TopicPartition, from: u64) -> Result<Box<dyn ReaderBackend>, LogError> {
        let (readers, at) = (self.readers.clone(), at.clone());
        Ok(Box::new(blocking(move || KafkaReader::open(readers, at, from)).await?))
    }

    async fn ping(&self) -> Result<(), LogError> {
        self.producer.check()?;
        let admin = self.admin.clone();
        blocking(move || admin.ping(PING)).await
    }

    async fn close(&self, deadline: Duration) {
        let producer = self.producer.clone();
        // A flush ends at its deadline by itself.
        let _ = tokio::task::spawn_blocking(move || producer.close(deadline)).await;
    }
}
