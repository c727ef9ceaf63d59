//! What the services of one process share.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use control::{ControlError, ControlPlane, Partitions};
use eventlog::{EventLog, Topic};
use prometheus::Registry;
use schemas::Topics;
use service::{Clock, Readiness};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tracing::warn;

const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(500);

/// Log, control plane and instruments.
pub(crate) struct Parts {
    pub(crate) log: EventLog,
    pub(crate) plane: ControlPlane,
    pub(crate) topics: Topics,
    pub(crate) registry: Registry,
    pub(crate) readiness: Readiness,
    pub(crate) clock: Clock,
}

impl Parts {
    /// Makes the topics unless they are there, and folds `control`.
    pub(crate) async fn open(log: EventLog, topics: Topics) -> anyhow::Result<Self> {
        let control = Topic::new(topics.control())?;
        let plane = patiently(async || {
            control::ensure_topics(&log, &topics, Partitions::default()).await?;
            ControlPlane::open(log.clone(), &control).await
        });
        let plane = plane.await.context("making the topics and reading control")?;
        Ok(Self {
            log,
            plane,
            topics,
            registry: Registry::new(),
            readiness: Readiness::default(),
            clock: Clock::system(),
        })
    }
}

/// The log answered a moment ago, so when it is away now it will be back.
async fn patiently<T>(attempt: impl AsyncFn() -> Result<T, ControlError>) -> Result<T, ControlError> {
    let until = Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Err(cause) if cause.is_passing() && Instant::now() < until => {
                warn!(error = format!("{:#}", anyhow::Error::from(cause)), "waiting for the log");
                tokio::time::sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}

/// Takes the address, or says who should let go of it.
pub(crate) async fn listen(at: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(at).await.with_context(|| {
        format!("listening on {at} (choose another address with {flag}, or stop what uses it)")
    })
}
