//! People through the API: found, exported, corrected, restricted, held, forgotten; and their files.

use bytes::Bytes;
use hyper::StatusCode;
use schemas::{AttachmentId, ConversationId, EventId, Field, MessageKey};
use seal::StreamSealer;
use serde_json::json;
use store::{
    AttachmentChange, AttachmentName, AttachmentOutcome, ConversationChange, ConversationChanges,
    MessageChange,
};

use crate::rig::{Rig, TOKEN};
use crate::views::{id, step, subjects, tenant};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_found_exported_corrected_restricted_held_and_forgotten() {
    let rig = Rig::start().await;
    let acme = tenant(&rig).await;
    let people = subjects(&rig, &acme, 2).await;
    let (ada, bob) = (people[0], people[1]);
    rig.keyring.hint(&[(acme.clone(), ada, "Ada".into())]).await.unwrap();
    let keys = rig.keyring.keys(&[(acme.clone(), Some(ada)), (acme.clone(), Some(bob))]).await.unwrap();
    let (ada_key, bob_key) = (keys[0].as_ref().unwrap(), keys[1].as_ref().unwrap());
    let attachment = AttachmentId::from_bytes(id(7));
    // Both write in one group; Ada sends a file.
    let mut changes = ConversationChanges::default();
    let group = ConversationId::from_bytes(id(1));
    let conversation = ConversationChange {
        channel: "whatsapp",
        asset: "whatsapp:111".into(),
        subject: Some(store::SEVERAL),
        last_at_ms: 2,
    };
    changes.conversations.insert((acme.clone(), group), conversation);
    for (n, subject, key, said) in [
        (
            1,
            ada,
            ada_key,
            json!({"kind": "image", "text": "ada says", "attachments": [{"kind": "image", "id": attachment}]}),
        ),
        (2, bob, bob_key, json!({"kind": "text", "text": "bob says"})),
    ] {
        let event = EventId::from_bytes(id(n));
        let change = MessageChange {
            imported: false,
            standby: false,
            at_ms: i64::from(n),
            event,
            conversation: group,
            subject: Some(subject),
            direction: "in",
            kind: "text".into(),
            content: key.seal(event, Field::Content, said.to_string().as_bytes()).unwrap(),
        };
        changes.messages.insert((acme.clone(), MessageKey::from_bytes(id(n))), change);
    }
    let message = MessageKey::from_bytes(id(1));
    let file = AttachmentChange {
        subject: Some(ada),
        named: Some(AttachmentName {
            message,
            event: EventId::from_bytes(id(1)),
            position: 0,
            kind: "image".into(),
        }),
        outcome: AttachmentOutcome {
            rank: 4,
            bytes: Some(200_000),
            media_type: Some("image/jpeg".into()),
            reason: None,
        },
        at_ms: 1,
    };
    changes.attachments.insert((acme.clone(), attachment), file);
    rig.projector.apply_conversation(&step("conversation", "events", 0, 1), &changes).await.unwrap();
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let (key, context) = ada_key.file(attachment);
    let mut sealer = StreamSealer::new(&key, context).unwrap();
    let sealed = [sealer.push(&bytes).unwrap(), sealer.finish().unwrap()].concat();
    let place = format!("attachments/acme/{ada}/{message}/{attachment}");
    rig.blobs.put(&place, Bytes::from(sealed)).await.unwrap();

    // By number however it is written, by user name, by subject.
    for value in ["15550000001", "%2B1%20555%20000-0001", "ada", "%40Ada", &ada.to_string()] {
        let found = rig.done("GET", &format!("/v1/tenants/acme/people?value={value}"), None).await;
        assert_eq!(found["items"][0]["subject"], ada.to_string(), "{value}");
        assert_eq!(found["items"][0]["identifiers"], json!(["phone", "username"]));
        assert_eq!(found["items"][0]["conversations"], json!([group.to_string()]));
    }
    assert_eq!(rig.done("GET", "/v1/tenants/acme/people?value=15559999999", None).await["items"], json!([]));

    let get = format!("/v1/tenants/acme/attachments/{attachment}");
    let response = rig.send("GET", &get, Some(TOKEN), None).await;
    assert_eq!(response.status(), StatusCode::OK);
    for (name, value) in [
        ("content-type", "image/jpeg"),
        ("content-disposition", "attachment"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(response.headers()[name], value);
    }
    let got = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    assert_eq!(got, bytes);

    let of = |what: &str| format!("/v1/tenants/acme/people/{ada}/{what}");
    let export = rig.done("GET", &of("export"), None).await;
    let shown = export.to_string();
    assert!(shown.contains("ada says") && !shown.contains("bob says"), "{shown}");
    assert_eq!(export["conversations"][0]["messages"].as_array().unwrap().len(), 1, "nobody else's");
    assert_eq!(export["conversations"][0]["messages"][0]["attachments"][0]["state"], "stored");

    rig.done("POST", &of("correct"), Some(json!({"name": "Ada Right"}))).await;
    let refused = rig.ask("POST", &of("correct"), Some(json!({}))).await;
    assert_eq!(refused.0, StatusCode::BAD_REQUEST);
    let state = rig.plane.state();
    let correction = &state.people.corrections[&(acme.clone(), ada)];
    assert!(!correction.contains("Ada"), "sealed");
    assert_eq!(
        rig.done("POST", &of("restrict"), Some(json!({"restricted": true}))).await["restricted"],
        true
    );
    let held = rig.done("POST", &of("hold"), Some(json!({"days": 30}))).await;
    assert!(held["held_until"].is_string());
    let refused = rig.ask("POST", &of("erase"), Some(json!({}))).await;
    assert_eq!(refused.0, StatusCode::CONFLICT, "held: {}", refused.1);
    rig.done("POST", &of("hold"), Some(json!({}))).await;

    let erasure =
        rig.done("POST", &format!("{}?wait=60", of("erase")), Some(json!({"reason": "minor"}))).await;
    assert_eq!((&erasure["state"], &erasure["verified"]), (&json!("done"), &json!(true)), "{erasure}");
    assert_eq!((&erasure["objects"], &erasure["reason"]), (&json!(1), &json!("minor")));
    let id = erasure["erasure"].as_str().unwrap();
    assert_eq!(rig.done("GET", &format!("/v1/erasures/{id}"), None).await, erasure);
    assert_eq!(rig.done("GET", "/v1/erasures", None).await["items"], json!([erasure]));

    // Gone, and only she.
    assert_eq!(rig.ask("GET", &get, None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(rig.ask("GET", &of("export"), None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(rig.ask("POST", &of("erase"), Some(json!({}))).await.0, StatusCode::NOT_FOUND);
    assert_eq!(rig.done("GET", "/v1/tenants/acme/people?value=15550000001", None).await["items"], json!([]));
    let left = rig.done("GET", &format!("/v1/tenants/acme/conversations/{group}/messages"), None).await;
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
    assert_eq!(left["items"][0]["text"], "bob says");
    assert!(rig.blobs.list("attachments/", None, 10).await.unwrap().is_empty());
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenant_finds_and_forgets_nobody() {
    let rig = Rig::start().await;
    let acme = tenant(&rig).await;
    rig.done("POST", "/v1/tenants", Some(json!({"id": "other", "name": "Other"}))).await;
    let ada = subjects(&rig, &acme, 1).await[0];
    let mut tried = 0;
    assert_eq!(rig.done("GET", "/v1/tenants/other/people?value=15550000001", None).await["items"], json!([]));
    for what in ["export", "erase", "correct", "restrict", "hold"] {
        let method = if what == "export" { "GET" } else { "POST" };
        let body = match what {
            "export" => None,
            "correct" => Some(json!({"name": "x"})),
            "restrict" => Some(json!({"restricted": true})),
            _ => Some(json!({})),
        };
        let path = format!("/v1/tenants/other/people/{ada}/{what}");
        assert_eq!(rig.ask(method, &path, body).await.0, StatusCode::NOT_FOUND, "{what}");
        tried += 1;
    }
    assert!(rig.plane.state().people.erasures.is_empty());
    println!("promise=foreign-people tried={tried} reached=0");
    rig.stop().await;
}
