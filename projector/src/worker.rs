//! One partition of one projection: takes its batches in order, and applies them one transaction at a time.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use eventlog::{Batch, ConsumerHandle, Stored, TopicPartition};
use service::Clock;
use store::{Disposition, Moved, OffsetMove, StoreError, ViewsDb};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::projection::{Changes, Projection};

/// More than this waiting, in bytes, and the partition is paused; less than that and it goes on.
const FULL: usize = 4 << 20;
const ROOM: usize = 1 << 20;
/// A transaction that takes longer is given up; whether it was committed shows when it is tried again.
const APPLY: Duration = Duration::from_secs(60);
/// Batches are committed without waiting for the disk. So often it is made sure that they got there: a crash of PostgreSQL
/// may have taken the last ones back, and without new records nobody would notice.
const SETTLE_EVERY: Duration = Duration::from_secs(1);

/// What the workers of a projection share.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) projection: Projection,
    pub(crate) db: ViewsDb,
    pub(crate) handle: ConsumerHandle,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
    pub(crate) config: Arc<Config>,
}

/// How much of a partition waits for its worker.
#[derive(Default)]
pub(crate) struct Backlog(Mutex<(usize, bool)>);

impl Backlog {
    /// Counts what was handed over, and pauses the partition when it is much.
    pub(crate) async fn add(&self, bytes: usize, at: &TopicPartition, handle: &ConsumerHandle) {
        let mut state = self.0.lock().await;
        state.0 += bytes;
        if state.0 > FULL && !state.1 {
            state.1 = true;
            // A partition that is no longer ours is about to be revoked.
            let _ = handle.pause(at).await;
        }
    }

    async fn done(&self, bytes: usize, at: &TopicPartition, handle: &ConsumerHandle) {
        let mut state = self.0.lock().await;
        state.0 = state.0.saturating_sub(bytes);
        if state.0 <= ROOM && state.1 {
            state.1 = false;
            // As above.
            let _ = handle.resume(at).await;
        }
    }
}

/// Why a worker ended.
#[derive(Debug)]
pub(crate) enum End {
    /// It was told to.
    Stopped,
    /// Another projector was here: read on from this offset.
    Seek(u64),
}

/// Whether what was applied is on disk.
enum Settled {
    Yes,
    /// PostgreSQL is away.
    NotYet,
    /// The place in the rows is another one.
    Overtaken(u64),
}

pub(crate) struct Worker {
    pub(crate) around: Surroundings,
    pub(crate) at: TopicPartition,
    /// What the offset row says, or would.
    pub(crate) position: u64,
    pub(crate) queue: mpsc::UnboundedReceiver<Batch>,
    pub(crate) backlog: Arc<Backlog>,
    pub(crate) stop: CancellationToken,
}

impl Worker {
    /// Works until it is stopped, overtaken, or meets something that waiting does not cure.
    pub(crate) async fn run(mut self) -> anyhow::Result<End> {
        let mut left_over = None;
        let mut settled = Instant::now();
        let mut unsettled = false;
        loop {
            let batch = match left_over.take() {
                Some(batch) => batch,
                None => tokio::select! {
                    biased;
                    () = self.stop.cancelled() => break,
                    batch = self.queue.recv() => match batch {
                        Some(batch) => batch,
                        None => break,
                    },
                    () = tokio::time::sleep_until(settled + SETTLE_EVERY), if unsettled => {
                        match self.settle().await? {
                            Settled::Yes => unsettled = false,
                            Settled::NotYet => {}
                            Settled::Overtaken(stored) => return Ok(self.overtaken(stored)),
                        }
                        settled = Instant::now();
                        continue;
                    }
                },
            };
            let (whole, rest) = self.gather(batch).await;
            left_over = rest;
            let bytes = whole.size_bytes();
            match self.step(&whole.records).await? {
                Some(End::Stopped) => break,
                Some(end @ End::Seek(_)) => return Ok(end),
                None => unsettled = true,
            }
            drop(whole);
            self.backlog.done(bytes, &self.at, &self.around.handle).await;
            if settled.elapsed() > SETTLE_EVERY {
                match self.settle().await? {
                    Settled::Yes => unsettled = false,
                    Settled::NotYet => {}
                    Settled::Overtaken(stored) => return Ok(self.overtaken(stored)),
                }
                settled = Instant::now();
            }
        }
        if unsettled {
            self.commit().await;
        }
        Ok(End::Stopped)
    }

    /// What is there by now, up to a full transaction; and the batch that did not fit.
    async fn gather(&mut self, mut whole: Batch) -> (Batch, Option<Batch>) {
        let mut bytes = whole.size_bytes();
        let limit = self.around.config.max_batch;
        let deadline = Instant::now() + self.around.config.linger;
        while whole.records.len() < limit && bytes < FULL {
            let Ok(Some(batch)) = tokio::time::timeout_at(deadline, self.queue.recv()).await else { break };
            if whole.records.len() + batch.records.len() > limit {
                return (whole, Some(batch));
            }
            bytes += batch.size_bytes();
            whole.records.extend(batch.records);
        }
        (whole, None)
    }

    /// Applies these records. `None`: done.
    async fn step(&mut self, records: &[Stored]) -> anyhow::Result<Option<End>> {
        let new = records.partition_point(|stored| stored.offset < self.position);
        let records = records.get(new..).unwrap_or_default();
        let Some(last) = records.last() else { return Ok(None) };
        let next = last.offset + 1;
        let projection = self.around.projection.clone();
        let changes = projection.fold(&self.at.topic, records, &self.around.metrics);
        let mut backoff = Backoff::new();
        loop {
            match self.apply(next, &changes).await {
                Ok(Moved::Applied) => break,
                Ok(Moved::Conflict) => match self.stored().await {
                    // Our own transaction of which we never heard.
                    Ok(Some(stored)) if stored == next => break,
                    Ok(Some(stored)) => return Ok(Some(self.overtaken(stored))),
                    Ok(None) => return Err(self.nowhere()),
                    Err(cause) => {
                        if self.pause(cause, &mut backoff).await? {
                            return Ok(Some(End::Stopped));
                        }
                    }
                },
                Err(cause) => {
                    if self.pause(cause, &mut backoff).await? {
                        return Ok(Some(End::Stopped));
                    }
                }
            }
        }
        self.position = next;
        let labels = [projection.name()];
        self.around.metrics.records.with_label_values(&labels).inc_by(records.len() as u64);
        self.around.metrics.batches.with_label_values(&[projection.name(), "applied"]).inc();
        if let Changes::Conversation { received_ms: Some(received_ms), .. } = changes {
            let waited = self.around.clock.now_ms().saturating_sub(received_ms).max(0);
            self.around.metrics.visible.observe(waited as f64 / 1000.0);
        }
        Ok(None)
    }

    async fn apply(&self, next: u64, changes: &Changes) -> Result<Moved, StoreError> {
        let projection = &self.around.projection;
        let step = OffsetMove {
            projection: projection.name(),
            topic: self.at.topic.as_str(),
            partition: self.at.partition,
            expected: self.position,
            next,
        };
        let _timer = self.around.metrics.apply.with_label_values(&[projection.name()]).start_timer();
        timeout(APPLY, projection.apply(&self.around.db, &step, changes))
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable { cause: "a transaction took too long".into() }))
    }

    async fn stored(&self) -> Result<Option<u64>, StoreError> {
        let name = self.around.projection.name();
        self.around.db.offset(name, self.at.topic.as_str(), self.at.partition).await
    }

    fn overtaken(&self, stored: u64) -> End {
        let name = self.around.projection.name();
        self.around.metrics.batches.with_label_values(&[name, "conflict"]).inc();
        info!(projection = name, at = %self.at, from = self.position, to = stored, "another projector was at {}; going on where it is", self.at);
        End::Seek(stored)
    }

    /// Waits before the same batch is tried again; true when it is to be left.
    async fn pause(&self, cause: StoreError, backoff: &mut Backoff) -> anyhow::Result<bool> {
        let name = self.around.projection.name();
        if cause.disposition() == Disposition::Stop {
            return Err(cause).with_context(|| format!("applying {} to the {name} view", self.at));
        }
        self.around.metrics.retries.with_label_values(&[name]).inc();
        let pause = backoff.next();
        warn!(projection = name, at = %self.at, error = %cause, pause_ms = pause.as_millis() as u64, "the {name} view waits for PostgreSQL");
        tokio::select! {
            () = self.stop.cancelled() => Ok(true),
            () = tokio::time::sleep(pause) => Ok(false),
        }
    }

    async fn settle(&self) -> anyhow::Result<Settled> {
        let name = self.around.projection.name();
        let (topic, partition) = (self.at.topic.as_str(), self.at.partition);
        let place = async {
            if self.around.db.confirm_offset(name, topic, partition, self.position).await? {
                return Ok(Some(self.position));
            }
            self.stored().await
        };
        match place.await {
            Ok(Some(stored)) if stored == self.position => {
                self.commit().await;
                Ok(Settled::Yes)
            }
            Ok(Some(stored)) => Ok(Settled::Overtaken(stored)),
            Ok(None) => Err(self.nowhere()),
            Err(cause) if cause.disposition() == Disposition::Stop => {
                Err(cause).with_context(|| format!("looking where the {name} view is in {}", self.at))
            }
            Err(_) => Ok(Settled::NotYet),
        }
    }

    /// It was begun durably before anything was read.
    fn nowhere(&self) -> anyhow::Error {
        let name = self.around.projection.name();
        anyhow!(
            "PostgreSQL no longer knows where the {name} view is in {}: was its database replaced while it ran? Start the projector again",
            self.at
        )
    }

    async fn commit(&self) {
        // For onlookers only: the position that counts stands with the rows.
        let _ = timeout(SETTLE_EVERY, self.around.handle.commit(&self.at, self.position)).await;
    }
}
