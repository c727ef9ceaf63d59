//! One partition of a view that is made anew: reads it in order up to where the view that is read is, and no further.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use eventlog::{EventLog, ReadError, Reader, Stored, TopicPartition};
use schemas::{SealedEvent, SubjectId, TenantId};
use store::{ConversationChanges, Disposition, Held, Moved, OffsetMove, RebuildWriter, StoreError};
use tracing::error;

use crate::backoff::Backoff;
use crate::fold;
use crate::rebuild::RebuildError;
use crate::runner::FETCH;

/// A batch is full at this many bytes.
const FULL: usize = 4 << 20;
const WAIT: Duration = Duration::from_secs(2);
/// So often the log may say nothing although it holds what is wanted.
const SILENCES: u32 = 30;
/// How often a batch is tried that PostgreSQL refused in passing, as when two of them met.
const TRIES: u32 = 8;
const GIVE_WAY: Duration = Duration::from_millis(100);

/// Tenants of which nothing is to be left.
pub(crate) type Ended = Arc<dyn Fn() -> BTreeSet<TenantId> + Send + Sync>;

/// Who writes what was read.
pub(crate) enum Hand<'h, 'r> {
    /// Beside the live one, which goes on.
    Beside(&'h RebuildWriter),
    /// While the live one is held up.
    Held(&'h mut Held<'r>),
}

/// What the courses of a rebuild have in common.
#[derive(Clone)]
pub(crate) struct Common {
    pub(crate) log: EventLog,
    pub(crate) ended: Ended,
    pub(crate) max_batch: usize,
    /// How far the live view may be behind the log before it is given way.
    pub(crate) lag: u64,
    pub(crate) read: Arc<AtomicU64>,
    pub(crate) unreadable: Arc<AtomicU64>,
}

pub(crate) struct Course {
    common: Common,
    at: TopicPartition,
    reader: Reader,
    waiting: VecDeque<Stored>,
    position: u64,
}

impl Course {
    /// A course that goes on at this position.
    pub(crate) async fn open(
        common: Common,
        at: TopicPartition,
        position: u64,
    ) -> Result<Self, RebuildError> {
        let bounds = common.log.bounds(&at).await?;
        if bounds.earliest > 0 {
            return Err(RebuildError::Shortened { at, earliest: bounds.earliest });
        }
        let reader = common.log.reader(&at, position).await?;
        Ok(Self { common, at, reader, waiting: VecDeque::new(), position })
    }

    pub(crate) const fn at(&self) -> &TopicPartition {
        &self.at
    }

    pub(crate) const fn partition(&self) -> u32 {
        self.at.partition
    }

    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    /// Applies everything before `target`, which the log holds.
    pub(crate) async fn run_to(&mut self, target: u64, mut hand: Hand<'_, '_>) -> Result<(), RebuildError> {
        while self.position < target {
            let (records, next) = self.gather(target).await?;
            self.apply(&records, next, &mut hand).await?;
            self.common.read.fetch_add(next - self.position, Ordering::Relaxed);
            self.position = next;
            if let Hand::Beside(writer) = &hand {
                self.give_way(writer).await?;
            }
        }
        Ok(())
    }

    /// What comes next, up to a full batch, and where it ends.
    async fn gather(&mut self, target: u64) -> Result<(Vec<Stored>, u64), RebuildError> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        let mut silences = 0;
        loop {
            while let Some(stored) = self.waiting.pop_front() {
                if stored.offset >= target {
                    // Nothing is left before it: what was there is compacted.
                    self.waiting.push_front(stored);
                    return Ok((records, target));
                }
                bytes += stored.record.size_bytes();
                let next = stored.offset + 1;
                records.push(stored);
                if next >= target || records.len() >= self.common.max_batch || bytes >= FULL {
                    return Ok((records, next));
                }
            }
            let read = match self.reader.next(FETCH, WAIT).await {
                Ok(read) => read,
                Err(ReadError::Gone { at, .. }) => {
                    let earliest = self.common.log.bounds(&at).await?.earliest;
                    return Err(RebuildError::Shortened { at, earliest });
                }
                Err(cause) => return Err(cause.into()),
            };
            if read.is_empty() {
                silences += 1;
                if silences > SILENCES {
                    let cause = format!("{} holds more records than it gives", self.at);
                    return Err(ReadError::Unavailable { cause }.into());
                }
            }
            self.waiting.extend(read);
        }
    }

    async fn apply(
        &mut self,
        records: &[Stored],
        next: u64,
        hand: &mut Hand<'_, '_>,
    ) -> Result<(), RebuildError> {
        let step = OffsetMove {
            // The store knows which.
            projection: "",
            topic: self.at.topic.as_str(),
            partition: self.at.partition,
            expected: self.position,
            next,
        };
        let mut backoff = Backoff::new();
        for left in (0..TRIES).rev() {
            let (events, unreadable) = self.decode(records);
            let people: HashSet<(TenantId, SubjectId)> =
                events.iter().filter_map(|event| Some((event.tenant.clone(), event.subject?))).collect();
            let people: Vec<_> = people.into_iter().collect();
            let ended = (self.common.ended)();
            let fold = |forgotten: &HashSet<(TenantId, SubjectId)>| {
                let mut changes = ConversationChanges::default();
                for event in events {
                    let of = |subject| forgotten.contains(&(event.tenant.clone(), subject));
                    if !ended.contains(&event.tenant) && !event.subject.is_some_and(of) {
                        fold::add(&mut changes, event);
                    }
                }
                changes
            };
            let moved = match hand {
                Hand::Beside(writer) => writer.apply(&step, &people, fold).await,
                Hand::Held(held) => held.apply(&step, &people, fold).await,
            };
            match moved {
                Ok(Moved::Applied) => {
                    self.common.unreadable.fetch_add(unreadable, Ordering::Relaxed);
                    return Ok(());
                }
                Ok(Moved::Conflict) => return Err(RebuildError::Overtaken),
                Err(cause) if cause.disposition() == Disposition::Retry && left > 0 => {
                    tokio::time::sleep(backoff.next()).await;
                }
                Err(cause) => return Err(cause.into()),
            }
        }
        Err(StoreError::Unavailable { cause: "a batch was refused again and again".into() }.into())
    }

    fn decode(&self, records: &[Stored]) -> (Vec<SealedEvent>, u64) {
        let mut unreadable = 0;
        let mut events = Vec::with_capacity(records.len());
        for stored in records {
            // What is removed from the log is in no view that is made from it.
            let Some(value) = stored.record.value.as_deref() else { continue };
            match SealedEvent::decode(|name| stored.record.header_str(name), value) {
                Ok(event) => events.push(event),
                Err(cause) => {
                    error!(at = %self.at, offset = stored.offset, error = %cause, "a record cannot be read by this version; the view that is made anew lacks what it says");
                    unreadable += 1;
                }
            }
        }
        (events, unreadable)
    }

    /// While the live view is behind and moves, the database is its own.
    async fn give_way(&mut self, writer: &RebuildWriter) -> Result<(), RebuildError> {
        loop {
            let live = writer.live_place(self.at.partition).await?;
            let end = self.common.log.bounds(&self.at).await?.end;
            if end.saturating_sub(live) <= self.common.lag {
                return Ok(());
            }
            tokio::time::sleep(GIVE_WAY).await;
            if writer.live_place(self.at.partition).await? == live {
                return Ok(());
            }
        }
    }
}
