//! Opening the embedded log, its topics, and its answers to the common interface.

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::watch;

use super::consumer::EmbeddedConsumer;
use super::group::Groups;
use super::reader::EmbeddedReader;
use super::store::{Store, TopicFacts, broken};
use super::writer::{Command, Writer};
use super::{codec, sweep};
use crate::backend::{Backend, ConsumerBackend, ReaderBackend};
use crate::{
    AppendError, Bounds, LogError, MAX_RECORD_BYTES, Pending, Record, Subscription, Topic, TopicPartition,
    TopicSpec,
};

/// Where the embedded log lives, and its bounds.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// Its folder; made when missing.
    pub folder: PathBuf,
    /// The most unconfirmed appends; above it an append is [`AppendError::Full`].
    pub queue_records: usize,
    /// How often retention and compaction look for something to do.
    pub sweep_every: Duration,
    /// How long a tombstone stays after it removed its key, so that readers see it.
    pub tombstones_kept: Duration,
    /// How long a record that compaction would remove may stay at the most, however little was appended since.
    pub compaction_lag: Duration,
}

impl EmbeddedConfig {
    /// The defaults, in this folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            queue_records: 20_000,
            sweep_every: Duration::from_secs(60),
            tombstones_kept: Duration::from_secs(24 * 60 * 60),
            compaction_lag: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// What may wait for the writer, beside the number of records.
const QUEUE_BYTES: usize = 128 * 1024 * 1024;
/// How long a log of this process that is just being closed may still hold the folder.
const CLOSING: Duration = Duration::from_millis(500);

pub(crate) struct EmbeddedLog {
    shared: Arc<Shared>,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    writer: JoinHandle<()>,
    sweeper: JoinHandle<()>,
    /// Dropping it ends the sweeper.
    sweeping: SyncSender<()>,
}

/// What the writer, the readers, the sweeper and the groups share.
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) topics: RwLock<HashMap<Topic, Arc<TopicState>>>,
    pub(super) groups: Groups,
    pub(super) commands: SyncSender<Command>,
    /// Bytes of records that wait for the writer.
    pub(super) queued_bytes: AtomicUsize,
    /// Moves whenever anything was appended, anywhere.
    pub(super) appended: watch::Sender<u64>,
    pub(super) closed: AtomicBool,
}

pub(super) struct TopicState {
    pub(super) facts: TopicFacts,
    pub(super) partitions: Vec<PartitionState>,
}

pub(super) struct PartitionState {
    pub(super) low: AtomicU64,
    /// The offset after the last durable record.
    pub(super) end: AtomicU64,
    /// Where the last compaction ended.
    pub(super) compacted: AtomicU64,
}

impl Shared {
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn topic(&self, topic: &Topic) -> Option<Arc<TopicState>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).get(topic).cloned()
    }

    pub(super) fn all_topics(&self) -> Vec<Arc<TopicState>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The partition, and its place in the store.
    pub(super) fn locate(&self, at: &TopicPartition) -> Result<(Arc<TopicState>, (u32, u32)), LogError> {
        let topic = self
            .topic(&at.topic)
            .ok_or_else(|| LogError::Fatal { cause: format!("no topic {}", at.topic) })?;
        if at.partition >= topic.facts.partitions {
            return Err(LogError::Fatal { cause: format!("no partition {at}") });
        }
        let place = (topic.facts.id, at.partition);
        Ok((topic, place))
    }

    pub(super) fn bounds(&self, at: &TopicPartition) -> Result<Bounds, LogError> {
        let (topic, place) = self.locate(at)?;
        let partition = &topic.partitions[place.1 as usize];
        Ok(Bounds {
            earliest: partition.low.load(Ordering::Acquire),
            end: partition.end.load(Ordering::Acquire),
        })
    }
}

impl EmbeddedLog {
    pub(crate) async fn open(config: EmbeddedConfig) -> Result<Self, LogError> {
        tokio::task::spawn_blocking(move || Self::open_blocking(&config)).await.map_err(broken)?
    }

    fn open_blocking(config: &EmbeddedConfig) -> Result<Self, LogError> {
        let folder = config.folder.display().to_string();
        let io = |cause: std::io::Error| LogError::Fatal {
            cause: format!("the embedded log's folder {folder}: {cause}"),
        };
        std::fs::create_dir_all(&config.folder).map_err(io)?;
        if let Some(above) = config.folder.canonicalize().map_err(io)?.parent() {
            // A new folder is durable only once the one above it is.
            File::open(above).and_then(|above| above.sync_all()).map_err(io)?;
        }
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(config.folder.join("lock"))
            .map_err(io)?;
        let until = Instant::now() + CLOSING;
        while lock.try_lock().is_err() {
            if Instant::now() > until {
                return Err(LogError::InUse { folder });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let store = Store::open(&config.folder.join("store"), lock)?;
        let mut topics = HashMap::new();
        for (name, facts) in store.all_topics()? {
            topics.insert(Topic::new(name)?, Arc::new(TopicState::load(&store, facts)?));
        }
        let (commands, waiting) = sync_channel(config.queue_records.max(1));
        let shared = Arc::new(Shared {
            store,
            topics: RwLock::new(topics),
            groups: Groups::default(),
            commands,
            queued_bytes: AtomicUsize::new(0),
            appended: watch::Sender::new(0),
            closed: AtomicBool::new(false),
        });
        let writer = Writer::new(shared.clone(), waiting);
        let writer =
            std::thread::Builder::new().name("log-writer".into()).spawn(move || writer.run()).map_err(io)?;
        let (sweeping, stop) = sync_channel(0);
        let (swept, config) = (Arc::downgrade(&shared), config.clone());
        let sweeper = std::thread::Builder::new()
            .name("log-sweeper".into())
            .spawn(move || sweep::run(&swept, &config, &stop))
            .map_err(io)?;
        Ok(Self { shared, threads: Mutex::new(Some(Threads { writer, sweeper, sweeping })) })
    }

    /// Ends the threads. What was taken before is answered first.
    fn end(&self) {
        self.shared.closed.store(true, Ordering::Release);
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Threads { writer, sweeper, sweeping }) = threads {
            let _ = self.shared.commands.send(Command::End);
            drop(sweeping);
            let _ = writer.join();
            let _ = sweeper.join();
        }
        self.shared.appended.send_modify(|version| *version += 1);
    }
}

impl TopicState {
    fn load(store: &Store, facts: TopicFacts) -> Result<Self, LogError> {
        let partitions = (0..facts.partitions)
            .map(|partition| {
                let (low, end) = store.bounds((facts.id, partition))?;
                Ok(PartitionState {
                    low: AtomicU64::new(low),
                    end: AtomicU64::new(end),
                    compacted: AtomicU64::new(store.compacted((facts.id, partition))?),
                })
            })
            .collect::<Result<_, LogError>>()?;
        Ok(Self { facts, partitions })
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.end();
    }
}

#[async_trait]
impl Backend for EmbeddedLog {
    fn append(&self, at: &TopicPartition, record: Record) -> Result<Pending, AppendError> {
        if self.shared.is_closed() {
            return Err(AppendError::Closed { cause: "it was closed".into() });
        }
        let size_bytes = record.size_bytes();
        if size_bytes > MAX_RECORD_BYTES {
            return Err(AppendError::TooLarge { size_bytes });
        }
        let Ok((topic, _)) = self.shared.locate(at) else {
            return Err(AppendError::NoSuchTopic { at: at.clone() });
        };
        let (confirm, pending) = Pending::new();
        if self.shared.queued_bytes.load(Ordering::Relaxed) >= QUEUE_BYTES {
            return Err(AppendError::Full);
        }
        let bytes = codec::encode(now_ms(), &record);
        let size_bytes = bytes.len();
        let command = Command::Append { topic, partition: at.partition, bytes, confirm };
        self.shared.queued_bytes.fetch_add(size_bytes, Ordering::Relaxed);
        let refused = match self.shared.commands.try_send(command) {
            Ok(()) => return Ok(pending),
            Err(TrySendError::Full(_)) => AppendError::Full,
            Err(TrySendError::Disconnected(_)) => AppendError::Closed { cause: "its writer ended".into() },
        };
        self.shared.queued_bytes.fetch_sub(size_bytes, Ordering::Relaxed);
        Err(refused)
    }

    async fn warm(&self, topic: &Topic, _deadline: Duration) -> Result<(), LogError> {
        // The first append is as quick as any.
        self.shared.locate(&TopicPartition::new(topic, 0)).map(drop)
    }

    async fn ensure(&self, spec: &TopicSpec) -> Result<(), LogError> {
        let mut topics = self.shared.topics.write().unwrap_or_else(PoisonError::into_inner);
        if topics.contains_key(&spec.topic) {
            return Ok(());
        }
        let id = topics.values().map(|topic| topic.facts.id + 1).max().unwrap_or(0);
        let facts = TopicFacts { id, partitions: spec.partitions.max(1), kept: spec.retention.into() };
        self.shared.store.put_topic(spec.topic.as_str(), facts)?;
        topics.insert(spec.topic.clone(), Arc::new(TopicState::load(&self.shared.store, facts)?));
        Ok(())
    }

    async fn partitions(&self, topic: &Topic) -> Result<Option<u32>, LogError> {
        Ok(self.shared.topic(topic).map(|topic| topic.facts.partitions))
    }

    async fn bounds(&self, at: &TopicPartition) -> Result<Bounds, LogError> {
        self.shared.bounds(at)
    }

    async fn truncate(&self, at: &TopicPartition) -> Result<(), LogError> {
        let (topic, place) = self.shared.locate(at)?;
        let state = topic.partitions.get(at.partition as usize).ok_or_else(|| broken("no such partition"))?;
        super::sweep::truncate(&self.shared, place, state)
    }

    async fn committed(&self, group: &str, at: &TopicPartition) -> Result<Option<u64>, LogError> {
        let (_, place) = self.shared.locate(at)?;
        self.shared.store.position(group, place)
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn ConsumerBackend>, LogError> {
        Ok(Box::new(EmbeddedConsumer::join(self.shared.clone(), subscription)?))
    }

    async fn reader(&self, at: &TopicPartition, from: u64) -> Result<Box<dyn ReaderBackend>, LogError> {
        Ok(Box::new(EmbeddedReader::open(self.shared.clone(), at.clone(), from)?))
    }

    async fn ping(&self) -> Result<(), LogError> {
        if self.shared.is_closed() { Err(broken("it was closed")) } else { Ok(()) }
    }

    async fn close(&self, _deadline: Duration) {
        // Everything already taken is on disk after one sync; there is nothing to wait longer for.
        self.end();
    }
}

pub(super) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
