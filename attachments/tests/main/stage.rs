//! A log, a keyring, a queue, a store of objects and a Meta for a test.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use attachments::{Attachments, Config};
use blob::{BlobStore, LocalS3};
use bytes::Bytes;
use control::{ControlPlane, Partitions, ensure_topics};
use eventlog::{EmbeddedConfig, EventLog, Header, Record, Stored, Topic, TopicPartition};
use futures::StreamExt;
use graph::Graph;
use keyring::{Keyring, Person, SubjectKey, Whom};
use prometheus::Registry;
use publish::{FeedForm, Outlet, publish};
use schemas::{
    Asset, AssetKind, Attachment, AttachmentId, Content, Event, EventId, FileOutcome, FileState, Identifier,
    IdentifierKind, Kind, MessageContent, MessageKey, RawPosition, RawRef, SealedEvent, SubjectId, TenantId,
    Topics,
};
use seal::{RootKey, StreamOpener};
use secrecy::SecretString;
use service::{Clock, Readiness};
use store::{KeyringDb, KeyringRole, ViewsDb, ViewsRole};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::meta::{File, Meta, TOKEN};
use crate::server::{Server, databases, psql};

pub(crate) const PARTITIONS: Partitions = Partitions { main: 2, inbox: 1 };
const DEADLINE: Duration = Duration::from_secs(60);
const BUCKET: &str = "tidings";

pub(crate) struct Stage {
    pub(crate) log: EventLog,
    pub(crate) topics: Topics,
    pub(crate) plane: ControlPlane,
    pub(crate) meta: Meta,
    pub(crate) blobs: BlobStore,
    pub(crate) views: SecretString,
    pub(crate) keyring_url: SecretString,
    pub(crate) root: Arc<RootKey>,
    pub(crate) server: Arc<Server>,
    /// Makes people, as the router does.
    pub(crate) people: Keyring,
    /// Sees the queue with its owner's rights.
    pub(crate) queue: ViewsDb,
    pub(crate) s3: Option<LocalS3>,
    pub(crate) folder: TempDir,
    named: AtomicU64,
    stop: CancellationToken,
    following: JoinHandle<()>,
}

/// A worker at work.
pub(crate) struct Running {
    pub(crate) task: JoinHandle<anyhow::Result<()>>,
    pub(crate) stop: CancellationToken,
    pub(crate) readiness: Readiness,
    registry: Registry,
}

impl Running {
    /// Stops it in order.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }

    /// Ends it as a crash would: nothing is finished, nothing is given back.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    /// A counter, or a gauge; the sum over its labels that hold `label`.
    pub(crate) fn metric(&self, name: &str, label: &str) -> f64 {
        let families = self.registry.gather();
        let Some(family) = families.iter().find(|family| family.name() == name) else { return 0.0 };
        let labelled = |metric: &&prometheus::proto::Metric| {
            label.is_empty() || metric.get_label().iter().any(|pair| pair.value() == label)
        };
        let value = |metric: &prometheus::proto::Metric| {
            metric.get_counter().get_value() + metric.get_gauge().get_value()
        };
        family.get_metric().iter().filter(labelled).map(value).sum()
    }
}

/// A message that was delivered.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) event: Event,
    pub(crate) tenant: TenantId,
    pub(crate) subject: SubjectId,
    pub(crate) message: MessageKey,
    pub(crate) files: Vec<AttachmentId>,
}

impl Sent {
    pub(crate) fn object(&self, file: usize) -> String {
        format!("{}{}", self.folder(), self.files[file])
    }

    pub(crate) fn folder(&self) -> String {
        format!("attachments/{}/{}/{}/", self.tenant, self.subject, self.message)
    }
}

/// Settings that do not make a test wait.
pub(crate) fn quick() -> Config {
    Config {
        poll: Duration::from_millis(50),
        retry_first: Duration::from_millis(50),
        retry_longest: Duration::from_millis(200),
        rest: Duration::from_millis(100),
        unseen_every: Duration::from_millis(50),
        grace: Duration::from_secs(1),
        partitions: PARTITIONS,
        ..Config::default()
    }
}

pub(crate) fn now_ms() -> i64 {
    Clock::system().now_ms()
}

/// What is said of a file in a message.
pub(crate) fn by_id(file: &File) -> Attachment {
    Attachment {
        kind: "image".into(),
        media_id: Some(file.id.clone()),
        mime_type: Some(file.mime.into()),
        sha256: Some(file.sha256()),
        ..Attachment::default()
    }
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::on(false).await
    }

    /// With a PostgreSQL of its own, which may be killed.
    pub(crate) async fn alone() -> Self {
        Self::on(true).await
    }

    async fn on(own: bool) -> Self {
        // Shown with a test that fails.
        let _ = tracing_subscriber::fmt().with_env_filter("attachments=debug").with_test_writer().try_init();
        let folder = tempfile::tempdir().unwrap();
        let log = EventLog::embedded(EmbeddedConfig::new(folder.path().join("log"))).await.unwrap();
        let topics = Topics::default();
        ensure_topics(&log, &topics, PARTITIONS).await.unwrap();
        let plane = ControlPlane::open(log.clone(), &Topic::new(topics.control()).unwrap()).await.unwrap();
        let stop = CancellationToken::new();
        let (followed, stopped) = (plane.clone(), stop.clone());
        let following = tokio::spawn(async move { followed.follow(stopped).await.unwrap() });
        let (server, views, keyring_url) = databases(own).await;
        let root = Arc::new(RootKey::generate().unwrap());
        let db = KeyringDb::connect(&keyring_url, KeyringRole::Router, 2).await.unwrap();
        let people = Keyring::new(db, root.clone());
        let queue = ViewsDb::connect(&views, ViewsRole::Attachments, 2).await.unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let s3 = LocalS3::start(&folder.path().join("objects"), listen, BUCKET).await.unwrap();
        let blobs = BlobStore::connect(s3.config()).await.unwrap();
        let meta = Meta::start().await;
        let named = AtomicU64::new(1);
        Self {
            log,
            topics,
            plane,
            meta,
            blobs,
            views,
            keyring_url,
            root,
            server,
            people,
            queue,
            s3: Some(s3),
            folder,
            named,
            stop,
            following,
        }
    }

    /// The keyring as another process has it.
    pub(crate) async fn keyring(&self, role: KeyringRole) -> Keyring {
        let db = KeyringDb::connect(&self.keyring_url, role, 4).await.unwrap();
        Keyring::new(db, self.root.clone())
    }

    /// Starts a worker.
    pub(crate) async fn worker(&self, config: Config) -> Running {
        let keyring = self.keyring(KeyringRole::Opener).await;
        self.worker_with(config, keyring, self.meta.graph()).await
    }

    pub(crate) async fn worker_with(&self, config: Config, keyring: Keyring, graph: Graph) -> Running {
        let (registry, readiness, stop) = (Registry::new(), Readiness::default(), CancellationToken::new());
        let db = ViewsDb::connect(&self.views, ViewsRole::Attachments, 8).await.unwrap();
        let worker = Attachments::new(
            config,
            self.log.clone(),
            self.plane.clone(),
            db,
            keyring,
            graph,
            self.blobs.clone(),
            &self.topics,
            &registry,
            &readiness,
            Clock::system(),
        )
        .unwrap();
        let task = tokio::spawn(worker.run(stop.clone()));
        Running { task, stop, readiness, registry }
    }

    /// A tenant that is there, and whose business account has a token.
    pub(crate) async fn tenant(&self, tenant: &str) {
        self.people.tenant(&tenant.parse().unwrap()).await.unwrap();
        self.set_token(tenant).await;
    }

    pub(crate) async fn set_token(&self, tenant: &str) {
        let keeper = self.keyring(KeyringRole::Keeper).await;
        let (tenant, asset) = (tenant.parse().unwrap(), "waba:900".parse().unwrap());
        keeper.set_token(&tenant, &asset, &SecretString::from(TOKEN), now_ms()).await.unwrap();
    }

    /// A person's message with these files arrives.
    pub(crate) async fn say(&self, tenant: &str, asset: &str, phone: &str, files: Vec<Attachment>) -> Sent {
        let sent = self.message(tenant, asset, phone, now_ms(), files).await;
        self.deliver(&sent.event).await;
        sent
    }

    /// A message that has not arrived yet.
    pub(crate) async fn message(
        &self,
        tenant: &str,
        asset: &str,
        phone: &str,
        occurred_ms: i64,
        mut files: Vec<Attachment>,
    ) -> Sent {
        let tenant: TenantId = tenant.parse().unwrap();
        let asset: Asset = asset.parse().unwrap();
        let identifiers = vec![Identifier { kind: IdentifierKind::Phone, value: phone.to_owned() }];
        let person = Person { tenant: tenant.clone(), identifiers, occurred_ms };
        let Whom::Subject(subject) = self.people.subjects(&[person]).await.unwrap()[0].whom else {
            panic!("nobody was forgotten")
        };
        let id_key = self.people.tenant(&tenant).await.unwrap().id_key.clone();
        let number = self.named.fetch_add(1, Ordering::SeqCst);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let (id, message) = (EventId::from_bytes(id), id_key.message(&asset, &format!("wamid.{number}")));
        for (index, file) in files.iter_mut().enumerate() {
            file.id = Some(id_key.attachment(&asset, id, index));
        }
        let ids = files.iter().filter_map(|file| file.id).collect();
        let content =
            MessageContent { kind: "image".into(), attachments: files, ..MessageContent::default() };
        let event = Event {
            id,
            kind: Kind::MessageReceived,
            tenant: tenant.clone(),
            channel: asset.kind().channel(),
            route: if asset.kind() == AssetKind::Whatsapp {
                "waba:900".parse().unwrap()
            } else {
                asset.clone()
            },
            conversation: Some(id_key.conversation(&asset, subject)),
            asset,
            direction: Some(schemas::Direction::In),
            subject: Some(subject),
            message: Some(message),
            occurred_ms,
            received_ms: now_ms(),
            raw: RawPosition { raw: RawRef { partition: 0, offset: number }, index: 0, count: 1 },
            imported: false,
            standby: false,
            contact: None,
            content: Content::Message(content),
            source: serde_json::from_str(r#"{"made":"up"}"#).unwrap(),
        };
        Sent { event, tenant, subject, message, files: ids }
    }

    /// The message is taken back.
    pub(crate) async fn unsend(&self, sent: &Sent) {
        let mut id = *sent.event.id.as_bytes();
        id[15] = 1;
        let deletion = Event {
            id: EventId::from_bytes(id),
            kind: Kind::MessageDeleted,
            content: Content::Deleted,
            ..sent.event.clone()
        };
        self.deliver(&deletion).await;
    }

    pub(crate) async fn key(&self, tenant: &TenantId, subject: SubjectId) -> Arc<SubjectKey> {
        self.people.keys(&[(tenant.clone(), Some(subject))]).await.unwrap().remove(0).unwrap()
    }

    /// Appends an event as the router does.
    pub(crate) async fn deliver(&self, event: &Event) {
        let key = self.key(&event.tenant, event.subject.unwrap()).await;
        let feed = control::ensure_inbox(&self.log, &self.topics, &event.tenant, PARTITIONS).await.unwrap();
        let events = Topic::new(self.topics.events()).unwrap();
        let outlet = |topic: Topic, partitions| Outlet { topic, partitions };
        let (events, feed) = (outlet(events, PARTITIONS.main), outlet(feed, PARTITIONS.inbox));
        let published = publish(event, &key, &FeedForm::Clear, false, &events, &feed).unwrap();
        for (at, record) in [published.event, published.feed] {
            self.log.append(&at, record).unwrap().await.unwrap();
        }
    }

    /// Everything in a topic.
    pub(crate) async fn records(&self, topic: &str, partitions: u32) -> Vec<Stored> {
        let topic = Topic::new(topic).unwrap();
        let mut records = Vec::new();
        for partition in 0..partitions {
            let at = TopicPartition::new(&topic, partition);
            let bounds = self.log.bounds(&at).await.unwrap();
            let mut reader = self.log.reader(&at, bounds.earliest).await.unwrap();
            let mut next = bounds.earliest;
            while next < bounds.end {
                let some = reader.next(1000, Duration::from_secs(1)).await.unwrap();
                let Some(last) = some.last() else { break };
                next = last.offset + 1;
                records.extend(some);
            }
        }
        records
    }

    /// What `events` says became of files, with every repeat.
    pub(crate) async fn outcomes(&self) -> Vec<(SealedEvent, FileOutcome)> {
        let records = self.records(&self.topics.events(), PARTITIONS.main).await;
        let decode = |stored: Stored| {
            let header = |name: &str| stored.record.header_str(name).map(str::to_owned);
            let headers: std::collections::HashMap<String, String> = stored
                .record
                .headers
                .iter()
                .filter_map(|one| Some((one.name.clone(), header(&one.name)?)))
                .collect();
            let value = stored.record.value?;
            let event = SealedEvent::decode(|name| headers.get(name).map(String::as_str), &value).ok()?;
            let outcome = event.facts.file.clone()?;
            Some((event, outcome))
        };
        records.into_iter().filter_map(decode).collect()
    }

    /// Waits for the outcome of one file, and tells it.
    pub(crate) async fn outcome(&self, attachment: AttachmentId) -> FileOutcome {
        let mut found = None;
        eventually("the outcome of a file", async || {
            let outcomes = self.outcomes().await;
            found = outcomes.into_iter().map(|(_, outcome)| outcome).find(|one| one.attachment == attachment);
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// Waits until a file is stored.
    pub(crate) async fn stored(&self, attachment: AttachmentId) -> FileOutcome {
        let outcome = self.outcome(attachment).await;
        assert_eq!((outcome.state, outcome.reason.clone()), (FileState::Stored, None));
        outcome
    }

    /// Waits until nothing is queued.
    pub(crate) async fn idle(&self) {
        eventually("an empty queue", async || self.queue.attachment_backlog().await.unwrap().files == 0)
            .await;
    }

    /// What an object holds, opened; `None` when there is no such object.
    pub(crate) async fn opened(&self, sent: &Sent, file: usize) -> Option<Vec<u8>> {
        let key = self.key(&sent.tenant, sent.subject).await;
        let (key, context) = key.file(sent.files[file]);
        let mut opener = StreamOpener::new(&key, context);
        let mut object = self.blobs.get(&sent.object(file)).await.unwrap()?;
        let mut plain = Vec::new();
        while let Some(piece) = object.next().await {
            plain.extend(opener.push(&piece.unwrap()).unwrap());
        }
        plain.extend(opener.finish().unwrap());
        Some(plain)
    }

    pub(crate) async fn objects(&self) -> usize {
        self.blobs.list("attachments/", None, 10_000).await.unwrap().len()
    }

    /// How often these bytes are in a file below the stage's folder.
    pub(crate) fn on_disk(&self, needle: &[u8]) -> usize {
        found_in(self.folder.path(), needle) + found_in(self.server.postgres.folder(), needle)
    }

    /// As if so much time had passed that every job is due.
    pub(crate) fn leases_end(&self) {
        self.sql(&format!("UPDATE attachment_job SET due_ms = {}", now_ms()));
    }

    /// As if so much time had passed that Meta has nothing any more.
    pub(crate) fn files_expire(&self) {
        self.sql(&format!("UPDATE attachment_job SET expires_ms = {}", now_ms()));
    }

    /// A statement, as the database's owner; its output.
    pub(crate) fn sql(&self, statement: &str) -> String {
        psql(secrecy::ExposeSecret::expose_secret(&self.views), statement)
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.following.await.unwrap();
        self.log.close(Duration::from_secs(5)).await;
    }
}

fn found_in(folder: &Path, needle: &[u8]) -> usize {
    let mut found = 0;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found += found_in(&path, needle),
            Ok(kind) if kind.is_file() => {
                let bytes = std::fs::read(&path).unwrap_or_default();
                found += usize::from(memchr::memmem::find(&bytes, needle).is_some());
            }
            _ => {}
        }
    }
    found
}

/// A record that is none of ours.
pub(crate) fn foreign() -> Record {
    Record {
        key: Some(Bytes::from_static(b"k")),
        value: Some(Bytes::from_static(b"{}")),
        headers: vec![Header::new("ce_type", "org.tidings.message.received.v9")],
    }
}

/// Waits for a condition.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let until = tokio::time::Instant::now() + DEADLINE;
    while !condition().await {
        assert!(tokio::time::Instant::now() < until, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
