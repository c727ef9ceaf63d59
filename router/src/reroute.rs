//! Routing again what was parked, quarantined or missing. Two readers, so that no race leaves anything parked: one of
//! `control`, which looks at every pointer judged before a connect; one of `quarantine`, which looks at each new pointer
//! with a state at least as new as `control` is then (`docs/adr/0004-parked-pointers.md`).

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use eventlog::{Batch, Delivery as Told, Disposition, ReadError, Stored, Subscription, Topic, TopicPartition};
use schemas::{Action, ControlRecord, Pointer, RawRef};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::engine::{Delivery, Engine};
use crate::error::RouteError;
use crate::judge::Wanted;
use crate::trigger::{Freed, Trigger};
use crate::worker::Patience;

const BATCH: usize = 500;
/// Deliveries routed again at once.
const CHUNK: usize = 200;
/// Wanted deliveries closer than this are read through; farther ones are sought.
const STRIDE: u64 = 1_000;
const WAIT: Duration = Duration::from_secs(2);
const AWAY: Duration = Duration::from_millis(500);

/// What a re-routing reader reads.
#[derive(Debug, Clone, Copy)]
enum Watch {
    Control,
    Pointers,
}

impl Watch {
    const fn group(self) -> &'static str {
        match self {
            Self::Control => "router-control",
            Self::Pointers => "router-parked",
        }
    }
}

pub(crate) struct Rerouter {
    engine: Engine,
    member: String,
}

impl Rerouter {
    pub(crate) fn new(engine: Engine, member: String) -> Self {
        Self { engine, member }
    }

    pub(crate) async fn run(self, stop: CancellationToken) -> Result<(), RouteError> {
        let control = Topic::new(self.engine.topics.control())?;
        let quarantine = Topic::new(self.engine.topics.quarantine())?;
        let of_control = self.follow(Watch::Control, control, &stop);
        let of_pointers = self.follow(Watch::Pointers, quarantine, &stop);
        tokio::try_join!(of_control, of_pointers).map(drop)
    }

    /// Reads a topic as a group member, a batch at a time, committing what is done.
    async fn follow(
        &self, watch: Watch, topic: Topic, stop: &CancellationToken,
    ) -> Result<(), RouteError> {
        let group = watch.group();
        let subscription =
            Subscription { group: group.into(), member: self.member.clone(), topics: vec![topic], max_batch: BATCH };
        let mut consumer = self.engine.log.subscribe(subscription).await?;
        let handle = consumer.handle();
        loop {
            let told = tokio::select! {
                () = stop.cancelled() => break,
                told = consumer.next() => told,
            };
            match told {
                Ok(Told::Assigned(assignment)) => assignment.start(HashMap::new()),
                Ok(Told::Revoked(_)) => {}
                Ok(Told::Batch(batch)) => {
                    tokio::select! {
                        () = stop.cancelled() => break,
                        done = self.work(watch, &batch) => done?,
                    }
                    if let Err(cause) = handle.commit(&batch.source, batch.next_offset()).await {
                        // Whoever reads it next does it again, which is harmless.
                        warn!(error = %cause, group, "a position could not be committed");
                    }
                }
                Err(cause) if cause.disposition() == Disposition::Stop => return Err(cause.into()),
                Err(cause) => {
                    warn!(error = %cause, group, "the log is away");
                    tokio::time::sleep(AWAY).await;
                }
            }
        }
        consumer.close().await;
        Ok(())
    }

    async fn work(&self, watch: Watch, batch: &Batch) -> Result<(), RouteError> {
        let mut patience = Patience::default();
        loop {
            let done = match watch {
                Watch::Control => self.triggered(batch).await,
                Watch::Pointers => self.late(batch).await,
            };
            match done {
                Ok(()) => return Ok(()),
                Err(cause) => patience.wait(&self.engine, cause).await?,
            }
        }
    }

    /// Records of `control`: connects and resumptions free pointers, and operators name deliveries.
    async fn triggered(&self, batch: &Batch) -> Result<(), RouteError> {
        let mut triggers = Vec::new();
        let mut named: BTreeMap<RawRef, Wanted> = BTreeMap::new();
        let mut cause = "redrive";
        for stored in &batch.records {
            let Ok(record) = serde_json::from_slice::<ControlRecord>(stored.record.value.as_deref().unwrap_or_default())
            else {
                continue; // Of a newer version: the control plane has said so.
            };
            triggers.extend(Trigger::of(stored.offset, &record));
            match &record.action {
                Action::QuarantineRedriven { raw } => {
                    named.extend(raw.iter().map(|raw| (*raw, Wanted::All { attempts: 0 })));
                }
                Action::HolesRerouted { raw } => {
                    cause = "hole";
                    named.extend(raw.iter().map(|raw| (*raw, Wanted::All { attempts: 0 })));
                }
                _ => {}
            }
        }
        let pointers = if triggers.is_empty() && named.is_empty() { Vec::new() } else { self.pointers().await? };
        if !triggers.is_empty() {
            // At least everything this batch says, and what came after it.
            let state = self.engine.plane.caught_up().await?;
            let mut freed = Freed::default();
            for pointer in &pointers {
                freed.consider(pointer, &state, Some(&triggers));
            }
            self.route(freed.0.into_iter().map(|(raw, items)| (raw, Wanted::Parked(items))).collect(), "connect").await?;
        }
        for pointer in &pointers {
            if let Some(Wanted::All { attempts }) = named.get_mut(&pointer.raw) {
                *attempts = pointer.attempts.max(*attempts);
            }
        }
        self.route(named.into_iter().collect(), cause).await
    }

    /// New pointers, each looked at with a state at least as new as `control` is now.
    async fn late(&self, batch: &Batch) -> Result<(), RouteError> {
        let state = self.engine.plane.caught_up().await?;
        let mut freed = Freed::default();
        for pointer in batch.records.iter().filter_map(pointer) {
            freed.consider(&pointer, &state, None);
        }
        self.route(freed.0.into_iter().map(|(raw, items)| (raw, Wanted::Parked(items))).collect(), "late_pointer").await
    }

    /// Every pointer in `quarantine` up to its end now.
    async fn pointers(&self) -> Result<Vec<Pointer>, RouteError> {
        let topic = Topic::new(self.engine.topics.quarantine())?;
        let partitions = self.engine.log.partitions(&topic).await?.unwrap_or(0);
        let mut pointers = Vec::new();
        for at in (0..partitions).map(|partition| TopicPartition::new(&topic, partition)) {
            let bounds = self.engine.log.bounds(&at).await?;
            let mut reader = self.engine.log.reader(&at, bounds.earliest).await?;
            let mut next = bounds.earliest;
            while next < bounds.end {
                let records = reader.next(BATCH, WAIT).await?;
                let Some(last) = records.last() else { break };
                next = last.offset + 1;
                pointers.extend(records.iter().filter_map(pointer));
            }
        }
        Ok(pointers)
    }

    /// Reads these deliveries from `raw` and routes what is wanted of them.
    async fn route(&self, wanted: Vec<(RawRef, Wanted)>, cause: &'static str) -> Result<(), RouteError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let raw = Topic::new(self.engine.topics.raw())?;
        let (mut routed, mut gone, count) = (0, 0, wanted.len());
        for chunk in wanted.chunks(CHUNK) {
            let mut deliveries = Vec::new();
            for same in chunk.chunk_by(|(a, _), (b, _)| a.partition == b.partition) {
                gone += self.fetch(&raw, same, &mut deliveries).await?;
            }
            routed += self.engine.route(&deliveries).await?;
        }
        self.engine.metrics.rerouted.with_label_values(&[cause]).inc_by(routed as u64);
        self.engine.metrics.gone.inc_by(gone);
        if gone > 0 {
            error!(cause, "{gone} of {count} deliveries to be routed again are no longer in the raw log");
        }
        info!(cause, "routed {routed} items of {count} deliveries again");
        Ok(())
    }

    /// Reads deliveries of one partition, in order of offset; returns how many the log no longer has.
    async fn fetch(
        &self, topic: &Topic, wanted: &[(RawRef, Wanted)], into: &mut Vec<Delivery>,
    ) -> Result<u64, RouteError> {
        let Some((first, _)) = wanted.first() else { return Ok(0) };
        let at = TopicPartition::new(topic, first.partition);
        let bounds = self.engine.log.bounds(&at).await?;
        let mut gone = 0;
        let mut reader = None;
        let mut read: std::collections::VecDeque<Stored> = std::collections::VecDeque::new();
        let mut position = 0;
        for (raw, what) in wanted {
            if raw.offset < bounds.earliest || raw.offset >= bounds.end {
                gone += 1;
                continue;
            }
            if reader.is_none() || raw.offset > position + STRIDE {
                reader = Some(self.engine.log.reader(&at, raw.offset).await?);
                read.clear();
                position = raw.offset;
            }
            let found = loop {
                match read.front() {
                    Some(stored) if stored.offset < raw.offset => _ = read.pop_front(),
                    Some(stored) if stored.offset == raw.offset => break read.pop_front(),
                    Some(_) => break None,
                    None => {
                        let Some(reader) = reader.as_mut() else { break None };
                        match reader.next(CHUNK, WAIT).await {
                            Ok(records) if records.is_empty() => break None,
                            Ok(records) => {
                                position = records.last().map_or(position, |stored| stored.offset + 1);
                                read.extend(records);
                            }
                            Err(ReadError::Gone { .. }) => break None,
                            Err(cause) => return Err(cause.into()),
                        }
                    }
                }
            };
            match found {
                Some(stored) => into.push(Delivery { raw: *raw, record: stored.record, wanted: what.clone() }),
                None => gone += 1,
            }
        }
        Ok(gone)
    }
}

fn pointer(stored: &Stored) -> Option<Pointer> {
    serde_json::from_slice(stored.record.value.as_deref()?).ok()
}
