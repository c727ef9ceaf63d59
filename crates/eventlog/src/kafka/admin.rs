//! Topics, their bounds, and what groups have committed. Everything here may wait for a broker, and runs where it may.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};

use super::config::{KafkaConfig, WIRE_BYTES};
use super::context::Onlooker;
use super::error;
use crate::{Bounds, LogError, Retention, Topic, TopicPartition, TopicSpec};

const PATIENCE: Duration = Duration::from_secs(5);
/// How long a new topic may take until every partition has a leader.
const SETTLE: Duration = Duration::from_secs(20);
/// A day: what a tombstone has removed is gone from disk at the latest about this much later.
const COMPACTION_LAG_MS: u64 = 24 * 60 * 60 * 1000;

pub(super) struct Admin {
    config: KafkaConfig,
    meta: BaseConsumer<Onlooker>,
    client: Mutex<Option<Arc<AdminClient<Onlooker>>>>,
    groups: Mutex<HashMap<String, Arc<BaseConsumer<Onlooker>>>>,
}

impl Admin {
    pub(super) fn new(config: KafkaConfig) -> Result<Self, LogError> {
        let meta = BaseConsumer::from_config_and_context(&config.onlooker(), Onlooker::default())
            .map_err(|e| error::log(&e))?;
        Ok(Self { config, meta, client: Mutex::default(), groups: Mutex::default() })
    }

    /// Any answer of a broker. Blocks.
    pub(super) fn ping(&self, patience: Duration) -> Result<(), LogError> {
        // Nothing else takes what this client is told.
        while self.meta.poll(Duration::ZERO).is_some() {}
        // One topic, because a cluster may have thousands; whether it exists does not matter.
        match self.meta.fetch_metadata(Some("__consumer_offsets"), patience) {
            Ok(_) => {
                self.meta.context().0.is_over();
                Ok(())
            }
            Err(cause) => Err(self.words(&cause)),
        }
    }

    /// A refusal is reported to a client as an event, and to a call as a timeout: join the two.
    fn words(&self, cause: &KafkaError) -> LogError {
        while self.meta.poll(Duration::ZERO).is_some() {}
        match self.meta.context().0.last() {
            Some((true, cause)) => LogError::Fatal { cause },
            Some((false, reason)) => LogError::Unavailable { cause: reason },
            None => error::log(cause),
        }
    }

    /// How many partitions, once each has a leader. Blocks.
    pub(super) fn partitions(&self, topic: &Topic) -> Result<Option<u32>, LogError> {
        Ok(self.layout(topic)?.map(|(count, _)| count))
    }

    /// How many partitions, and whether each has a leader.
    fn layout(&self, topic: &Topic) -> Result<Option<(u32, bool)>, LogError> {
        let metadata =
            self.meta.fetch_metadata(Some(topic.as_str()), PATIENCE).map_err(|cause| self.words(&cause))?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic.as_str()) else {
            return Ok(None);
        };
        match found.error().map(Code::from) {
            None => {
                let led = found.partitions().iter().all(|partition| partition.leader() >= 0);
                Ok(Some((u32::try_from(found.partitions().len()).unwrap_or(u32::MAX), led)))
            }
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Ok(None),
            Some(code) => Err(error::log(&KafkaError::MetadataFetch(code))),
        }
    }

    /// Blocks.
    pub(super) fn bounds(&self, at: &TopicPartition) -> Result<Bounds, LogError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let cause = match patiently(|| watermarks(&self.meta, at)) {
                Ok(bounds) => return Ok(bounds),
                Err(cause) => cause,
            };
            let unknown = matches!(
                cause.rdkafka_error_code(),
                Some(Code::UnknownPartition | Code::UnknownTopicOrPartition | Code::UnknownTopic)
            );
            if !unknown {
                return Err(error::log(&cause));
            }
            // What the client remembers of a topic may date from when the brokers were away: they decide.
            if self.partitions(&at.topic)?.is_none_or(|count| at.partition >= count) {
                return Err(LogError::Fatal { cause: format!("no partition {at}") });
            }
            if Instant::now() >= until {
                return Err(LogError::Unavailable { cause: format!("{at} has not been found again yet") });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Blocks.
    pub(super) fn committed(&self, group: &str, at: &TopicPartition) -> Result<Option<u64>, LogError> {
        let client = self.of_group(group)?;
        let found = patiently(|| {
            while client.poll(Duration::ZERO).is_some() {}
            committed(&client, std::slice::from_ref(at), PATIENCE)
        });
        Ok(found.map_err(|cause| error::log(&cause))?.get(at).copied())
    }

    fn of_group(&self, group: &str) -> Result<Arc<BaseConsumer<Onlooker>>, LogError> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = groups.get(group) {
            return Ok(client.clone());
        }
        let client = BaseConsumer::from_config_and_context(&self.config.outsider(group), Onlooker::default());
        let client = Arc::new(client.map_err(|cause| error::log(&cause))?);
        groups.insert(group.to_owned(), client.clone());
        Ok(client)
    }

    fn client(&self) -> Result<Arc<AdminClient<Onlooker>>, LogError> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        let made = AdminClient::from_config_and_context(&self.config.admin(), Onlooker::default());
        let made = Arc::new(made.map_err(|cause| error::log(&cause))?);
        *client = Some(made.clone());
        Ok(made)
    }

    /// Makes the topic unless it is there, and waits until it can be used. Blocks.
    pub(super) fn ensure(&self, spec: &TopicSpec) -> Result<(), LogError> {
        if let Some((_, true)) = self.layout(&spec.topic)? {
            return Ok(());
        }
        let settings = self.topic_settings(spec);
        let partitions = i32::try_from(spec.partitions.max(1)).unwrap_or(i32::MAX);
        let mut topic = NewTopic::new(
            spec.topic.as_str(),
            partitions,
            TopicReplication::Fixed(self.config.replication.max(1)),
        );
        for (name, value) in &settings {
            topic = topic.set(name, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(SETTLE)).request_timeout(Some(SETTLE));
        let client = self.client()?;
        let answers = tokio::runtime::Handle::current().block_on(client.create_topics([&topic], &options));
        for answer in answers.map_err(|cause| error::log(&cause))? {
            match answer {
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    return Err(match error::log(&KafkaError::AdminOp(code)) {
                        LogError::Fatal { cause } => {
                            LogError::Fatal { cause: format!("topic {name}: {cause}") }
                        }
                        other => other,
                    });
                }
            }
        }
        let until = Instant::now() + SETTLE;
        loop {
            match self.layout(&spec.topic) {
                Ok(Some((_, true))) => return Ok(()),
                Ok(_) if Instant::now() > until => {
                    return Err(LogError::Unavailable {
                        cause: format!("topic {} has no leaders yet", spec.topic),
                    });
                }
                Err(cause) if Instant::now() > until => return Err(cause),
                Ok(_) | Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Removes everything a partition holds now. Blocks.
    pub(super) fn truncate(&self, at: &TopicPartition) -> Result<(), LogError> {
        let end = self.bounds(at)?.end;
        let upto = Offset::Offset(i64::try_from(end).unwrap_or(i64::MAX));
        let wanted = list([(at, upto)]).map_err(|cause| error::log(&cause))?;
        let options = AdminOptions::new().operation_timeout(Some(SETTLE)).request_timeout(Some(SETTLE));
        let client = self.client()?;
        let answer = tokio::runtime::Handle::current().block_on(client.delete_records(&wanted, &options));
        let answer = answer.map_err(|cause| error::log(&cause))?;
        for element in answer.elements() {
            element.error().map_err(|cause| error::log(&cause))?;
        }
        Ok(())
    }

    fn topic_settings(&self, spec: &TopicSpec) -> Vec<(String, String)> {
        let mut settings: Vec<(String, String)> = vec![("max.message.bytes".into(), WIRE_BYTES.to_string())];
        if self.config.replication >= 3 {
            settings.push(("min.insync.replicas".into(), "2".into()));
        }
        match spec.retention {
            Retention::Age(age) => {
                settings.push(("cleanup.policy".into(), "delete".into()));
                settings.push(("retention.ms".into(), age.as_millis().to_string()));
                // Kafka removes whole segments: without this one a record could stay for twice its time.
                let segment_ms = (age.as_millis() / 7).clamp(60_000, 7 * 24 * 60 * 60 * 1000);
                settings.push(("segment.ms".into(), segment_ms.to_string()));
            }
            Retention::Forever => {
                settings.push(("cleanup.policy".into(), "delete".into()));
                settings.push(("retention.ms".into(), "-1".into()));
                settings.push(("retention.bytes".into(), "-1".into()));
            }
            Retention::Compacted => {
                settings.push(("cleanup.policy".into(), "compact".into()));
                settings.push(("max.compaction.lag.ms".into(), COMPACTION_LAG_MS.to_string()));
            }
            Retention::CompactedAge(age) => {
                settings.push(("cleanup.policy".into(), "compact,delete".into()));
                settings.push(("retention.ms".into(), age.as_millis().to_string()));
                let segment_ms = (age.as_millis() / 7).clamp(60_000, 7 * 24 * 60 * 60 * 1000);
                settings.push(("segment.ms".into(), segment_ms.to_string()));
                settings.push(("max.compaction.lag.ms".into(), COMPACTION_LAG_MS.to_string()));
            }
        }
        settings.retain(|(name, _)| !self.config.topic_settings.iter().any(|(theirs, _)| theirs == name));
        settings.extend(self.config.topic_settings.iter().cloned());
        settings
    }
}

/// Asks again while a leader or a coordinator is only being found.
fn patiently<T>(mut ask: impl FnMut() -> Result<T, KafkaError>) -> Result<T, KafkaError> {
    let until = Instant::now() + PATIENCE;
    loop {
        match ask() {
            Err(cause)
                if cause.rdkafka_error_code().is_some_and(error::is_away) && Instant::now() < until =>
            {
                std::thread::sleep(Duration::from_millis(50));
            }
            answer => return answer,
        }
    }
}

/// The bounds of a partition, asked of its leader.
pub(super) fn watermarks<C: rdkafka::consumer::ConsumerContext>(
    client: &BaseConsumer<C>,
    at: &TopicPartition,
) -> Result<Bounds, KafkaError> {
    let partition = i32::try_from(at.partition).unwrap_or(i32::MAX);
    let (low, high) = client.fetch_watermarks(at.topic.as_str(), partition, PATIENCE)?;
    Ok(Bounds { earliest: u64::try_from(low).unwrap_or(0), end: u64::try_from(high).unwrap_or(0) })
}

/// What the client's group has committed in these partitions; those without a position are missing.
pub(super) fn committed<C: rdkafka::consumer::ConsumerContext>(
    client: &BaseConsumer<C>,
    partitions: &[TopicPartition],
    patience: Duration,
) -> Result<HashMap<TopicPartition, u64>, KafkaError> {
    let asked = list(partitions.iter().map(|at| (at, Offset::Invalid)))?;
    let answered = client.committed_offsets(asked, patience)?;
    let mut found = HashMap::new();
    for (at, element) in partitions.iter().zip(answered.elements()) {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            found.insert(at.clone(), u64::try_from(offset).unwrap_or(0));
        }
    }
    Ok(found)
}

/// Our partitions as librdkafka wants them, in this order.
pub(super) fn list<'a>(
    partitions: impl IntoIterator<Item = (&'a TopicPartition, Offset)>,
) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (at, offset) in partitions {
        list.add_partition_offset(
            at.topic.as_str(),
            i32::try_from(at.partition).unwrap_or(i32::MAX),
            offset,
        )?;
    }
    Ok(list)
}
