//! Finding what a log still holds of people, and putting tombstones over it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::time::Duration;

use bytes::Bytes;
use eventlog::{AppendError, EventLog, ReadError, Record, Stored, Topic, TopicPartition};
use futures::{StreamExt, TryStreamExt, stream};
use schemas::{EventId, PERSON, Person, SealedEvent, SubjectId, TenantId, Topics};

use crate::KeepError;

const READ: usize = 1_000;
/// A delivery may hold megabytes.
const FEW: usize = 16;
/// Topics that are looked into at once.
const AT_ONCE: usize = 4;
const WAIT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(100);
/// Reads that give nothing although there is more, in a row, before it is an error.
const SILENT_READS: u32 = 15;

/// What a log holds of somebody.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Records that are there, by place: what a tombstone covers already is left out.
    pub(crate) records: BTreeMap<TopicPartition, HashSet<Bytes>>,
    /// Some of what is sealed for them.
    pub(crate) samples: Vec<Sample>,
}

/// Something sealed.
#[derive(Debug)]
pub(crate) struct Sample {
    /// For whom; nobody: for the tenant itself.
    pub(crate) subject: Option<SubjectId>,
    /// The event that sealed it.
    pub(crate) event: EventId,
    /// What it says, sealed.
    pub(crate) content: Vec<u8>,
}

impl Held {
    pub(crate) fn count(&self) -> u64 {
        self.records.values().map(|keys| keys.len() as u64).sum()
    }
}

/// Looks through `events` and the feeds of these people's tenants, each once, up to where they end now.
pub(crate) async fn scan(
    log: &EventLog,
    topics: &Topics,
    people: &HashSet<Person>,
    samples: usize,
) -> Result<HashMap<Person, Held>, KeepError> {
    let mut found: HashMap<Person, Held> = HashMap::new();
    let tenants: HashSet<&TenantId> = people.iter().map(|(tenant, _)| tenant).collect();
    let mut places = vec![(topics.events(), true)];
    places.extend(tenants.into_iter().map(|tenant| (topics.inbox(tenant), false)));
    let whose = |record: &Record| person(record).filter(|person| people.contains(person));
    for (topic, is_sealed) in places {
        let samples = if is_sealed { samples } else { 0 };
        for at in partitions(log, &topic).await? {
            scan_partition(log, &at, &whose, samples, &mut found).await?;
        }
    }
    Ok(found)
}

/// Looks through one partition of `events` for everything of a tenant, up to where it ends now.
pub(crate) async fn scan_tenant(
    log: &EventLog,
    at: &TopicPartition,
    tenant: &TenantId,
    samples: usize,
) -> Result<Held, KeepError> {
    let mut found: HashMap<(), Held> = HashMap::new();
    let whose = |record: &Record| (record.header_str("ce_tenant")? == tenant.as_str()).then_some(());
    scan_partition(log, at, &whose, samples, &mut found).await?;
    Ok(found.remove(&()).unwrap_or_default())
}

/// The partitions of a topic; none when there is no such topic.
pub(crate) async fn partitions(log: &EventLog, topic: &str) -> Result<Vec<TopicPartition>, KeepError> {
    let topic = Topic::new(topic)?;
    let count = log.partitions(&topic).await?.unwrap_or(0);
    Ok((0..count).map(|partition| TopicPartition::new(&topic, partition)).collect())
}

/// When the oldest record of these topics was appended, Unix milliseconds.
pub(crate) async fn oldest(log: &EventLog, topics: Vec<String>) -> Result<Option<i64>, KeepError> {
    let mut ages = stream::iter(topics).map(|topic| oldest_of(log, topic)).buffer_unordered(AT_ONCE);
    let mut oldest: Option<i64> = None;
    while let Some(at_ms) = ages.try_next().await? {
        oldest = oldest.into_iter().chain(at_ms).min();
    }
    Ok(oldest)
}

async fn oldest_of(log: &EventLog, topic: String) -> Result<Option<i64>, KeepError> {
    let mut oldest: Option<i64> = None;
    for at in partitions(log, &topic).await? {
        let bounds = log.bounds(&at).await?;
        if bounds.earliest == bounds.end {
            continue;
        }
        let mut reader = log.reader(&at, bounds.earliest).await?;
        match reader.next(1, WAIT).await {
            Ok(records) => {
                oldest = oldest.into_iter().chain(records.first().map(|stored| stored.timestamp_ms)).min();
            }
            // It went just now: the next one is younger.
            Err(ReadError::Gone { .. }) => {}
            Err(cause) => return Err(cause.into()),
        }
    }
    Ok(oldest)
}

/// What `take` takes of each record of a partition between these offsets, the later one left out. For a few records.
pub(crate) async fn read_range<T>(
    log: &EventLog,
    at: &TopicPartition,
    (from, to): (u64, u64),
    take: impl Fn(&Stored) -> Option<T>,
) -> Result<Vec<T>, KeepError> {
    let mut found = Vec::new();
    let mut next = from;
    let mut silent = 0;
    let mut reader = log.reader(at, from).await?;
    while next < to {
        let records = match reader.next(FEW, WAIT).await {
            Ok(records) => records,
            Err(ReadError::Gone { .. }) => {
                next = log.bounds(at).await?.earliest.max(next + 1);
                reader = log.reader(at, next).await?;
                continue;
            }
            Err(cause) => return Err(cause.into()),
        };
        match records.last() {
            Some(last) => (next, silent) = (last.offset + 1, 0),
            None => silent += 1,
        }
        if silent > SILENT_READS {
            let cause = format!("{at} holds more records than it gave");
            return Err(ReadError::Unavailable { cause }.into());
        }
        found.extend(records.iter().filter(|stored| stored.offset < to).filter_map(&take));
    }
    Ok(found)
}

async fn scan_partition<K: Clone + Eq + Hash>(
    log: &EventLog,
    at: &TopicPartition,
    whose: &(impl Fn(&Record) -> Option<K> + Sync),
    samples: usize,
    found: &mut HashMap<K, Held>,
) -> Result<(), KeepError> {
    let bounds = log.bounds(at).await?;
    let mut next = bounds.earliest;
    let mut reader = log.reader(at, next).await?;
    // Whose record a key is: a tombstone does not say.
    let mut owners: HashMap<Bytes, K> = HashMap::new();
    let mut silent = 0;
    while next < bounds.end {
        let records = match reader.next(READ, WAIT).await {
            Ok(records) => records,
            // Retention went on meanwhile.
            Err(ReadError::Gone { .. }) => {
                next = log.bounds(at).await?.earliest.max(next + 1);
                reader = log.reader(at, next).await?;
                continue;
            }
            Err(cause) => return Err(cause.into()),
        };
        let Some(last) = records.last() else {
            silent += 1;
            if silent > SILENT_READS {
                let cause = format!("{at} holds more records than it gave");
                return Err(ReadError::Unavailable { cause }.into());
            }
            continue;
        };
        silent = 0;
        next = last.offset + 1;
        for stored in &records {
            let Some(key) = &stored.record.key else { continue };
            let Some(value) = &stored.record.value else {
                if let Some(held) = owners.remove(key).and_then(|owner| found.get_mut(&owner))
                    && let Some(keys) = held.records.get_mut(at)
                {
                    keys.remove(key);
                }
                continue;
            };
            let Some(owner) = whose(&stored.record) else { continue };
            let held = found.entry(owner.clone()).or_default();
            // A copy: the key is a piece of the whole record, which must not stay in memory with it.
            let key = Bytes::copy_from_slice(key);
            held.records.entry(at.clone()).or_default().insert(key.clone());
            owners.insert(key, owner);
            if held.samples.len() < samples
                && let Ok(event) = SealedEvent::decode(|name| stored.record.header_str(name), value)
            {
                let SealedEvent { id: event, subject, content, .. } = event;
                held.samples.push(Sample { subject, event, content });
            }
        }
    }
    Ok(())
}

fn person(record: &Record) -> Option<Person> {
    let subject: SubjectId = record.header_str(PERSON)?.parse().ok()?;
    let tenant: TenantId = record.header_str("ce_tenant")?.parse().ok()?;
    Some((tenant, subject))
}

/// Puts a tombstone over each of these records, and returns when all are durable.
pub(crate) async fn bury(log: &EventLog, held: &Held) -> Result<(), KeepError> {
    for (at, keys) in &held.records {
        let mut waiting: Vec<Bytes> = keys.iter().cloned().collect();
        while !waiting.is_empty() {
            let mut pending = Vec::new();
            let mut again = Vec::new();
            for key in waiting {
                let tombstone = Record { key: Some(key.clone()), value: None, headers: Vec::new() };
                match log.append(at, tombstone) {
                    Ok(confirmed) => pending.push((key, confirmed)),
                    Err(cause) => again.push(retried(key, cause)?),
                }
            }
            for (key, confirmed) in pending {
                if let Err(cause) = confirmed.await {
                    again.push(retried(key, cause)?);
                }
            }
            waiting = again;
            if !waiting.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    Ok(())
}

fn retried(key: Bytes, cause: AppendError) -> Result<Bytes, AppendError> {
    if cause.disposition() == eventlog::Disposition::Retry { Ok(key) } else { Err(cause) }
}
