//! A log to test on, and what the cases share.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use eventlog::{
    Batch, Consumer, Delivery, EmbeddedConfig, EventLog, KafkaConfig, Record, Retention, Stored,
    Subscription, Topic, TopicPartition, TopicSpec,
};
use tempfile::TempDir;
use testkit::Kafka;

/// Much longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One case on both logs.
macro_rules! on_both {
    ($($case:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread")] async fn $case() {
                super::$case(crate::stage::Stage::embedded()).await;
            })+
        }
        mod kafka {
            $(#[tokio::test(flavor = "multi_thread")] async fn $case() {
                super::$case(crate::stage::Stage::kafka().await).await;
            })+
        }
    };
}
pub(crate) use on_both;

static STAGES: AtomicU32 = AtomicU32::new(0);

/// A log of one kind, which can be closed and opened again.
pub(crate) struct Stage {
    place: Place,
    number: u32,
    /// The most unconfirmed appends.
    pub(crate) queue_records: usize,
    /// Of topics: how soon Kafka closes a segment, before which it neither expires nor compacts.
    pub(crate) topic_settings: Vec<(String, String)>,
}

enum Place {
    Embedded(TempDir),
    Kafka(String),
}

impl Stage {
    fn at(place: Place) -> Self {
        let number = STAGES.fetch_add(1, Ordering::Relaxed);
        Self { place, number, queue_records: 20_000, topic_settings: Vec::new() }
    }

    pub(crate) fn embedded() -> Self {
        Self::at(Place::Embedded(tempfile::tempdir().unwrap()))
    }

    pub(crate) async fn kafka() -> Self {
        Self::kafka_at(Kafka::shared().await.unwrap().address())
    }

    pub(crate) fn kafka_at(brokers: &str) -> Self {
        Self::at(Place::Kafka(brokers.to_owned()))
    }

    /// The log; the embedded one has to be closed before it is opened again.
    pub(crate) async fn open(&self) -> EventLog {
        match &self.place {
            Place::Embedded(folder) => {
                let mut config = EmbeddedConfig::new(folder.path().join("log"));
                config.queue_records = self.queue_records;
                config.sweep_every = Duration::from_millis(100);
                config.tombstones_kept = Duration::ZERO;
                config.compaction_lag = Duration::ZERO;
                EventLog::embedded(config).await.unwrap()
            }
            Place::Kafka(brokers) => EventLog::kafka(self.kafka_config(brokers)).await.unwrap(),
        }
    }

    pub(crate) fn kafka_config(&self, brokers: &str) -> KafkaConfig {
        let mut config = KafkaConfig::new(brokers);
        config.queue_records = self.queue_records;
        config.topic_settings = self.topic_settings.clone();
        config.session_timeout = Duration::from_secs(6);
        config
    }

    /// A topic's name of this stage's own.
    pub(crate) fn name(&self, name: &str) -> Topic {
        Topic::new(format!("{name}-{}-{}", std::process::id(), self.number)).unwrap()
    }

    /// A new topic.
    pub(crate) async fn topic(&self, log: &EventLog, partitions: u32, retention: Retention) -> Topic {
        let topic = self.name("topic");
        log.ensure(&TopicSpec { topic: topic.clone(), partitions, retention }).await.unwrap();
        topic
    }
}

/// What has to come true, within the patience.
#[track_caller]
pub(crate) fn soon<T>(what: &str, future: impl Future<Output = T>) -> impl Future<Output = T> {
    let what = what.to_owned();
    async move { tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not in time: {what}")) }
}

/// Asks until the answer is yes.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    soon(what, async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

pub(crate) fn record(body: impl Into<Bytes>) -> Record {
    Record { value: Some(body.into()), ..Record::default() }
}

pub(crate) fn text(stored: &Stored) -> String {
    String::from_utf8(stored.record.value.clone().unwrap_or_default().to_vec()).unwrap()
}

/// Appends one and waits for it.
pub(crate) async fn append(log: &EventLog, at: &TopicPartition, record: Record) -> u64 {
    log.append(at, record).unwrap().await.unwrap()
}

/// Everything of a partition from `from` to its end as it is now.
pub(crate) async fn read_from(log: &EventLog, at: &TopicPartition, from: u64) -> Vec<Stored> {
    let end = log.bounds(at).await.unwrap().end;
    let mut reader = log.reader(at, from).await.unwrap();
    let mut found: Vec<Stored> = Vec::new();
    soon("reading to the end", async {
        while found.last().map_or(from, |last| last.offset + 1) < end {
            found.extend(reader.next(1000, Duration::from_secs(1)).await.unwrap());
        }
    })
    .await;
    found
}

pub(crate) fn subscription(group: &str, member: &str, topic: &Topic) -> Subscription {
    Subscription {
        group: format!("{group}-{topic}"),
        member: member.into(),
        topics: vec![topic.clone()],
        max_batch: 500,
    }
}

pub(crate) fn group(group: &str, topic: &Topic) -> String {
    subscription(group, "", topic).group
}

/// The next batch; assignments are answered with the committed positions, revocations let go at once.
pub(crate) async fn batch(consumer: &mut Consumer) -> Batch {
    soon("a batch", async {
        loop {
            match consumer.next().await.unwrap() {
                Delivery::Assigned(assignment) => assignment.start(HashMap::new()),
                Delivery::Revoked(revocation) => drop(revocation),
                Delivery::Batch(batch) => return batch,
            }
        }
    })
    .await
}
