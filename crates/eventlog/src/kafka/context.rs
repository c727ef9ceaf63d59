//! What every client of librdkafka tells us: its log lines and its troubles.

use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use tracing::{debug, error, warn};

use super::error::is_denied;

/// Passes on librdkafka's log line. They name brokers, topics and partitions, never records.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            error!(facility, "Kafka client: {message}");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => warn!(facility, "Kafka client: {message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            debug!(facility, "Kafka client: {message}");
        }
    }
}

/// The last refusal or trouble a client met, in its own words.
#[derive(Default)]
pub(super) struct Trouble(Mutex<Option<(bool, String)>>);

impl Trouble {
    pub(super) fn note(&self, error: &KafkaError, reason: &str) {
        let denied = error.rdkafka_error_code().is_some_and(is_denied);
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A refusal says more than the disconnect that follows it.
        if denied || !last.as_ref().is_some_and(|(denied, _)| *denied) {
            *last = Some((denied, reason.to_owned()));
        }
    }

    /// A broker answered: what was before does not count any more.
    pub(super) fn is_over(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Whether it was a refusal, and the words.
    pub(super) fn last(&self) -> Option<(bool, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Of clients that join no group.
#[derive(Default)]
pub(super) struct Onlooker(pub(super) Trouble);

impl ClientContext for Onlooker {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.note(&error, reason);
    }
}

impl ConsumerContext for Onlooker {}
