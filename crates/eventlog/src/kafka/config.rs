//! How to reach Kafka, and the settings of each kind of client (`reliability.md` §2.2).

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use secrecy::{ExposeSecret, SecretString};

use crate::MAX_RECORD_BYTES;

/// What a record's framing may add to its key, value and headers.
const FRAMING_BYTES: usize = 64 * 1024;
/// The largest record on the wire, for producers, topics and fetches.
pub(super) const WIRE_BYTES: usize = MAX_RECORD_BYTES + FRAMING_BYTES;
/// What a producer may hold unconfirmed.
const QUEUE_KBYTES: usize = 128 * 1024;

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
    /// How long an append may take before it is [`crate::AppendError::Unconfirmed`]. When it is over for one record, those
    /// that were in flight with it may come to be in the log twice: short where somebody waits for the answer, long elsewhere.
    pub append_timeout: Duration,
    /// How long a produce batch waits for company.
    pub linger: Duration,
    /// The most unconfirmed appends; above it an append is [`crate::AppendError::Full`].
    pub queue_records: usize,
    /// Replicas of topics that `ensure` makes. From three on, two of them have to confirm.
    pub replication: i32,
    /// How long the brokers wait for a silent member before its partitions go to others. A member that is closed counts as
    /// silent: coming back under its name within this time, it finds its partitions untouched.
    pub session_timeout: Duration,
    /// More settings, such as `segment.bytes`, of topics that `ensure` makes. They win over ours.
    pub topic_settings: Vec<(String, String)>,
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
            session_timeout: Duration::from_secs(30),
            topic_settings: Vec::new(),
        }
    }

    /// What every client has.
    fn common(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Warning);
        config.set("bootstrap.servers", &self.brokers);
        config.set("client.id", "tidings");
        config.set("reconnect.backoff.ms", "50");
        config.set("reconnect.backoff.max.ms", "500");
        config.set("socket.keepalive.enable", "true");
        let settings = [
            ("security.protocol", &self.security_protocol),
            ("sasl.mechanism", &self.sasl_mechanism),
            ("sasl.username", &self.sasl_username),
            ("ssl.ca.location", &self.ssl_ca_file),
            ("ssl.certificate.location", &self.ssl_certificate_file),
            ("ssl.key.location", &self.ssl_key_file),
        ];
        for (name, value) in settings {
            if let Some(value) = value {
                config.set(name, value);
            }
        }
        if let Some(password) = &self.sasl_password {
            config.set("sasl.password", password.expose_secret());
        }
        config
    }

    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.common();
        config.set("enable.idempotence", "true");
        config.set("acks", "all");
        config.set("socket.timeout.ms", "3000");
        config.set("message.timeout.ms", self.append_timeout.as_millis().to_string());
        config.set("linger.ms", (self.linger.as_secs_f64() * 1000.0).to_string());
        config.set("queue.buffering.max.messages", self.queue_records.max(1).to_string());
        config.set("queue.buffering.max.kbytes", QUEUE_KBYTES.to_string());
        config.set("message.max.bytes", WIRE_BYTES.to_string());
        // Else a record for a topic that does not exist is only reported as late.
        config.set("topic.metadata.propagation.max.ms", "2000");
        config
    }

    /// For making topics.
    pub(super) fn admin(&self) -> ClientConfig {
        self.common()
    }

    /// For topics and their bounds.
    pub(super) fn onlooker(&self) -> ClientConfig {
        self.fetcher()
    }

    /// For a group's positions, and for reading at a position. librdkafka wants a group's name for both; none is joined.
    pub(super) fn outsider(&self, group: &str) -> ClientConfig {
        let mut config = self.fetcher();
        config.set("group.id", group);
        config
    }

    pub(super) fn member(&self, group: &str, member: &str) -> ClientConfig {
        let mut config = self.fetcher();
        config.set("group.id", group);
        config.set("group.protocol", "classic");
        config.set("group.instance.id", member);
        config.set("partition.assignment.strategy", "cooperative-sticky");
        config.set("session.timeout.ms", self.session_timeout.as_millis().to_string());
        config.set(
            "heartbeat.interval.ms",
            (self.session_timeout.as_millis() / 10).clamp(100, 3000).to_string(),
        );
        config.set(
            "max.poll.interval.ms",
            super::pump::POLL_INTERVAL.max(self.session_timeout).as_millis().to_string(),
        );
        config
    }

    fn fetcher(&self) -> ClientConfig {
        let mut config = self.common();
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        // A vanished position has to be reported, never skipped.
        config.set("auto.offset.reset", "error");
        config.set("isolation.level", "read_committed");
        config.set("check.crcs", "true");
        config.set("allow.auto.create.topics", "false");
        config.set("queued.max.messages.kbytes", "16384");
        config.set("fetch.message.max.bytes", WIRE_BYTES.to_string());
        // A partition that comes back from a pause, or is new, waits until the request in hand has been answered.
        config.set("fetch.wait.max.ms", "100");
        config.set("fetch.queue.backoff.ms", "50");
        config.set("fetch.error.backoff.ms", "100");
        config.set("receive.message.max.bytes", "104857600");
        config
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::consumer::BaseConsumer;
    use rdkafka::producer::BaseProducer;

    use super::*;

    /// librdkafka checks names, values and their combinations when a client is made.
    #[test]
    fn librdkafka_takes_every_setting() {
        let mut config = KafkaConfig::new("127.0.0.1:1");
        config.security_protocol = Some("SASL_SSL".into());
        config.sasl_mechanism = Some("SCRAM-SHA-512".into());
        config.sasl_username = Some("u".into());
        config.sasl_password = Some("p".into());
        let _: BaseProducer = config.producer().create().unwrap();
        let _: BaseConsumer = config.onlooker().create().unwrap();
        let _: BaseConsumer = config.outsider("g").create().unwrap();
        let _: BaseConsumer = config.member("g", "m").create().unwrap();
    }
}
