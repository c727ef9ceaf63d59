//! A log, a keyring and a control plane for a test, and what is in the log.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use control::{ControlPlane, Partitions, ensure_topics};
use eventlog::{EmbeddedConfig, EventLog, Header, KafkaConfig, Record, Topic, TopicPartition};
use keyring::Keyring;
use prometheus::Registry;
use router::{Config, Router};
use schemas::{Action, DecodeError, Event, Pointer, RawRef, SealedEvent, TenantId, Topics, raw_header};
use seal::{Context, DataKey, RootKey};
use secrecy::SecretString;
use service::{Clock, Readiness};
use store::{KeyringDb, KeyringRole};
use tempfile::TempDir;
use testkit::{Kafka, Postgres};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const PARTITIONS: Partitions = Partitions { main: 4, inbox: 2 };
const DEADLINE: Duration = Duration::from_secs(90);

pub(crate) struct Stage {
    pub(crate) log: EventLog,
    pub(crate) topics: Topics,
    pub(crate) postgres: Postgres,
    pub(crate) root: Arc<RootKey>,
    /// As a process of ingest has it.
    data_key: DataKey,
    plane: ControlPlane,
    keyring: Keyring,
    url: SecretString,
    stop: CancellationToken,
    following: JoinHandle<()>,
    kafka: Option<Kafka>,
    pub(crate) folder: TempDir,
}

/// A router at work.
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

    /// A counter, or a gauge; the sum over its labels that hold `label`.
    pub(crate) fn metric(&self, name: &str, label: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let labelled = |metric: &&prometheus::proto::Metric| {
            label.is_empty() || metric.get_label().iter().any(|pair| pair.value() == label)
        };
        let value = |metric: &prometheus::proto::Metric| {
            metric.get_counter().get_value() + metric.get_gauge().get_value()
        };
        family.get_metric().iter().filter(labelled).map(value).sum()
    }
}

impl Stage {
    /// On the embedded log.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = EmbeddedConfig::new(folder.path().join("log"));
        config.sweep_every = Duration::from_millis(100);
        Self::on(EventLog::embedded(config).await.unwrap(), folder, None).await
    }

    /// On Kafka.
    pub(crate) async fn kafka() -> Self {
        let kafka = Kafka::own(1, None).await.unwrap();
        let log = EventLog::kafka(KafkaConfig::new(kafka.address())).await.unwrap();
        Self::on(log, tempfile::tempdir().unwrap(), Some(kafka)).await
    }

    /// The same log under other topic names.
    pub(crate) async fn named(self, topics: Topics) -> Self {
        self.stop.cancel();
        self.following.await.unwrap();
        Self::with(self.log, topics, self.folder, self.kafka).await
    }

    async fn on(log: EventLog, folder: TempDir, kafka: Option<Kafka>) -> Self {
        Self::with(log, Topics::default(), folder, kafka).await
    }

    async fn with(log: EventLog, topics: Topics, folder: TempDir, kafka: Option<Kafka>) -> Self {
        ensure_topics(&log, &topics, PARTITIONS).await.unwrap();
        let plane = ControlPlane::open(log.clone(), &Topic::new(topics.control()).unwrap()).await.unwrap();
        let stop = CancellationToken::new();
        let (followed, stopped) = (plane.clone(), stop.clone());
        let following = tokio::spawn(async move { followed.follow(stopped).await.unwrap() });
        let postgres = Postgres::start().await.unwrap();
        let url = postgres.database().await.unwrap().into();
        store::migrate_keyring(&url).await.unwrap();
        let db = KeyringDb::connect(&url, KeyringRole::Router, 8).await.unwrap();
        let root = Arc::new(RootKey::generate().unwrap());
        let data_key = root.edge().data_key().unwrap();
        let keyring = Keyring::new(db, root.clone());
        // As every process does that remembers keys.
        tokio::spawn(keyring.clone().attend("router".into(), plane.watch(), Clock::system(), stop.clone()));
        Self { log, topics, postgres, root, data_key, plane, keyring, url, stop, following, kafka, folder }
    }

    /// A keyring of another process.
    pub(crate) async fn ring(&self, role: KeyringRole) -> Keyring {
        Keyring::new(KeyringDb::connect(&self.url, role, 2).await.unwrap(), self.root.clone())
    }

    /// Starts a router.
    pub(crate) fn router(&self) -> Running {
        self.member("router-1")
    }

    /// Starts a router of this name.
    pub(crate) fn member(&self, member: &str) -> Running {
        let config = Config { member: member.into(), partitions: PARTITIONS, ..Config::default() };
        let (registry, readiness) = (Registry::new(), Readiness::default());
        let router = Router::new(
            config,
            self.log.clone(),
            self.plane.clone(),
            self.keyring.clone(),
            self.root.clone(),
            &self.topics,
            &registry,
            &readiness,
            Clock::system(),
        )
        .unwrap();
        let stop = self.stop.child_token();
        Running { task: tokio::spawn(router.run(stop.clone())), stop, readiness, registry }
    }

    pub(crate) async fn act(&self, action: Action) {
        self.act_at(1, action).await;
    }

    pub(crate) async fn act_at(&self, at_ms: i64, action: Action) {
        self.plane.act(at_ms, "admin", action).await.unwrap();
    }

    /// The offset in control that processes have to have forgotten keys up to.
    pub(crate) fn evictions(&self) -> u64 {
        self.plane.state().people.evictions
    }

    /// What control says of people.
    pub(crate) fn people(&self) -> schemas::People {
        self.plane.state().people.clone()
    }

    pub(crate) async fn tenant(&self, name: &str) {
        self.act(Action::TenantAdded { tenant: name.parse().unwrap(), name: name.to_uppercase() }).await;
    }

    pub(crate) async fn connect(&self, name: &str, asset: &str) {
        let (tenant, asset) = (name.parse().unwrap(), asset.parse().unwrap());
        self.act(Action::AssetConnected { tenant, asset }).await;
    }

    pub(crate) fn raw(&self, partition: u32) -> TopicPartition {
        TopicPartition::new(&Topic::new(self.topics.raw()).unwrap(), partition)
    }

    pub(crate) async fn deliver(&self, partition: u32, body: &str) -> RawRef {
        self.put(partition, self.delivery(body)).await
    }

    /// Puts any record into `raw`.
    pub(crate) async fn put(&self, partition: u32, record: Record) -> RawRef {
        let offset = self.log.append(&self.raw(partition), record).unwrap().await.unwrap();
        RawRef { partition, offset }
    }

    /// A delivery as ingest writes it.
    pub(crate) fn delivery(&self, body: &str) -> Record {
        sealed(&self.data_key, "app", body)
    }

    /// Many deliveries, spread over the partitions, durable when this returns.
    pub(crate) async fn deliver_all(&self, bodies: impl Iterator<Item = String>) {
        let mut pending = Vec::new();
        for (partition, body) in (0..PARTITIONS.main).cycle().zip(bodies) {
            pending.push(self.log.append(&self.raw(partition), self.delivery(&body)).unwrap());
        }
        for confirmed in pending {
            confirmed.await.unwrap();
        }
    }

    pub(crate) async fn records(&self, topic: String) -> Vec<(u32, Record)> {
        let topic = Topic::new(topic).unwrap();
        let mut found = Vec::new();
        for partition in 0..self.log.partitions(&topic).await.unwrap().unwrap_or(0) {
            let at = TopicPartition::new(&topic, partition);
            let bounds = self.log.bounds(&at).await.unwrap();
            let mut reader = self.log.reader(&at, bounds.earliest).await.unwrap();
            let mut next = bounds.earliest;
            while next < bounds.end {
                let records = reader.next(1000, Duration::from_millis(500)).await.unwrap();
                next = records.last().map_or(next, |stored| stored.offset + 1);
                found.extend(records.into_iter().map(|stored| (partition, stored.record)));
            }
        }
        found
    }

    /// What `events` holds, opened.
    pub(crate) async fn events(&self) -> Vec<(u32, Event)> {
        let opener = self.ring(KeyringRole::Opener).await;
        let mut events = Vec::new();
        for (partition, sealed) in self.sealed().await {
            let key =
                opener.keys(&[(sealed.tenant.clone(), sealed.subject)]).await.unwrap().remove(0).unwrap();
            let open = |field, bytes: &[u8]| {
                Ok::<_, DecodeError>(key.open(sealed.id, field, bytes).unwrap().to_vec())
            };
            events.push((partition, sealed.open(open).unwrap()));
        }
        events
    }

    /// What `events` holds, as it stands there.
    pub(crate) async fn sealed(&self) -> Vec<(u32, SealedEvent)> {
        let records = self.records(self.topics.events()).await;
        let event = |record: &Record| {
            let value = record.value.as_ref().unwrap();
            SealedEvent::decode(|name| record.header_str(name), value).unwrap()
        };
        records.iter().map(|(partition, record)| (*partition, event(record))).collect()
    }

    pub(crate) async fn feed(&self, tenant: &str) -> Vec<(u32, Event)> {
        let tenant: TenantId = tenant.parse().unwrap();
        decode(self.records(self.topics.inbox(&tenant)).await)
    }

    pub(crate) async fn pointers(&self) -> Vec<Pointer> {
        let records = self.records(self.topics.quarantine()).await;
        records
            .iter()
            .map(|(_, record)| serde_json::from_slice(record.value.as_ref().unwrap()).unwrap())
            .collect()
    }

    /// How many deliveries the router's group has behind it.
    pub(crate) async fn committed(&self) -> u64 {
        let mut committed = 0;
        for partition in 0..PARTITIONS.main {
            let position = self.log.committed("router", &self.raw(partition)).await.unwrap();
            committed += position.unwrap_or(0);
        }
        committed
    }

    /// How many records `events` holds, repeats included.
    pub(crate) async fn written(&self) -> u64 {
        let topic = Topic::new(self.topics.events()).unwrap();
        let mut written = 0;
        for partition in 0..PARTITIONS.main {
            let bounds = self.log.bounds(&TopicPartition::new(&topic, partition)).await.unwrap();
            written += bounds.end - bounds.earliest;
        }
        written
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.following.await.unwrap();
    }
}

/// Waits until it holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let until = tokio::time::Instant::now() + DEADLINE;
    while !holds().await {
        assert!(tokio::time::Instant::now() < until, "not within {} s: {what}", DEADLINE.as_secs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// When every delivery arrived, Unix milliseconds.
pub(crate) const RECEIVED_MS: i64 = 1_700_000_000_000;

/// A delivery for this app, sealed with this key.
pub(crate) fn sealed(key: &DataKey, app: &str, body: &str) -> Record {
    let value = key.cipher.seal(&Context::new("raw").part(app), body.as_bytes()).unwrap();
    let headers = vec![
        Header::new(raw_header::APP, app.to_owned()),
        Header::new(raw_header::RECEIVED_AT, RECEIVED_MS.to_string()),
        Header::new(raw_header::KEY, key.wrapped.clone()),
    ];
    Record { key: None, value: Some(Bytes::from(value)), headers }
}

fn decode(records: Vec<(u32, Record)>) -> Vec<(u32, Event)> {
    let event = |record: &Record| {
        Event::decode(|name| record.header_str(name), record.value.as_ref().unwrap()).unwrap()
    };
    records.iter().map(|(partition, record)| (*partition, event(record))).collect()
}

/// One WhatsApp message as an entry of a delivery.
pub(crate) fn entry(number: &str, sender: &str, id: &str) -> String {
    entry_of(number, sender, id, &format!("hello {id}"))
}

pub(crate) fn entry_of(number: &str, sender: &str, id: &str, text: &str) -> String {
    entry_at(number, sender, id, text, RECEIVED_MS / 1_000)
}

/// The same, sent at this Unix second.
pub(crate) fn entry_at(number: &str, sender: &str, id: &str, text: &str, seconds: i64) -> String {
    format!(
        r#"{{"id":"900","changes":[{{"field":"messages","value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"1","phone_number_id":"{number}"}},"messages":[{{"from":"{sender}","id":"{id}","timestamp":"{seconds}","type":"text","text":{{"body":"{text}"}}}}]}}}}]}}"#
    )
}

pub(crate) fn body(entries: &[String]) -> String {
    format!(r#"{{"object":"whatsapp_business_account","entry":[{}]}}"#, entries.join(","))
}

pub(crate) fn ids(events: &[(u32, Event)]) -> BTreeSet<String> {
    events.iter().map(|(_, event)| event.id.to_string()).collect()
}
