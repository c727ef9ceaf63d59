//! Working the queue: claims what is due, as much as there is room for, and lets nobody's trouble be another's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use store::{Disposition, QueueClaim, QueueJob, QueueTicket, QueueWork};
use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::error::{Fatal, Scope};
use crate::job::{Ended, Worker, millis};
use crate::lanes::{LaneId, Lanes};
use crate::patience::Patience;

/// How many removals are done at the same time.
const REMOVALS: usize = 4;
/// A claim looks at everything that is due: this many times as long as the last one took, none is made.
const QUIET: u32 = 4;

/// A worker on one kind of work.
pub(crate) struct Desk {
    worker: Worker,
    work: QueueWork,
    at_once: usize,
    wake: Arc<Notify>,
    lanes: Lanes,
    running: JoinSet<Ended>,
    /// What each running task does.
    tasks: HashMap<Id, (LaneId, QueueTicket)>,
    /// With the queue.
    patience: Patience,
    /// With every other part of ours; there while one is away.
    away: Option<Patience>,
    /// When to look at the queue.
    look: Instant,
    /// Not before that.
    quiet: Instant,
}

impl Desk {
    pub(crate) fn new(worker: Worker, work: QueueWork, wake: Arc<Notify>) -> Self {
        let config = &worker.config;
        let (at_once, per_asset) = match work {
            QueueWork::Fetch => (config.at_once.max(1), config.per_asset.max(1)),
            QueueWork::Remove => (REMOVALS, REMOVALS),
        };
        let lanes = Lanes::new(at_once, per_asset, config.rest);
        let now = Instant::now();
        let (running, tasks, patience) = (JoinSet::new(), HashMap::new(), Patience::long());
        Self {
            worker,
            work,
            at_once,
            wake,
            lanes,
            running,
            tasks,
            patience,
            away: None,
            look: now,
            quiet: now,
        }
    }

    /// Works until stopped, or until the queue refuses us. What is being done then may take the grace to finish; what is cut
    /// short goes back into the queue.
    pub(crate) async fn run(mut self, stop: &CancellationToken) -> Result<(), Fatal> {
        let wake = self.wake.clone();
        let mut keep = tokio::time::interval((self.worker.config.lease / 3).max(Duration::from_millis(10)));
        keep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let ended = loop {
            if Instant::now() >= self.look.max(self.quiet)
                && self.running.len() < self.limit()
                && let Err(cause) = self.claim().await
            {
                break Err(cause);
            }
            let next = if self.running.len() < self.limit() {
                self.look.max(self.quiet)
            } else {
                // Nothing can be claimed before something ends.
                Instant::now() + self.worker.config.poll
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break Ok(()),
                Some(ended) = self.running.join_next_with_id() => {
                    self.ended(ended);
                    self.look = Instant::now();
                }
                _ = keep.tick() => self.keep().await,
                () = wake.notified() => self.look = Instant::now(),
                () = tokio::time::sleep_until(next) => {}
            }
        };
        self.finish().await;
        ended
    }

    /// How many jobs may be running. While a part of ours is away, one tells whether it is back.
    const fn limit(&self) -> usize {
        if self.away.is_some() { 1 } else { self.at_once }
    }

    async fn claim(&mut self) -> Result<(), Fatal> {
        let config = &self.worker.config;
        let now_ms = self.worker.clock.now_ms();
        let busy = self.lanes.busy(now_ms);
        let (per_asset, per_tenant) = match self.work {
            // Whatever one tenant does, there is room for another.
            QueueWork::Fetch => (config.per_asset.max(1), self.at_once - self.at_once / 4),
            QueueWork::Remove => (REMOVALS, REMOVALS),
        };
        let limit = self.limit().saturating_sub(self.running.len());
        let until_ms = now_ms.saturating_add(millis(config.lease));
        let claim =
            QueueClaim { work: self.work, now_ms, until_ms, limit, per_asset, per_tenant, busy: &busy };
        let began = Instant::now();
        let claimed = self.worker.db.claim_attachments(&claim).await;
        let now = Instant::now();
        match claimed {
            Ok(jobs) => {
                self.patience = Patience::long();
                self.quiet = now + (now - began) * QUIET;
                self.look = now + config.poll;
                for job in jobs {
                    self.begin(job, now_ms);
                }
                Ok(())
            }
            Err(cause) if cause.disposition() == Disposition::Retry => {
                self.quiet = now + self.patience.due();
                warn!(error = %cause, "the queue of files does not answer");
                Ok(())
            }
            Err(cause) => Err(cause.into()),
        }
    }

    fn begin(&mut self, job: QueueJob, now_ms: i64) {
        let lane = (job.ticket.tenant.clone(), job.asset.clone());
        self.lanes.begin(&lane, now_ms);
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
                self.quiet = self.quiet.max(Instant::now() + pause);
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
