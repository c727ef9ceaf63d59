//! Entries, lists and messages that are not as they should be. `docs/bad-input.md` names the classes, which the tests here
//! begin with.

use std::collections::BTreeSet;

use schemas::{Content, Direction, Event, Kind};
use serde_json::{Value, json};

use crate::bodies::{AT, ENTRY_AT, answered, did, message, number, one, page, persons, said, wrote};
use crate::support::events;

/// 55: both lists of an entry, whatever the product.
#[test]
fn every_list_of_an_entry_is_read() {
    for object in ["page", "instagram"] {
        let messaging = said("m_1", "\"x\"");
        let change = r#"{"field":"hologram","value":{"a":1}}"#;
        for lists in [
            format!(r#""messaging":[{messaging}],"changes":[{change}]"#),
            format!(r#""changes":[{change}],"messaging":[{messaging}]"#),
        ] {
            let body = format!(r#"{{"object":"{object}","entry":[{{"id":"222","time":1,{lists}}}]}}"#);
            let mut kinds: Vec<Kind> = events(body.as_bytes()).iter().map(|event| event.kind).collect();
            kinds.sort_unstable();
            assert_eq!(kinds, [Kind::MessageReceived, Kind::Unrecognized], "{body}");
        }
    }
    let whatsapp = String::from_utf8(number(
        "messages",
        &json!({ "messages": [wrote("wamid.1", "text", &json!({ "body": "x" }))] }),
    ))
    .unwrap();
    let both = whatsapp.replace(r#""changes":"#, r#""messaging":[{"a":1}],"changes":"#);
    let kept = events(both.as_bytes());
    assert_eq!(kept.len(), 2);
    assert!(kept.iter().any(|event| event.source.as_str() == r#"{"a":1}"#));
}

/// 56: what nobody has a name for is an item of its own, whole, and the same whatever comes with it.
#[test]
fn what_has_no_name_here_is_kept_whole() {
    let new = r#"{"hologram":[1.0,"\ud83d",{"a":{}}]}"#;
    let entry = |object: &str, members: &str| {
        format!(r#"{{"object":"{object}","entry":[{{"id":"222","time":{ENTRY_AT},{members}}}]}}"#)
    };
    let change = format!(r#"{{"field":"holograms","value":{new}}}"#);
    let value = |list: &str| {
        String::from_utf8(number("messages", &json!({ list: [0] }))).unwrap().replace("[0]", new)
    };
    let element = did(r#""hologram":{"a":1}"#);
    for (body, slice) in [
        (entry("page", &format!(r#""messaging":[{element}]"#)), element.as_str()),
        (entry("instagram", &format!(r#""messaging":[{element}]"#)), &element),
        (entry("page", &format!(r#""holograms":{new}"#)), new),
        (entry("instagram", &format!(r#""holograms":[{new}]"#)), &format!("[{new}]")),
        (entry("page", &format!(r#""messaging":{new}"#)), new),
        (entry("page", &format!(r#""changes":[{change}]"#)), &change),
        (entry("instagram", &format!(r#""changes":[{change}]"#)), &change),
        (entry("whatsapp_business_account", &format!(r#""changes":[{change}]"#)), &change),
        (entry("whatsapp_business_account", &format!(r#""holograms":{new}"#)), new),
        (value("holograms"), new),
        (value("messages"), new),
    ] {
        let event = one(body.as_bytes());
        assert_eq!((event.kind, event.source.as_str()), (Kind::Unrecognized, slice), "{body}");
        // Beside another entry, in front or behind.
        let other = entry("page", &format!(r#""messaging":[{}]"#, said("m_1", "\"x\"")));
        let other = &other[other.find('[').unwrap() + 1..other.len() - 2];
        let (start, rest) = body.split_once('[').unwrap();
        for both in
            [format!("{start}[{other},{rest}"), format!("{start}[{},{other}]}}", &rest[..rest.len() - 2])]
        {
            let same = events(both.as_bytes()).into_iter().filter(|known| known.source.as_str() == slice);
            assert_eq!(same.map(|known| known.id).collect::<Vec<_>>(), [event.id], "{both}");
        }
    }
    // For another app: one item each, with what was said.
    for object in ["page", "instagram"] {
        let standby = [said("m_1", "\"x\""), element.clone()];
        let body = entry(object, &format!(r#""standby":[{}]"#, standby.join(",")));
        let sources: Vec<String> =
            events(body.as_bytes()).iter().map(|event| event.source.as_str().to_owned()).collect();
        assert_eq!(sources, standby);
    }
}

/// 56: nor is anything lost that stands in or beside a list that is known.
#[test]
fn nothing_in_or_beside_a_known_list_is_lost() {
    let odd = json!([7, { "hologram": [1, 1] }, [2, 2], { "id": "x", "hologram": [3, 3] }, null, "x"]);
    let slices = ["[1,1]", "[2,2]", "[3,3]", "[4,4]", "[5,5]"];
    let beside = |list: &str| json!({ list: odd, "holograms": [4, 4], "hologram": { "a": { "b": [5, 5] } } });
    for (field, members) in [
        ("messages", beside("messages")),
        ("messages", beside("statuses")),
        ("messages", beside("errors")),
        ("messages", beside("message_echoes")),
        ("smb_message_echoes", beside("message_echoes")),
        ("smb_message_echoes", beside("messages")),
        ("smb_app_state_sync", beside("state_sync")),
        ("user_preferences", beside("user_preferences")),
        ("user_id_update", beside("user_id_update")),
        ("automatic_events", beside("automatic_events")),
        ("calls", beside("calls")),
        ("calls", beside("statuses")),
        ("group_lifecycle_update", beside("groups")),
        ("group_participants_update", beside("groups")),
        ("group_settings_update", beside("groups")),
        ("group_status_update", beside("groups")),
        ("messaging_handovers", beside("control_passed")),
        ("account_update", beside("restriction_info")),
        ("standby", json!({ "standby": beside("messages") })),
        ("standby", json!({ "standby": beside("message_echoes") })),
        ("standby", beside("standby")),
        ("history", json!({ "history": [beside("threads")] })),
        ("history", json!({ "history": [{ "metadata": { "phase": 0 }, "threads": [beside("messages")] }] })),
        (
            "history",
            json!({ "history": [{ "metadata": { "phase": 0 }, "errors": odd, "threads": [[4, 4]] }], "holograms": [5, 5] }),
        ),
        ("history", beside("messages")),
        ("history", beside("history")),
        ("holograms", beside("holograms_too")),
    ] {
        let body = number(field, &members);
        let kept = events(&body);
        for slice in slices {
            let holding = kept.iter().filter(|event| event.source.as_str().contains(slice)).count();
            assert_eq!(holding, 1, "{slice} of {field} in {members}");
        }
        assert!(kept.iter().all(|event| event.asset.to_string() == "whatsapp:111"), "{field}");
        let ids = |events: &[Event]| events.iter().map(|event| event.id).collect::<BTreeSet<_>>();
        assert_eq!((ids(&kept).len(), ids(&events(&body))), (kept.len(), ids(&kept)), "{field}: {members}");
    }
}

/// 57: one item, with all of it.
#[test]
fn a_value_that_is_none_is_kept() {
    for object in ["page", "instagram", "whatsapp_business_account"] {
        for field in ["messages", "feed", "account_update", "holograms"] {
            for value in ["null", "[]", "[{}]", "\"x\"", "7", "true"] {
                let change = format!(r#"{{"field":"{field}","value":{value}}}"#);
                let body =
                    format!(r#"{{"object":"{object}","entry":[{{"id":"222","changes":[{change}]}}]}}"#);
                let event = one(body.as_bytes());
                assert_eq!(
                    (event.kind, event.source.as_str()),
                    (Kind::Unrecognized, change.as_str()),
                    "{object}"
                );
            }
        }
    }
}

/// 58: its text stands for its id.
#[test]
fn a_message_without_an_id_is_known_by_what_it_is() {
    let message = |text: &str| did(&format!(r#""message":{{"text":"{text}"}}"#));
    let [first, again, other] = ["hello", "hello", "hello!"].map(|text| one(&page(&[message(text)])));
    assert_eq!((first.kind, first.id, first.message), (Kind::MessageReceived, again.id, again.message));
    assert!(first.message.is_some());
    assert_ne!((first.id, first.message), (other.id, other.message));
    let another_person = one(&page(&[message("hello").replace("7001", "7002")]));
    assert_ne!((first.id, first.message), (another_person.id, another_person.message));
    let wrote = |body: &str| {
        let message = json!({ "from": "15551230001", "timestamp": "1780000000", "type": "text", "text": { "body": body } });
        one(&number("messages", &json!({ "messages": [message] })))
    };
    assert_eq!(wrote("x").id, wrote("x").id);
    assert_ne!(wrote("x").id, wrote("y").id);
}

/// 59, 60: one id is one event, whatever its copies say; each copy is kept as it came.
#[test]
fn an_id_that_stands_twice_is_one_event() {
    let same = said("m_1", "\"x\"");
    let copies = events(&page(&[same.clone(), same, said("m_1", "\"y\""), said("m_2", "\"x\"")]));
    let ids: Vec<_> = copies.iter().map(|event| (event.id, event.message)).collect();
    assert!(ids[0] == ids[1] && ids[1] == ids[2] && ids[2] != ids[3]);
    let read: Vec<_> = copies.iter().map(|event| message(event).text.as_deref().unwrap()).collect();
    assert_eq!(read, ["x", "x", "y", "x"]);
    let messages: Vec<_> =
        ["x", "x", "y"].map(|text| wrote("wamid.1", "text", &json!({ "body": text }))).into();
    let copies = events(&number("messages", &json!({ "messages": messages })));
    assert!(copies.len() == 3 && copies.iter().all(|event| event.id == copies[0].id));
}

/// 61–63: what is about a message that nobody has seen is an event of its own, and names that message.
#[test]
fn what_is_about_an_unknown_message_names_it() {
    let text = wrote("wamid.1", "text", &json!({ "body": "x" }));
    let theirs = one(&number("messages", &json!({ "messages": [text] }))).message;
    let status = |word: &str| {
        let status = json!({ "id": "wamid.1", "status": word, "timestamp": "1780000000", "recipient_id": "15551230001" });
        number("statuses_come_under", &json!({ "statuses": [status] }))
    };
    let status =
        |word: &str| String::from_utf8(status(word)).unwrap().replace("statuses_come_under", "messages");
    for word in ["sent", "delivered", "read", "played", "failed"] {
        let event = one(status(word).as_bytes());
        assert_eq!((event.kind, event.message), (Kind::MessageStatus, theirs), "{word}");
    }
    let replacing =
        json!({ "original_message_id": "wamid.1", "message": { "type": "text", "text": { "body": "y" } } });
    for (word, content, kind) in [
        ("edit", replacing, Kind::MessageEdited),
        ("revoke", json!({ "original_message_id": "wamid.1" }), Kind::MessageDeleted),
        ("reaction", json!({ "message_id": "wamid.1", "emoji": "👍" }), Kind::MessageReacted),
    ] {
        let event = one(&number("messages", &json!({ "messages": [wrote("wamid.2", word, &content)] })));
        assert_eq!((event.kind, event.message), (kind, theirs), "{word}");
    }
    let theirs = one(&page(&[said("m_1", "\"x\"")])).message;
    for (what, kind) in [
        (r#""message_edit":{"mid":"m_1","text":"y","num_edit":1}"#, Kind::MessageEdited),
        (r#""message":{"mid":"m_1","is_deleted":true}"#, Kind::MessageDeleted),
        (r#""reaction":{"mid":"m_1","action":"react","reaction":"love","emoji":"❤"}"#, Kind::MessageReacted),
    ] {
        let event = one(&page(&[did(what)]));
        assert_eq!((event.kind, event.message), (kind, theirs), "{what}");
    }
    for (what, kind) in [("delivery", Kind::ConversationDelivered), ("read", Kind::ConversationRead)] {
        let event =
            one(&page(&[did(&format!(r#""{what}":{{"mids":["m_1"],"mid":"m_1","watermark":{AT}}}"#))]));
        let Content::Watermark(content) = &event.content else { panic!("{what}") };
        assert_eq!((event.kind, content.messages.first().copied()), (kind, theirs), "{what}");
    }
}

/// 64, 76: what the business itself says is sent, in the person's conversation, as the message that its receipts name.
#[test]
fn what_the_business_says_is_sent_and_found_by_its_receipts() {
    let theirs = one(&page(&[said("m_1", "\"x\"")]));
    for echo in [
        r#""message":{"mid":"m_out","is_echo":true,"app_id":1,"text":"y"}"#,
        r#""message":{"mid":"m_out","text":"y"}"#,
    ] {
        let event = one(&page(&[answered(echo)]));
        let expected = (Kind::MessageSent, Some(Direction::Out), theirs.conversation, theirs.subject);
        assert_eq!((event.kind, event.direction, event.conversation, event.subject), expected, "{echo}");
        let receipt = one(&page(&[did(&format!(r#""delivery":{{"mids":["m_out"],"watermark":{AT}}}"#))]));
        let Content::Watermark(content) = &receipt.content else { panic!("a receipt") };
        assert_eq!(content.messages, [event.message.unwrap()]);
        let account =
            String::from_utf8(page(&[answered(echo)])).unwrap().replace("\"page\"", "\"instagram\"");
        assert_eq!(one(account.as_bytes()).direction, Some(Direction::Out));
    }
    let theirs =
        one(&number("messages", &json!({ "messages": [wrote("wamid.1", "text", &json!({ "body": "x" }))] })));
    let sent = |from: &str| json!({ "from": from, "to": "15551230001", "id": "wamid.out", "timestamp": "1780000000", "type": "text", "text": { "body": "y" } });
    let status = json!({ "id": "wamid.out", "status": "read", "timestamp": "1780000000", "recipient_id": "15551230001" });
    let status = one(&number("messages", &json!({ "statuses": [status] })));
    let mut all =
        vec![one(&number("smb_message_echoes", &json!({ "message_echoes": [sent("15550001111")] })))];
    for from in ["15550001111", "+1 555 000 1111", "1-555-000-1111", "١٥٥٥٠٠٠١١١١"] {
        all.push(one(&number("messages", &json!({ "messages": [sent(from)] }))));
    }
    for event in all {
        let expected = (Kind::MessageSent, Some(Direction::Out), theirs.conversation, status.message);
        assert_eq!((event.kind, event.direction, event.conversation, event.message), expected);
    }
}

/// 65: one item, with all of it; and the same when it comes again, where it has an id.
#[test]
fn a_message_that_is_nothing_known_is_kept() {
    let mut kept = Vec::new();
    for message in [
        json!({ "type": "hologram", "hologram": { "id": "1" } }),
        json!({ "type": "text" }),
        json!({ "type": "text", "text": "x" }),
        json!({ "type": "text", "text": { "body": 7 } }),
        json!({ "type": "text", "image": { "id": "1" } }),
        json!({ "type": "text", "text": { "body": "a" }, "image": { "id": "1" } }),
        json!({ "type": 7, "text": { "body": "a" } }),
        json!({}),
    ] {
        let mut message = message;
        message["from"] = "15551230001".into();
        message["id"] = "wamid.1".into();
        message["timestamp"] = "1780000000".into();
        let body = |message: &Value| number("messages", &json!({ "messages": [message] }));
        let event = one(&body(&message));
        assert_eq!(event.source.as_str(), message.to_string());
        assert!(event.conversation.is_some() && event.subject.is_some(), "{message}");
        message["drift"] = 1.into();
        assert_eq!(one(&body(&message)).id, event.id, "{message}");
        kept.push(event.kind);
    }
    for what in [
        r#""message":{"mid":"m_1"}"#,
        r#""message":"x""#,
        r#""message":{"mid":"m_1","text":7}"#,
        r#""message":{"mid":"m_1","text":"x"},"read":{"watermark":1}"#,
    ] {
        let event = one(&page(&[did(what)]));
        assert_eq!(event.source.as_str(), did(what));
        assert!(event.conversation.is_some(), "{what}");
        kept.push(event.kind);
    }
    assert!(kept.iter().all(|kind| *kind == Kind::Unrecognized), "{kept:?}");
}

/// 66: errors in a message are part of it.
#[test]
fn what_meta_says_is_wrong_with_a_message_is_kept() {
    let errors = json!([{ "code": 131051, "title": "Message type unknown" }, { "code": "131060" }, "odd"]);
    for (word, content) in [
        ("unsupported", json!({ "type": "poll_creation" })),
        ("text", json!({ "body": "x" })),
        ("unsupported", Value::Null),
    ] {
        let mut message = wrote("wamid.1", word, &content);
        message["errors"] = errors.clone();
        let event = one(&number("messages", &json!({ "messages": [message] })));
        let content = self::message(&event);
        let codes: Vec<_> = content.errors.iter().map(|error| error.code).collect();
        assert_eq!((event.kind, content.kind.as_str()), (Kind::MessageReceived, word));
        assert_eq!(codes, [Some(131_051), Some(131_060), None]);
    }
    let event = one(&page(&[did(r#""message":{"mid":"m_1","is_unsupported":true}"#)]));
    assert_eq!((event.kind, message(&event).kind.as_str()), (Kind::MessageReceived, "unsupported"));
}

/// 67: whoever the message names, and of the contacts the one that is the same person.
#[test]
fn contacts_are_found_by_who_they_are_and_never_by_place() {
    let contact = |id: &str, value: &str, name: &str| json!({ id: value, "profile": { "name": name } });
    let ada = contact("wa_id", "15551230001", "Ada");
    let stranger = contact("wa_id", "15559999999", "Somebody else");
    let both = json!({ "wa_id": "15551230001", "user_id": "US.1", "profile": { "name": "Ada" } });
    for (contacts, sender, expected, name) in [
        (json!([]), json!({ "from": "15551230001" }), vec!["phone 15551230001"], None),
        (Value::Null, json!({ "from": "15551230001" }), vec!["phone 15551230001"], None),
        (json!("odd"), json!({ "from": "15551230001" }), vec!["phone 15551230001"], None),
        (
            json!([stranger.clone(), 7, ada.clone()]),
            json!({ "from": "15551230001" }),
            vec!["phone 15551230001"],
            Some("Ada"),
        ),
        (json!([stranger.clone()]), json!({ "from": "15551230001" }), vec!["phone 15551230001"], None),
        (
            json!([both]),
            json!({ "from": "15551230001" }),
            vec!["bsuid waba:900/US.1", "phone 15551230001"],
            Some("Ada"),
        ),
        (
            json!([contact("user_id", "US.1", "Ada")]),
            json!({ "from_user_id": "US.1" }),
            vec!["bsuid waba:900/US.1"],
            Some("Ada"),
        ),
        (json!([stranger]), json!({ "from_user_id": "US.1" }), vec!["bsuid waba:900/US.1"], None),
        (
            json!([]),
            json!({ "from_user_id": "US.1", "from_parent_user_id": "US.ENT.2" }),
            vec!["bsuid waba:900/US.1", "parent_bsuid US.ENT.2"],
            None,
        ),
    ] {
        let mut message =
            json!({ "id": "wamid.1", "timestamp": "1780000000", "type": "text", "text": { "body": "x" } });
        message.as_object_mut().unwrap().extend(sender.as_object().unwrap().clone());
        let body = number("messages", &json!({ "contacts": contacts, "messages": [message] }));
        assert_eq!(persons(&body)[0], expected, "{contacts}");
        let event = one(&body);
        assert_eq!(event.kind, Kind::MessageReceived);
        assert_eq!(event.contact.and_then(|contact| contact.name).as_deref(), name, "{contacts}");
    }
}

/// 70: about nobody, and its business account's all the same.
#[test]
fn what_is_about_an_account_is_its_accounts() {
    for (field, value) in [
        (
            "message_template_status_update",
            json!({ "event": "APPROVED", "message_template_id": 1, "message_template_name": "hi", "message_template_language": "en", "reason": null }),
        ),
        (
            "message_template_quality_update",
            json!({ "previous_quality_score": "GREEN", "new_quality_score": "RED", "message_template_id": 1 }),
        ),
        (
            "phone_number_quality_update",
            json!({ "display_phone_number": "15550001111", "event": "FLAGGED", "current_limit": "TIER_1K" }),
        ),
        (
            "account_update",
            json!({ "event": "DISABLED_UPDATE", "ban_info": { "waba_ban_state": "DISABLE" } }),
        ),
        ("account_alerts", json!({ "entity_type": "WABA", "alert_type": "x" })),
        ("business_capability_update", json!({ "max_daily_conversation_per_phone": 250 })),
        ("account_review_update", json!({ "decision": "APPROVED" })),
    ] {
        let change = json!({ "field": field, "value": value });
        let body = json!({ "object": "whatsapp_business_account", "entry": [{ "id": "900", "time": 1_780_000_000, "changes": [change] }] });
        let event = one(body.to_string().as_bytes());
        assert_eq!(
            (event.asset.to_string().as_str(), event.occurred_ms),
            ("waba:900", 1_780_000_000_000),
            "{field}"
        );
        assert_eq!((event.subject, event.conversation, event.message), (None, None, None), "{field}");
        assert_eq!(event.source.as_str(), change.to_string(), "{field}");
        assert_eq!(one(body.to_string().as_bytes()).id, event.id, "{field}");
    }
}
