//! A projector: three projections and the watch over their completeness, in one process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use control::ControlPlane;
use eventlog::{EventLog, Topic};
use prometheus::Registry;
use ring::signature::KeyPair;
use schemas::Topics;
use service::{Clock, Gate, Readiness};
use store::{Disposition, ViewsDb};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::audit_key;
use crate::backoff::Backoff;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::monitor::{Holes, Monitor, TIDY_SOON};
use crate::projection::Projection;
use crate::runner::{Runner, join};
use crate::worker::Surroundings;

const LOOK: Duration = Duration::from_millis(20);
/// How long a member without partitions is not ready.
const SPARE: Duration = Duration::from_secs(15);

/// Folds events into the views.
pub struct Projector {
    config: Arc<Config>,
    log: EventLog,
    db: ViewsDb,
    projections: [Projection; 3],
    metrics: Metrics,
    clock: Clock,
    monitor: Monitor,
    ready: Gate,
    audit_public_key: Vec<u8>,
}

impl Projector {
    /// A projector on this log and these views, opened as [`store::ViewsRole::Projector`].
    ///
    /// # Errors
    /// A topic's name is none, the audit key cannot be had, or another projector's instruments are in the registry.
    #[expect(clippy::too_many_arguments, reason = "what every service is given; nothing is global")]
    pub fn new(
        config: Config,
        log: EventLog,
        plane: ControlPlane,
        db: ViewsDb,
        topics: &Topics,
        registry: &Registry,
        readiness: &Readiness,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let (events, quarantine) = (Topic::new(topics.events())?, Topic::new(topics.quarantine())?);
        let control = Topic::new(topics.control())?;
        let signer = Arc::new(audit_key::load_or_create(&config.audit_key)?);
        let audit_public_key = signer.public_key().as_ref().to_vec();
        let metrics = Metrics::new(registry).context("the projector's metrics")?;
        let monitor = Monitor {
            log: log.clone(),
            plane,
            db: db.clone(),
            metrics: metrics.clone(),
            clock: clock.clone(),
            raw: Topic::new(topics.raw())?,
            outputs: [events.clone(), quarantine.clone()],
            hole_age: config.hole_age,
            holes: Holes::default(),
        };
        Ok(Self {
            config: Arc::new(config),
            log,
            db,
            projections: [
                Projection::Conversation { events: events.clone() },
                Projection::Coverage { events, quarantine },
                Projection::Audit { control, signer },
            ],
            metrics,
            clock,
            monitor,
            ready: readiness.gate("projector"),
            audit_public_key,
        })
    }

    /// The Ed25519 public key that the audit chains' heads are signed with: who verifies them should know it.
    pub fn audit_public_key(&self) -> Vec<u8> {
        self.audit_public_key.clone()
    }

    /// Projects until stopped: a transaction in hand is finished, nothing else is begun.
    ///
    /// # Errors
    /// The schema is not the one this version knows, the log or the database refuses us for good, or a position is no longer
    /// in the log. That one of them is away is waited out.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Some(()) = stop.run_until_cancelled(schema(&self.db)).await.transpose()? else { return Ok(()) };
        // Whoever has the only partition of `control` watches, so that of several projectors one does.
        let watches = Arc::new(AtomicBool::new(false));
        let others = stop.child_token();
        let mut tasks = JoinSet::new();
        let mut serving: Vec<Arc<AtomicBool>> = Vec::new();
        for projection in self.projections {
            let serves = match projection {
                Projection::Audit { .. } => watches.clone(),
                Projection::Conversation { .. } | Projection::Coverage { .. } => Arc::default(),
            };
            serving.push(serves.clone());
            let joined = join(&self.log, &projection, &self.config.member);
            let Some(consumer) = stop.run_until_cancelled(joined).await.transpose()? else { return Ok(()) };
            let around = Surroundings {
                projection,
                db: self.db.clone(),
                handle: consumer.handle(),
                metrics: self.metrics.clone(),
                clock: self.clock.clone(),
                config: self.config.clone(),
            };
            tasks.spawn(Runner::new(self.log.clone(), around, serves).run(consumer, others.clone()));
        }
        tasks.spawn(watch(self.monitor, self.config.check_every, watches, others.clone()));
        tasks.spawn(open_when_serving(self.ready.clone(), serving, others.clone()));
        let mut outcome = Ok(());
        while let Some(ended) = tasks.join_next().await {
            // One that ends takes the others with it.
            others.cancel();
            let ended = ended.context("a projection broke").and_then(|ended| ended);
            if outcome.is_ok() {
                outcome = ended;
            }
        }
        self.ready.close();
        outcome
    }
}

/// Ready with the first partitions of every view; a projector more than there are partitions is ready without, after a while.
async fn open_when_serving(
    ready: Gate,
    serving: Vec<Arc<AtomicBool>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let all = async {
        while !serving.iter().all(|serves| serves.load(Ordering::Acquire)) {
            tokio::time::sleep(LOOK).await;
        }
    };
    if stop.run_until_cancelled(tokio::time::timeout(SPARE, all)).await.is_some() {
        ready.open();
        stop.cancelled().await;
    }
    Ok(())
}

/// Waits for a database that is away; a schema that is not ours is refused.
async fn schema(db: &ViewsDb) -> anyhow::Result<()> {
    let mut backoff = Backoff::new();
    loop {
        match db.check_schema().await {
            Err(cause) if cause.disposition() == Disposition::Retry => {
                warn!(error = %cause, "the projector waits for PostgreSQL");
                tokio::time::sleep(backoff.next()).await;
            }
            answer => return answer.context("the views' schema"),
        }
    }
}

async fn watch(
    mut monitor: Monitor,
    every: Duration,
    watches: Arc<AtomicBool>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut tidy = Instant::now();
    let mut look = tokio::time::interval(every.max(Duration::from_millis(10)));
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let looks = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            _ = look.tick() => true,
            () = tokio::time::sleep_until(tidy) => false,
        };
        if !looks {
            tidy = Instant::now() + TIDY_SOON;
        }
        if !watches.load(Ordering::Acquire) {
            continue;
        }
        let done = async {
            if looks { monitor.look().await.map(|()| None) } else { monitor.tidy().await.map(Some) }
        };
        match stop.run_until_cancelled(done).await {
            Some(Ok(pause)) => tidy = pause.map_or(tidy, |pause| Instant::now() + pause),
            // What is away now is looked at again at the next turn; the projections say what is wrong with it.
            Some(Err(cause)) => {
                warn!(error = format!("{cause:#}"), "the loss equation could not be looked at")
            }
            None => return Ok(()),
        }
    }
}
