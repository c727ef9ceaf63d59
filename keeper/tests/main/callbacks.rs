//! Meta's deletion callbacks: whoever they are about is forgotten, and so is the id that they came with.

use bytes::Bytes;
use eventlog::{Record, Topic, TopicPartition};
use keeper::Config;
use keyring::{Person, Whom};
use schemas::{Action, CallbackKind, Identifier, IdentifierKind, SubjectId, TenantId};
use seal::RootKey;
use store::KeyringRole;
use tokio_util::sync::CancellationToken;

use crate::people::phone;
use crate::rig::{Rig, until};

const USER: &str = "99887766554433";
const APP: &str = "acme-app";

impl Rig {
    /// A callback as ingest writes it down, its id sealed with this key.
    async fn call_back(&self, root: &RootKey, code: &str, user: &str) {
        let sealed = root.edge().seal(&format!("callback/{APP}/{code}"), user.as_bytes()).unwrap();
        let at = TopicPartition::new(&Topic::new(self.parts.topics.callbacks()).unwrap(), 0);
        let (key, value) = (Some(Bytes::from(code.to_owned())), Some(Bytes::from(sealed)));
        self.parts.log.append(&at, Record { key, value, headers: Vec::new() }).unwrap().await.unwrap();
        let (app, code) = (APP.parse().unwrap(), code.to_owned());
        self.act(Action::CallbackReceived { app, kind: CallbackKind::DataDeletion, code }).await;
    }

    /// To how many erasures a callback led; `None` while nobody has looked.
    fn led_to(&self, code: &str) -> Option<usize> {
        self.parts.plane.state().people.callbacks[code].erasures.as_ref().map(Vec::len)
    }

    /// Somebody who wrote to a page.
    async fn met(&self, tenant: &TenantId, page: &str, user: &str) -> SubjectId {
        let identifier = Identifier { kind: IdentifierKind::Psid, value: format!("messenger:{page}/{user}") };
        let person = Person { tenant: tenant.clone(), identifiers: vec![identifier], occurred_ms: 1 };
        let ring = self.places.ring(KeyringRole::Router, &self.parts.root).await;
        match ring.subjects(&[person]).await.unwrap()[0].whom {
            Whom::Subject(subject) => subject,
            Whom::Forgotten => panic!("nobody was forgotten"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_callback_is_about_is_forgotten_and_then_its_id() {
    let rig = Rig::start().await;
    let (router, projector) = (rig.route().await, rig.project().await);
    let acme = rig.tenant("acme", "111").await;
    let page = "messenger:222".parse().unwrap();
    rig.act(Action::AssetConnected { tenant: acme.clone(), asset: page }).await;
    rig.write(&acme, "111", 0..2, "a").await;
    let subject = rig.met(&acme, "222", USER).await;
    let root = rig.parts.root.clone();
    rig.call_back(&root, "code-one", USER).await;
    // An id that looks like somebody's number is not that number.
    rig.call_back(&root, "code-two", &phone(1)).await;
    assert_eq!(rig.records(rig.parts.topics.callbacks()).await.len(), 2);

    let stop = CancellationToken::new();
    let running = tokio::spawn(rig.keeper().run(stop.clone()));
    until("both are answered", || async {
        rig.led_to("code-one").is_some() && rig.led_to("code-two").is_some()
    })
    .await;
    assert_eq!((rig.led_to("code-one"), rig.led_to("code-two")), (Some(1), Some(0)));
    let (erasure, known) =
        rig.parts.plane.state().people.erasures.iter().next().map(|(id, one)| (*id, one.clone())).unwrap();
    assert_eq!(known.subject, subject);
    until("they are forgotten", || async { rig.is_done(erasure) }).await;
    until("the ids are gone", || async { rig.records(rig.parts.topics.callbacks()).await.is_empty() }).await;
    let control = rig.records(rig.parts.topics.control()).await;
    let told = |record: &Record| String::from_utf8_lossy(record.value.as_ref().unwrap()).contains("v2.");
    assert!(!control.iter().any(told), "control holds the code alone");
    assert_eq!(rig.shown(&acme).await.len(), 2, "nobody else");
    println!("promise=callbacks answered=2 forgotten=1 ids_left=0");
    stop.cancel();
    running.await.unwrap().unwrap();
    router.stop().await;
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_does_not_open_waits_for_its_key() {
    let rig = Rig::start().await;
    let acme = rig.tenant("acme", "111").await;
    let page = "messenger:222".parse().unwrap();
    rig.act(Action::AssetConnected { tenant: acme.clone(), asset: page }).await;
    let subject = rig.met(&acme, "222", USER).await;
    // Ingest got its edge key from a generation that is not in the keeper's file.
    let newer = rig.places.folder.join("newer-root-key");
    let newer_root = RootKey::load_or_create(&newer).unwrap();
    rig.call_back(&newer_root, "code-shut", USER).await;
    let (keeper, registry) = rig.keeper_and_registry(Config::default());
    let stop = CancellationToken::new();
    let running = tokio::spawn(keeper.run(stop.clone()));
    let shut = || {
        let families = registry.gather();
        let family = families.iter().find(|family| family.name() == "keeper_callbacks_shut").unwrap();
        family.get_metric()[0].get_gauge().get_value() as u64
    };
    until("somebody is told", || async { shut() == 1 }).await;
    // The others do not wait for it.
    rig.call_back(&rig.parts.root.clone(), "code-open", "1234567890123").await;
    until("another one is answered", || async { rig.led_to("code-open") == Some(0) }).await;
    assert_eq!(rig.led_to("code-shut"), None, "it is not closed");
    assert!(rig.parts.plane.state().people.erasures.is_empty());

    let file = rig.places.folder.join("root-key");
    let both = [std::fs::read_to_string(&file).unwrap(), std::fs::read_to_string(&newer).unwrap()].concat();
    std::fs::write(&file, both).unwrap();
    until("it is answered", || async { rig.led_to("code-shut") == Some(1) }).await;
    assert!(rig.parts.plane.state().people.erasures.values().any(|erasure| erasure.subject == subject));
    until("nobody is told any more", || async { shut() == 0 }).await;
    stop.cancel();
    running.await.unwrap().unwrap();
}
