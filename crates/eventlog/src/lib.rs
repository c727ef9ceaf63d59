//! The log: topics of ordered partitions, appended durably, read in groups or by position.
//!
//! Two real implementations stand behind one small interface and are held to one conformance suite: Apache Kafka (through
//! `rdkafka`, which only this crate names) and an embedded one on `fjall` for a single process. There are no transactions
//! on purpose: every stage is at-least-once and its outputs are idempotent (`design.md` §3).

mod append;
mod backend;
mod consumer;
mod embedded;
mod error;
mod kafka;
mod log;
mod reader;
mod record;
mod topic;

pub use append::Pending;
pub use consumer::{Assignment, Batch, Consumer, ConsumerHandle, Delivery, Revocation, Start, Subscription};
pub use embedded::EmbeddedConfig;
pub use error::{AppendError, ConsumeError, Disposition, LogError, ReadError};
pub use kafka::KafkaConfig;
pub use log::EventLog;
pub use reader::Reader;
pub use record::{Header, Record, Stored};
pub use topic::{Bounds, Retention, Topic, TopicPartition, TopicSpec};

/// The largest record either log takes: value, key and headers together, in bytes.
pub const MAX_RECORD_BYTES: usize = 5 * 1024 * 1024;
