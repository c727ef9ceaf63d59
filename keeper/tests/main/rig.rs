//! Everything that a keeper works with, in one process, and what a test may do to it.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use blob::{BlobStore, LocalS3};
use control::{ControlPlane, Partitions, ensure_topics};
use eventlog::{EmbeddedConfig, EventLog, Record, Topic, TopicPartition};
use keeper::{Config, Keeper};
use keyring::Keyring;
use prometheus::Registry;
use schemas::{Action, TenantId, Topics};
use seal::RootKey;
use secrecy::SecretString;
use service::{Clock, Readiness};
use store::{KeyringDb, KeyringRole, ViewsDb, ViewsRole};
use tempfile::TempDir;
use testkit::Postgres;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) const PARTITIONS: Partitions = Partitions { main: 2, inbox: 1 };
pub(crate) const DAY_MS: i64 = 86_400_000;
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
const BUCKET: &str = "attachments";

/// Where everything is: enough to open it from another process.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) views: String,
    pub(crate) keyring: String,
    pub(crate) folder: PathBuf,
    pub(crate) s3: String,
    pub(crate) access: (String, String),
}

/// What a keeper is given.
pub(crate) struct Parts {
    pub(crate) log: EventLog,
    pub(crate) plane: ControlPlane,
    pub(crate) topics: Topics,
    pub(crate) root: Arc<RootKey>,
    pub(crate) ring: Keyring,
    pub(crate) views: ViewsDb,
    pub(crate) blobs: BlobStore,
    pub(crate) stop: CancellationToken,
    follows: JoinHandle<()>,
}

impl Places {
    pub(crate) async fn open(&self) -> Parts {
        let mut config = EmbeddedConfig::new(self.folder.join("log"));
        config.sweep_every = Duration::from_millis(200);
        let log = EventLog::embedded(config).await.unwrap();
        let topics = Topics::default();
        ensure_topics(&log, &topics, PARTITIONS).await.unwrap();
        let plane = ControlPlane::open(log.clone(), &Topic::new(topics.control()).unwrap()).await.unwrap();
        let stop = CancellationToken::new();
        let (followed, stopped) = (plane.clone(), stop.clone());
        let follows = tokio::spawn(async move { followed.follow(stopped).await.unwrap() });
        let root = Arc::new(RootKey::load_or_create(&self.folder.join("root-key")).unwrap());
        let ring = self.ring(KeyringRole::Keeper, &root).await;
        tokio::spawn(ring.clone().attend("keeper".into(), plane.watch(), Clock::system(), stop.clone()));
        let views = self.views(ViewsRole::Keeper).await;
        let credentials = (self.access.0.clone(), self.access.1.clone().into());
        let config = blob::BlobConfig {
            endpoint: Some(self.s3.clone()),
            region: "us-east-1".into(),
            bucket: BUCKET.into(),
            credentials: Some(credentials),
            path_style: true,
            sse: blob::Sse::None,
            make_bucket: false,
        };
        let blobs = BlobStore::connect(config).await.unwrap();
        Parts { log, plane, topics, root, ring, views, blobs, stop, follows }
    }

    pub(crate) async fn views(&self, role: ViewsRole) -> ViewsDb {
        ViewsDb::connect(&SecretString::from(self.views.as_str()), role, 6).await.unwrap()
    }

    /// A keyring of a process of its own.
    pub(crate) async fn ring(&self, role: KeyringRole, root: &Arc<RootKey>) -> Keyring {
        let url = SecretString::from(self.keyring.as_str());
        Keyring::new(KeyringDb::connect(&url, role, 6).await.unwrap(), root.clone())
    }

    /// What a database says, asked as its owner.
    pub(crate) fn ask(&self, url: &str, sql: &str) -> String {
        let output = Command::new("psql").args([url, "-XqtAc", sql]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Parts {
    pub(crate) fn keeper(&self, config: Config, clock: Clock) -> Keeper {
        self.keeper_in(&Registry::new(), config, clock)
    }

    fn keeper_in(&self, registry: &Registry, config: Config, clock: Clock) -> Keeper {
        Keeper::new(
            config,
            self.log.clone(),
            self.plane.clone(),
            self.ring.clone(),
            self.views.clone(),
            self.blobs.clone(),
            self.root.clone(),
            &self.topics,
            registry,
            clock,
        )
        .unwrap()
    }

    /// Ends everything of it, so that another process may open the log.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.follows.await.unwrap();
        self.log.close(Duration::from_secs(5)).await;
    }
}

/// A service that runs until told otherwise.
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

pub(crate) struct Rig {
    pub(crate) places: Places,
    pub(crate) parts: Parts,
    /// What the keeper's clock is ahead by, milliseconds.
    ahead: Arc<AtomicI64>,
    // Last: they go when everything else is gone.
    _s3: LocalS3,
    _postgres: Arc<Postgres>,
    _folder: TempDir,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        let postgres = shared().await;
        let (views, keyring) = (postgres.database().await.unwrap(), postgres.database().await.unwrap());
        store::migrate_views(&views.clone().into()).await.unwrap();
        store::migrate_keyring(&keyring.clone().into()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let access = ("access".to_owned(), "a-secret-key".to_owned());
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let credentials = (access.0.clone(), SecretString::from(access.1.as_str()));
        let s3 = LocalS3::start_with(&folder.path().join("s3"), listen, BUCKET, credentials).await.unwrap();
        let places =
            Places { views, keyring, folder: folder.path().to_owned(), s3: s3.endpoint().to_owned(), access };
        let parts = places.open().await;
        Self { places, parts, ahead: Arc::default(), _s3: s3, _postgres: postgres, _folder: folder }
    }

    /// The keeper's clock.
    pub(crate) fn clock(&self) -> Clock {
        let (system, ahead) = (Clock::system(), self.ahead.clone());
        Clock::from_fn(move || system.now_ms() + ahead.load(Ordering::Relaxed))
    }

    /// So many days from now.
    pub(crate) fn set_day(&self, day: i64) {
        self.ahead.store(day * DAY_MS, Ordering::Relaxed);
    }

    /// A keeper whose clock is believed whatever it says.
    pub(crate) fn keeper(&self) -> Keeper {
        self.keeper_with(Config::default())
    }

    pub(crate) fn keeper_with(&self, config: Config) -> Keeper {
        self.parts.keeper(Config { settle: Duration::ZERO, ..config }, self.clock())
    }

    pub(crate) fn keeper_and_registry(&self, config: Config) -> (Keeper, Registry) {
        let registry = Registry::new();
        let config = Config { settle: Duration::ZERO, ..config };
        (self.parts.keeper_in(&registry, config, self.clock()), registry)
    }

    /// A router with a keyring of its own.
    pub(crate) async fn route(&self) -> Running {
        let stop = self.parts.stop.child_token();
        let ring = self.places.ring(KeyringRole::Router, &self.parts.root).await;
        let attends =
            ring.clone().attend("router".into(), self.parts.plane.watch(), Clock::system(), stop.clone());
        tokio::spawn(attends);
        let router = router::Router::new(
            router::Config { partitions: PARTITIONS, ..router::Config::default() },
            self.parts.log.clone(),
            self.parts.plane.clone(),
            ring,
            self.parts.root.clone(),
            &self.parts.topics,
            &Registry::new(),
            &Readiness::default(),
            Clock::system(),
        )
        .unwrap();
        Running { task: tokio::spawn(router.run(stop.clone())), stop }
    }

    pub(crate) async fn project(&self) -> Running {
        let audit_key = self.places.folder.join("audit-key");
        let projector = projector::Projector::new(
            projector::Config { audit_key, ..projector::Config::default() },
            self.parts.log.clone(),
            self.parts.plane.clone(),
            self.places.views(ViewsRole::Projector).await,
            &self.parts.topics,
            &Registry::new(),
            &Readiness::default(),
            Clock::system(),
        )
        .unwrap();
        let stop = self.parts.stop.child_token();
        Running { task: tokio::spawn(projector.run(stop.clone())), stop }
    }

    pub(crate) async fn act(&self, action: Action) {
        let now_ms = self.clock().now_ms();
        self.parts.plane.act(now_ms, "admin", action).await.unwrap();
    }

    /// A tenant with a phone number.
    pub(crate) async fn tenant(&self, name: &str, number: &str) -> TenantId {
        let tenant: TenantId = name.parse().unwrap();
        self.act(Action::TenantAdded { tenant: tenant.clone(), name: name.to_uppercase() }).await;
        let asset = format!("whatsapp:{number}").parse().unwrap();
        self.act(Action::AssetConnected { tenant: tenant.clone(), asset }).await;
        tenant
    }

    /// Every record that a topic holds, as compaction would leave them.
    pub(crate) async fn records(&self, topic: String) -> Vec<Record> {
        let topic = Topic::new(topic).unwrap();
        let mut found: std::collections::BTreeMap<_, Record> = std::collections::BTreeMap::new();
        for partition in 0..self.parts.log.partitions(&topic).await.unwrap().unwrap_or(0) {
            let at = TopicPartition::new(&topic, partition);
            let bounds = self.parts.log.bounds(&at).await.unwrap();
            let mut next = bounds.earliest;
            let mut reader = self.parts.log.reader(&at, next).await.unwrap();
            while next < bounds.end {
                let records = reader.next(1000, Duration::from_millis(500)).await.unwrap();
                next = records.last().map_or(next, |stored| stored.offset + 1);
                for stored in records {
                    found.insert((partition, stored.record.key.clone()), stored.record);
                }
            }
        }
        found.into_values().filter(|record| record.value.is_some()).collect()
    }

    /// Waits until the projections have read all there is, and its deliveries are summed up.
    pub(crate) async fn caught_up(&self) {
        let topics = &self.parts.topics;
        let wanted = [
            ("conversation", topics.events(), PARTITIONS.main),
            ("coverage", topics.events(), PARTITIONS.main),
            ("coverage", topics.quarantine(), 1),
            ("audit", topics.control(), 1),
        ];
        let mut ends = Vec::new();
        for (projection, topic, partitions) in wanted {
            for partition in 0..partitions {
                let at = TopicPartition::new(&Topic::new(&topic).unwrap(), partition);
                ends.push((
                    projection,
                    topic.clone(),
                    partition,
                    self.parts.log.bounds(&at).await.unwrap().end,
                ));
            }
        }
        until("the projections have read everything", || async {
            let offsets = self.parts.views.offsets().await.unwrap();
            ends.iter().all(|(projection, topic, partition, end)| {
                let found = offsets.iter().find(|at| {
                    (at.projection.as_str(), &at.topic, at.partition) == (*projection, topic, *partition)
                });
                found.map_or(0, |at| at.next) >= *end
            })
        })
        .await;
    }

    /// A number that the views' database says.
    pub(crate) fn count(&self, sql: &str) -> i64 {
        self.places.ask(&self.places.views, sql).parse().unwrap()
    }

    /// A number that the keyring's database says.
    pub(crate) fn count_keys(&self, sql: &str) -> i64 {
        self.places.ask(&self.places.keyring, sql).parse().unwrap()
    }

    pub(crate) async fn objects(&self, prefix: &str) -> Vec<String> {
        let found = self.parts.blobs.list(prefix, None, usize::MAX).await.unwrap();
        found.into_iter().map(|object| object.key).collect()
    }
}

/// A server that all tests of the moment share; it goes with the last of them.
async fn shared() -> Arc<Postgres> {
    static SHARED: Mutex<Weak<Postgres>> = Mutex::const_new(Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(postgres) = shared.upgrade() {
        return postgres;
    }
    let postgres = Arc::new(Postgres::start().await.unwrap());
    *shared = Arc::downgrade(&postgres);
    postgres
}

/// Waits for a condition, with a deadline.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let end = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
