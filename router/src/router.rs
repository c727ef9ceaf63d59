//! The router as a service: three memberships that begin, fail and end together.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use control::ControlPlane;
use eventlog::EventLog;
use keyring::Keyring;
use prometheus::Registry;
use schemas::Topics;
use seal::RootKey;
use service::{Clock, Gate, Readiness};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::engine::Engine;
use crate::job::Job;
use crate::member::Member;
use crate::metrics::Metrics;

/// Records of `control` or `quarantine` looked at together.
const LOOKED_AT: usize = 500;
/// How long a member without a partition is not ready.
const SPARE: Duration = Duration::from_secs(15);

/// Reads `raw`, writes `events`, feeds and `quarantine`.
pub struct Router {
    config: Config,
    engine: Engine,
    gate: Gate,
}

impl Router {
    /// A router; [`Router::run`] starts it.
    #[expect(clippy::too_many_arguments, reason = "every part a service is given, by name")]
    pub fn new(
        config: Config,
        log: EventLog,
        plane: ControlPlane,
        keyring: Keyring,
        root: Arc<RootKey>,
        topics: &Topics,
        registry: &Registry,
        readiness: &Readiness,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let metrics = Metrics::new(registry).context("registering the router's metrics")?;
        let engine =
            Engine::new(log, plane, keyring, root, topics.clone(), metrics, clock, config.partitions);
        Ok(Self { config, engine, gate: readiness.gate("router") })
    }

    /// Runs until stopped, then finishes the batches in hand.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Self { config, engine, gate } = self;
        let join = async |job: Job| {
            let max_batch = if job == Job::Raw { config.max_batch } else { LOOKED_AT };
            let joined = Member::join(job, &engine, &config.member, max_batch).await;
            joined.with_context(|| format!("joining the group {}", job.group()))
        };
        let joined = stop.run_until_cancelled(async {
            anyhow::Ok((join(Job::Raw).await?, join(Job::Control).await?, join(Job::Pointers).await?))
        });
        let Some((raw, control, pointers)) = joined.await.transpose()? else { return Ok(()) };
        // One that fails ends the others, and with them the router.
        let all = stop.child_token();
        let run = async |job: Job, member: Member| {
            let ours = || {
                if job == Job::Raw {
                    gate.open();
                }
            };
            let ended = member.run(&all, config.grace, ours).await;
            all.cancel();
            ended.with_context(|| format!("working in the group {}", job.group()))
        };
        // Ready with the first partitions; a router more than there are partitions is ready without, after a while.
        let readiness = async {
            tokio::select! {
                () = all.cancelled() => {}
                () = tokio::time::sleep(SPARE) => gate.open(),
            }
            all.cancelled().await;
            gate.close();
        };
        let (raw, control, pointers, ()) = tokio::join!(
            run(Job::Raw, raw),
            run(Job::Control, control),
            run(Job::Pointers, pointers),
            readiness
        );
        raw.and(control).and(pointers)
    }
}
