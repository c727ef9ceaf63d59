//! Making the conversation view anew from the log, beside the one that is read, and putting it in its place.
//!
//! The new one is folded by the same code from the start of `events`, compared with the old one at the same place of the
//! log, and switched to in one transaction. Nothing hangs on it but rows: no coverage, no files, no feed. It can be broken off
//! anywhere (dropping the future, a crash, kill -9) and goes on where it was when it is called again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use eventlog::{EventLog, LogError, ReadError, Topic, TopicPartition};
use schemas::Topics;
use secrecy::SecretString;
use store::{Held, Rebuild, StoreError, TableDifference};
use tokio::task::JoinSet;
use tracing::info;

use crate::rebuild_course::{Common, Course, Ended, Hand};

/// So close to the live view, in records, the rest is read while that is held up.
const CLOSE: u64 = 1_000;
/// More than that is not: it is caught up with first.
const FAR: u64 = 20_000;
/// How long the switch waits for tables in use, the first time and at most, milliseconds. Who begins to read then waits too.
const FIRST_MS: u32 = 25;
const LONGEST_MS: u32 = 400;
/// How long the live view may not move while it is behind.
const STANDS: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);
const PAUSE: Duration = Duration::from_millis(200);
const TOLD_EVERY: Duration = Duration::from_millis(200);

/// How a view is made anew. Each setting has a default.
#[derive(Debug, Clone)]
pub struct RebuildConfig {
    /// Make it and compare it, and do not put it in the other one's place. Default: no.
    pub dry_run: bool,
    /// The most records that one transaction applies. Default: 5,000.
    pub max_batch: usize,
    /// How many partitions are read at once. Default: 4.
    pub workers: usize,
    /// How many records the live view may be behind the log in a partition before it is given way. Default: 10,000.
    pub lag: u64,
    /// How long the switch is tried while the tables are in use, as by a backup, and at most half a minute while the view that
    /// is read does not follow the log. Default: 10 min.
    pub patience: Duration,
}

impl Default for RebuildConfig {
    fn default() -> Self {
        let patience = Duration::from_secs(600);
        Self { dry_run: false, max_batch: 5_000, workers: 4, lag: 10_000, patience }
    }
}

/// What it works on.
#[derive(Clone)]
pub struct RebuildParts {
    /// The views database, as the user who migrates it: the tables have to be that one's.
    pub views: SecretString,
    /// The log.
    pub log: EventLog,
    /// Its topics.
    pub topics: Topics,
    /// Tenants of which nothing is to be left, as `control` says now: their events may still be in the log.
    pub ended: Ended,
}

/// What it is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebuildStage {
    /// Reading the log.
    Reading,
    /// Comparing both views.
    Comparing,
    /// Putting the new one in the old one's place.
    Switching,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RebuildProgress {
    /// What it is doing.
    pub stage: RebuildStage,
    /// How many records of the log were read.
    pub read: u64,
    /// Of how many, as far as can be told: the live view goes on.
    pub total: u64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct RebuildReport {
    /// How many records this call read.
    pub read: u64,
    /// How many of them this version cannot read: the view lacks them.
    pub unreadable: u64,
    /// How many rows the new view has.
    pub rows: u64,
    /// How many rows were not the same in both, or in one of them only.
    pub differs: u64,
    /// How many of those say the same and are sealed otherwise: events that came twice were sealed twice.
    pub resealed: u64,
    /// The same by table.
    pub tables: Vec<TableDifference>,
    /// Whether the new view took the old one's place.
    pub switched: bool,
    /// How long this call took.
    pub seconds: f64,
}

/// Why a view was not made anew. What was made so far is kept for the next time.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// Somebody else is at it.
    #[error("the view is being rebuilt by another process; one at a time")]
    Running,
    /// The log does not go back to its start.
    #[error(
        "{at} begins at {earliest}: events from before are no longer in the log, and a view made from it would lack them"
    )]
    Shortened {
        /// Where.
        at: TopicPartition,
        /// What is left.
        earliest: u64,
    },
    /// The live view, or the one that was being made, is not where it was: the database was filled from a backup meanwhile.
    #[error("the views were changed by something else meanwhile; call it again")]
    Overtaken,
    /// The view that is read does not follow the log. What it was made from may be compacted away, and the rest not read yet.
    #[error(
        "the view is {records} records behind the log and stands still; start the projector, and call it again"
    )]
    Behind {
        /// How many.
        records: u64,
    },
    /// The tables were in use all the time.
    #[error("the tables of the view were in use for {seconds} s on end, as by a backup; call it again")]
    Busy {
        /// For how long it was tried.
        seconds: u64,
    },
    /// The log did not answer.
    #[error("the log did not answer")]
    Log(#[from] LogError),
    /// The log could not be read.
    #[error("the log could not be read")]
    Read(#[from] ReadError),
    /// PostgreSQL did not do what it was asked.
    #[error("PostgreSQL did not do it")]
    Store(#[from] StoreError),
    /// A part of it broke.
    #[error("a part of it broke")]
    Broken(#[source] tokio::task::JoinError),
}

impl RebuildError {
    /// Whether calling it again in a moment may get further. No `_` arm: a new variant has to be classified here.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Running | Self::Overtaken | Self::Busy { .. } => true,
            Self::Log(cause) => cause.disposition() == eventlog::Disposition::Retry,
            Self::Read(cause) => cause.disposition() == eventlog::Disposition::Retry,
            Self::Store(cause) => cause.disposition() == store::Disposition::Retry,
            Self::Shortened { .. } | Self::Behind { .. } | Self::Broken(_) => false,
        }
    }
}

/// Makes the conversation view anew from the start of `events` and puts it in place of the one that is read, whether they are
/// the same or not: that they are not is what it is for. Readers and the projector go on meanwhile. Dropping the future breaks
/// it off.
///
/// # Errors
/// See [`RebuildError`]; what was made so far is kept, and the next call goes on there.
pub async fn rebuild(
    parts: &RebuildParts,
    config: &RebuildConfig,
    mut progress: impl FnMut(RebuildProgress) + Send,
) -> Result<RebuildReport, RebuildError> {
    let began = Instant::now();
    let topic = Topic::new(parts.topics.events())?;
    let workers = config.workers.max(1);
    let turn = Rebuild::begin(&parts.views, topic.as_str(), workers).await?;
    let mut turn = turn.ok_or(RebuildError::Running)?;
    let common = Common {
        log: parts.log.clone(),
        ended: parts.ended.clone(),
        max_batch: config.max_batch.max(1),
        lag: config.lag,
        read: Arc::default(),
        unreadable: Arc::default(),
    };
    let mut work = Work { courses: courses(&common, &topic, &turn).await?, common, workers };
    info!(read = work.position(), "the conversation view is made anew");

    work.catch_up(&mut turn, &mut progress).await?;
    turn.prepare().await?;
    if !config.dry_run {
        work.live_follows(&turn, config.patience).await?;
    }
    let look = loop {
        work.catch_up(&mut turn, &mut progress).await?;
        let mut held = turn.hold().await?;
        if work.level(&mut held).await? {
            break held.look().await?;
        }
        held.release().await?;
    };
    progress(work.progress(RebuildStage::Comparing, 0));
    let tables = look.compare().await?;
    let sum = |of: fn(&TableDifference) -> u64| tables.iter().map(of).sum();
    let mut report = RebuildReport {
        read: 0,
        unreadable: 0,
        rows: sum(|table| table.rows),
        differs: sum(|table| table.differs),
        resealed: sum(|table| table.resealed),
        tables,
        switched: !config.dry_run,
        seconds: 0.0,
    };
    if config.dry_run {
        turn.discard().await?;
    } else {
        switch(&mut work, &mut turn, config.patience, &mut progress).await?;
    }
    report.read = work.common.read.load(Ordering::Relaxed);
    report.unreadable = work.common.unreadable.load(Ordering::Relaxed);
    report.seconds = began.elapsed().as_secs_f64();
    info!(
        rows = report.rows,
        differs = report.differs,
        switched = report.switched,
        "the conversation view was made anew"
    );
    Ok(report)
}

/// Where each partition goes on.
async fn courses(common: &Common, topic: &Topic, turn: &Rebuild) -> Result<Vec<Course>, RebuildError> {
    let partitions = common.log.partitions(topic).await?.unwrap_or(0);
    let places = turn.places().await?;
    let mut courses = Vec::new();
    for partition in 0..partitions {
        let position = places.get(&partition).copied().unwrap_or(0);
        courses.push(Course::open(common.clone(), TopicPartition::new(topic, partition), position).await?);
    }
    Ok(courses)
}

async fn switch(
    work: &mut Work,
    turn: &mut Rebuild,
    patience: Duration,
    progress: &mut (impl FnMut(RebuildProgress) + Send),
) -> Result<(), RebuildError> {
    let began = Instant::now();
    let mut wait_ms = FIRST_MS;
    loop {
        progress(work.progress(RebuildStage::Switching, 0));
        turn.prepare().await?;
        work.live_follows(turn, patience).await?;
        work.catch_up(turn, progress).await?;
        let mut held = turn.hold().await?;
        if !work.level(&mut held).await? {
            held.release().await?;
            continue;
        }
        if held.switch(wait_ms).await? {
            return Ok(());
        }
        if began.elapsed() > patience {
            return Err(RebuildError::Busy { seconds: patience.as_secs() });
        }
        wait_ms = (wait_ms * 2).min(LONGEST_MS);
        tokio::time::sleep(PAUSE).await;
    }
}

struct Work {
    courses: Vec<Course>,
    common: Common,
    workers: usize,
}

impl Work {
    fn position(&self) -> u64 {
        self.courses.iter().map(Course::position).sum()
    }

    fn progress(&self, stage: RebuildStage, rest: u64) -> RebuildProgress {
        let read = self.common.read.load(Ordering::Relaxed);
        RebuildProgress { stage, read, total: read + rest }
    }

    /// How many records the live view is ahead.
    fn rest(&self, live: &BTreeMap<u32, u64>) -> Result<u64, RebuildError> {
        let mut rest = 0;
        for course in &self.courses {
            let live = live.get(&course.partition()).copied().unwrap_or(0);
            rest += live.checked_sub(course.position()).ok_or(RebuildError::Overtaken)?;
        }
        Ok(rest)
    }

    /// Reads until it is close to the live view.
    async fn catch_up(
        &mut self,
        turn: &mut Rebuild,
        progress: &mut (impl FnMut(RebuildProgress) + Send),
    ) -> Result<(), RebuildError> {
        loop {
            let live = turn.live_places().await?;
            let rest = self.rest(&live)?;
            if rest <= CLOSE {
                return Ok(());
            }
            let already = self.common.read.load(Ordering::Relaxed);
            let tell = |read: &AtomicU64| RebuildProgress {
                stage: RebuildStage::Reading,
                read: read.load(Ordering::Relaxed),
                total: already + rest,
            };
            let mut waiting: Vec<Course> = self.courses.drain(..).rev().collect();
            let mut running = JoinSet::new();
            let mut told = tokio::time::interval(TOLD_EVERY);
            loop {
                while running.len() < self.workers
                    && let Some(mut course) = waiting.pop()
                {
                    let target = live.get(&course.partition()).copied().unwrap_or(0);
                    let writer = turn.writer();
                    running.spawn(async move {
                        course.run_to(target, Hand::Beside(&writer)).await.map(|()| course)
                    });
                }
                tokio::select! {
                    ended = running.join_next() => match ended {
                        Some(ended) => self.courses.push(ended.map_err(RebuildError::Broken)??),
                        None => break,
                    },
                    _ = told.tick() => progress(tell(&self.common.read)),
                }
            }
            self.courses.sort_by_key(Course::partition);
            progress(tell(&self.common.read));
        }
    }

    /// Waits until the live view has read everything that the log holds now: an event that came once more stands there only
    /// where it came last, once the log is compacted, and a view without it must not take the place of one with it.
    async fn live_follows(&mut self, turn: &Rebuild, patience: Duration) -> Result<(), RebuildError> {
        let mut ends = BTreeMap::new();
        let places: Vec<TopicPartition> = self.courses.iter().map(|course| course.at().clone()).collect();
        for at in places {
            ends.insert(at.partition, self.common.log.bounds(&at).await?.end);
        }
        let (mut moved, mut least) = (Instant::now(), u64::MAX);
        loop {
            let live = turn.live_places().await?;
            let behind = |(at, end): (&u32, &u64)| end.saturating_sub(live.get(at).copied().unwrap_or(0));
            let records: u64 = ends.iter().map(behind).sum();
            if records == 0 {
                return Ok(());
            }
            if records < least {
                (moved, least) = (Instant::now(), records);
            }
            if moved.elapsed() > patience.min(STANDS) {
                return Err(RebuildError::Behind { records });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Brings the new view to where the live one stands. False when that is too far to keep everybody waiting.
    async fn level(&mut self, held: &mut Held<'_>) -> Result<bool, RebuildError> {
        let live = held.live_places().await?;
        if self.rest(&live)? > FAR {
            return Ok(false);
        }
        for course in &mut self.courses {
            let target = live.get(&course.partition()).copied().unwrap_or(0);
            course.run_to(target, Hand::Held(held)).await?;
        }
        let ended: Vec<_> = (self.common.ended)().into_iter().collect();
        held.leave_out(&ended).await?;
        Ok(true)
    }
}
