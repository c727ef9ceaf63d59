//! Working the queue: looks at what is due, does as much at once as there is room for, and lets nobody's trouble be
//! another's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use store::{Disposition, QueueJob, QueueLook, QueueTicket, QueueWork};
use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::error::{Fatal, Scope};
use crate::job::{Ended, Worker, millis};
use crate::lanes::{Budget, LaneId, Lanes};
use crate::patience::Patience;
use crate::shelf::{LIMIT, PER_ASSET, Shelf};

/// How many removals are done at the same time.
const REMOVALS: usize = 4;
/// A look at what is new goes back so far: what was queued then may not have been there for the last one.
const OVERLAP: Duration = Duration::from_secs(5);
/// How often everything is looked at, whatever seems to be there.
const ALL: Duration = Duration::from_secs(60);
/// A look leaves the database alone for so many times as long as it took; a look at everything for longer.
const QUIET: u32 = 4;
const QUIET_ALL: u32 = 10;

/// A worker on one kind of work.
pub(crate) struct Desk {
    worker: Worker,
    work: QueueWork,
    at_once: usize,
    wake: Arc<Notify>,
    lanes: Lanes,
    shelf: Shelf,
    running: JoinSet<Ended>,
    /// What each running task does.
    tasks: HashMap<Id, (LaneId, QueueTicket)>,
    /// With the queue.
    patience: Patience,
    /// With every other part of ours; there while one is away.
    away: Option<Patience>,
    /// Nothing is begun before that.
    pause: Instant,
    /// When to look at what is new, and at everything.
    look: Instant,
    look_all: Instant,
    /// Neither before that.
    quiet: Instant,
    quiet_all: Instant,
    /// Up to when what became due was looked at.
    seen_ms: i64,
}

impl Desk {
    pub(crate) fn new(worker: Worker, work: QueueWork, wake: Arc<Notify>) -> Self {
        let config = &worker.config;
        let at_once = match work {
            QueueWork::Fetch => config.at_once.max(1),
            QueueWork::Remove => REMOVALS,
        };
        let budget = match work {
            // Whatever one tenant does, there is room for another.
            QueueWork::Fetch => {
                Budget { at_once, per_tenant: at_once - at_once / 4, per_asset: config.per_asset.max(1) }
            }
            QueueWork::Remove => Budget { at_once, per_tenant: at_once, per_asset: at_once },
        };
        let now = Instant::now();
        Self {
            lanes: Lanes::new(budget, config.rest),
            worker,
            work,
            at_once,
            wake,
            shelf: Shelf::default(),
            running: JoinSet::new(),
            tasks: HashMap::new(),
            patience: Patience::long(),
            away: None,
            pause: now,
            look: now,
            look_all: now,
            quiet: now,
            quiet_all: now,
            seen_ms: i64::MIN,
        }
    }

    /// Works until stopped, or until the queue refuses us. What is being done then may take the grace to finish; what is cut
    /// short goes back into the queue.
    pub(crate) async fn run(mut self, stop: &CancellationToken) -> Result<(), Fatal> {
        let wake = self.wake.clone();
        let mut keep = tokio::time::interval((self.worker.config.lease / 3).max(Duration::from_millis(10)));
        keep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let ended = loop {
            let worked = async {
                self.look().await?;
                self.begin().await
            };
            if let Err(cause) = worked.await {
                break Err(cause);
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break Ok(()),
                Some(ended) = self.running.join_next_with_id() => self.ended(ended),
                _ = keep.tick() => self.keep().await,
                () = wake.notified() => self.look = Instant::now(),
                () = tokio::time::sleep_until(self.look.max(self.quiet)) => {}
            }
        };
        self.finish().await;
        ended
    }

    /// Looks at what is due, when it is time to.
    async fn look(&mut self) -> Result<(), Fatal> {
        let now = Instant::now();
        if now < self.look.max(self.quiet) {
            return Ok(());
        }
        let poll = self.worker.config.poll;
        let is_all = now >= self.quiet_all && (now >= self.look_all || self.shelf.is_dry());
        let now_ms = self.worker.clock.now_ms();
        let after_ms = if is_all { i64::MIN } else { self.seen_ms.saturating_sub(millis(OVERLAP)) };
        let look = QueueLook { work: self.work, after_ms, now_ms, per_asset: PER_ASSET, limit: LIMIT };
        match self.worker.db.due_attachments(&look).await {
            Ok(found) if is_all => self.shelf.restock(found),
            Ok(found) => self.shelf.add(found),
            Err(cause) => return self.queue_is_away(cause),
        }
        self.patience = Patience::long();
        self.seen_ms = now_ms;
        self.lanes.tidy(now_ms);
        let (took, now) = (now.elapsed(), Instant::now());
        self.look = now + poll;
        self.quiet = now + took * QUIET;
        if is_all {
            (self.look_all, self.quiet_all) = (now + ALL, now + took * QUIET_ALL);
        }
        Ok(())
    }

    /// Begins as many jobs as there is room for.
    async fn begin(&mut self) -> Result<(), Fatal> {
        // While a part of ours is away, one job tells whether it is back.
        let limit = if self.away.is_some() { 1 } else { self.at_once };
        while self.running.len() < limit && Instant::now() >= self.pause {
            let now_ms = self.worker.clock.now_ms();
            let mut chosen = Vec::new();
            while self.running.len() + chosen.len() < limit
                && let Some(lane) = self.lanes.next(self.shelf.waiting(), now_ms)
                && let Some(job) = self.shelf.take(&lane)
            {
                self.lanes.begin(&lane, now_ms);
                chosen.push(job);
            }
            if chosen.is_empty() {
                return Ok(());
            }
            let until_ms = now_ms.saturating_add(millis(self.worker.config.lease));
            let claimed = self.worker.db.claim_attachments(&chosen, now_ms, until_ms).await;
            let jobs = match claimed {
                Ok(jobs) => jobs,
                Err(cause) => {
                    for job in chosen {
                        self.lanes.neither(&(job.tenant, job.asset));
                    }
                    // They are in the queue still, and not on the shelf.
                    self.look_all = Instant::now();
                    return self.queue_is_away(cause);
                }
            };
            for missing in chosen {
                let is_ours = |job: &QueueJob| {
                    (&job.ticket.tenant, job.ticket.attachment) == (&missing.tenant, missing.attachment)
                };
                if !jobs.iter().any(is_ours) {
                    // Another was faster, or nobody wants it any more.
                    self.lanes.neither(&(missing.tenant, missing.asset));
                }
            }
            for job in jobs {
                self.spawn(job);
            }
        }
        Ok(())
    }

    fn queue_is_away(&mut self, cause: store::StoreError) -> Result<(), Fatal> {
        if cause.disposition() == Disposition::Stop {
            return Err(cause.into());
        }
        let until = Instant::now() + self.patience.due();
        (self.quiet, self.pause) = (until, until);
        warn!(error = %cause, "the queue of files does not answer");
        Ok(())
    }

    fn spawn(&mut self, job: QueueJob) {
        let lane = (job.ticket.tenant.clone(), job.asset.clone());
        let (worker, work, ticket) = (self.worker.clone(), self.work, job.ticket.clone());
        let task = self.running.spawn(async move {
            match work {
                QueueWork::Fetch => worker.fetch(&job).await,
                QueueWork::Remove => worker.remove(&job).await,
            }
        });
        self.tasks.insert(task.id(), (lane, ticket));
        self.measure();
    }

    fn ended(&mut self, ended: Result<(Id, Ended), JoinError>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(cause) => cause.id(),
        };
        let Some((lane, _)) = self.tasks.remove(&id) else { return };
        self.measure();
        if let Ok((_, Ended::Later { scope: Scope::Here, why, .. })) = &ended {
            self.lanes.neither(&lane);
            // Of several that fail together the last one counts.
            if self.away.is_none() || self.running.is_empty() {
                let pause = self.away.get_or_insert_with(Patience::long).due();
                self.pause = self.pause.max(Instant::now() + pause);
                // Nothing else would wake it then.
                self.look = self.look.min(self.pause);
                warn!(error = why, "all files wait");
            }
            return;
        }
        self.away = None;
        match ended {
            Ok((_, Ended::Done)) => self.lanes.good(&lane),
            Ok((_, Ended::GaveUp)) => self.lanes.neither(&lane),
            Ok((_, Ended::Later { scope: Scope::Asset, after, why })) => {
                if self.lanes.bad(&lane) {
                    let (tenant, asset) = &lane;
                    let asset = asset.as_ref().map(ToString::to_string).unwrap_or_default();
                    warn!(tenant.id = %tenant, asset, error = why, "files of {asset} wait");
                }
                self.lanes.rest(&lane, after, self.worker.clock.now_ms());
            }
            Ok((_, Ended::Later { scope: Scope::File | Scope::Here, .. })) => _ = self.lanes.bad(&lane),
            Err(cause) => {
                // Its text went to standard error through the panic hook. The job comes back when its lease is over.
                error!(panicked = cause.is_panic(), "a job broke");
                self.worker.metrics.crashes.inc();
                self.lanes.bad(&lane);
            }
        }
    }

    /// What is being done stays ours.
    async fn keep(&self) {
        if self.tasks.is_empty() {
            return;
        }
        let tickets: Vec<QueueTicket> = self.tasks.values().map(|(_, ticket)| ticket.clone()).collect();
        let until_ms = self.worker.clock.now_ms().saturating_add(millis(self.worker.config.lease));
        if let Err(cause) = self.worker.db.keep_attachments(&tickets, until_ms).await {
            warn!(error = %cause, "jobs may be done twice: their lease could not be renewed");
        }
    }

    async fn finish(mut self) {
        let until = Instant::now() + self.worker.config.grace;
        while let Ok(Some(ended)) = tokio::time::timeout_at(until, self.running.join_next_with_id()).await {
            self.ended(ended);
        }
        self.running.shutdown().await;
        // Whoever works on need not wait for their lease.
        let now_ms = self.worker.clock.now_ms();
        for (_, ticket) in self.tasks.values() {
            if let Err(cause) = self.worker.db.put_back_attachment(ticket, now_ms).await {
                warn!(error = %cause, "jobs that were cut short come back when their lease is over");
                break;
            }
        }
        self.tasks.clear();
        self.measure();
    }

    fn measure(&self) {
        if self.work == QueueWork::Fetch {
            self.worker.metrics.in_flight.set(i64::try_from(self.tasks.len()).unwrap_or(i64::MAX));
        }
    }
}
