//! Large, deep and crowded bodies: cut whole, or refused as a whole, in time that grows with their size only.

use schemas::{Kind, Reason, split};
use serde_json::{Value, json};

use crate::support::events;

const MEGABYTE: usize = 1 << 20;

fn page(message: &str) -> Vec<u8> {
    let element = format!(
        r#"{{"sender":{{"id":"7"}},"recipient":{{"id":"2"}},"timestamp":1780000000123,"message":{message}}}"#
    );
    format!(r#"{{"object":"page","entry":[{{"id":"2","messaging":[{element}]}}]}}"#).into_bytes()
}

#[test]
fn a_thousand_updates_of_three_tenants_in_three_megabytes_are_cut_whole() {
    let entries: Vec<Value> = (0..1000)
        .map(|i| {
            let number = ["111", "333", "555"][i % 3];
            let person = format!("1555200{i:04}");
            json!({ "id": "900", "changes": [{ "field": "messages", "value": {
                "messaging_product": "whatsapp",
                "metadata": { "display_phone_number": "15550001111", "phone_number_id": number },
                "contacts": [{ "profile": { "name": format!("P {i}") }, "wa_id": person }],
                "messages": [{ "from": person, "id": format!("wamid.{i}"), "timestamp": "1780000000", "type": "text",
                    "text": { "body": format!("batch {i} {}", "x".repeat(2800)) } }],
            } }] })
        })
        .collect();
    let body = json!({ "object": "whatsapp_business_account", "entry": entries }).to_string().into_bytes();
    assert!(body.len() > 3_000_000);
    let events = events(&body);
    assert_eq!(events.len(), 1000);
    assert!(events.iter().all(|event| event.kind == Kind::MessageReceived && event.contact.is_some()));
    let of = |number: &str| events.iter().filter(|event| event.asset.id() == number).count();
    assert_eq!([of("111"), of("333"), of("555")], [334, 333, 333]);
}

#[test]
fn a_thousand_messages_with_a_thousand_contacts_in_one_change_find_their_own() {
    let person = |i: usize| format!("1555300{i:04}");
    let contacts: Vec<_> =
        (0..1000).rev().map(|i| json!({ "wa_id": person(i), "profile": { "name": person(i) } })).collect();
    let messages: Vec<_> = (0..1000)
        .map(|i| json!({ "from": person(i), "id": format!("w{i}"), "timestamp": "1780000000", "type": "text", "text": { "body": person(i) } }))
        .collect();
    let body = json!({ "object": "whatsapp_business_account", "entry": [{ "id": "900", "changes": [{ "field": "messages",
        "value": { "metadata": { "phone_number_id": "111" }, "contacts": contacts, "messages": messages } }] }] });
    let events = events(body.to_string().as_bytes());
    assert_eq!(events.len(), 1000);
    for (i, event) in events.iter().enumerate() {
        assert!(event.contact.as_ref().unwrap().name == Some(person(i)));
    }
}

#[test]
fn a_message_behind_more_changes_than_are_taken_is_not_lost_in_silence() {
    let nothing = r#"{"field":"messages","value":{}}"#;
    let message = r#"{"field":"messages","value":{"metadata":{"phone_number_id":"111"},"messages":[{"from":"15551230001","id":"w","timestamp":"1780000000","type":"text","text":{"body":"x"}}]}}"#;
    let body = |count: usize| {
        let changes = [vec![nothing; count], vec![message]].concat().join(",");
        format!(r#"{{"object":"whatsapp_business_account","entry":[{{"id":"900","changes":[{changes}]}}]}}"#)
    };
    assert_eq!(split(body(40_000).as_bytes()).unwrap().items.len(), 1);
    assert_eq!(split(body(60_000).as_bytes()).err(), Some(Reason::TooManyItems));
}

/// Nanoseconds of processor that this thread has had, told every few milliseconds: what a busy machine does not change.
fn processor() -> u64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
    told.split(' ').next().and_then(|ns| ns.parse().ok()).expect("nanoseconds first")
}

/// So many together cost about what they cost a few at a time: what many share is read once.
#[test]
fn what_many_items_share_is_read_once() {
    let list =
        |count: usize, one: &dyn Fn(usize) -> String| (0..count).map(one).collect::<Vec<_>>().join(",");
    let change = |field: &str, value: &str| {
        format!(
            r#"{{"object":"whatsapp_business_account","entry":[{{"id":"900","changes":[{{"field":"{field}","value":{{"metadata":{{"phone_number_id":"111"}},{value}}}}}]}}]}}"#
        )
    };
    let participants = |count: usize| {
        let people = list(count, &|i| format!(r#"{{"wa_id":"1555{i:07}"}}"#));
        change(
            "group_participants_update",
            &format!(r#""groups":[{{"group_id":"g","participants":[{people}]}}]"#),
        )
    };
    let thread = |count: usize| {
        let messages = list(count, &|i| {
            format!(r#"{{"from":"15551230001","id":"w{i}","type":"text","text":{{"body":"x"}}}}"#)
        });
        change(
            "history",
            &format!(
                r#""history":[{{"threads":[{{"id":"15551230001","context":{{"wa_id":"15551230001"}},"messages":[{messages}]}}]}}]"#
            ),
        )
    };
    let attachments = |count: usize| {
        let one = |kind: &str, i: usize| {
            format!(r#"{{"type":"{kind}","payload":{{"url":"https://cdn/{kind}{i}"}}}}"#)
        };
        let all = list(count, &|i| [one("image", i), one("sticker", i)].join(","));
        String::from_utf8(page(&format!(r#"{{"mid":"m","attachments":[{all}]}}"#))).unwrap()
    };
    for (what, body) in [
        ("participants", &participants as &dyn Fn(usize) -> String),
        ("thread", &thread),
        ("attachments", &attachments),
    ] {
        const ALL: usize = 30_000;
        let took = |at_once: usize| {
            let body = body(at_once);
            let before = processor();
            for _ in 0..ALL / at_once {
                let read = events(body.as_bytes()).len();
                assert!(read == at_once || what == "attachments" && read == 1, "{what}: {read}");
            }
            (processor() - before).max(1)
        };
        let (few, many) = (took(300), took(ALL));
        // Quadratic would be a hundred times.
        assert!(many < few * 20, "{what}: {few} ns by 300, {many} ns at once");
    }
}

#[test]
fn depth_costs_no_stack() {
    for depth in [100, 128, 1000, 100_000, 1_000_000] {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let expected = if depth < 120 { Ok(1) } else { Err(Reason::TooDeep) };
            assert_eq!(split(&page(&deep)).map(|split| split.items.len()), expected);
            assert_eq!(
                split(deep.as_bytes()).err(),
                Some(if depth < 120 { Reason::NotAnEnvelope } else { Reason::TooDeep })
            );
            let cut_short = open.repeat(depth);
            assert!(split(cut_short.as_bytes()).is_err());
        }
    }
}

#[test]
fn one_huge_string_is_one_message() {
    for unit in ["x", r"\u00e4", r"\ud83d", "ä", r"\\"] {
        let text = unit.repeat(3 * MEGABYTE / unit.len());
        let events = events(&page(&format!(r#"{{"mid":"m","text":"{text}"}}"#)));
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].kind, Kind::MessageReceived);
        assert!(events[0].source.as_str().len() > text.len());
    }
}

#[test]
fn a_crowded_object_is_one_item() {
    let members: Vec<String> = (0..250_000).map(|i| format!(r#""k{i}":{i}"#)).collect();
    assert_eq!(events(&page(&format!("{{{}}}", members.join(",")))).len(), 1);
}

#[test]
fn more_items_than_can_be_are_refused() {
    let body = |count: usize| {
        format!(r#"{{"object":"page","entry":[{{"id":"2","messaging":[{}]}}]}}"#, vec!["0"; count].join(","))
    };
    assert_eq!(split(body(50_000).as_bytes()).unwrap().items.len(), 50_000);
    for count in [50_001, 2_000_000] {
        assert_eq!(split(body(count).as_bytes()).err(), Some(Reason::TooManyItems));
        let entries = format!(r#"{{"object":"page","entry":[{}]}}"#, vec!["0"; count].join(","));
        assert_eq!(split(entries.as_bytes()).err(), Some(Reason::TooManyItems));
    }
}
