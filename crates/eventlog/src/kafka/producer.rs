//! Appending: one idempotent producer, its delivery reports answered on librdkafka's own thread.
//!
//! The hot path makes one small allocation for the answer and what librdkafka copies; it never waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, PurgeConfig, ThreadedProducer};

use super::config::KafkaConfig;
use super::context::{self, Trouble};
use super::error;
use crate::append::Confirm;
use crate::{AppendError, LogError, MAX_RECORD_BYTES, Pending, Record, Topic, TopicPartition};

pub(super) struct KafkaProducer {
    inner: ThreadedProducer<Deliveries>,
    closed: AtomicBool,
}

struct Deliveries(Trouble);

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        context::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.note(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Confirm>;

    fn delivery(&self, report: &DeliveryResult<'_>, confirm: Box<Confirm>) {
        let answer = match report {
            Ok(message) => Ok(u64::try_from(message.offset()).unwrap_or_default()),
            Err((cause, message)) => Err(failed(cause, message)),
        };
        // Nobody waits for it any more: the record is in the log, or not, all the same.
        let _ = confirm.send(answer);
    }
}

fn failed(cause: &KafkaError, message: &impl Message) -> AppendError {
    let size_bytes = message.payload().map_or(0, <[u8]>::len) + message.key().map_or(0, <[u8]>::len);
    match (Topic::new(message.topic()), u32::try_from(message.partition())) {
        (Ok(topic), Ok(partition)) => error::append(cause, &TopicPartition { topic, partition }, size_bytes),
        _ => AppendError::Unconfirmed { cause: cause.to_string() },
    }
}

impl KafkaProducer {
    pub(super) fn new(config: &KafkaConfig) -> Result<Self, LogError> {
        let context = Deliveries(Trouble::default());
        let inner = ThreadedProducer::from_config_and_context(&config.producer(), context)
            .map_err(|cause| LogError::Fatal { cause: cause.to_string() })?;
        Ok(Self { inner, closed: AtomicBool::new(false) })
    }

    pub(super) fn append(&self, at: &TopicPartition, record: &Record) -> Result<Pending, AppendError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(AppendError::Closed { cause: "it was closed".into() });
        }
        let size_bytes = record.size_bytes();
        if size_bytes > MAX_RECORD_BYTES {
            return Err(AppendError::TooLarge { size_bytes });
        }
        let Ok(partition) = i32::try_from(at.partition) else {
            return Err(AppendError::NoSuchTopic { at: at.clone() });
        };
        let (confirm, pending) = Pending::new();
        let message: BaseRecord<'_, [u8], [u8], Box<Confirm>> = BaseRecord {
            topic: at.topic.as_str(),
            // Always explicit: one idempotent producer must not mix the two (`reliability.md` §2.1).
            partition: Some(partition),
            payload: record.value.as_deref(),
            key: record.key.as_deref(),
            timestamp: None,
            headers: headers(record),
            delivery_opaque: Box::new(confirm),
        };
        match self.inner.send(message) {
            Ok(()) => Ok(pending),
            Err((cause, _)) => Err(error::append(&cause, at, size_bytes)),
        }
    }

    /// Unless the producer broke for good.
    pub(super) fn check(&self) -> Result<(), LogError> {
        match self.inner.client().fatal_error() {
            Some((_, cause)) => Err(LogError::Fatal { cause }),
            None => Ok(()),
        }
    }

    /// The last trouble with a broker: whether it refuses us, and its words.
    pub(super) fn trouble(&self) -> Option<(bool, String)> {
        self.inner.client().context().0.last()
    }

    /// Stops taking, waits for what was taken, gives up on the rest at the deadline. Blocks.
    pub(super) fn close(&self, deadline: Duration) {
        self.closed.store(true, Ordering::Release);
        if self.inner.flush(deadline).is_err() {
            self.inner.purge(PurgeConfig::default().queue().inflight());
        }
    }
}

fn headers(record: &Record) -> Option<OwnedHeaders> {
    let mut headers =
        (!record.headers.is_empty()).then(|| OwnedHeaders::new_with_capacity(record.headers.len()))?;
    for header in &record.headers {
        headers = headers.insert(Header { key: &header.name, value: Some(header.value.as_ref()) });
    }
    Some(headers)
}
