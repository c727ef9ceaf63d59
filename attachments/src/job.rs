//! One job of the queue, from its claim to its end. The order is what makes a crash harmless: the object is durable, then
//! its event is, then the job goes.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use control::ControlPlane;
use eventlog::EventLog;
use futures::FutureExt;
use graph::MediaError;
use keyring::{KeyringError, SubjectKey};
use publish::{FeedForm, Outlets, Published, publish};
use schemas::{FileOutcome, FileState, SealedEvent};
use service::Clock;
use store::{Disposition, QueueJob, QueueTicket, ViewsDb, Wanted};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::append::append_both;
use crate::config::Config;
use crate::error::{Course, Scope, Trouble, chain};
use crate::fetch::{Fetcher, Wish, folder, object_name};
use crate::hold::Hold;
use crate::metrics::Metrics;
use crate::outcome;
use crate::patience::{Patience, backoff};
use crate::recall::recall;

/// A job that was claimed more often than this, so long after its time, is given up without another fetch: it may be one
/// that ends the process each time.
const CLAIMS: i32 = 3;
const OVERDUE: Duration = Duration::from_secs(24 * 60 * 60);

/// Does jobs. Clones share everything.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) config: Arc<Config>,
    pub(crate) log: EventLog,
    pub(crate) plane: ControlPlane,
    pub(crate) db: ViewsDb,
    pub(crate) fetcher: Fetcher,
    pub(crate) outlets: Outlets,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
}

/// How a job ended, for whoever plans the next ones.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It is gone from the queue, or another's.
    Done,
    /// It is gone from the queue because its time was over.
    GaveUp,
    /// It is back in the queue.
    Later {
        /// What waits with it.
        scope: Scope,
        /// At least how long, when that was said.
        after: Option<Duration>,
        /// Why.
        why: String,
    },
}

impl Worker {
    /// Fetches a file.
    pub(crate) async fn fetch(&self, job: &QueueJob) -> Ended {
        match self.try_fetch(job).await {
            Ok(ended) => ended,
            Err(trouble) => self.put_back(job, &trouble).await,
        }
    }

    /// Removes what a message had that was taken back: now, and again when no fetch can be on its way any more.
    pub(crate) async fn remove(&self, job: &QueueJob) -> Ended {
        match self.remove_of(job).await {
            Ok(removed) => {
                self.metrics.removed.inc_by(removed);
                let again_ms = job.queued_ms.saturating_add(millis(self.config.remove_again));
                if self.clock.now_ms() >= again_ms {
                    self.finish(&job.ticket).await;
                } else {
                    self.tell(&job.ticket, Some(again_ms)).await;
                }
                Ended::Done
            }
            Err(trouble) => self.put_back(job, &trouble).await,
        }
    }

    /// Whoever takes a message back may have been known by another subject when they sent it.
    async fn remove_of(&self, job: &QueueJob) -> Result<u64, Trouble> {
        let tenant = &job.ticket.tenant;
        let subjects = match job.subject {
            Some(subject) => {
                self.fetcher.keyring.db().same_person(tenant, subject).await.map_err(KeyringError::from)?
            }
            None => vec![store::NOBODY],
        };
        let mut removed = 0;
        for subject in subjects {
            removed += self.fetcher.blobs.delete_prefix(&folder(tenant, subject, job.message)).await?;
        }
        Ok(removed)
    }

    async fn try_fetch(&self, job: &QueueJob) -> Result<Ended, Trouble> {
        let event = recall(&job.event)?;
        let taken = Hold::take(&self.fetcher.keyring, &self.plane, &event.tenant, event.subject).await?;
        let Some((mut hold, key)) = taken else { return Err(Trouble::Gone) };
        let outcome = match self.bring(job, &event, &mut hold, &key).await {
            Ok(kept) => outcome::stored(job.ticket.attachment, &kept),
            Err(trouble) => match self.course(&trouble) {
                Course::Settle(state, reason) => outcome::not_stored(job.ticket.attachment, state, reason),
                Course::Again { scope: Scope::File | Scope::Asset, after, reason }
                    if self.due_ms(job, after) >= job.expires_ms =>
                {
                    // Nobody gave the token what it lacks, or it was gone all the time.
                    let state = match trouble {
                        Trouble::Media(MediaError::NotVisible { .. }) => FileState::Expired,
                        _ => FileState::Failed,
                    };
                    outcome::not_stored(job.ticket.attachment, state, reason)
                }
                Course::Again { .. } => return Err(trouble),
                Course::Drop => {
                    self.discard(job, &event).await?;
                    return Err(trouble);
                }
            },
        };
        self.conclude(job, &event, &mut hold, outcome).await
    }

    async fn bring(
        &self,
        job: &QueueJob,
        event: &SealedEvent,
        hold: &mut Hold,
        key: &SubjectKey,
    ) -> Result<crate::kept::Kept, Trouble> {
        let (attempts, now_ms) = (job.ticket.attempts, self.clock.now_ms());
        if attempts > CLAIMS && now_ms > job.expires_ms.saturating_add(millis(OVERDUE)) {
            return Err(Trouble::Overdue);
        }
        let wish = Wish { event, attachment: job.ticket.attachment, is_repeated: attempts > 1, now_ms };
        let brought = AssertUnwindSafe(self.fetcher.bring(wish, hold, key)).catch_unwind().await;
        brought.unwrap_or_else(|_| {
            self.metrics.crashes.inc();
            Err(Trouble::Crashed)
        })
    }

    /// Says what became of a file whose object is durable, or will not be there.
    async fn conclude(
        &self,
        job: &QueueJob,
        event: &SealedEvent,
        hold: &mut Hold,
        outcome: FileOutcome,
    ) -> Result<Ended, Trouble> {
        let Some(key) = hold.confirm().await? else {
            self.discard(job, event).await?;
            return Err(Trouble::Gone);
        };
        // After the object: who takes a message back later removes objects later.
        let wanted = self.db.is_attachment_wanted(&job.ticket, job.subject, job.message).await?;
        match wanted {
            Wanted::Yes => {}
            Wanted::Unsent | Wanted::Forgotten => {
                self.discard(job, event).await?;
                self.metrics.dropped(wanted);
                self.finish(&job.ticket).await;
                return Ok(Ended::Done);
            }
            Wanted::Taken => {
                self.metrics.dropped(wanted);
                return Ok(Ended::Done);
            }
        }
        let (state, bytes) = (outcome.state, outcome.bytes);
        let reason = outcome.reason.clone().unwrap_or_default();
        self.publish(event, &key, outcome).await?;

        let waited_ms = self.clock.now_ms().saturating_sub(job.queued_ms).max(0);
        self.metrics.settled(state, &reason, Duration::from_millis(waited_ms.unsigned_abs()));
        self.metrics.stored_bytes.inc_by(bytes.unwrap_or_default());
        let tenant = &job.ticket.tenant;
        match state {
            FileState::Stored => debug!(tenant.id = %tenant, bytes, "stored a file of tenant {tenant}"),
            FileState::Refused | FileState::Expired | FileState::Failed => {
                info!(tenant.id = %tenant, asset = %event.asset, state = state.as_str(), reason, "a file of tenant {tenant} is not stored");
            }
        }
        self.finish(&job.ticket).await;
        Ok(if state == FileState::Failed { Ended::GaveUp } else { Ended::Done })
    }

    /// Returns when the event is durable in `events` and in the tenant's feed.
    async fn publish(
        &self,
        named: &SealedEvent,
        key: &SubjectKey,
        outcome: FileOutcome,
    ) -> Result<(), Trouble> {
        let keys = self.fetcher.keyring.tenant(&named.tenant).await?;
        let state = self.plane.state();
        let format = state.tenants.get(&named.tenant).map(|tenant| &tenant.feed);
        let form = format.map(FeedForm::of).transpose()?.unwrap_or(FeedForm::Clear);
        let is_restricted = named
            .subject
            .is_some_and(|subject| state.people.restricted.contains(&(named.tenant.clone(), subject)));
        let feed = self.outlets.feed(&named.tenant).await?;
        let event = outcome::event(named, outcome, &keys.id_key, self.clock.now_ms());
        let events = self.outlets.events().await?;
        let Published { event, feed } = publish(&event, key, &form, is_restricted, events, &feed)?;
        Ok(append_both(&self.log, [event, feed]).await?)
    }

    /// Removes an object that nobody may have, if it is there.
    async fn discard(&self, job: &QueueJob, event: &SealedEvent) -> Result<(), Trouble> {
        self.fetcher.blobs.delete(&object_name(event, job.ticket.attachment)).await?;
        Ok(())
    }

    /// Ends a job.
    async fn finish(&self, ticket: &QueueTicket) {
        self.tell(ticket, None).await;
    }

    /// Tells the queue what became of a job: it is over, or due then. The queue may be away for a moment: for as long as the
    /// job is ours it is told again, and after that the job is done once more, which changes nothing.
    async fn tell(&self, ticket: &QueueTicket, due_ms: Option<i64>) {
        let until = Instant::now() + self.config.lease;
        let mut patience = Patience::long();
        loop {
            let told = match due_ms {
                None => self.db.finish_attachment(ticket).await,
                Some(due_ms) => self.db.put_back_attachment(ticket, due_ms).await,
            };
            let Err(cause) = told else { return };
            if cause.disposition() == Disposition::Stop || Instant::now() >= until {
                warn!(error = %cause, "a job comes back when its lease is over: the queue could not be told of it");
                return;
            }
            patience.pause().await;
        }
    }

    async fn put_back(&self, job: &QueueJob, trouble: &Trouble) -> Ended {
        let (scope, after, reason) = match self.course(trouble) {
            Course::Again { scope, after, reason } => (scope, after, reason),
            // Only what was fetched is settled, and that is done.
            Course::Settle(_, reason) => (Scope::File, None, reason),
            Course::Drop => {
                self.metrics.dropped(Wanted::Forgotten);
                self.finish(&job.ticket).await;
                return Ended::Done;
            }
        };
        let (tenant, why) = (&job.ticket.tenant, chain(trouble));
        let now_ms = self.clock.now_ms();
        if let Trouble::Recall(_) = trouble
            && now_ms >= job.expires_ms
        {
            // There is nothing that could be said of it; the log has the event.
            error!(tenant.id = %tenant, error = why, "a job of tenant {tenant} could not be read in all its time and is dropped");
            self.finish(&job.ticket).await;
            return Ended::Done;
        }
        self.metrics.retried(reason);
        debug!(tenant.id = %tenant, error = why, attempts = job.ticket.attempts, "a file of tenant {tenant} is tried again");
        // An asset's files wait for the asset, not each for itself.
        let due_ms = match scope {
            Scope::File => self.due_ms(job, after),
            Scope::Asset | Scope::Here => now_ms,
        };
        self.tell(&job.ticket, Some(due_ms)).await;
        Ended::Later { scope, after, why }
    }

    /// When a job that failed now is due again.
    fn course(&self, trouble: &Trouble) -> Course {
        match (trouble, trouble.course()) {
            (Trouble::Media(MediaError::NotVisible { .. }), Course::Again { scope, reason, .. }) => {
                Course::Again { scope, after: Some(self.config.unseen_every), reason }
            }
            (_, course) => course,
        }
    }

    fn due_ms(&self, job: &QueueJob, after: Option<Duration>) -> i64 {
        let failures = u32::try_from(job.ticket.attempts).unwrap_or(u32::MAX);
        let pause = backoff(self.config.retry_first, self.config.retry_longest, failures);
        self.clock.now_ms().saturating_add(millis(after.map_or(pause, |after| after.max(pause))))
    }
}

pub(crate) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
