//! Reading one partition from a position. Clients are costly to make and are used again by the next reader.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::Offset;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use tokio::task::JoinHandle;

use super::admin::{list, watermarks};
use super::config::KafkaConfig;
use super::context::Onlooker;
use super::error;
use super::pump::stored;
use crate::backend::ReaderBackend;
use crate::{LogError, ReadError, Stored, TopicPartition};

/// A wait is made of slices of at most this, so that nothing outlives its reader by more.
const SLICE: Duration = Duration::from_millis(500);
/// After the first record, the others are what has come already.
const COMPANY: Duration = Duration::from_millis(2);
const READ_BYTES: usize = 8 * 1024 * 1024;
const IDLE_CLIENTS: usize = 4;
/// librdkafka wants a group's name; it is never joined.
const GROUP: &str = "tidings-reader";

type Client = BaseConsumer<Onlooker>;

/// Clients that wait for the next reader.
pub(super) struct Readers {
    config: KafkaConfig,
    idle: Mutex<Vec<Client>>,
}

impl Readers {
    pub(super) fn new(config: KafkaConfig) -> Self {
        Self { config, idle: Mutex::default() }
    }

    fn take(&self) -> Result<Client, LogError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(client) => Ok(client),
            None => BaseConsumer::from_config_and_context(&self.config.outsider(GROUP), Onlooker::default())
                .map_err(|cause| error::log(&cause)),
        }
    }

    fn give_back(&self, client: Client) {
        if client.unassign().is_ok() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < IDLE_CLIENTS {
                idle.push(client);
                return;
            }
        }
        // Closing a client waits for its threads.
        let _ = std::thread::Builder::new().name("log-reader-end".into()).spawn(move || drop(client));
    }
}

/// The client of one reader, given back when the reader is gone.
struct Lent {
    client: Option<Client>,
    readers: Arc<Readers>,
    at: TopicPartition,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            self.readers.give_back(client);
        }
    }
}

type Read = Result<Vec<Stored>, ReadError>;

pub(super) struct KafkaReader {
    lent: Arc<Lent>,
    next: u64,
    /// A read whose answer nobody took yet: [`ReaderBackend::next`] may be dropped while it waits.
    reading: Option<JoinHandle<Read>>,
    /// A position that cannot be read stays so.
    failed: Option<ReadError>,
}

impl KafkaReader {
    pub(super) fn open(readers: Arc<Readers>, at: TopicPartition, from: u64) -> Result<Self, LogError> {
        let client = readers.take()?;
        let offset =
            i64::try_from(from).map_err(|_| LogError::Fatal { cause: format!("{from} is not an offset") })?;
        let start = list([(&at, Offset::Offset(offset))]).map_err(|cause| error::log(&cause))?;
        client.assign(&start).map_err(|cause| error::log(&cause))?;
        let lent = Arc::new(Lent { client: Some(client), readers, at });
        Ok(Self { lent, next: from, reading: None, failed: None })
    }
}

#[async_trait]
impl ReaderBackend for KafkaReader {
    async fn next(&mut self, max_records: usize, wait: Duration) -> Read {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let until = Instant::now() + wait;
        loop {
            let slice = until.saturating_duration_since(Instant::now()).min(SLICE);
            let (lent, next) = (self.lent.clone(), self.next);
            let reading = self.reading.get_or_insert_with(|| {
                tokio::task::spawn_blocking(move || lent.read(next, max_records.max(1), slice))
            });
            let answer =
                reading.await.unwrap_or_else(|cause| Err(ReadError::Fatal { cause: cause.to_string() }));
            self.reading = None;
            match answer {
                Ok(records) => {
                    if let Some(last) = records.last() {
                        self.next = last.offset + 1;
                        return Ok(records);
                    }
                    if Instant::now() >= until {
                        return Ok(records);
                    }
                }
                Err(cause) => {
                    if !matches!(cause, ReadError::Unavailable { .. }) {
                        self.failed = Some(cause.clone());
                    }
                    return Err(cause);
                }
            }
        }
    }
}

impl Lent {
    fn read(&self, next: u64, max_records: usize, wait: Duration) -> Read {
        let Some(client) = &self.client else { return Ok(Vec::new()) };
        let mut records = Vec::new();
        let mut size_bytes = 0;
        let mut until = Instant::now() + wait;
        loop {
            match client.poll(until.saturating_duration_since(Instant::now())) {
                Some(Ok(message)) => {
                    // What the client's last reader left behind.
                    let ours = message.topic() == self.at.topic.as_str()
                        && u32::try_from(message.partition()) == Ok(self.at.partition);
                    let record = stored(&message);
                    if !ours || record.offset < next {
                        continue;
                    }
                    if records.is_empty() {
                        until = Instant::now() + COMPANY;
                    }
                    size_bytes += record.record.size_bytes();
                    records.push(record);
                    if records.len() == max_records || size_bytes >= READ_BYTES {
                        return Ok(records);
                    }
                }
                // What was read before the trouble is good; the trouble comes again if it lasts.
                Some(Err(_)) if !records.is_empty() => return Ok(records),
                Some(Err(KafkaError::MessageConsumption(Code::AutoOffsetReset | Code::OffsetOutOfRange))) => {
                    if let Some(cause) = self.out_of_range(client, next) {
                        return Err(cause);
                    }
                }
                Some(Err(cause)) => match error::read(&cause) {
                    // librdkafka comes back by itself.
                    ReadError::Unavailable { .. } => {}
                    other => return Err(other),
                },
                None => {}
            }
            if Instant::now() >= until {
                return Ok(records);
            }
        }
    }

    /// What is wrong with the position; nothing when it was the position of the client's last reader.
    fn out_of_range(&self, client: &Client, next: u64) -> Option<ReadError> {
        match watermarks(client, &self.at) {
            Ok(bounds) if next < bounds.earliest => {
                Some(ReadError::Gone { at: self.at.clone(), offset: next })
            }
            Ok(bounds) if next > bounds.end => {
                let cause = format!("offset {next} of {} is beyond its end {}", self.at, bounds.end);
                Some(ReadError::Fatal { cause })
            }
            Ok(_) => None,
            Err(cause) => Some(error::read(&cause)),
        }
    }
}
