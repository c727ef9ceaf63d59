//! A log, a control plane and a views database that a test may do anything to.

use std::future::Future;
use std::time::Duration;

use control::{ControlPlane, Partitions};
use eventlog::{EmbeddedConfig, EventLog, Header, Record, Topic, TopicPartition};
use projector::{Config, Projector};
use prometheus::Registry;
use schemas::{Pointer, RawRef, SealedEvent, Topics};
use secrecy::{ExposeSecret, SecretString};
use service::{Clock, Readiness};
use store::{ConversationRow, MessageRow, ViewsDb, ViewsRole};
use tempfile::TempDir;
use testkit::Postgres;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::history::tenants;

const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Rig {
    pub(crate) postgres: Postgres,
    pub(crate) url: SecretString,
    pub(crate) log: EventLog,
    pub(crate) plane: ControlPlane,
    pub(crate) topics: Topics,
    folder: TempDir,
    follows: DropGuard,
}

/// A projector that runs until told otherwise.
pub(crate) struct Running {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// All that a reader sees.
pub(crate) type Shown = Vec<(String, ConversationRow, Vec<MessageRow>)>;

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::on(|_| {}).await
    }

    /// On a log that is set like this.
    pub(crate) async fn on(settings: impl FnOnce(&mut EmbeddedConfig)) -> Self {
        let postgres = Postgres::start().await.unwrap();
        let url = views(&postgres).await;
        let folder = tempfile::tempdir().unwrap();
        let mut config = EmbeddedConfig::new(folder.path().join("log"));
        settings(&mut config);
        let log = EventLog::embedded(config).await.unwrap();
        let topics = Topics::default();
        control::ensure_topics(&log, &topics, Partitions { main: 3, inbox: 1 }).await.unwrap();
        let plane = ControlPlane::open(log.clone(), &Topic::new(topics.control()).unwrap()).await.unwrap();
        let follows = CancellationToken::new();
        tokio::spawn(plane.clone().follow(follows.clone()));
        Self { postgres, url, log, plane, topics, folder, follows: follows.drop_guard() }
    }

    pub(crate) async fn writer(&self) -> ViewsDb {
        ViewsDb::connect(&self.url, ViewsRole::Projector, 12).await.unwrap()
    }

    pub(crate) async fn reader(&self) -> ViewsDb {
        ViewsDb::connect(&self.url, ViewsRole::Reader, 4).await.unwrap()
    }

    /// What the database says, asked as its owner.
    pub(crate) fn ask(&self, sql: &str) -> String {
        ask(&self.url, sql)
    }

    /// Closes the log, which another process may then open.
    pub(crate) async fn leave_log(self) -> (SecretString, Postgres, TempDir) {
        let Self { postgres, url, log, plane, folder, follows, .. } = self;
        drop((follows, plane));
        log.close(DEADLINE).await;
        drop(log);
        (url, postgres, folder)
    }

    pub(crate) async fn project(&self, config: Config) -> Running {
        let config = Config { audit_key: self.folder.path().join("audit-key"), ..config };
        let projector = Projector::new(
            config,
            self.log.clone(),
            self.plane.clone(),
            self.writer().await,
            &self.topics,
            &Registry::new(),
            &Readiness::default(),
            Clock::system(),
        )
        .unwrap();
        let stop = CancellationToken::new();
        Running { task: tokio::spawn(projector.run(stop.clone())), stop }
    }

    pub(crate) fn at(&self, topic: String, partition: u32) -> TopicPartition {
        TopicPartition::new(&Topic::new(topic).unwrap(), partition)
    }

    /// Appends events where the router would.
    pub(crate) async fn events(&self, events: &[SealedEvent]) {
        let mut pending = Vec::new();
        for event in events {
            let encoded = event.encode();
            let headers = encoded.headers.into_iter().map(|(name, value)| Header::new(name, value)).collect();
            let record = Record { key: Some(encoded.key), value: Some(encoded.value), headers };
            pending
                .push(self.log.append(&self.at(self.topics.events(), event.partition(3)), record).unwrap());
        }
        for pending in pending {
            pending.await.unwrap();
        }
    }

    /// Appends a pointer as the router would.
    pub(crate) async fn pointer(&self, pointer: &Pointer) {
        let record = Record { value: Some(serde_json::to_vec(pointer).unwrap().into()), ..Record::default() };
        self.log.append(&self.at(self.topics.quarantine(), 0), record).unwrap().await.unwrap();
    }

    /// Appends an empty delivery.
    pub(crate) async fn raw(&self, partition: u32) -> RawRef {
        let record = Record { value: Some("{}".into()), ..Record::default() };
        let offset = self.log.append(&self.at(self.topics.raw(), partition), record).unwrap().await.unwrap();
        RawRef { partition, offset }
    }

    /// Waits until every projection has read all there is.
    pub(crate) async fn caught_up(&self) {
        until("PostgreSQL answers", || async {
            ViewsDb::connect(&self.url, ViewsRole::Reader, 1).await.is_ok()
        })
        .await;
        let db = self.reader().await;
        let topics = [
            ("conversation", self.topics.events(), 3),
            ("coverage", self.topics.events(), 3),
            ("coverage", self.topics.quarantine(), 1),
            ("audit", self.topics.control(), 1),
        ];
        let mut ends = Vec::new();
        for (projection, topic, partitions) in topics {
            for partition in 0..partitions {
                let bounds = self.log.bounds(&self.at(topic.clone(), partition)).await.unwrap();
                if bounds.end > bounds.earliest {
                    ends.push((projection, topic.clone(), partition, bounds.end));
                }
            }
        }
        until("the projections have read everything", || async {
            let Ok(offsets) = db.offsets().await else { return false };
            ends.iter().all(|(projection, topic, partition, end)| {
                offsets.iter().any(|offset| {
                    (offset.projection.as_str(), &offset.topic, offset.partition)
                        == (*projection, topic, *partition)
                        && offset.next == *end
                })
            })
        })
        .await;
    }
}

/// What the database says, asked as its owner.
pub(crate) fn ask(url: &SecretString, sql: &str) -> String {
    let output =
        std::process::Command::new("psql").args([url.expose_secret(), "-XqtAc", sql]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A fresh, migrated views database.
pub(crate) async fn views(postgres: &Postgres) -> SecretString {
    let url = SecretString::from(postgres.database().await.unwrap());
    store::migrate_views(&url).await.unwrap();
    url
}

/// Everything both tenants are shown, in a fixed order.
pub(crate) async fn shown(url: &SecretString) -> Shown {
    let db = ViewsDb::connect(url, ViewsRole::Reader, 2).await.unwrap();
    let mut all = Vec::new();
    for tenant in tenants() {
        for conversation in db.conversations(&tenant, 1000, None).await.unwrap() {
            let messages = db.messages(&tenant, &[conversation.id], 100_000, None).await.unwrap();
            all.push((tenant.to_string(), conversation, messages));
        }
    }
    all
}

/// Waits for a condition, with a deadline.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let end = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
