//! The log on Apache Kafka, through `rdkafka`.
//!
//! Appends go through one idempotent producer; every partition is chosen by the caller. A group member is one OS thread
//! that polls (`pump`) and one that commits (`commits`), behind an async side (`consumer`); both use its client of the
//! moment (`membership`). The classic group protocol
//! with static members is used, and no transactions: see `reliability.md` §2.2 and §3 for what each setting avoids.

mod admin;
mod commits;
mod config;
mod consumer;
mod context;
mod error;
mod log;
mod membership;
mod producer;
mod pump;
mod reader;
mod rebalance;

pub use config::KafkaConfig;
pub(crate) use log::KafkaLog;
