//! One person under several identifiers: met apart, named together, shown as one, taken apart, forgotten as one.

use serde_json::{Value, json};

use crate::process::until;
use crate::rig::{Up, delivery};

const TENANT: &str = "clinic";

/// A WhatsApp message whose sender is named by these members.
fn message(id: &str, sender: &Value, text: &str) -> String {
    // One after another: the text is the second it was written in.
    let at = (jiff::Timestamp::now().as_second() - 60 + text.parse::<i64>().unwrap()).to_string();
    let mut message = json!({ "id": id, "timestamp": at, "type": "text", "text": { "body": text } });
    message.as_object_mut().unwrap().extend(sender.as_object().unwrap().clone());
    delivery(vec![json!({ "id": "900", "changes": [{ "field": "messages", "value": {
        "messaging_product": "whatsapp",
        "metadata": { "display_phone_number": "15550001111", "phone_number_id": "111" },
        "messages": [message],
    }}]})])
}

async fn conversations(up: &Up) -> Vec<Value> {
    up.admin.lines(&["conversation", "list", TENANT]).await
}

/// The conversations' texts, once they are these.
async fn shown(up: &Up, expected: &[&[&str]]) -> Vec<Value> {
    until(&format!("{expected:?}"), 60, async || {
        let all = conversations(up).await;
        let mut texts = Vec::new();
        for one in &all {
            let id = one["id"].as_str().unwrap();
            let messages = up.admin.lines(&["conversation", "show", TENANT, id]).await;
            if one["messages"].as_u64() != Some(messages.len() as u64) {
                // It goes on meanwhile.
                return None;
            }
            texts.push(
                messages.iter().map(|one| one["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>(),
            );
        }
        texts.sort();
        (texts == expected).then_some(all)
    })
    .await
}

async fn found(up: &Up, value: &str) -> Value {
    let mut found = up.admin.lines(&["person", "find", TENANT, value]).await;
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_with_several_identifiers_is_one() {
    let up = Up::start(&[]).await;
    up.admin.app(up.folder()).await;
    up.admin.cli(&["tenant", "add", TENANT, "--name", "The Clinic"]).await;
    up.admin.cli(&["asset", "connect", TENANT, "whatsapp", "111"]).await;
    up.admin.cli(&["asset", "connect", TENANT, "waba", "900"]).await;
    let (number, user) = (json!({ "from": "15550100001" }), json!({ "from_user_id": "US.77" }));
    let both = json!({ "from": "15550100001", "from_user_id": "US.77" });

    // A number alone and a user id alone are two people, as far as anybody can know.
    assert_eq!(up.post(message("wamid.1", &number, "1")).await, 200);
    assert_eq!(up.post(message("wamid.2", &user, "2")).await, 200);
    let apart = shown(&up, &[&["1"], &["2"]]).await;
    // Named together they are one, with one conversation.
    assert_eq!(up.post(message("wamid.3", &both, "3")).await, 200);
    let one = shown(&up, &[&["1", "2", "3"]]).await.remove(0);
    assert_eq!(up.post(message("wamid.4", &number, "4")).await, 200);
    let later = shown(&up, &[&["1", "2", "3", "4"]]).await.remove(0);
    assert_eq!(later["id"], one["id"], "it keeps its id");
    for id in apart.iter().map(|one| one["id"].as_str().unwrap()) {
        let whole = up.admin.lines(&["conversation", "show", TENANT, id]).await;
        assert_eq!(whole.len(), 4, "by either id it is the whole conversation");
    }
    let person = found(&up, "15550100001").await;
    assert_eq!(found(&up, "US.77").await, person);
    assert_eq!(person["identifiers"], json!(["bsuid", "phone"]));
    let subjects: Vec<&str> =
        person["subjects"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    assert_eq!((subjects.len(), person["subject"].as_str()), (2, Some(subjects[0])));
    assert_eq!(person["conversations"], json!([one["id"]]));
    let merged = up.admin.lines(&["event", "list", TENANT]).await;
    let merged: Vec<&Value> =
        merged.iter().filter(|event| event["type"] == "org.tidings.person.merged.v1").collect();
    assert_eq!(merged.len(), 1);
    let said = &merged[0]["data"]["content"];
    let said = ["into", "from", "evidence"].map(|name| said[name].as_str().unwrap());
    assert_eq!(said, [subjects[0], subjects[1], "payload"]);

    // What is said of one holds of both.
    up.admin.cli(&["person", "restrict", TENANT, subjects[1]]).await;
    assert_eq!(found(&up, subjects[0]).await["restricted"], true);
    up.admin.cli(&["person", "restrict", TENANT, subjects[0], "--lift"]).await;
    assert_eq!(found(&up, subjects[1]).await["restricted"], Value::Null);

    // An operator knows better: two people, whatever payloads say afterwards.
    up.admin.cli(&["person", "split", TENANT, subjects[1]]).await;
    let two = shown_sizes(&up, 2).await;
    assert_eq!(up.post(message("wamid.5", &both, "5")).await, 200);
    up.messages(TENANT, 5).await;
    assert_eq!(conversations(&up).await.len(), 2);
    let (code, _) = up.admin.ask(&["person", "split", TENANT, subjects[1]]).await;
    assert_ne!(code, 0, "it is somebody of their own already");
    up.admin.cli(&["person", "merge", TENANT, subjects[1], subjects[0]]).await;
    shown(&up, &[&["1", "2", "3", "4", "5"]]).await;
    assert_eq!(two.len(), 2);
    // Made anew from the events, the view says the same.
    up.admin.cli(&["view", "rebuild", "conversation"]).await;
    shown(&up, &[&["1", "2", "3", "4", "5"]]).await;
    let export = up.folder().join("export");
    up.admin.cli(&["person", "export", TENANT, subjects[1], "--out", export.to_str().unwrap()]).await;
    let export = std::fs::read_to_string(export.join("person.json")).unwrap();
    assert!(["1", "2", "3", "4", "5"].iter().all(|text| export.contains(&format!("\"text\": \"{text}\""))));

    // Whoever forgets one of them forgets the person.
    up.admin.cli(&["person", "erase", TENANT, subjects[1]]).await;
    assert_eq!(conversations(&up).await, Vec::<Value>::new());
    for value in ["15550100001", "US.77", subjects[0], subjects[1]] {
        assert_ne!(up.admin.ask(&["person", "find", TENANT, value]).await.0, 0, "{value}");
    }
    assert_eq!(up.admin.cli(&["event", "list", TENANT]).await, "", "nor is anything read from the feed");
    let erasures = up.admin.lines(&["erasure", "list"]).await;
    assert_eq!(erasures.len(), 2);
    assert!(erasures.iter().all(|one| one["state"] == "done" && one["verified"] == true), "{erasures:?}");
    let audit = up.admin.lines(&["audit", "list", TENANT]).await;
    for action in ["people_merged", "person_split"] {
        assert!(audit.iter().any(|entry| entry["action"] == action), "{action}");
    }
    let equation = up.admin.settled(60).await;
    assert_eq!((&equation["holes"], &equation["pending"]), (&json!(0), &json!(0)), "{equation}");
    println!("promise=identities subjects=2 shown_as=1 split=1 merged_again=1 forgotten=2");
    up.stop().await;
}

/// The conversations, once they are so many.
async fn shown_sizes(up: &Up, count: usize) -> Vec<Value> {
    until("so many conversations", 60, async || {
        let all = conversations(up).await;
        (all.len() == count).then_some(all)
    })
    .await
}
