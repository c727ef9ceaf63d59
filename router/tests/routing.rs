//! The router on the embedded log and a real keyring: everything a delivery can become, and the way back for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use control::{ControlPlane, Partitions, ensure_topics};
use eventlog::{EmbeddedConfig, EventLog, Header, Record, Topic, TopicPartition};
use keyring::Keyring;
use prometheus::Registry;
use router::{Config, Router};
use schemas::{Action, Event, Outcome, Pointer, RawRef, Reason, TenantId, Topics, raw_header};
use seal::RootKey;
use service::{Clock, Readiness};
use tempfile::TempDir;
use testkit::Postgres;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const PARTITIONS: Partitions = Partitions { main: 4, inbox: 2 };
const DEADLINE: Duration = Duration::from_secs(60);

struct Stage {
    log: EventLog,
    plane: ControlPlane,
    keyring: Keyring,
    topics: Topics,
    stop: CancellationToken,
    following: JoinHandle<()>,
    _postgres: Postgres,
    _folder: TempDir,
}

impl Stage {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = EventLog::embedded(EmbeddedConfig::new(folder.path().join("log"))).await.unwrap();
        let topics = Topics::default();
        ensure_topics(&log, &topics, PARTITIONS).await.unwrap();
        let plane = ControlPlane::open(log.clone(), &Topic::new(topics.control()).unwrap()).await.unwrap();
        let stop = CancellationToken::new();
        let (followed, stopped) = (plane.clone(), stop.clone());
        let following = tokio::spawn(async move { followed.follow(stopped).await.unwrap() });
        let postgres = Postgres::start().await.unwrap();
        let url = postgres.database().await.unwrap().into();
        store::migrate_keyring(&url).await.unwrap();
        let db = store::KeyringDb::connect(&url, 8).await.unwrap();
        let keyring = Keyring::new(db, Arc::new(RootKey::generate().unwrap()));
        Self { log, plane, keyring, topics, stop, following, _postgres: postgres, _folder: folder }
    }

    fn router(&self) -> (JoinHandle<anyhow::Result<()>>, CancellationToken) {
        let config = Config { partitions: PARTITIONS, ..Config::default() };
        let router = Router::new(
            config, self.log.clone(), self.plane.clone(), self.keyring.clone(), &self.topics, &Registry::new(),
            &Readiness::default(), Clock::system(),
        )
        .unwrap();
        let stop = self.stop.child_token();
        (tokio::spawn(router.run(stop.clone())), stop)
    }

    async fn act(&self, action: Action) {
        self.plane.act(1, "admin", action).await.unwrap();
    }

    async fn tenant(&self, name: &str) {
        self.act(Action::TenantAdded { tenant: name.parse().unwrap(), name: name.to_uppercase() }).await;
    }

    async fn connect(&self, name: &str, asset: &str) {
        self.act(Action::AssetConnected { tenant: name.parse().unwrap(), asset: asset.parse().unwrap() }).await;
    }

    async fn deliver(&self, partition: u32, body: &str) -> RawRef {
        let headers = vec![Header::new(raw_header::APP, "app"), Header::new(raw_header::RECEIVED_AT, "1700000000000")];
        let record = Record { key: None, value: Some(Bytes::copy_from_slice(body.as_bytes())), headers };
        let at = TopicPartition::new(&Topic::new(self.topics.raw()).unwrap(), partition);
        let offset = self.log.append(&at, record).unwrap().await.unwrap();
        RawRef { partition, offset }
    }

    async fn records(&self, topic: String) -> Vec<(u32, Record)> {
        let topic = Topic::new(topic).unwrap();
        let mut found = Vec::new();
        for partition in 0..self.log.partitions(&topic).await.unwrap().unwrap_or(0) {
            let at = TopicPartition::new(&topic, partition);
            let mut reader = self.log.reader(&at, 0).await.unwrap();
            loop {
                let records = reader.next(1000, Duration::ZERO).await.unwrap();
                if records.is_empty() {
                    break;
                }
                found.extend(records.into_iter().map(|stored| (partition, stored.record)));
            }
        }
        found
    }

    async fn events(&self) -> Vec<(u32, Event)> {
        decode(self.records(self.topics.events()).await)
    }

    async fn feed(&self, tenant: &str) -> Vec<(u32, Event)> {
        let tenant: TenantId = tenant.parse().unwrap();
        decode(self.records(self.topics.inbox(&tenant)).await)
    }

    async fn pointers(&self) -> Vec<Pointer> {
        let records = self.records(self.topics.quarantine()).await;
        records.iter().map(|(_, record)| serde_json::from_slice(record.value.as_ref().unwrap()).unwrap()).collect()
    }

    async fn eventually(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let until = tokio::time::Instant::now() + DEADLINE;
        while !holds().await {
            assert!(tokio::time::Instant::now() < until, "not within {} s: {what}", DEADLINE.as_secs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn end(self) {
        self.stop.cancel();
        self.following.await.unwrap();
    }
}

fn decode(records: Vec<(u32, Record)>) -> Vec<(u32, Event)> {
    let event = |record: &Record| Event::decode(|name| record.header_str(name), record.value.as_ref().unwrap()).unwrap();
    records.iter().map(|(partition, record)| (*partition, event(record))).collect()
}

fn entry(number: &str, sender: &str, id: &str) -> String {
    format!(
        r#"{{"id":"900","changes":[{{"field":"messages","value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"1","phone_number_id":"{number}"}},"messages":[{{"from":"{sender}","id":"{id}","timestamp":"1700000000","type":"text","text":{{"body":"hello {id}"}}}}]}}}}]}}"#
    )
}

fn body(entries: &[String]) -> String {
    format!(r#"{{"object":"whatsapp_business_account","entry":[{}]}}"#, entries.join(","))
}

fn ids(events: &[(u32, Event)]) -> BTreeSet<String> {
    events.iter().map(|(_, event)| event.id.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_three_tenants_is_split_whole_and_the_unknown_one_follows_its_connect() {
    let stage = Stage::new().await;
    for tenant in ["alpha", "beta", "gamma"] {
        stage.tenant(tenant).await;
    }
    stage.connect("alpha", "whatsapp:111").await;
    stage.connect("beta", "whatsapp:222").await;
    let (_running, _) = stage.router();
    let entries: Vec<String> = (0..999)
        .map(|i| entry(["111", "222", "333"][i % 3], &format!("1555000{:04}", i % 100), &format!("wamid.{i}")))
        .collect();
    let raw = stage.deliver(1, &body(&entries)).await;
    stage.eventually("666 events", async || stage.events().await.len() == 666).await;
    stage.eventually("one pointer", async || stage.pointers().await.len() == 1).await;
    let pointer = stage.pointers().await.remove(0);
    assert_eq!((pointer.raw, pointer.count, pointer.items.len()), (raw, 999, 333));
    assert!(matches!(pointer.outcome, Outcome::Parked { ref assets } if assets[0].id() == "333"));

    stage.connect("gamma", "whatsapp:333").await;
    stage.eventually("999 events", async || ids(&stage.events().await).len() == 999).await;
    let events = stage.events().await;
    // Every item once, each with its own place; a conversation in one partition; feeds hold their own tenant only.
    let places: BTreeSet<u32> = events.iter().map(|(_, event)| event.raw.index).collect();
    assert_eq!(places, (0..999).collect());
    assert!(events.iter().all(|(_, event)| event.raw.raw == raw && event.raw.count == 999));
    let mut homes: BTreeMap<_, BTreeSet<u32>> = BTreeMap::new();
    for (partition, event) in &events {
        homes.entry(event.conversation.unwrap()).or_default().insert(*partition);
    }
    assert_eq!(homes.len(), 300, "a hundred people in three conversations each");
    assert!(homes.values().all(|partitions| partitions.len() == 1));
    for tenant in ["alpha", "beta", "gamma"] {
        let feed = stage.feed(tenant).await;
        assert!(feed.iter().all(|(_, event)| event.tenant.as_str() == tenant));
        assert_eq!(ids(&feed).len(), 333, "{tenant}");
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_race_leaves_a_message_parked() {
    let stage = Stage::new().await;
    stage.tenant("alpha").await;
    let (_running, _) = stage.router();
    let mut expected = 0;
    for round in 0..200_u32 {
        let number = format!("5{round:04}");
        let text = body(&[entry(&number, "15550001", &format!("wamid.{round}"))]);
        let deliver = stage.deliver(round % 4, &text);
        let connect = async {
            // From well before to well after the router's look at the delivery.
            for _ in 0..round % 20 {
                tokio::task::yield_now().await;
            }
            stage.connect("alpha", &format!("whatsapp:{number}")).await;
        };
        tokio::join!(deliver, connect);
        expected += 1;
    }
    stage.eventually("every message routed", async || ids(&stage.events().await).len() == expected).await;
    println!("promise=unparked rounds=200 parked_first={} lost=0", stage.pointers().await.len());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_in_quarantine_and_can_be_redriven() {
    let stage = Stage::new().await;
    stage.tenant("alpha").await;
    let (_running, _) = stage.router();
    let broken = stage.deliver(0, "{\"object\":").await;
    stage.deliver(0, r#"{"object":"page","entry":[]}"#).await;
    let at = TopicPartition::new(&Topic::new(stage.topics.raw()).unwrap(), 0);
    stage.log.append(&at, Record { value: Some(Bytes::from_static(b"{}")), ..Record::default() }).unwrap().await.unwrap();
    stage.eventually("three pointers", async || stage.pointers().await.len() == 3).await;
    let outcomes: Vec<Outcome> = stage.pointers().await.into_iter().map(|pointer| pointer.outcome).collect();
    assert_eq!(outcomes, [
        Outcome::Quarantined { reason: Reason::NotJson },
        Outcome::Empty,
        Outcome::Quarantined { reason: Reason::NotOurs },
    ]);
    stage.act(Action::QuarantineRedriven { raw: vec![broken] }).await;
    stage.eventually("a second attempt", async || stage.pointers().await.len() == 4).await;
    assert_eq!(stage.pointers().await[3].attempts, 2);

    // A suspended tenant's messages wait for it.
    stage.connect("alpha", "whatsapp:111").await;
    stage.act(Action::TenantSuspended { tenant: "alpha".parse().unwrap() }).await;
    stage.deliver(2, &body(&[entry("111", "15550001", "wamid.S")])).await;
    stage.eventually("parked", async || stage.pointers().await.len() == 5).await;
    assert_eq!(stage.events().await.len(), 0);
    stage.act(Action::TenantResumed { tenant: "alpha".parse().unwrap() }).await;
    stage.eventually("routed", async || stage.events().await.len() == 1).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_cut_short_repeats_and_invents_nothing() {
    let stage = Stage::new().await;
    stage.tenant("alpha").await;
    stage.connect("alpha", "whatsapp:111").await;
    const DELIVERIES: u32 = 2_000;
    for i in 0..DELIVERIES {
        stage.deliver(i % 4, &body(&[entry("111", &format!("1555{}", i % 50), &format!("wamid.{i}"))])).await;
    }
    let raw = Topic::new(stage.topics.raw()).unwrap();
    let mut cuts = 0;
    for round in 0..8_u64 {
        let (running, _) = stage.router();
        let before = stage.events().await.len();
        stage.eventually("some progress", async || {
            let events = stage.events().await.len();
            events > before + 50 || ids(&stage.events().await).len() == DELIVERIES as usize
        })
        .await;
        tokio::time::sleep(Duration::from_millis(round)).await;
        // Dropped in the middle of whatever it does: between appends, or between append and commit.
        running.abort();
        let _ = running.await;
        cuts += 1;
    }
    let (_running, stop) = stage.router();
    stage.eventually("every delivery committed", async || {
        let mut committed = 0;
        for partition in 0..4 {
            let at = TopicPartition::new(&raw, partition);
            committed += stage.log.committed("router", &at).await.unwrap().unwrap_or(0);
        }
        committed == u64::from(DELIVERIES)
    })
    .await;
    let events = stage.events().await;
    assert_eq!(ids(&events).len(), DELIVERIES as usize);
    println!("promise=at-least-once sent={DELIVERIES} cuts={cuts} records={} ids={DELIVERIES} lost=0", events.len());
    stop.cancel();
    stage.end().await;
}
