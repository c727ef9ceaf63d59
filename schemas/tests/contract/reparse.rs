//! What was kept because nobody could read it reads as if it came today.

use schemas::{Channel, Content, Direction, Event, IdKey, Kind, Unread, Unrecognized, reparse};
use serde_json::Value;

use crate::support::{events, fixtures};

/// Where the item of this event stood.
fn field(event: &Event) -> Option<String> {
    let slice: Value = serde_json::from_str(event.source.as_str()).ok()?;
    if let (Some(field), Some(_)) = (slice["field"].as_str(), slice.get("value")) {
        return Some(field.to_owned());
    }
    let list = match (event.channel, event.kind) {
        (Channel::Messenger | Channel::Instagram, _) if event.standby => "standby",
        (Channel::Messenger | Channel::Instagram, _) => "messaging",
        (_, Kind::MessageStatus) => "statuses",
        (_, Kind::CallUpdated) if slice["event"].is_string() => "calls",
        (_, Kind::PreferenceChanged) => "user_preferences",
        (_, Kind::ContactUpdated) => "state_sync",
        (_, Kind::ConversionDetected) => "automatic_events",
        (_, Kind::AssetFailed) => "errors",
        (_, Kind::HistoryProgressed) if slice["phase"].is_u64() => "metadata",
        (_, Kind::HistoryProgressed) => "errors",
        (_, Kind::IdentityChanged) if slice["type"].is_null() => "user_id_update",
        // Of the business's own, which list it was is told by the direction, but for an import, where it is one.
        (_, Kind::MessageSent | Kind::MessageEdited | Kind::MessageDeleted | Kind::MessageReacted)
            if event.direction == Some(Direction::Out) && !event.imported =>
        {
            "message_echoes"
        }
        (_, Kind::MessageReceived | Kind::MessageEdited | Kind::MessageDeleted | Kind::MessageReacted) => {
            "messages"
        }
        (_, Kind::IdentityChanged) => "messages",
        _ => return None,
    };
    Some(list.to_owned())
}

/// The event as a version that did not know it would have kept it.
fn unread(event: &Event, field: String) -> Event {
    let content = Content::Unrecognized(Unrecognized { field: Some(field), reason: Unread::Unknown });
    Event {
        kind: Kind::Unrecognized,
        content,
        direction: None,
        message: None,
        contact: None,
        ..event.clone()
    }
}

#[test]
fn everything_that_is_read_today_would_be_read_again() {
    let id_key = IdKey::new(&[7; 32]);
    let mut seen = std::collections::BTreeSet::new();
    let mut count = 0;
    for path in ["messenger", "instagram", "whatsapp"].into_iter().flat_map(fixtures) {
        for event in events(&std::fs::read(&path).unwrap()) {
            let Some(field) = field(&event).filter(|_| event.kind != Kind::Unrecognized) else { continue };
            // The business's own messages among others are told by its number, which is not in the slice.
            if event.direction == Some(Direction::Out) && field == "messages" {
                continue;
            }
            let read = reparse(&unread(&event, field.clone()), &id_key);
            let again: Vec<_> =
                read.iter().map(|event| (event.kind, &event.content, event.message)).collect();
            assert_eq!(
                again,
                [(event.kind, &event.content, event.message)],
                "{field} {} {}",
                path.display(),
                event.source.as_str()
            );
            assert_eq!((read[0].imported, read[0].standby), (event.imported, event.standby));
            seen.insert(event.kind);
            count += 1;
        }
    }
    let missing: Vec<_> =
        Kind::ALL.into_iter().filter(|kind| !kind.is_ours() && !seen.contains(kind)).collect();
    assert_eq!(missing, [Kind::GroupUpdated, Kind::Unrecognized]);
    assert!(count > 150, "{count}");
}

#[test]
fn a_whole_change_of_before_becomes_each_of_its_items() {
    let body = br#"{"object":"whatsapp_business_account","entry":[{"id":"900","changes":[{"field":"tomorrow","value":{"metadata":{"phone_number_id":"111"},"calls":[{"id":"wacid.1","event":"connect","timestamp":"1780000000"},{"id":"wacid.2","event":"terminate","timestamp":"1780000001"}]}}]}]}"#;
    let event = events(body).remove(0);
    assert_eq!(event.kind, Kind::Unrecognized);
    let id_key = IdKey::new(&[7; 32]);
    // Today it is not known; a version that knows the field reads both.
    let same = reparse(&event, &id_key);
    assert_eq!(same.iter().map(|event| event.kind).collect::<Vec<_>>(), [Kind::Unrecognized]);
    assert_eq!(same[0].source, event.source);
    let text = event.source.as_str().replace("tomorrow", "calls");
    let known = Event { source: serde_json::from_str(&text).unwrap(), ..event };
    let kinds: Vec<_> = reparse(&known, &id_key).iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [Kind::CallUpdated, Kind::CallUpdated]);
}

#[test]
fn what_is_not_read_today_either_is_the_same_again() {
    let mut count = 0;
    for path in ["messenger", "instagram", "whatsapp", "hostile"].into_iter().flat_map(fixtures) {
        let all = events(&std::fs::read(&path).unwrap());
        for event in all.into_iter().filter(|event| event.kind == Kind::Unrecognized) {
            let again = reparse(&event, &IdKey::new(&[7; 32]));
            let again: Vec<_> = again.iter().map(|event| (event.kind, event.source.as_str())).collect();
            assert_eq!(again, [(event.kind, event.source.as_str())], "{}", path.display());
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}

#[test]
fn what_was_read_is_not_read_again() {
    let body = std::fs::read(&fixtures("messenger")[0]).unwrap();
    let event = events(&body).into_iter().find(|event| event.kind != Kind::Unrecognized).unwrap();
    assert!(reparse(&event, &IdKey::new(&[7; 32])).is_empty());
}
