//! What is sealed stays sealed, what was changed is set aside, and who was forgotten stays so.

use std::path::Path;

use eventlog::{Header, Record};
use josekit::jwe;
use josekit::jwk::Jwk;
use josekit::jwk::alg::ec::EcCurve;
use schemas::{
    Action, ErasureId, ErasureReason, Event, FeedFormat, Outcome, Reason, SubjectId, TenantId, raw_header,
};
use seal::RootKey;
use store::KeyringRole;

use crate::stage::{RECEIVED_MS, Stage, body, entry, entry_at, entry_of, eventually, ids, sealed};

async fn stage_with_alpha() -> Stage {
    let stage = Stage::new().await;
    stage.tenant("alpha").await;
    stage.connect("alpha", "whatsapp:111").await;
    stage
}

fn alpha() -> TenantId {
    "alpha".parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ingest_did_not_write_like_this_is_set_aside() {
    let stage = stage_with_alpha().await;
    let running = stage.router();
    let text = body(&[entry("111", "15550001", "wamid.a")]);
    let (whole, other) =
        (stage.delivery(&text), stage.delivery(&body(&[entry("111", "15550002", "wamid.b")])));
    let without = |name: &str| {
        let mut record = whole.clone();
        record.headers.retain(|header| header.name != name);
        record
    };
    let named = |app: &'static str| {
        let mut record = without(raw_header::APP);
        record.headers.push(Header::new(raw_header::APP, app));
        record
    };
    let key = RootKey::generate().unwrap().edge().data_key().unwrap();
    let stranger = sealed(&key, "app", &text);
    let ours = stage.root.edge().data_key().unwrap();
    let mut changed = whole.value.clone().unwrap().to_vec();
    *changed.last_mut().unwrap() ^= 1;
    let tried: [(Record, Reason); 8] = [
        // In clear, however it is labelled; and without what it takes to open it.
        (Record { value: Some(text.clone().into()), ..without(raw_header::KEY) }, Reason::NotOurs),
        (without(raw_header::KEY), Reason::NotOurs),
        (without(raw_header::APP), Reason::NotOurs),
        (without(raw_header::RECEIVED_AT), Reason::NotOurs),
        (Record { value: Some(text.clone().into()), ..whole.clone() }, Reason::Unopenable),
        // Of another app; changed; with the key of another one.
        (named("other"), Reason::Unopenable),
        (Record { value: Some(changed.into()), ..whole.clone() }, Reason::Unopenable),
        (Record { value: whole.value.clone(), ..sealed(&ours, "app", &text) }, Reason::Unopenable),
    ];
    for (number, (record, reason)) in (1..).zip(tried) {
        let raw = stage.put(0, record).await;
        eventually("set aside", async || stage.pointers().await.len() == number).await;
        let pointer = stage.pointers().await.pop().unwrap();
        assert_eq!((pointer.raw, pointer.outcome), (raw, Outcome::Quarantined { reason }), "number {number}");
        assert!(pointer.items.is_empty());
    }
    // Two bodies of one app in one another's places: nothing binds them but their app, and both are routed.
    stage.put(0, Record { value: other.value.clone(), ..whole.clone() }).await;
    eventually("routed", async || stage.written().await == 1).await;
    assert_eq!(running.metric("router_quarantined_total", "unopenable"), 4.0);
    assert_eq!(running.metric("router_quarantined_total", "not_ours"), 4.0);
    println!("promise=changed-bodies tried=8 routed=0");

    // A key of a root that this router lacks may be one that it is about to get: it stops, and passes nothing over.
    eventually("all behind it", async || stage.committed().await == 9).await;
    stage.put(0, stranger).await;
    let ended = running.task.await.unwrap().unwrap_err();
    assert!(format!("{ended:#}").contains("--root-key"), "{ended:#}");
    assert_eq!((stage.committed().await, stage.pointers().await.len()), (9, 8));
    stage.end().await;
}

/// Forgets a person as the keeper does: keys first, then everybody who remembers them.
async fn forget(stage: &Stage, subject: SubjectId, erased_ms: i64) {
    let keeper = stage.ring(KeyringRole::Keeper).await;
    let erasure = ErasureId::from_bytes(*subject.as_bytes());
    let (tenant, reason) = (alpha(), ErasureReason::Request);
    stage.act(Action::ErasureRequested { erasure, tenant, subject, reason }).await;
    assert_eq!(keeper.shred(&alpha(), subject, erased_ms).await.unwrap(), 1);
    stage.act(Action::SubjectShredded { erasure, tenant: alpha(), subject }).await;
    eventually("everybody has forgotten them", async || {
        keeper.db().holders_behind(stage.evictions(), 0).await.unwrap() == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_persons_repeat_is_dropped_and_accounted_for() {
    let stage = stage_with_alpha().await;
    let running = stage.router();
    let first = body(&[entry("111", "15550001", "wamid.a")]);
    stage.deliver(1, &first).await;
    // Twice, so that they are remembered.
    stage.deliver(1, &first).await;
    eventually("routed", async || stage.written().await == 2).await;
    let old = stage.sealed().await.remove(0).1;
    let subject = old.subject.unwrap();
    forget(&stage, subject, RECEIVED_MS).await;

    // Meta's repeat, alone; and in a delivery with somebody else, and with what they write afterwards.
    let alone = stage.deliver(1, &first).await;
    eventually("dropped", async || stage.pointers().await.len() == 1).await;
    let later = RECEIVED_MS / 1_000 + 1;
    let mixed = stage
        .deliver(
            1,
            &body(&[
                entry("111", "15550001", "wamid.a"),
                entry("111", "15550002", "wamid.b"),
                entry("111", "15550001", "wamid.c"),
                entry_at("111", "15550001", "wamid.d", "hello again", later),
            ]),
        )
        .await;
    eventually("dropped and routed", async || {
        stage.pointers().await.len() == 2 && stage.written().await == 4
    })
    .await;
    let seen: Vec<_> =
        stage.pointers().await.into_iter().map(|p| (p.raw, p.count, p.items, p.outcome)).collect();
    assert_eq!(seen, [(alone, 1, vec![0], Outcome::Forgotten), (mixed, 4, vec![0, 2], Outcome::Forgotten)]);
    let new: Vec<_> = stage.sealed().await.into_iter().filter(|(_, event)| event.raw.raw == mixed).collect();
    let mut places: Vec<u32> = new.iter().map(|(_, event)| event.raw.index).collect();
    places.sort_unstable();
    assert_eq!(places, [1, 3]);
    assert!(new.iter().all(|(_, event)| event.subject != Some(subject)), "who comes back is somebody new");
    eventually("counted", async || running.metric("router_deliveries_total", "forgotten") == 2.0).await;
    assert_eq!(running.metric("router_items_total", "forgotten"), 3.0);

    // What they wrote before is in the log and opens for nobody.
    let opener = stage.ring(KeyringRole::Opener).await;
    assert!(opener.keys(&[(alpha(), Some(subject))]).await.unwrap()[0].is_none());
    let newcomer = new.iter().find(|(_, event)| event.raw.index == 3).unwrap().1.subject;
    let key = opener.keys(&[(alpha(), newcomer)]).await.unwrap().remove(0).unwrap();
    assert!(key.open(old.id, schemas::Field::Content, &old.content).is_err());
    // Re-routing the old delivery does not bring it back either.
    stage.act(Action::HolesRerouted { raw: vec![alone] }).await;
    eventually("dropped again", async || stage.pointers().await.len() == 3).await;
    assert_eq!(stage.written().await, 4);
    println!("promise=forgotten-repeats repeated=4 routed=0");
    running.end().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_of_a_restricted_person_says_so() {
    let stage = stage_with_alpha().await;
    let running = stage.router();
    stage
        .deliver(1, &body(&[entry("111", "15550001", "wamid.a"), entry("111", "15550002", "wamid.b")]))
        .await;
    eventually("routed", async || stage.written().await == 2).await;
    let subject =
        stage.sealed().await.iter().find(|(_, event)| event.raw.index == 0).unwrap().1.subject.unwrap();
    stage.act(Action::SubjectRestricted { tenant: alpha(), subject, restricted: true }).await;
    stage
        .deliver(1, &body(&[entry("111", "15550001", "wamid.c"), entry("111", "15550002", "wamid.d")]))
        .await;
    eventually("routed", async || stage.written().await == 4).await;
    let feed = stage.records(stage.topics.inbox(&alpha())).await;
    let marked: Vec<_> = feed
        .iter()
        .filter(|(_, record)| record.header_str("ce_restricted") == Some("true"))
        .map(|(_, record)| record.header_str("ce_person").unwrap().to_owned())
        .collect();
    assert_eq!((feed.len(), marked), (4, vec![subject.to_string()]));
    running.end().await;
    stage.end().await;
}

/// Whether any file below this folder holds these bytes.
fn is_in_files(folder: &Path, wanted: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return is_in_files(&path, wanted);
        }
        // A file may be replaced while this looks.
        std::fs::read(&path).is_ok_and(|bytes| bytes.windows(wanted.len()).any(|window| window == wanted))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_feed_opens_with_the_tenants_private_key_and_nothing_is_in_clear() {
    const CANARY: &str = "canary-4f1b sings";
    let stage = stage_with_alpha().await;
    stage.tenant("beta").await;
    stage.connect("beta", "whatsapp:222").await;
    let private = Jwk::generate_ec_key(EcCurve::P256).unwrap();
    let jwk = private.to_public_key().unwrap().to_string();
    stage.act(Action::TenantFeedSet { tenant: alpha(), feed: FeedFormat::Jwe { jwk } }).await;
    let running = stage.router();
    stage.deliver(1, &body(&[entry_of("111", "155567890001", "wamid.secret", CANARY)])).await;
    eventually("routed", async || stage.written().await == 1).await;

    let (_, record) = stage.records(stage.topics.inbox(&alpha())).await.remove(0);
    assert_eq!(record.header_str("content-type"), Some("application/jose"));
    let compact = std::str::from_utf8(record.value.as_ref().unwrap()).unwrap();
    let decrypter = jwe::ECDH_ES.decrypter_from_jwk(&private).unwrap();
    let (json, _) = jwe::deserialize_compact(compact, &decrypter).unwrap();
    let read = Event::decode(|name| record.header_str(name), &json).unwrap();
    let (_, opened) = stage.events().await.remove(0);
    assert_eq!(read, opened);
    assert!(read.source.as_str().contains(CANARY));
    let other = jwe::ECDH_ES.decrypter_from_jwk(&Jwk::generate_ec_key(EcCurve::P256).unwrap()).unwrap();
    assert!(jwe::deserialize_compact(compact, &other).is_err());

    // Neither raw nor events nor the feed holds it in clear; a feed in clear does, so this would find it.
    let folder = stage.folder.path().join("log");
    let secrets = [CANARY, "155567890001", "wamid.secret"];
    for secret in secrets {
        assert!(!is_in_files(&folder, secret.as_bytes()), "{secret}");
    }
    stage.deliver(1, &body(&[entry_of("222", "155567890001", "wamid.secret", CANARY)])).await;
    eventually("routed", async || stage.written().await == 2).await;
    assert!(secrets.iter().all(|secret| is_in_files(&folder, secret.as_bytes())));
    assert_eq!(ids(&stage.feed("beta").await).len(), 1);
    println!("promise=sealed-log secrets={} found=0", secrets.len());
    running.end().await;
    stage.end().await;
}
