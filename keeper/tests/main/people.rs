//! People who write, with pictures, and what is there of them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use eventlog::{Header, Record, Topic, TopicPartition};
use publish::{FeedForm, Outlets, publish};
use schemas::{
    Action, Content, ErasureId, ErasureReason, ErasureState, Event, Field, FileOutcome, FileState,
    Identifier, Kind, SealedEvent, SubjectId, TenantId, raw_header,
};
use seal::{Context, DataKey};
use service::Clock;
use store::{KeyringRole, ViewsRole};

use crate::rig::{PARTITIONS, Rig, until};

/// Stands in everything that anybody writes.
pub(crate) const CANARY: &str = "canary-7c1f";

/// The phone number of somebody.
pub(crate) fn phone(person: u32) -> String {
    format!("1555{person:07}")
}

fn message(person: u32, id: &str, kind: &str, seconds: i64) -> String {
    let what = match kind {
        "image" => format!(r#"{{"id":"media-{id}","mime_type":"image/jpeg","sha256":"AAAA"}}"#),
        _ => format!(r#"{{"body":"{CANARY} {id}"}}"#),
    };
    format!(
        r#"{{"from":"{}","id":"wamid.{id}","timestamp":"{seconds}","type":"{kind}","{kind}":{what}}}"#,
        phone(person)
    )
}

/// A delivery to a phone number.
pub(crate) fn body(number: &str, messages: &[String]) -> String {
    format!(
        r#"{{"object":"whatsapp_business_account","entry":[{{"id":"900","changes":[{{"field":"messages","value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"1","phone_number_id":"{number}"}},"messages":[{}]}}}}]}}]}}"#,
        messages.join(",")
    )
}

/// A delivery as ingest writes it.
pub(crate) fn delivery(key: &DataKey, body: &str) -> Record {
    let value = key.cipher.seal(&Context::new("raw").part("app"), body.as_bytes()).unwrap();
    let headers = vec![
        Header::new(raw_header::APP, "app"),
        Header::new(raw_header::RECEIVED_AT, Clock::system().now_ms().to_string()),
        Header::new(raw_header::KEY, key.wrapped.clone()),
    ];
    Record { key: None, value: Some(Bytes::from(value)), headers }
}

/// What there is of somebody, sealed; kept by a test that tries to open it later.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) tenant: TenantId,
    pub(crate) subject: Option<SubjectId>,
    pub(crate) event: SealedEvent,
}

impl Rig {
    pub(crate) async fn deliver(&self, body: &str) {
        let key = self.parts.root.edge().data_key().unwrap();
        let at = TopicPartition::new(&Topic::new(self.parts.topics.raw()).unwrap(), 0);
        self.parts.log.append(&at, delivery(&key, body)).unwrap().await.unwrap();
    }

    /// Each of these people writes a text and sends a picture; returns when both are shown and the picture is stored.
    pub(crate) async fn write(
        &self,
        tenant: &TenantId,
        number: &str,
        people: std::ops::Range<u32>,
        round: &str,
    ) {
        let before = self.events(tenant).await.len();
        self.repeat(tenant, number, people.clone(), round).await;
        let wanted = before + 2 * people.len();
        until("everybody's messages are events", || async { self.events(tenant).await.len() >= wanted })
            .await;
        self.fetch(tenant).await;
        self.caught_up().await;
    }

    /// What they wrote in that round is delivered, and nothing waited for.
    pub(crate) async fn repeat(
        &self,
        tenant: &TenantId,
        number: &str,
        people: std::ops::Range<u32>,
        round: &str,
    ) {
        let seconds = Clock::system().now_ms() / 1000 - 60;
        for some in people.clone().collect::<Vec<_>>().chunks(25) {
            let messages: Vec<String> = some
                .iter()
                .flat_map(|person| {
                    ["text", "image"].map(|kind| {
                        message(*person, &format!("{tenant}-{person}-{kind}-{round}"), kind, seconds)
                    })
                })
                .collect();
            self.deliver(&body(number, &messages)).await;
        }
    }

    /// What `events` holds of a tenant.
    pub(crate) async fn events(&self, tenant: &TenantId) -> Vec<SealedEvent> {
        let records = self.records(self.parts.topics.events()).await;
        let event = |record: &Record| {
            SealedEvent::decode(|name| record.header_str(name), record.value.as_ref().unwrap()).unwrap()
        };
        records.iter().map(event).filter(|event| event.tenant == *tenant).collect()
    }

    /// Stores every file that an event names and that is not stored, as the attachments worker does.
    pub(crate) async fn fetch(&self, tenant: &TenantId) {
        let ring = self.places.ring(KeyringRole::Opener, &self.parts.root).await;
        let outlets = Outlets::new(self.parts.log.clone(), self.parts.topics.clone(), PARTITIONS);
        let events = self.events(tenant).await;
        let stored: BTreeSet<_> =
            events.iter().filter_map(|event| Some(event.facts.file.as_ref()?.attachment)).collect();
        for event in &events {
            for file in event.facts.files.iter().filter(|file| !stored.contains(&file.id)) {
                let owner = (tenant.clone(), event.subject);
                let Some(key) = ring.keys(&[owner]).await.unwrap().remove(0) else { continue };
                let (sealing, context) = key.file(file.id);
                let sealer = seal::StreamSealer::new(&sealing, context).unwrap();
                let object = format!(
                    "attachments/{tenant}/{}/{}/{}",
                    event.subject.unwrap(),
                    event.message.unwrap(),
                    file.id
                );
                let whole = sealer_of(sealer, format!("{CANARY} picture").as_bytes());
                self.parts.blobs.put(&object, whole).await.unwrap();
                let keys = ring.tenant(tenant).await.unwrap();
                let outcome = FileOutcome {
                    attachment: file.id,
                    state: FileState::Stored,
                    bytes: Some(1),
                    media_type: None,
                    reason: None,
                };
                let open = |field, bytes: &[u8]| {
                    Ok::<_, schemas::DecodeError>(key.open(event.id, field, bytes).unwrap().to_vec())
                };
                let named = event.open(open).unwrap();
                let said = Event {
                    id: keys.id_key.file_event(Kind::AttachmentStored, &event.asset, file.id),
                    kind: Kind::AttachmentStored,
                    direction: None,
                    contact: None,
                    content: Content::File(outcome),
                    ..named
                };
                let feed = outlets.feed(tenant).await.unwrap();
                let outlet = outlets.events().await.unwrap();
                let published = publish(&said, &key, &FeedForm::Clear, false, outlet, &feed).unwrap();
                for (at, record) in [published.event, published.feed] {
                    self.parts.log.append(&at, record).unwrap().await.unwrap();
                }
            }
        }
    }

    pub(crate) async fn subject(&self, tenant: &TenantId, person: u32) -> Option<SubjectId> {
        let ring = self.places.ring(KeyringRole::Opener, &self.parts.root).await;
        // A tenant without keys has nobody.
        ring.known(tenant, &Identifier::candidates(&phone(person), &[])).await.ok()?.pop()
    }

    /// Asks for the erasure of these people.
    pub(crate) async fn ask_to_forget(
        &self,
        tenant: &TenantId,
        people: std::ops::Range<u32>,
    ) -> Vec<(ErasureId, SubjectId)> {
        let mut erasures = Vec::new();
        for person in people {
            let subject = self.subject(tenant, person).await.unwrap();
            let erasure = ErasureId::from_bytes(rand::random());
            let (tenant, reason) = (tenant.clone(), ErasureReason::Request);
            self.act(Action::ErasureRequested { erasure, tenant, subject, reason }).await;
            erasures.push((erasure, subject));
        }
        erasures
    }

    pub(crate) fn is_done(&self, erasure: ErasureId) -> bool {
        let state = self.parts.plane.state();
        matches!(state.people.erasures.get(&erasure).map(|one| one.state), Some(ErasureState::Done(_)))
    }

    /// What is sealed of a tenant's people now.
    pub(crate) async fn keep(&self, tenant: &TenantId) -> Vec<Kept> {
        let events = self.events(tenant).await;
        events
            .into_iter()
            .map(|event| Kept { tenant: tenant.clone(), subject: event.subject, event })
            .collect()
    }

    /// How many of these open with what any process may ask for.
    pub(crate) async fn opens(&self, kept: &[Kept]) -> usize {
        let ring = self.places.ring(KeyringRole::Opener, &self.parts.root).await;
        let mut opened = 0;
        for one in kept {
            let Ok(mut keys) = ring.keys(&[(one.tenant.clone(), one.subject)]).await else { continue };
            let Some(key) = keys.pop().flatten() else { continue };
            opened += usize::from(key.open(one.event.id, Field::Content, &one.event.content).is_ok());
        }
        opened
    }

    /// The texts that a tenant's readers see now, by subject.
    pub(crate) async fn shown(&self, tenant: &TenantId) -> BTreeMap<SubjectId, Vec<String>> {
        let db = self.places.views(ViewsRole::Reader).await;
        let ring = self.places.ring(KeyringRole::Opener, &self.parts.root).await;
        let mut shown: BTreeMap<SubjectId, Vec<String>> = BTreeMap::new();
        for conversation in db.conversations(tenant, 10_000, None).await.unwrap() {
            for row in db.messages(tenant, &[conversation.id], 10_000, None).await.unwrap() {
                let Some(part) = row.content else { continue };
                let key = ring.keys(&[(tenant.clone(), part.subject)]).await.unwrap().remove(0);
                let Some(key) = key else { continue };
                let opened = key.open(part.event, part.field, &part.bytes).unwrap();
                let text = String::from_utf8(opened.to_vec()).unwrap();
                shown.entry(part.subject.unwrap()).or_default().push(text);
            }
        }
        shown
    }
}

fn sealer_of(mut sealer: seal::StreamSealer, plain: &[u8]) -> Bytes {
    let mut whole = sealer.push(plain).unwrap();
    whole.extend(sealer.finish().unwrap());
    Bytes::from(whole)
}
