//! What the services of one process share.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use control::{ControlPlane, Partitions};
use eventlog::{EventLog, Topic};
use prometheus::Registry;
use schemas::Topics;
use seal::RootKey;
use service::{Clock, Readiness};
use tokio::net::TcpListener;

/// Log, control plane, root key and instruments.
pub(crate) struct Parts {
    pub(crate) log: EventLog,
    pub(crate) plane: ControlPlane,
    pub(crate) root: Arc<RootKey>,
    pub(crate) topics: Topics,
    pub(crate) registry: Registry,
    pub(crate) readiness: Readiness,
    pub(crate) clock: Clock,
}

impl Parts {
    /// Makes the topics unless they are there, and folds `control`.
    pub(crate) async fn open(log: EventLog, topics: Topics, root: RootKey) -> anyhow::Result<Self> {
        control::ensure_topics(&log, &topics, Partitions::default()).await.context("making the topics")?;
        let control = Topic::new(topics.control())?;
        let plane = ControlPlane::open(log.clone(), &control).await.context("opening the control topic")?;
        Ok(Self {
            log,
            plane,
            root: Arc::new(root),
            topics,
            registry: Registry::new(),
            readiness: Readiness::default(),
            clock: Clock::system(),
        })
    }
}

/// Takes the address, or says who should let go of it.
pub(crate) async fn listen(at: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(at).await.with_context(|| {
        format!("listening on {at} (choose another address with {flag}, or stop what uses it)")
    })
}
