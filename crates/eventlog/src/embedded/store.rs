//! What is on disk: records, topics, group positions, and the low end of partitions that retention has emptied.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch as WriteBatch, PersistMode};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{codec, journal};
use crate::{LogError, Retention, Stored};

const MEMTABLE_BYTES: u64 = 8 * 1024 * 1024;
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// The smallest that fjall takes.
const JOURNAL_BYTES: u64 = 64 * 1024 * 1024;
/// A read answers with about this much at the most.
const READ_BYTES: usize = 8 * 1024 * 1024;

/// A topic as it is kept.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct TopicFacts {
    pub(super) id: u32,
    pub(super) partitions: u32,
    pub(super) kept: Kept,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum Kept {
    AgeMs(u64),
    Forever,
    Compacted,
    CompactedAgeMs(u64),
}

impl From<Retention> for Kept {
    fn from(retention: Retention) -> Self {
        match retention {
            Retention::Age(age) => Self::AgeMs(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            Retention::Forever => Self::Forever,
            Retention::Compacted => Self::Compacted,
            Retention::CompactedAge(age) => {
                Self::CompactedAgeMs(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
            }
        }
    }
}

#[derive(Clone)]
pub(super) struct Store {
    db: Database,
    records: Keyspace,
    topics: Keyspace,
    positions: Keyspace,
    /// Of partitions: the low end, and how far they are compacted.
    lows: Keyspace,
    /// Keeps other processes out for as long as anything of the store is in use. After the store: released last.
    _lock: Arc<File>,
}

pub(super) fn broken(cause: impl std::fmt::Display) -> LogError {
    LogError::Fatal { cause: format!("the embedded store: {cause}") }
}

/// Where a partition's records begin in the key space.
fn prefix(topic: u32, partition: u32) -> [u8; 8] {
    let mut key = [0; 8];
    key[..4].copy_from_slice(&topic.to_be_bytes());
    key[4..].copy_from_slice(&partition.to_be_bytes());
    key
}

fn key(topic: u32, partition: u32, offset: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&prefix(topic, partition));
    key[8..].copy_from_slice(&offset.to_be_bytes());
    key
}

fn compacted_key(at: (u32, u32)) -> [u8; 9] {
    let mut key = [b'c'; 9];
    key[..8].copy_from_slice(&prefix(at.0, at.1));
    key
}

fn offset_of(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(8..16)?.try_into().ok()?))
}

impl Store {
    pub(super) fn open(folder: &Path, lock: File) -> Result<Self, LogError> {
        let db = match Self::database(folder) {
            Err(cause @ fjall::Error::JournalRecovery(_)) => Self::mended(folder, cause)?,
            answer => answer.map_err(broken)?,
        };
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        Ok(Self {
            records: db.keyspace("records", options).map_err(broken)?,
            topics: db.keyspace("topics", options).map_err(broken)?,
            positions: db.keyspace("positions", options).map_err(broken)?,
            lows: db.keyspace("lows", options).map_err(broken)?,
            db,
            _lock: Arc::new(lock),
        })
    }

    fn database(folder: &Path) -> fjall::Result<Database> {
        Database::builder(folder)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES)
            .worker_threads(1)
            .manual_journal_persist(true)
            .open()
    }

    /// Opens a store whose last batch a power cut has torn; any other damage is left as it is, and said.
    fn mended(folder: &Path, cause: fjall::Error) -> Result<Database, LogError> {
        let Some(mended) = journal::without_last_batch(folder).map_err(broken)? else {
            return Err(broken(cause));
        };
        match Self::database(folder) {
            Ok(db) => {
                warn!(
                    file = %mended.kept_at().display(),
                    "the last write before a crash was torn, and nobody was told that it is durable: it is set aside"
                );
                Ok(db)
            }
            Err(_) => {
                mended.undo().map_err(broken)?;
                Err(broken(cause))
            }
        }
    }

    /// A batch that is on disk once it is committed.
    pub(super) fn batch(&self) -> WriteBatch {
        self.db.batch().durability(Some(PersistMode::SyncAll))
    }

    pub(super) fn put_record(&self, batch: &mut WriteBatch, at: (u32, u32), offset: u64, bytes: Vec<u8>) {
        batch.insert(&self.records, key(at.0, at.1, offset), bytes);
    }

    pub(super) fn put_position(&self, batch: &mut WriteBatch, group: &str, at: (u32, u32), next: u64) {
        batch.insert(&self.positions, position_key(group, at), next.to_be_bytes());
    }

    pub(super) fn position(&self, group: &str, at: (u32, u32)) -> Result<Option<u64>, LogError> {
        let found = self.positions.get(position_key(group, at)).map_err(broken)?;
        Ok(found.and_then(|bytes| Some(u64::from_be_bytes(bytes.as_ref().try_into().ok()?))))
    }

    pub(super) fn put_topic(&self, name: &str, facts: TopicFacts) -> Result<(), LogError> {
        let mut batch = self.batch();
        batch.insert(&self.topics, name, serde_json::to_vec(&facts).map_err(broken)?);
        batch.commit().map_err(broken)
    }

    pub(super) fn all_topics(&self) -> Result<Vec<(String, TopicFacts)>, LogError> {
        self.topics
            .iter()
            .map(|entry| {
                let (name, facts) = entry.into_inner().map_err(broken)?;
                let name = String::from_utf8(name.to_vec()).map_err(broken)?;
                Ok((name, serde_json::from_slice(&facts).map_err(broken)?))
            })
            .collect()
    }

    /// The offsets a partition holds: the oldest kept, and the one the next record gets.
    pub(super) fn bounds(&self, at: (u32, u32)) -> Result<(u64, u64), LogError> {
        let low = self.number(&prefix(at.0, at.1))?.unwrap_or(0);
        let last = match self.records.prefix(prefix(at.0, at.1)).next_back() {
            Some(entry) => offset_of(&entry.key().map_err(broken)?),
            None => None,
        };
        Ok((low, last.map_or(low, |last| last + 1)))
    }

    fn number(&self, key: &[u8]) -> Result<Option<u64>, LogError> {
        let found = self.lows.get(key).map_err(broken)?;
        Ok(found.and_then(|bytes| Some(u64::from_be_bytes(bytes.as_ref().try_into().ok()?))))
    }

    /// Up to where a partition is compacted.
    pub(super) fn compacted(&self, at: (u32, u32)) -> Result<u64, LogError> {
        Ok(self.number(&compacted_key(at))?.unwrap_or(0))
    }

    pub(super) fn put_compacted(&self, at: (u32, u32), upto: u64) -> Result<(), LogError> {
        let mut batch = self.batch();
        batch.insert(&self.lows, compacted_key(at), upto.to_be_bytes());
        batch.commit().map_err(broken)
    }

    /// Up to `max` records from `from` on, below `end`, and where to read on.
    pub(super) fn read(
        &self,
        at: (u32, u32),
        from: u64,
        end: u64,
        max: usize,
    ) -> Result<(Vec<Stored>, u64), LogError> {
        let mut found = Vec::new();
        let mut size_bytes = 0;
        let mut next = end;
        for entry in self.records.range(key(at.0, at.1, from)..key(at.0, at.1, end)) {
            if found.len() == max.max(1) || size_bytes >= READ_BYTES {
                next = found.last().map_or(from, |stored: &Stored| stored.offset + 1);
                break;
            }
            let (key, bytes) = entry.into_inner().map_err(broken)?;
            let offset = offset_of(&key).ok_or_else(|| broken("a record's key is damaged"))?;
            let bytes = Bytes::copy_from_slice(&bytes);
            size_bytes += bytes.len();
            let (timestamp_ms, record) = codec::decode(&bytes)
                .ok_or_else(|| broken(format!("the record at offset {offset} is damaged")))?;
            found.push(Stored { offset, timestamp_ms, record });
        }
        Ok((found, next))
    }

    /// Removes what is older than `cutoff_ms`, at most `max` records; the partition's new low end, if any went.
    pub(super) fn expire(
        &self,
        at: (u32, u32),
        end: u64,
        cutoff_ms: i64,
        max: usize,
    ) -> Result<Option<u64>, LogError> {
        let mut batch = self.batch();
        let mut low = None;
        for entry in self.records.range(key(at.0, at.1, 0)..key(at.0, at.1, end)).take(max) {
            let (key, bytes) = entry.into_inner().map_err(broken)?;
            if codec::timestamp_ms(&bytes).is_some_and(|time| time >= cutoff_ms) {
                break;
            }
            low = offset_of(&key).map(|offset| offset + 1);
            batch.remove(&self.records, key);
        }
        if let Some(low) = low {
            batch.insert(&self.lows, prefix(at.0, at.1), low.to_be_bytes());
            batch.commit().map_err(broken)?;
        }
        Ok(low)
    }

    /// Removes these records of a partition.
    pub(super) fn remove(&self, at: (u32, u32), offsets: &[u64]) -> Result<(), LogError> {
        for some in offsets.chunks(1000) {
            let mut batch = self.batch();
            for offset in some {
                batch.remove(&self.records, key(at.0, at.1, *offset));
            }
            batch.commit().map_err(broken)?;
        }
        Ok(())
    }
}

fn position_key(group: &str, at: (u32, u32)) -> Vec<u8> {
    let mut key = group.as_bytes().to_vec();
    key.push(0);
    key.extend(prefix(at.0, at.1));
    key
}
