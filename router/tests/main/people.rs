//! Two known people whom a payload names together: everybody is told that they are one, and they are from then on.

use schemas::{Action, Content, Event, Kind, PersonLink, SubjectId};
use store::KeyringRole;

use crate::stage::{Stage, body, eventually};

const WAITS: &str = "the events are there";

/// A message whose sender is named by these members.
fn message(id: &str, from: &str) -> String {
    let text =
        format!(r#"{{{from},"id":"{id}","timestamp":"1700000000","type":"text","text":{{"body":"hi"}}}}"#);
    body(&[format!(
        r#"{{"id":"9","changes":[{{"field":"messages","value":{{"messaging_product":"whatsapp","metadata":{{"phone_number_id":"111"}},"messages":[{text}]}}}}]}}"#
    )])
}

const NUMBER: &str = r#""from":"15550001""#;
const USER: &str = r#""from_user_id":"US.77""#;

async fn stage() -> Stage {
    let stage = Stage::new().await;
    stage.tenant("alpha").await;
    stage.connect("alpha", "whatsapp:111").await;
    stage
}

fn of(events: &[(u32, Event)], kind: Kind) -> Vec<&Event> {
    events.iter().map(|(_, event)| event).filter(|event| event.kind == kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_payload_names_together_everybody_is_told_of() {
    let stage = stage().await;
    let running = stage.router();
    for (count, (id, from)) in (1..).zip([("w1", NUMBER), ("w2", USER)]) {
        stage.deliver(0, &message(id, from)).await;
        eventually(WAITS, async || stage.events().await.len() == count).await;
    }
    let met: Vec<SubjectId> = stage.events().await.iter().map(|(_, event)| event.subject.unwrap()).collect();
    assert_ne!(met[0], met[1]);
    let [into, from] = [*met.iter().min().unwrap(), *met.iter().max().unwrap()];
    // Of one of them nothing may be used; nobody may forget the other for a while.
    let tenant = || "alpha".parse().unwrap();
    stage.act(Action::SubjectRestricted { tenant: tenant(), subject: from, restricted: true }).await;
    stage
        .act(Action::SubjectHeld { tenant: tenant(), subject: into, until_ms: Some(9_000_000_000_000) })
        .await;

    // Twice in one delivery; it is said once.
    let both = format!("{NUMBER},{USER}");
    stage.deliver(0, &message("w3", &both)).await;
    stage.deliver(0, &message("w3", &both)).await;
    eventually(WAITS, async || !of(&stage.events().await, Kind::PersonMerged).is_empty()).await;
    eventually("they are one", async || running.metric("router_people_merged_total", "") >= 1.0).await;
    stage.deliver(0, &message("w4", NUMBER)).await;
    eventually(WAITS, async || of(&stage.events().await, Kind::MessageReceived).len() == 5).await;

    let events = stage.events().await;
    let merged = of(&events, Kind::PersonMerged);
    assert_eq!(merged.len(), 1);
    let said = PersonLink { into, from, evidence: PersonLink::PAYLOAD.to_owned() };
    assert_eq!(merged[0].content, Content::Link(said));
    assert_eq!(merged[0].conversation, None);
    assert_eq!(of(&stage.feed("alpha").await, Kind::PersonMerged), merged, "and the feed says the same");
    let last = events.iter().map(|(_, event)| event).max_by_key(|event| event.raw.raw).unwrap();
    assert_eq!(last.subject, Some(into), "the smaller one stands for both");
    // What held of one holds of both.
    let people = stage.people();
    for subject in [into, from] {
        assert!(people.restricted.contains(&(tenant(), subject)));
        assert!(people.is_held(&(tenant(), subject), 1));
    }
    let ring = stage.ring(KeyringRole::Opener).await;
    assert_eq!(ring.db().same_person(&tenant(), from).await.unwrap(), [into, from]);
    running.end().await;
    stage.end().await;
}
