//! A drill: what passed in a span of time may have been read by somebody; whom to tell is listed, and nobody else.

use hyper::StatusCode;
use schemas::{AttachmentId, ConversationId, EventId, MessageKey, SubjectId, TenantId};
use serde_json::{Value, json};
use store::{AttachmentChange, AttachmentOutcome, ConversationChanges, MessageChange, ReactionChange};

use crate::rig::Rig;
use crate::views::step;

const FROM: i64 = 1_772_355_600_000;
const UNTIL: i64 = FROM + 3_600_000;
const SPAN: &str = "since=2026-03-01T09:00:00Z&until=2026-03-01T10:00:00Z";

fn id(tenant: usize, n: u8) -> [u8; 16] {
    [[u8::try_from(tenant).unwrap(); 8], [n; 8]].concat().try_into().unwrap()
}

fn message(subject: Option<SubjectId>, at_ms: i64, event: [u8; 16]) -> MessageChange {
    MessageChange {
        imported: false,
        standby: false,
        at_ms,
        event: EventId::from_bytes(event),
        conversation: ConversationId::from_bytes(event),
        subject,
        direction: "in",
        kind: "text".into(),
        content: vec![1],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_span_of_time_concerns_is_listed_and_nobody_else() {
    let rig = Rig::start().await;
    let person = |n: u8| SubjectId::from_bytes([n; 16]);
    let mut changes = ConversationChanges::default();
    let names = ["alpha", "beta", "gamma"];
    for (t, name) in names.iter().enumerate() {
        rig.done("POST", "/v1/tenants", Some(json!({"id": name, "name": name.to_uppercase()}))).await;
        let tenant: TenantId = name.parse().unwrap();
        // Everybody's messages stand around the span; alpha's persons 1 and 2 and one of nobody stand in it.
        let mut all =
            vec![(Some(person(3)), FROM - 1), (Some(person(3)), UNTIL), (Some(person(1)), UNTIL + 1)];
        if t == 0 {
            all.extend([(Some(person(1)), FROM), (Some(person(1)), UNTIL - 1), (Some(person(2)), FROM + 5)]);
            all.push((None, FROM + 7));
        }
        for (n, (subject, at_ms)) in all.into_iter().enumerate() {
            let event = id(t, u8::try_from(n).unwrap());
            let key = (tenant.clone(), MessageKey::from_bytes(event));
            changes.messages.insert(key, message(subject, at_ms, event));
        }
        // Beta's person 9 reacted and sent a file, and nothing else.
        if t == 1 {
            let (key, actor) = (MessageKey::from_bytes(id(t, 9)), person(9));
            let reaction = ReactionChange {
                at_ms: FROM + 10,
                event: EventId::from_bytes(id(t, 9)),
                subject: Some(actor),
                direction: "in",
                content: Some(vec![1]),
            };
            changes.reactions.insert((tenant.clone(), key, Some(actor)), reaction);
            let file = AttachmentChange {
                subject: Some(actor),
                named: None,
                outcome: AttachmentOutcome { rank: 1, bytes: None, media_type: None, reason: None },
                at_ms: FROM + 20,
            };
            changes.attachments.insert((tenant, AttachmentId::from_bytes(id(t, 9))), file);
        }
    }
    rig.projector.apply_conversation(&step("conversation", "events", 0, 1), &changes).await.unwrap();

    let found = rig.done("GET", &format!("/v1/affected?{SPAN}"), None).await;
    let at = |ms: i64| console::wire::time(FROM + ms);
    assert_eq!(
        found["items"],
        json!([
            {"tenant": "alpha", "name": "ALPHA", "people": 2, "acts": 0, "messages": 4, "files": 0, "first": at(0), "last": at(3_599_999)},
            {"tenant": "beta", "name": "BETA", "people": 1, "acts": 0, "messages": 1, "files": 1, "first": at(10), "last": at(20)},
        ])
    );
    // Person by person, a page each.
    let mut listed: Vec<Value> = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/v1/tenants/alpha/affected?{SPAN}&limit=1{after}");
        let page = rig.done("GET", &path, None).await;
        listed.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(
        listed,
        [
            json!({"subject": null, "messages": 1, "files": 0, "first": at(7), "last": at(7)}),
            json!({"subject": person(1).to_string(), "messages": 2, "files": 0, "first": at(0), "last": at(3_599_999)}),
            json!({"subject": person(2).to_string(), "messages": 1, "files": 0, "first": at(5), "last": at(5)}),
        ]
    );
    assert_eq!(
        rig.done("GET", &format!("/v1/tenants/gamma/affected?{SPAN}"), None).await["items"],
        json!([])
    );
    for wrong in [
        "since=yesterday",
        "since=2026-03-01T09:00:00",
        "since=2026-03-01T10:00:00Z&until=2026-03-01T09:00:00Z",
    ] {
        assert_eq!(
            rig.ask("GET", &format!("/v1/affected?{wrong}"), None).await.0,
            StatusCode::BAD_REQUEST,
            "{wrong}"
        );
    }
    println!("promise=breach-drill planted_tenants=2 found_tenants=2 planted_people=3 found_people=3");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn card_numbers_are_refused_wherever_something_is_typed_in() {
    const CARD: &str = "4111 1111 1111 1111";
    let rig = Rig::start().await;
    let acme = crate::views::tenant(&rig).await;
    let ada = crate::views::subjects(&rig, &acme, 1).await[0];
    let correct = format!("/v1/tenants/acme/people/{ada}/correct");
    let tried = [
        ("/v1/tenants", json!({"id": "cards", "name": format!("Pay to {CARD}")})),
        ("/v1/tenants", json!({"id": CARD.replace(' ', "-"), "name": "Cards"})),
        (correct.as_str(), json!({"name": CARD})),
        (correct.as_str(), json!({"username": CARD.replace(' ', "")})),
    ];
    for (path, body) in &tried {
        let (status, answer) = rig.ask("POST", path, Some(body.clone())).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert!(
            answer.to_string().contains("payment card") && !answer.to_string().contains("1111"),
            "{answer}"
        );
    }
    let state = rig.plane.state();
    assert!(state.people.corrections.is_empty() && state.tenants.len() == 1);
    println!("promise=no-card-numbers tried={} kept=0", tried.len());
    rig.stop().await;
}
