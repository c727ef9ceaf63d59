//! The edge as a service: made from what it needs, served until stopped.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use anyhow::{Context, anyhow};
use control::ControlPlane;
use eventlog::{Disposition, EventLog, Topic, TopicPartition};
use prometheus::Registry;
use schemas::Topics;
use seal::EdgeKey;
use service::{Clock, Gate, Readiness};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::body::Inflight;
use crate::breaker::Breaker;
use crate::connection::Draining;
use crate::crowd::Crowd;
use crate::doors::Doors;
use crate::listener::Entrance;
use crate::metrics::Metrics;
use crate::proxy::Proxy;
use crate::public_url::PublicUrl;
use crate::sealer::Sealer;
use crate::tls::Tls;
use crate::{Config, Deadlines, Limits};

/// Between two tries to reach a log that is away at the start.
const WARM: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(500);

/// The edge. [`Edge::serve`] runs it.
pub struct Edge {
    config: Config,
    log: EventLog,
    plane: ControlPlane,
    raw: Topic,
    asked: TopicPartition,
    key: Arc<EdgeKey>,
    doors: Doors,
    sealer: Sealer,
    metrics: Arc<Metrics>,
    tls: Option<Arc<Tls>>,
    proxy: Option<Proxy>,
    public_url: PublicUrl,
    clock: Clock,
    log_gate: Gate,
    control_gate: Gate,
}

/// What every request needs.
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) deadlines: Deadlines,
    pub(crate) log: EventLog,
    pub(crate) raw: Box<[TopicPartition]>,
    pub(crate) plane: ControlPlane,
    /// Where it is written down whom callbacks are about.
    pub(crate) asked: TopicPartition,
    /// Held by whoever writes a callback down, so that two of the same at once are written once.
    pub(crate) callbacks: Mutex<()>,
    pub(crate) key: Arc<EdgeKey>,
    pub(crate) doors: Doors,
    pub(crate) sealer: Sealer,
    pub(crate) breaker: Breaker,
    pub(crate) inflight: Inflight,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) public_url: PublicUrl,
    pub(crate) clock: Clock,
}

impl Edge {
    /// Checks the configuration, reads the TLS files, opens every app's secrets and makes a key to seal bodies with, so
    /// that what is wrong with any of them shows now and not on a request. `key` is all that it holds of the root key.
    /// The edge is not ready until [`Edge::serve`] has found the log and `control`.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts a service is made of, each used once, by its name"
    )]
    pub fn new(
        config: Config,
        log: EventLog,
        plane: ControlPlane,
        key: Arc<EdgeKey>,
        topics: &Topics,
        registry: &Registry,
        readiness: &Readiness,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        config.check()?;
        let metrics = Arc::new(Metrics::new(registry)?);
        let tls = config.tls.clone().map(Tls::open).transpose().context("TLS cannot be served")?;
        let proxy = config.proxy.as_ref().map(Proxy::new).transpose()?;
        let public_url = PublicUrl::new(config.public_url.as_deref(), tls.is_some())?;
        let make = key.clone();
        let sealer = Sealer::new(move || make.data_key(), plane.watch(), metrics.clone(), clock.now_ms())
            .context("making a key to seal deliveries with")?;
        Ok(Self {
            doors: Doors::open(plane.watch(), key.clone(), metrics.clone())?,
            raw: Topic::new(topics.raw())?,
            asked: TopicPartition::new(&Topic::new(topics.callbacks())?, 0),
            log_gate: readiness.gate("ingest-log"),
            control_gate: readiness.gate("ingest-control"),
            tls: tls.map(Arc::new),
            config,
            log,
            plane,
            key,
            sealer,
            metrics,
            proxy,
            public_url,
            clock,
        })
    }

    /// Serves until stopped, then finishes: takes no more connections, closes the idle ones, answers the requests that
    /// are being answered, all within the drain deadline. Returns when the last one is answered. The log is not closed.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> anyhow::Result<()> {
        let Some(partitions) = stop.run_until_cancelled(self.partitions()).await.transpose()? else {
            return Ok(());
        };
        let address = listener.local_addr().context("reading the address the edge listens on")?;
        let Self { config, log, plane, raw, asked, key, doors, sealer, metrics, .. } = self;
        let Self { tls, proxy, public_url, clock, log_gate, control_gate, .. } = self;
        let shared = Arc::new(Shared {
            raw: (0..partitions).map(|partition| TopicPartition::new(&raw, partition)).collect(),
            breaker: Breaker::new(partitions, metrics.clone()),
            inflight: Inflight::new(config.limits.inflight_bytes, metrics.inflight_bytes.clone()),
            deadlines: config.deadlines,
            limits: config.limits,
            log,
            plane,
            asked,
            callbacks: Mutex::default(),
            key,
            doors,
            sealer,
            metrics,
            proxy,
            public_url,
            clock,
        });
        let entrance = Arc::new(Entrance {
            crowd: Crowd::new(shared.limits.connections_per_address),
            open: Arc::new(AtomicUsize::new(0)),
            draining: Draining::default(),
            edge: shared.clone(),
            tls: tls.clone(),
        });

        // Ends with the drain, not with the stop: a log that is back may still answer the last requests.
        let helpers_stop = CancellationToken::new();
        let mut helpers = JoinSet::new();
        helpers.spawn({
            let (shared, gate, stop) = (shared.clone(), control_gate.clone(), helpers_stop.clone());
            async move {
                stop.run_until_cancelled(open_when_folded(&shared.plane, &gate)).await;
            }
        });
        helpers.spawn({
            let (shared, gate, stop) = (shared.clone(), log_gate.clone(), helpers_stop.clone());
            async move {
                let raw = shared.raw.first().map(|at| &at.topic);
                stop.run_until_cancelled(open_when_answering(&shared.log, raw, &gate)).await;
                shared.breaker.probe(&shared.log, &gate, shared.deadlines.probe, &stop).await;
            }
        });
        helpers.spawn({
            let (shared, stop) = (shared.clone(), helpers_stop.clone());
            async move {
                let following =
                    async { tokio::join!(shared.sealer.follow(&shared.clock), shared.doors.follow()) };
                stop.run_until_cancelled(following).await;
            }
        });
        if let Some(tls) = tls {
            let (shared, stop) = (shared.clone(), helpers_stop.clone());
            helpers.spawn(async move { tls.follow(&shared.metrics, &stop).await });
        }

        info!(%address, tls = entrance.tls.is_some(), "taking deliveries on {address}");
        let mut loops = start(&entrance, listener, config.threads)?;
        let mut served = Ok(());
        tokio::select! {
            () = stop.cancelled() => {}
            ended = loops.join_next() => served = Err(unasked(ended)),
        }
        log_gate.close();
        control_gate.close();
        entrance.draining.begin();
        while let Some(ended) = loops.join_next().await {
            served = served.and(ended.map_err(anyhow::Error::from).and_then(|ended| ended));
        }
        helpers_stop.cancel();
        while helpers.join_next().await.is_some() {}
        info!("every delivery that was being answered has its answer");
        served
    }

    async fn partitions(&self) -> anyhow::Result<u32> {
        loop {
            match self.log.partitions(&self.raw).await {
                Ok(Some(partitions)) if partitions > 0 => return Ok(partitions),
                Ok(_) => {
                    return Err(anyhow!(
                        "there is no topic {}; make the deployment's topics first",
                        self.raw
                    ));
                }
                Err(cause) if cause.disposition() == Disposition::Retry => {
                    warn!(error = %cause, "the log is away; waiting for it");
                    tokio::time::sleep(RETRY).await;
                }
                Err(cause) => return Err(cause.into()),
            }
        }
    }
}

/// The accept loops: one on this runtime, or one on each of so many threads with a runtime of their own. The threads
/// share one listening socket, so no connection waits in the queue of a thread that has ended.
fn start(
    entrance: &Arc<Entrance>,
    listener: TcpListener,
    threads: usize,
) -> anyhow::Result<JoinSet<anyhow::Result<()>>> {
    let mut loops = JoinSet::new();
    if threads == 0 {
        let accepting = entrance.clone().accept(listener);
        loops.spawn(async move {
            accepting.await;
            Ok(())
        });
        return Ok(loops);
    }
    let listener = listener.into_std().context("sharing the listening socket")?;
    for number in 0..threads {
        let listener = listener.try_clone().context("sharing the listening socket")?;
        let (entrance, (ended, end)) = (entrance.clone(), oneshot::channel());
        std::thread::Builder::new()
            .name(format!("edge-{number}"))
            .spawn(move || {
                let served = || -> anyhow::Result<()> {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                    runtime.block_on(async {
                        entrance.accept(TcpListener::from_std(listener)?).await;
                        Ok(())
                    })
                };
                // Nobody waits for it when the edge itself was dropped.
                let _ = ended.send(served());
            })
            .context("starting a thread of the edge")?;
        loops.spawn(async move { end.await.context("a thread of the edge broke")? });
    }
    Ok(loops)
}

fn unasked(ended: Option<Result<anyhow::Result<()>, tokio::task::JoinError>>) -> anyhow::Error {
    match ended {
        Some(Ok(Err(cause))) => cause.context("the edge stopped accepting"),
        Some(Err(cause)) => anyhow!(cause).context("the edge stopped accepting"),
        Some(Ok(Ok(()))) | None => anyhow!("the edge stopped accepting by itself"),
    }
}

async fn open_when_folded(plane: &ControlPlane, gate: &Gate) {
    while let Err(cause) = plane.caught_up().await {
        warn!(error = %cause, "not ready: the control topic is not read to its end yet");
        tokio::time::sleep(RETRY).await;
    }
    gate.open();
}

/// Ready once the log answers and the first append would be as quick as the later ones.
async fn open_when_answering(log: &EventLog, raw: Option<&Topic>, gate: &Gate) {
    while let Err(cause) = log.ping().await {
        warn!(error = %cause, "not ready: the log does not answer");
        tokio::time::sleep(RETRY).await;
    }
    if let Some(raw) = raw
        && let Err(cause) = log.warm(raw, WARM).await
    {
        warn!(error = %cause, "the first append to {raw} could not be prepared; it may be slow");
    }
    gate.open();
}
