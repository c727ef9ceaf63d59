//! What holds for any payload: nothing panics, and ids do not depend on how Meta packs a delivery.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use schemas::{Event, EventId, shallow_partition, split, structured};
use serde_json::{Value, json};

use crate::support::{all_fixtures, events, headers};

fn ids(body: &[u8]) -> BTreeSet<EventId> {
    events(body).iter().map(|event| event.id).collect()
}

/// Every `entry` of the fixtures of one product that are plain enough to be packed anew.
fn entries(object: &str) -> Vec<Value> {
    let bodies = all_fixtures().into_iter().filter(|body| split(body).is_ok());
    let values = bodies.filter_map(|body| serde_json::from_slice::<Value>(&body).ok());
    let values = values.filter(|value| value["object"] == object);
    let entries = values.flat_map(|value| value["entry"].as_array().cloned().unwrap_or_default());
    entries.filter(|entry| entry["id"].is_string()).collect()
}

fn body(object: &str, entries: &[Value]) -> Vec<u8> {
    serde_json::to_vec(&json!({ "object": object, "entry": entries })).unwrap()
}

/// One entry as several, each with one element of its lists.
fn unpacked(entry: &Value) -> Vec<Value> {
    let mut parts = Vec::new();
    for list in ["messaging", "standby", "changes"] {
        for element in entry[list].as_array().into_iter().flatten() {
            for element in single_messages(element) {
                let mut part = entry.as_object().unwrap().clone();
                for other in ["messaging", "standby", "changes", "changed_fields", "hop_context"] {
                    part.remove(other);
                }
                part.insert(list.to_owned(), json!([element]));
                parts.push(Value::Object(part));
            }
        }
    }
    parts
}

/// One WhatsApp change as several, each with one message, status or echo, and every contact.
fn single_messages(change: &Value) -> Vec<Value> {
    let field = change["field"].as_str().unwrap_or_default();
    if !matches!(field, "messages" | "smb_message_echoes") || !change["value"]["metadata"].is_object() {
        return vec![change.clone()];
    }
    let lists = ["messages", "statuses", "message_echoes", "errors", "tomorrow", "conversation_context"];
    let mut parts = Vec::new();
    for list in lists {
        let held = &change["value"][list];
        let values: Vec<Value> = match held.as_array() {
            // These are items as a whole.
            _ if matches!(list, "tomorrow" | "conversation_context") && !held.is_null() => vec![held.clone()],
            Some(elements) => elements.iter().map(|one| json!([one])).collect(),
            None => Vec::new(),
        };
        for value in values {
            let mut part = change.clone();
            let members = part["value"].as_object_mut().unwrap();
            lists.iter().for_each(|other| {
                members.remove(*other);
            });
            members.insert(list.to_owned(), value);
            parts.push(part);
        }
    }
    parts
}

#[test]
fn packing_does_not_change_ids() {
    for object in ["page", "instagram", "whatsapp_business_account"] {
        let entries: Vec<_> = entries(object)
            .into_iter()
            // Lists that are items as a whole stay with the entry they came in.
            .filter(|entry| entry.get("changed_fields").is_none() && entry.get("hop_context").is_none())
            .filter(|entry| entry.get("field").is_none() && !entry["messaging"].is_object())
            .collect();
        let parts: Vec<_> = entries.iter().flat_map(unpacked).collect();
        let packed = ids(&body(object, &entries));
        assert!(packed.len() > 10, "{object}: {}", packed.len());
        assert_eq!(ids(&body(object, &parts)), packed, "{object}: one item an entry");
        let reversed: Vec<_> = parts.iter().rev().cloned().collect();
        assert_eq!(ids(&body(object, &reversed)), packed, "{object}: in another order");
        let alone: BTreeSet<_> =
            parts.iter().flat_map(|part| ids(&body(object, std::slice::from_ref(part)))).collect();
        assert_eq!(alone, packed, "{object}: one item a delivery");
    }
}

proptest! {
    #[test]
    fn any_packing_has_the_same_ids(
        object in select(vec!["page", "instagram", "whatsapp_business_account"]),
        picks in prop::collection::vec(any::<Index>(), 1..20),
        cuts in prop::collection::vec(any::<bool>(), 20),
    ) {
        let all: Vec<_> = entries(object).iter().flat_map(unpacked).collect();
        let chosen: Vec<_> = picks.iter().map(|pick| pick.get(&all).clone()).collect();
        let whole = ids(&body(object, &chosen));
        let mut apart = BTreeSet::new();
        let mut batch = Vec::new();
        for (entry, cut) in chosen.iter().rev().zip(cuts) {
            batch.push(entry.clone());
            if cut {
                apart.extend(ids(&body(object, &batch)));
                batch.clear();
            }
        }
        apart.extend(ids(&body(object, &batch)));
        prop_assert_eq!(whole, apart);
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400), partitions in 0u32..9) {
        let _ = events(&bytes);
        prop_assert!(shallow_partition(&bytes, partitions) < partitions.max(1));
    }

    #[test]
    fn any_json_is_survived(value in json_value(), object in select(vec!["page", "instagram", "whatsapp_business_account", "x"])) {
        let _ = events(value.to_string().as_bytes());
        let _ = events(json!({ "object": object, "entry": value }).to_string().as_bytes());
        let _ = events(&body(object, std::slice::from_ref(&value)));
    }

    #[test]
    fn mutated_payloads_are_survived_and_every_event_can_be_written_and_read(
        pick in any::<Index>(),
        changes in prop::collection::vec((any::<Index>(), any::<u8>(), 0u8..4), 1..6),
    ) {
        let bodies = all_fixtures();
        let mut body = pick.get(&bodies).clone();
        for (at, byte, how) in changes {
            if body.is_empty() { break }
            let at = at.index(body.len());
            match how {
                0 => body[at] = byte,
                1 => { body.remove(at); }
                2 => body.insert(at, byte),
                _ => body.truncate(at),
            }
        }
        for event in events(&body) {
            let encoded = event.encode();
            prop_assert_eq!(&Event::decode(headers(&encoded), &encoded.value).unwrap(), &event);
            prop_assert!(structured(headers(&encoded), &encoded.value).is_ok());
        }
        let partition = shallow_partition(&body, 6);
        prop_assert!(partition < 6 && partition == shallow_partition(&body, 6));
    }

    #[test]
    fn values_of_any_type_anywhere_are_survived(
        pick in any::<Index>(), at in any::<Index>(), value in json_value(),
    ) {
        let bodies: Vec<Value> = all_fixtures().iter().filter_map(|body| serde_json::from_slice(body).ok()).collect();
        let mut body = pick.get(&bodies).clone();
        let mut places = 0;
        count(&mut body, &mut |_| places += 1);
        let chosen = at.index(places);
        let mut place = 0;
        count(&mut body, &mut |here| {
            if place == chosen { *here = value.clone(); }
            place += 1;
        });
        for event in events(body.to_string().as_bytes()) {
            let encoded = event.encode();
            prop_assert_eq!(&Event::decode(headers(&encoded), &encoded.value).unwrap(), &event);
        }
    }
}

/// Visits every value of a tree, the tree itself first.
fn count(value: &mut Value, visit: &mut impl FnMut(&mut Value)) {
    visit(value);
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(|element| count(element, visit)),
        Value::Object(members) => members.values_mut().for_each(|member| count(member, visit)),
        _ => {}
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let keys = select(vec![
        "id",
        "messaging",
        "changes",
        "value",
        "field",
        "messages",
        "statuses",
        "metadata",
        "contacts",
        "sender",
        "message",
        "mid",
        "text",
        "type",
        "timestamp",
        "from",
        "entry",
        "read",
        "reaction",
        "x",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        select(vec!["messages", "text", "read", "222", "15551230001"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((keys.clone(), inner), 0..6).prop_map(|members| Value::Object(
                members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    })
}
