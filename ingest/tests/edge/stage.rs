//! A whole edge: an embedded log in a folder of its own, `control` with two apps, and the edge on a free port.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use control::{ControlPlane, NewApp, Partitions, ensure_topics};
use eventlog::{EmbeddedConfig, EventLog, Record, Topic, TopicPartition};
use ingest::{Config, Deadlines, Edge};
use prometheus::Registry;
use schemas::{Action, SecretRole, Topics, raw_header};
use seal::{Context, EdgeKey, RootKey, SealError};
use secrecy::SecretString;
use service::{Clock, Readiness};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client::PATIENCE;

/// App `acme`'s secret.
pub(crate) const SECRET: &str = "current_secret";
/// App `acme`'s other secrets.
pub(crate) const NEXT: &str = "next_secret";
pub(crate) const INSTAGRAM: &str = "instagram_secret";
/// App `other`'s secret.
pub(crate) const OTHER: &str = "other_secret";
/// A body.
pub(crate) const BODY: &[u8] = br#"{"object":"page","entry":[{"id":"1","text":"\u00e4 https:\/\/x.y"}]}"#;

pub(crate) struct Stage {
    pub(crate) address: SocketAddr,
    pub(crate) log: EventLog,
    pub(crate) plane: ControlPlane,
    pub(crate) root: RootKey,
    pub(crate) key: Arc<EdgeKey>,
    pub(crate) registry: Registry,
    pub(crate) readiness: Readiness,
    pub(crate) stop: CancellationToken,
    edge: Option<JoinHandle<anyhow::Result<()>>>,
    pub(crate) follow: JoinHandle<Result<(), control::ControlError>>,
    folder: tempfile::TempDir,
}

/// Deadlines that a test can wait for.
pub(crate) fn short() -> Config {
    let milliseconds = Duration::from_millis;
    Config {
        deadlines: Deadlines {
            tls_handshake: milliseconds(400),
            head: milliseconds(400),
            body_idle: milliseconds(400),
            body_total: milliseconds(1200),
            write: milliseconds(400),
            keep_alive: milliseconds(800),
            probe: milliseconds(20),
            ..Deadlines::default()
        },
        ..Config::default()
    }
}

pub(crate) fn acme(secrets: &[(SecretRole, &str)], tokens: &[&str]) -> NewApp {
    app("acme", secrets, tokens)
}

fn app(id: &str, secrets: &[(SecretRole, &str)], tokens: &[&str]) -> NewApp {
    NewApp {
        id: id.parse().unwrap(),
        verify_tokens: tokens.iter().map(|token| SecretString::from(*token)).collect(),
        secrets: secrets.iter().map(|(role, secret)| (*role, SecretString::from(*secret))).collect(),
    }
}

impl Stage {
    /// An edge with default settings.
    pub(crate) async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self::built(config, Clock::system(), None).await
    }

    /// An edge with this clock, on a log with a queue of so many records.
    pub(crate) async fn built(config: Config, clock: Clock, queue: Option<usize>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut embedded = EmbeddedConfig::new(folder.path().join("log"));
        embedded.queue_records = queue.unwrap_or(embedded.queue_records);
        let log = EventLog::embedded(embedded).await.unwrap();
        let topics = Topics::default();
        ensure_topics(&log, &topics, Partitions::default()).await.unwrap();
        let plane = ControlPlane::open(log.clone(), &Topic::new(topics.control()).unwrap()).await.unwrap();
        let stop = CancellationToken::new();
        let follow = tokio::spawn(plane.clone().follow(CancellationToken::new()));
        let root = RootKey::generate().unwrap();
        let key = Arc::new(root.edge());
        let (registry, readiness) = (Registry::new(), Readiness::default());
        let edge =
            Edge::new(config, log.clone(), plane.clone(), key.clone(), &topics, &registry, &readiness, clock)
                .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let edge = Some(tokio::spawn(edge.serve(listener, stop.clone())));
        let stage = Self { address, log, plane, root, key, registry, readiness, stop, edge, follow, folder };
        let all =
            [(SecretRole::Current, SECRET), (SecretRole::Next, NEXT), (SecretRole::Instagram, INSTAGRAM)];
        stage.act(Action::AppAdded(acme(&all, &["a token&", "second"]).seal(&stage.key).unwrap())).await;
        let other = app("other", &[(SecretRole::Current, OTHER)], &["third"]).seal(&stage.key).unwrap();
        stage.act(Action::AppAdded(other)).await;
        until("the edge is ready", || stage.readiness.closed().is_empty()).await;
        stage
    }

    pub(crate) async fn act(&self, action: Action) {
        self.plane.act(0, "admin", action).await.unwrap();
    }

    /// Where everything of it lies.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The body in a record of `raw`, opened as the router does it.
    pub(crate) fn open(&self, record: &Record) -> Result<Vec<u8>, SealError> {
        let key = self.root.data_key(record.header_str(raw_header::KEY).unwrap())?;
        let context = Context::new("raw").part(record.header_str(raw_header::APP).unwrap());
        Ok(key.cipher(0).open(&context, record.value.as_deref().unwrap())?.to_vec())
    }

    /// Every body that `raw` holds.
    pub(crate) async fn bodies(&self) -> Vec<Vec<u8>> {
        self.raw().await.iter().map(|record| self.open(record).unwrap()).collect()
    }

    /// Everything that `raw` holds.
    pub(crate) async fn raw(&self) -> Vec<Record> {
        let topic = Topic::new(Topics::default().raw()).unwrap();
        let mut records = Vec::new();
        for partition in 0..self.log.partitions(&topic).await.unwrap().unwrap() {
            let at = TopicPartition::new(&topic, partition);
            let bounds = self.log.bounds(&at).await.unwrap();
            let mut reader = self.log.reader(&at, bounds.earliest).await.unwrap();
            let mut next = bounds.earliest;
            while next < bounds.end {
                for stored in reader.next(1000, Duration::from_millis(100)).await.unwrap() {
                    next = stored.offset + 1;
                    records.push(stored.record);
                }
            }
        }
        records
    }

    /// The value of a counter or gauge; the sum over its labels unless one is named.
    pub(crate) fn metric(&self, name: &str, label: Option<&str>) -> f64 {
        let families = self.registry.gather();
        let family =
            families.iter().find(|family| family.name() == name).unwrap_or_else(|| panic!("no {name}"));
        let wanted = |metric: &&prometheus::proto::Metric| {
            label.is_none_or(|label| metric.get_label().iter().any(|pair| pair.value() == label))
        };
        let value = |metric: &prometheus::proto::Metric| {
            metric.get_counter().get_value()
                + metric.get_gauge().get_value()
                + metric.get_histogram().get_sample_count() as f64
        };
        family.get_metric().iter().filter(wanted).map(value).sum()
    }

    pub(crate) fn outcome(&self, outcome: &str) -> f64 {
        self.metric("ingest_deliveries_total", Some(outcome))
    }

    /// How many callbacks of this kind ended so.
    pub(crate) fn called(&self, kind: &str, outcome: &str) -> f64 {
        let families = self.registry.gather();
        let family = families
            .iter()
            .find(|family| family.name() == "ingest_callbacks_total")
            .expect("callbacks are counted");
        let wanted = |metric: &&prometheus::proto::Metric| {
            [kind, outcome].iter().all(|value| metric.get_label().iter().any(|pair| pair.value() == *value))
        };
        family.get_metric().iter().filter(wanted).map(|metric| metric.get_counter().get_value()).sum()
    }

    /// Waits until so many deliveries ended so.
    pub(crate) async fn until_outcome(&self, outcome: &str, count: f64) {
        until(outcome, || self.outcome(outcome) >= count).await;
    }

    /// Waits until so many connections were closed for this.
    pub(crate) async fn until_closed(&self, reason: &str, count: f64) {
        until(reason, || self.metric("ingest_connections_closed_total", Some(reason)) >= count).await;
    }

    /// Stops the edge and waits for its end.
    pub(crate) async fn end(&mut self) {
        self.stop.cancel();
        let edge = self.edge.take().expect("the edge is stopped once");
        tokio::time::timeout(PATIENCE, edge).await.expect("the edge stops").unwrap().unwrap();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop.cancel();
        self.follow.abort();
    }
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("in vain: {what}"));
}
