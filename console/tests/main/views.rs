//! What the views hold, as the API shows it: conversations, quarantine, audit and the loss equation.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use eventlog::{Delivery, Header, Record, Subscription, Topic, TopicPartition};
use hyper::StatusCode;
use keyring::{Person, Whom};
use ring::signature::{Ed25519KeyPair, KeyPair};
use schemas::{
    ConversationId, EventId, Field, Identifier, IdentifierKind, MessageKey, RawRef, Reason, SubjectId,
    TenantId,
};
use serde_json::json;
use store::{
    ContactChange, ConversationChange, ConversationChanges, CoverageChange, Moved, NewAuditRow, OffsetMove,
    QuarantineChange, StatusChange, Whole,
};

use crate::rig::{AUDIT_SEED, Rig};

const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn id(n: u8) -> [u8; 16] {
    [n; 16]
}

/// So many people whom the router has met: by the phone numbers 15550000001 and on.
pub(crate) async fn subjects(rig: &Rig, tenant: &TenantId, count: usize) -> Vec<SubjectId> {
    let people: Vec<Person> = (1..=count)
        .map(|n| Person {
            tenant: tenant.clone(),
            identifiers: vec![Identifier { kind: IdentifierKind::Phone, value: format!("1555000{n:04}") }],
            occurred_ms: 0,
        })
        .collect();
    let known = rig.keyring.subjects(&people).await.unwrap();
    known
        .into_iter()
        .map(|one| match one.whom {
            Whom::Subject(subject) => subject,
            Whom::Forgotten => panic!("nobody was forgotten"),
        })
        .collect()
}

pub(crate) async fn tenant(rig: &Rig) -> TenantId {
    rig.done("POST", "/v1/tenants", Some(json!({"id": "acme", "name": "Acme"}))).await;
    "acme".parse().unwrap()
}

pub(crate) fn step<'a>(projection: &'a str, topic: &'a str, expected: u64, next: u64) -> OffsetMove<'a> {
    OffsetMove { projection, topic, partition: 0, expected, next }
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_are_paged_and_messages_are_in_order() {
    let rig = Rig::start().await;
    let tenant = tenant(&rig).await;
    let mut changes = ConversationChanges::default();
    let people = subjects(&rig, &tenant, 5).await;
    let key = rig.keyring.keys(&[(tenant.clone(), Some(people[4]))]).await.unwrap().remove(0).unwrap();
    let sealed = |event: u8, field, json: serde_json::Value| {
        key.seal(EventId::from_bytes(id(event)), field, json.to_string().as_bytes()).unwrap()
    };
    for n in 1..=5 {
        let change = ConversationChange {
            channel: "whatsapp",
            asset: "whatsapp:111".into(),
            subject: Some(people[usize::from(n) - 1]),
            last_at_ms: i64::from(n) * 1000,
        };
        changes.conversations.insert((tenant.clone(), ConversationId::from_bytes(id(n))), change);
    }
    let contact = ContactChange {
        at_ms: 1,
        event: EventId::from_bytes(id(9)),
        content: sealed(9, Field::Contact, json!({"name": "Ada \u{1F44B}"})),
    };
    changes.contacts.insert((tenant.clone(), people[4]), contact);
    for (n, at_ms, direction, text) in [(1, 2000, "in", "second"), (2, 1000, "out", "first")] {
        let change = store::MessageChange {
            imported: false,
            standby: false,
            at_ms,
            event: EventId::from_bytes(id(n)),
            conversation: ConversationId::from_bytes(id(5)),
            subject: Some(people[4]),
            direction,
            kind: "text".into(),
            content: sealed(n, Field::Content, json!({"kind": "text", "text": text})),
        };
        changes.messages.insert((tenant.clone(), MessageKey::from_bytes(id(n))), change);
    }
    changes.statuses.insert(
        (tenant.clone(), MessageKey::from_bytes(id(2))),
        StatusChange { subject: Some(people[4]), rank: 2, failed: false },
    );
    let moved =
        rig.projector.apply_conversation(&step("conversation", "events", 0, 1), &changes).await.unwrap();
    assert_eq!(moved, Moved::Applied);

    let mut listed = Vec::new();
    let mut path = "/v1/tenants/acme/conversations?limit=2".to_owned();
    loop {
        let page = rig.done("GET", &path, None).await;
        listed.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/tenants/acme/conversations?limit=2&after={next}");
    }
    let times: Vec<&str> =
        listed.iter().map(|conversation| conversation["last_at"].as_str().unwrap()).collect();
    assert_eq!(times.len(), 5);
    assert!(times.iter().rev().is_sorted(), "{times:?}");
    assert_eq!(listed[0]["messages"], 2);
    assert_eq!(listed[0]["contact"], json!({"subject": people[4].to_string(), "name": "Ada \u{1F44B}"}));

    let conversation = format!("/v1/tenants/acme/conversations/{}", hex::encode(id(5)));
    assert_eq!(rig.done("GET", &conversation, None).await, listed[0]);
    let messages = rig.done("GET", &format!("{conversation}/messages"), None).await;
    let shown: Vec<_> = messages["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| (message["text"].as_str(), message["direction"].as_str(), message["status"].as_str()))
        .collect();
    assert_eq!(shown, [(Some("first"), Some("out"), Some("delivered")), (Some("second"), Some("in"), None)]);
    assert_eq!(messages["items"][0]["at"], "1970-01-01T00:00:01.000Z");
    assert_eq!(messages["next"], json!(null));
    let first = rig.done("GET", &format!("{conversation}/messages?limit=1"), None).await;
    assert_eq!(first["items"], json!([messages["items"][0]]));
    let next = first["next"].as_str().unwrap();
    let second = rig.done("GET", &format!("{conversation}/messages?limit=1&after={next}"), None).await;
    assert_eq!(second["items"], json!([messages["items"][1]]));
    for wrong in ["limit=0", "limit=1001", "after=1", "after=x:y"] {
        let answer = rig.ask("GET", &format!("{conversation}/messages?{wrong}"), None).await;
        assert_eq!(answer.0, StatusCode::BAD_REQUEST, "{wrong}");
    }

    // Another tenant sees nothing of it.
    rig.done("POST", "/v1/tenants", Some(json!({"id": "other", "name": "Other"}))).await;
    assert_eq!(rig.done("GET", "/v1/tenants/other/conversations", None).await["items"], json!([]));
    let theirs = conversation.replace("acme", "other");
    assert_eq!(rig.ask("GET", &theirs, None).await.0, StatusCode::NOT_FOUND);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_is_nowhere_is_a_hole_until_it_is_somewhere() {
    let rig = Rig::start().await;
    let raw = TopicPartition::new(&Topic::new("raw").unwrap(), 0);
    let headers = [("app", "main"), ("received_at", "1700000000123"), ("content_type", "application/json")];
    let record = Record {
        key: None,
        value: Some(Bytes::from_static(b"{nonsense")),
        headers: headers.map(|(name, value)| Header::new(name, value)).to_vec(),
    };
    rig.log.append(&raw, record).unwrap().await.unwrap();

    // The router has not come to it: under way, not missing.
    let equation = rig.done("GET", "/v1/verify", None).await;
    assert_eq!((&equation["received"], &equation["holes"]), (&json!(1), &json!(0)));
    assert_ne!(equation["pending"], 0);

    // The router says it is past it, and nothing of it is anywhere.
    commit_as_router(&rig, &raw, 1).await;
    let equation = rig.done("GET", "/v1/verify", None).await;
    assert_eq!(
        (&equation["ok"], &equation["holes"], &equation["pending"]),
        (&json!(false), &json!(1), &json!(0))
    );
    assert_eq!(equation["hole_examples"], json!(["0:0"]));

    // A record that coverage has not read may be about it: under way again.
    let quarantine = TopicPartition::new(&Topic::new("quarantine").unwrap(), 0);
    let pointer = Record { key: None, value: Some(Bytes::from_static(b"{}")), headers: Vec::new() };
    rig.log.append(&quarantine, pointer).unwrap().await.unwrap();
    let equation = rig.done("GET", "/v1/verify", None).await;
    assert_eq!(equation["holes"], 0);
    assert_ne!(equation["pending"], 0);

    let delivery = RawRef { partition: 0, offset: 0 };
    let mut change = CoverageChange::default();
    change.whole(delivery, Whole::Quarantined);
    let pointer =
        QuarantineChange { raw: delivery, reason: Reason::NotJson, attempts: 1, at_ms: 1_700_000_000_456 };
    let moved = rig
        .projector
        .apply_coverage(&step("coverage", "quarantine", 0, 1), &change, std::slice::from_ref(&pointer))
        .await
        .unwrap();
    assert_eq!(moved, Moved::Applied);
    // What was said and is not folded yet may be about it.
    let equation = rig.done("GET", "/v1/verify", None).await;
    assert_eq!(equation["holes"], 0);
    assert_ne!(equation["pending"], 0);
    rig.projector.fold_coverage().await.unwrap().unwrap();
    let equation = rig.done("GET", "/v1/verify", None).await;
    assert_eq!((&equation["ok"], &equation["holes"]), (&json!(true), &json!(0)));
    assert_eq!((&equation["items"], &equation["quarantined"]), (&json!(1), &json!(1)));

    let entry = json!({"id": "0:0", "reason": "not_json", "raw": "0:0", "at": "2023-11-14T22:13:20.456Z", "attempts": 1});
    assert_eq!(rig.done("GET", "/v1/quarantine", None).await["items"], json!([entry]));
    let detail = rig.done("GET", "/v1/quarantine/0:0", None).await;
    assert_eq!(
        (&detail["kept"], &detail["size_bytes"], &detail["app"]),
        (&json!(true), &json!(9), &json!("main"))
    );
    assert_eq!(detail["received_at"], "2023-11-14T22:13:20.123Z");
    assert!(!detail.to_string().contains("nonsense"));
    assert_eq!(
        rig.done("POST", "/v1/quarantine/redrive", Some(json!({"ids": ["0:0"]}))).await["redriven"],
        1
    );
    rig.stop().await;
}

/// Commits as the router's group does.
async fn commit_as_router(rig: &Rig, at: &TopicPartition, next: u64) {
    let subscription = Subscription {
        group: "router".into(),
        member: "test".into(),
        topics: vec![at.topic.clone()],
        max_batch: 10,
    };
    let mut consumer = rig.log.subscribe(subscription).await.unwrap();
    let handle = consumer.handle();
    loop {
        match tokio::time::timeout(DEADLINE, consumer.next()).await.unwrap().unwrap() {
            Delivery::Assigned(assignment) => assignment.start(HashMap::new()),
            Delivery::Revoked(_) => {}
            Delivery::Batch(batch) if batch.source == *at => break,
            Delivery::Batch(_) => {}
        }
    }
    handle.commit(at, next).await.unwrap();
    consumer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_signed_with_another_key_is_broken() {
    let rig = Rig::start().await;
    let tenant = tenant(&rig).await;
    let entry = |control_offset| NewAuditRow {
        tenant: Some(tenant.clone()),
        control_offset,
        at_ms: 1_700_000_000_000,
        actor: "admin".into(),
        action: "tenant_added".into(),
        target: "tenant acme".into(),
    };
    let ours = Ed25519KeyPair::from_seed_unchecked(&AUDIT_SEED).unwrap();
    rig.projector.apply_audit(&step("audit", "control", 0, 1), &[entry(0)], &ours).await.unwrap();
    let verdict = rig.done("GET", "/v1/audit/verify?tenant=acme", None).await;
    assert_eq!((&verdict["ok"], &verdict["entries"]), (&json!(true), &json!(1)));
    let listed = rig.done("GET", "/v1/tenants/acme/audit", None).await;
    assert_eq!(listed["items"][0]["action"], "tenant_added");
    assert_eq!(listed["items"][0]["at"], "2023-11-14T22:13:20.000Z");
    let rest = rig.done("GET", "/v1/tenants/acme/audit?limit=1&after=0", None).await;
    assert_eq!((&rest["items"], &rest["next"]), (&json!([]), &json!(null)));

    let theirs = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    assert_ne!(theirs.public_key().as_ref(), ours.public_key().as_ref());
    rig.projector.apply_audit(&step("audit", "control", 1, 2), &[entry(1)], &theirs).await.unwrap();
    let verdict = rig.done("GET", "/v1/audit/verify", None).await;
    assert_eq!(verdict["ok"], false);
    let broken: Vec<_> =
        verdict["chains"].as_array().unwrap().iter().filter(|chain| chain["ok"] == false).collect();
    assert_eq!(broken.len(), 1);
    assert_eq!(broken[0]["chain"], "acme");
    assert!(broken[0]["fault"].as_str().unwrap().contains("signature"));
    rig.stop().await;
}
