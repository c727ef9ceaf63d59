//! Finding what a log still holds of people, and putting tombstones over it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use eventlog::{AppendError, EventLog, ReadError, Record, Topic, TopicPartition};
use schemas::{EventId, PERSON, Person, SealedEvent, SubjectId, TenantId, Topics};

use crate::KeepError;

const READ: usize = 1_000;
const WAIT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(100);
/// Reads that give nothing although there is more, in a row, before it is an error.
const SILENT_READS: u32 = 15;

/// What a log holds of a person.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Records that are there, by place: what a tombstone covers already is left out.
    pub(crate) records: BTreeMap<TopicPartition, HashSet<Bytes>>,
    /// Some of what is sealed for them.
    pub(crate) samples: Vec<(EventId, Vec<u8>)>,
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
    for (topic, is_sealed) in places {
        let topic = Topic::new(topic)?;
        for partition in 0..log.partitions(&topic).await?.unwrap_or(0) {
            let at = TopicPartition::new(&topic, partition);
            let samples = if is_sealed { samples } else { 0 };
            scan_partition(log, &at, people, samples, &mut found).await?;
        }
    }
    Ok(found)
}

async fn scan_partition(
    log: &EventLog,
    at: &TopicPartition,
    people: &HashSet<Person>,
    samples: usize,
    found: &mut HashMap<Person, Held>,
) -> Result<(), KeepError> {
    let bounds = log.bounds(at).await?;
    let mut next = bounds.earliest;
    let mut reader = log.reader(at, next).await?;
    // Whose record a key is: a tombstone says nothing of the person.
    let mut owners: HashMap<Bytes, Person> = HashMap::new();
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
                if let Some(held) = owners.remove(key).and_then(|person| found.get_mut(&person))
                    && let Some(keys) = held.records.get_mut(at)
                {
                    keys.remove(key);
                }
                continue;
            };
            let Some(person) = person(&stored.record).filter(|person| people.contains(person)) else {
                continue;
            };
            let held = found.entry(person.clone()).or_default();
            held.records.entry(at.clone()).or_default().insert(key.clone());
            owners.insert(key.clone(), person);
            if held.samples.len() < samples
                && let Ok(event) = SealedEvent::decode(|name| stored.record.header_str(name), value)
            {
                held.samples.push((event.id, event.content));
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
