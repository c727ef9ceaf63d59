//! Reading a tenant's feed outside any group: everything it keeps now, and whatever comes after.

use std::collections::VecDeque;
use std::time::Duration;

use eventlog::{Disposition, EventLog, ReadError, Reader, Stored, Topic, TopicPartition};
use futures::stream::{self, BoxStream, StreamExt};
use tracing::warn;

use crate::problem::Problem;

const READ_AT_ONCE: usize = 64;
const WAIT: Duration = Duration::from_millis(500);
/// A partition that gives nothing for this many waits although it holds more makes the reading fail.
const MAX_EMPTY_WAITS: u32 = 20;

/// Where one partition's reading begins and, for what is kept now, ends.
struct Part {
    at: TopicPartition,
    next: u64,
    end: u64,
}

/// A feed at the moment it was opened.
pub(crate) struct Feed {
    log: EventLog,
    parts: Vec<Part>,
}

impl Feed {
    /// Notes where every partition begins and ends now. `None` when there is no such topic.
    pub(crate) async fn open(log: &EventLog, topic: &Topic) -> Result<Option<Self>, Problem> {
        let Some(partitions) = log.partitions(topic).await? else { return Ok(None) };
        let mut parts = Vec::new();
        for partition in 0..partitions {
            let at = TopicPartition::new(topic, partition);
            let bounds = log.bounds(&at).await?;
            parts.push(Part { at, next: bounds.earliest, end: bounds.end });
        }
        Ok(Some(Self { log: log.clone(), parts }))
    }

    /// Everything the feed holds now: in order within each partition, and by time of append between them.
    pub(crate) fn kept(&self) -> BoxStream<'static, Result<Stored, ReadError>> {
        let sources = self
            .parts
            .iter()
            .map(|part| Source {
                log: self.log.clone(),
                at: part.at.clone(),
                next: part.next,
                end: part.end,
                reader: None,
                buffer: VecDeque::new(),
            })
            .collect();
        let merge = Some(Merge { sources });
        stream::unfold(merge, |merge| async {
            let mut merge = merge?;
            match merge.next().await {
                Ok(Some(stored)) => Some((Ok(stored), Some(merge))),
                Ok(None) => None,
                Err(cause) => Some((Err(cause), None)),
            }
        })
        .boxed()
    }

    /// Everything that is appended after the feed was opened, as it comes. Ends only with an error.
    pub(crate) fn coming(&self) -> BoxStream<'static, Result<Stored, ReadError>> {
        let parts = self.parts.iter().map(|part| coming(self.log.clone(), part.at.clone(), part.end));
        stream::select_all(parts).boxed()
    }
}

/// Several partitions as one sequence.
struct Merge {
    sources: Vec<Source>,
}

impl Merge {
    async fn next(&mut self) -> Result<Option<Stored>, ReadError> {
        for source in &mut self.sources {
            source.fill().await?;
        }
        let earliest = self
            .sources
            .iter_mut()
            .filter(|source| !source.buffer.is_empty())
            .min_by_key(|source| source.buffer.front().map(|stored| stored.timestamp_ms));
        Ok(earliest.and_then(|source| source.buffer.pop_front()))
    }
}

/// One partition up to the end it had.
struct Source {
    log: EventLog,
    at: TopicPartition,
    next: u64,
    end: u64,
    reader: Option<Reader>,
    buffer: VecDeque<Stored>,
}

impl Source {
    async fn fill(&mut self) -> Result<(), ReadError> {
        let mut waits = 0;
        while self.buffer.is_empty() && self.next < self.end {
            let mut reader = match self.reader.take() {
                Some(reader) => reader,
                None => open(&self.log, &self.at, self.next).await?,
            };
            match reader.next(READ_AT_ONCE, WAIT).await {
                Ok(records) if records.is_empty() => {
                    waits += 1;
                    if waits > MAX_EMPTY_WAITS {
                        return Err(ReadError::Unavailable {
                            cause: "it gives nothing although it holds more".into(),
                        });
                    }
                    self.reader = Some(reader);
                }
                Ok(records) => {
                    self.next = records.last().map_or(self.next, |last| last.offset + 1);
                    self.buffer.extend(records.into_iter().filter(|stored| stored.offset < self.end));
                    self.reader = Some(reader);
                }
                // Retention was faster: go on with what is still kept.
                Err(ReadError::Gone { .. }) => {
                    self.next = earliest(&self.log, &self.at).await?.max(self.next + 1)
                }
                Err(cause) => return Err(cause),
            }
        }
        Ok(())
    }
}

fn coming(log: EventLog, at: TopicPartition, from: u64) -> BoxStream<'static, Result<Stored, ReadError>> {
    struct Follow {
        log: EventLog,
        at: TopicPartition,
        next: u64,
        reader: Option<Reader>,
        ended: bool,
    }
    let follow = Follow { log, at, next: from, reader: None, ended: false };
    stream::unfold(follow, |mut follow| async {
        if follow.ended {
            return None;
        }
        loop {
            let read = match follow.reader.take() {
                Some(reader) => Ok(reader),
                None => open(&follow.log, &follow.at, follow.next).await,
            };
            let records = match read {
                Ok(mut reader) => {
                    let records = reader.next(READ_AT_ONCE, WAIT).await;
                    if records.is_ok() {
                        follow.reader = Some(reader);
                    }
                    records
                }
                Err(cause) => Err(cause),
            };
            match records {
                Ok(records) if records.is_empty() => {}
                Ok(records) => {
                    follow.next = records.last().map_or(follow.next, |last| last.offset + 1);
                    return Some((stream::iter(records.into_iter().map(Ok)).boxed(), follow));
                }
                Err(ReadError::Gone { .. }) => match earliest(&follow.log, &follow.at).await {
                    Ok(earliest) => follow.next = earliest.max(follow.next + 1),
                    Err(_) => tokio::time::sleep(WAIT).await,
                },
                Err(cause) if cause.disposition() == Disposition::Retry => {
                    warn!(error = %cause, "a feed is away; its follower waits");
                    tokio::time::sleep(WAIT).await;
                }
                Err(cause) => {
                    follow.ended = true;
                    return Some((stream::iter([Err(cause)]).boxed(), follow));
                }
            }
        }
    })
    .flatten()
    .boxed()
}

async fn open(log: &EventLog, at: &TopicPartition, from: u64) -> Result<Reader, ReadError> {
    log.reader(at, from).await.map_err(as_read_error)
}

async fn earliest(log: &EventLog, at: &TopicPartition) -> Result<u64, ReadError> {
    Ok(log.bounds(at).await.map_err(as_read_error)?.earliest)
}

fn as_read_error(cause: eventlog::LogError) -> ReadError {
    let words = cause.to_string();
    match cause.disposition() {
        Disposition::Retry => ReadError::Unavailable { cause: words },
        Disposition::Park | Disposition::Stop => ReadError::Fatal { cause: words },
    }
}
