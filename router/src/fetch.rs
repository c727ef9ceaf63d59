//! Raw deliveries by position, asked for in order: one reader for each partition, read through where they are close.

use std::collections::VecDeque;
use std::time::Duration;

use eventlog::{Bounds, EventLog, ReadError, Reader, Record, Stored, Topic, TopicPartition};
use schemas::RawRef;

use crate::error::RouteError;

const READ: usize = 200;
/// Wanted deliveries closer than this are read through; farther ones are sought.
const STRIDE: u64 = 1_000;
const WAIT: Duration = Duration::from_secs(2);

/// What to say when the log has a record and does not give it: the work is tried again, never passed over.
pub(crate) fn silent() -> ReadError {
    ReadError::Unavailable { cause: "it holds more records than it gave".into() }
}

pub(crate) struct Fetch {
    log: EventLog,
    topic: Topic,
    partitions: u32,
    open: Option<Open>,
}

struct Open {
    at: TopicPartition,
    bounds: Bounds,
    cursor: Option<Cursor>,
}

struct Cursor {
    reader: Reader,
    read: VecDeque<Stored>,
    /// The offset behind the last record that was read.
    next: u64,
}

impl Fetch {
    pub(crate) async fn new(log: &EventLog, topic: Topic) -> Result<Self, RouteError> {
        let partitions = log.partitions(&topic).await?.unwrap_or(0);
        Ok(Self { log: log.clone(), topic, partitions, open: None })
    }

    /// The delivery at this position; `None` when the log has it no longer, or never had. Positions must ascend.
    pub(crate) async fn get(&mut self, raw: RawRef) -> Result<Option<Record>, RouteError> {
        // Operators name positions too.
        if raw.partition >= self.partitions {
            return Ok(None);
        }
        let open = match self.open.take() {
            Some(open) if open.at.partition == raw.partition => open,
            _ => {
                let at = TopicPartition::new(&self.topic, raw.partition);
                let bounds = self.log.bounds(&at).await?;
                Open { at, bounds, cursor: None }
            }
        };
        let open = self.open.insert(open);
        if raw.offset < open.bounds.earliest || raw.offset >= open.bounds.end {
            return Ok(None);
        }
        let cursor = match open.cursor.take() {
            Some(cursor) if raw.offset <= cursor.next.saturating_add(STRIDE) => cursor,
            _ => {
                let reader = self.log.reader(&open.at, raw.offset).await?;
                Cursor { reader, read: VecDeque::new(), next: raw.offset }
            }
        };
        let cursor = open.cursor.insert(cursor);
        let found = cursor.get(raw.offset).await;
        if let Err(ReadError::Gone { .. }) = found {
            // Retention went on meanwhile.
            self.open = None;
            return Ok(None);
        }
        Ok(found?)
    }
}

impl Cursor {
    async fn get(&mut self, offset: u64) -> Result<Option<Record>, ReadError> {
        loop {
            while let Some(stored) = self.read.pop_front() {
                if stored.offset == offset {
                    return Ok(Some(stored.record));
                }
                if stored.offset > offset {
                    self.read.push_front(stored);
                    return Ok(None);
                }
            }
            let records = self.reader.next(READ, WAIT).await?;
            self.next = records.last().ok_or_else(silent)?.offset + 1;
            self.read.extend(records);
        }
    }
}
