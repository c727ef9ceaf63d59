//! The keeper as a service.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use blob::BlobStore;
use control::{ControlError, ControlPlane, Partitions};
use eventlog::EventLog;
use keyring::Keyring;
use prometheus::Registry;
use publish::Outlets;
use schemas::{Action, ErasureId, ErasureState, Topics};
use seal::RootKey;
use service::Clock;
use store::ViewsDb;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::KeepError;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::tenant_end::Endings;
use crate::time::Steady;

/// Who acts when nobody asked.
pub(crate) const ACTOR: &str = "platform";
const SWEEP_AGAIN: Duration = Duration::from_secs(5 * 60);

/// Forgets, sweeps, keeps. Clones share everything.
#[derive(Clone)]
pub struct Keeper {
    pub(crate) config: Arc<Config>,
    pub(crate) log: EventLog,
    pub(crate) plane: ControlPlane,
    /// As [`store::KeyringRole::Keeper`].
    pub(crate) keyring: Keyring,
    /// As [`store::ViewsRole::Keeper`].
    pub(crate) views: ViewsDb,
    pub(crate) blobs: BlobStore,
    pub(crate) root: Arc<RootKey>,
    pub(crate) topics: Topics,
    pub(crate) outlets: Outlets,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
    /// What things are removed by.
    pub(crate) steady: Steady,
    pub(crate) endings: Arc<Mutex<Endings>>,
    /// Callbacks that do not open, and when somebody was last told.
    pub(crate) told: Arc<std::sync::Mutex<HashMap<String, Instant>>>,
    /// Erasures that could not be done now: until when they rest, and for how long that is.
    pub(crate) resting: Arc<std::sync::Mutex<HashMap<ErasureId, (Instant, Duration)>>>,
    /// Held while something is swept.
    pub(crate) sweeping: Arc<Mutex<()>>,
}

impl Keeper {
    /// A keeper; [`Keeper::run`] starts it.
    ///
    /// # Errors
    /// Another keeper's instruments are in the registry.
    #[expect(clippy::too_many_arguments, reason = "what every service is given; nothing is global")]
    pub fn new(
        config: Config,
        log: EventLog,
        plane: ControlPlane,
        keyring: Keyring,
        views: ViewsDb,
        blobs: BlobStore,
        root: Arc<RootKey>,
        topics: &Topics,
        registry: &Registry,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let metrics = Metrics::new(registry).context("the keeper's metrics")?;
        let (config, topics) = (Arc::new(config), topics.clone());
        let steady = Steady::new(clock.clone(), config.settle);
        let (endings, sweeping) = (Arc::default(), Arc::default());
        let outlets = Outlets::new(log.clone(), topics.clone(), Partitions::default());
        Ok(Self {
            config,
            log,
            plane,
            keyring,
            views,
            blobs,
            root,
            topics,
            outlets,
            metrics,
            clock,
            steady,
            endings,
            told: Arc::default(),
            resting: Arc::default(),
            sweeping,
        })
    }

    /// The keyring that it keeps.
    pub const fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The store of objects that it keeps.
    pub const fn blobs(&self) -> &BlobStore {
        &self.blobs
    }

    /// The root key.
    pub const fn root(&self) -> &Arc<RootKey> {
        &self.root
    }

    /// Works until stopped. Of several keepers one works, the others wait. Whatever is away is waited for.
    ///
    /// # Errors
    /// Something refuses us for good.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut state = self.plane.watch();
        let mut held = None;
        let mut sweeps = Instant::now();
        loop {
            let round = async {
                if held.as_ref().is_none_or(|lock: &store::KeeperLock| !lock.holds()) {
                    held = self.keyring.db().try_keep().await?;
                }
                if held.is_none() {
                    return Ok::<bool, KeepError>(false);
                }
                let done = self.round().await;
                if Instant::now() >= sweeps {
                    // Should it break off, soon again; but not with every round.
                    sweeps = Instant::now() + SWEEP_AGAIN.min(self.config.sweep_every);
                    match self.sweep(false).await {
                        Ok(_) => sweeps = Instant::now() + self.config.sweep_every,
                        Err(cause) => {
                            self.metrics.failures.inc();
                            let cause = format!("{:#}", anyhow::Error::from(cause));
                            warn!(error = cause, "the sweep did not get everywhere; it is tried again soon");
                        }
                    }
                }
                done
            };
            let Some(done) = stop.run_until_cancelled(round).await else { return Ok(()) };
            match done {
                // There may be more.
                Ok(true) => continue,
                Ok(false) => {}
                Err(cause) if cause.is_passing() => {
                    self.metrics.failures.inc();
                    warn!(error = format!("{:#}", anyhow::Error::from(cause)), "the keeper tries again");
                }
                Err(cause) => return Err(cause).context("keeping"),
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(self.config.look_every) => {}
                changed = state.changed() => if changed.is_err() {
                    tokio::time::sleep(self.config.look_every).await;
                },
            }
        }
    }

    /// One look at everything there may be to do. Says whether anything was done.
    pub(crate) async fn round(&self) -> Result<bool, KeepError> {
        self.measure();
        // None of them keeps the others from their turn.
        let answered = self.answer_callbacks().await;
        let erased = self.erase().await;
        let ended = self.purge_due().await.map(|ended| ended > 0);
        let mut done = false;
        let mut failed: Option<KeepError> = None;
        for turn in [answered, erased, ended] {
            match turn {
                Ok(any) => done |= any,
                // One that stays is the one to tell of.
                Err(cause) if failed.as_ref().is_none_or(KeepError::is_passing) => {
                    if let Some(other) = failed.replace(cause) {
                        warn!(error = format!("{:#}", anyhow::Error::from(other)), "the keeper tries again");
                    }
                }
                Err(cause) => {
                    warn!(error = format!("{:#}", anyhow::Error::from(cause)), "the keeper tries again")
                }
            }
        }
        failed.map_or(Ok(done), Err)
    }

    fn measure(&self) {
        let state = self.plane.state();
        let open =
            || state.people.erasures.values().filter(|one| !matches!(one.state, ErasureState::Done(_)));
        self.metrics.open.set(i64::try_from(open().count()).unwrap_or(i64::MAX));
        let oldest_ms = open().map(|erasure| erasure.requested_ms).min();
        let waits_ms = oldest_ms.map_or(0, |since_ms| self.clock.now_ms() - since_ms);
        self.metrics.oldest_seconds.set(waits_ms.max(0) / 1000);
    }

    /// Writes to `control` as the platform itself.
    pub(crate) async fn act(&self, action: Action) -> Result<(), ControlError> {
        self.plane.act(self.clock.now_ms(), ACTOR, action).await.map(|_| ())
    }
}

/// Names the step that was just done. A test ends the process there: `TIDINGS_KEEPER_DIES_AFTER` names the step.
pub(crate) fn reached(step: &'static str) {
    if std::env::var_os("TIDINGS_KEEPER_DIES_AFTER").is_some_and(|wanted| wanted == step) {
        // As `kill -9` would: nothing is flushed or closed.
        std::process::abort();
    }
}
