//! Texts, ids, numbers and times that are not as they should be, and a lot of them. `docs/bad-input.md` names the classes,
//! which the rows here begin with.

use std::sync::mpsc;
use std::time::Duration;

use schemas::{Event, Kind, Reason, split};
use serde_json::json;

use crate::bodies::{AT, ENTRY_AT, did, message, number, one, page, persons, said};
use crate::support::{RECEIVED_MS, events, headers};

/// 42, 43, 46: as read, and byte for byte as it came.
#[test]
fn texts_are_read_by_one_rule() {
    for (class, written, read) in [
        (42, r#""a\ud83d b""#, "a\u{fffd} b"),
        (42, r#""a\ude00""#, "a\u{fffd}"),
        (42, r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
        (42, r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
        (43, r#""a\u0000b""#, "a\0b"),
        (43, r#""\u0000""#, "\0"),
        (46, r#""first","text":"last""#, "last"),
        (46, r#""first","t\u0065xt":"last""#, "last"),
    ] {
        let written = said("m_1", written);
        let event = one(&page(std::slice::from_ref(&written)));
        assert_eq!(message(&event).text.as_deref(), Some(read), "class {class}");
        assert_eq!(event.source.as_str(), written, "class {class}");
        let encoded = event.encode();
        assert_eq!(Event::decode(headers(&encoded), &encoded.value).unwrap(), event, "class {class}");
    }
}

/// 47, 78: whatever an id is written like, it is read as text, to the last digit.
#[test]
fn ids_lose_no_digit() {
    for (class, written, read) in [
        (47, "9007199254740993", "9007199254740993"),
        (47, "9223372036854775808", "9223372036854775808"),
        (47, "18446744073709551616", "18446744073709551616"),
        (47, "\"7001\"", "7001"),
        (47, "7001", "7001"),
        (78, "\"7777777777777777777777777777777777777777\"", "7777777777777777777777777777777777777777"),
        (78, "7777777777777777777777777777777777777777", "7777777777777777777777777777777777777777"),
        (78, "\"abc-\\u00e9/1 2\"", "abc-é/1 2"),
        (78, "\"007001\"", "007001"),
    ] {
        let body = page(&[said("m_1", "\"x\"").replace("\"7001\"", written)]);
        assert_eq!(persons(&body), [[format!("psid messenger:222/{read}")]], "class {class}");
        let account = String::from_utf8(body).unwrap().replace("\"page\"", "\"instagram\"").into_bytes();
        assert_eq!(persons(&account), [[format!("igsid instagram:222/{read}")]], "class {class}");
    }
}

/// 50: what comes out grows no faster than what goes in; what takes longer than that would not end here.
#[test]
fn large_shapes_cost_what_they_weigh() {
    type Shape = fn(usize) -> Vec<u8>;
    let shapes: [(&str, Shape, usize); 6] = [
        (
            "keys",
            |n| page(&[did(&format!(r#""message":{{"mid":"m",{}"text":"x"}}"#, r#""a":0,"#.repeat(n)))]),
            250_000,
        ),
        (
            "different keys",
            |n| {
                let keys: String = (0..n).map(|key| format!(r#""{key}":0,"#)).collect();
                page(&[did(&format!(r#"{keys}"hologram":{{}}"#))])
            },
            250_000,
        ),
        ("a string", |n| page(&[said("m", &format!("\"{}\"", "x".repeat(n)))]), 750_000),
        ("escapes", |n| page(&[said("m", &format!("\"{}\"", r"\ud83d".repeat(n / 6)))]), 750_000),
        (
            "entries",
            |n| {
                let entry = r#"{"id":"222","messaging":[0]},"#.repeat(n);
                format!(r#"{{"object":"page","entry":[{entry}0]}}"#).into_bytes()
            },
            10_000,
        ),
        (
            "messages and contacts",
            |n| {
                let person = |i: usize| format!("1555{i:07}");
                let contacts: Vec<_> =
                    (0..n).map(|i| json!({ "wa_id": person(n - i), "profile": { "name": "x" } })).collect();
                let messages: Vec<_> = (0..n)
                    .map(|i| json!({ "from": person(i), "id": i, "type": "text", "text": { "body": "x" } }))
                    .collect();
                number("messages", &json!({ "contacts": contacts, "messages": messages }))
            },
            5_000,
        ),
    ];
    let (done, end) = mpsc::channel();
    std::thread::spawn(move || {
        for (name, shape, size) in shapes {
            let weigh = |size: usize| {
                let body = shape(size);
                let items = split(&body).unwrap().items.len();
                let events = events(&body);
                let written: usize = events.iter().map(|event| event.encode().value.len()).sum();
                assert!(
                    written < 4 * body.len() + 1_000 * items,
                    "{name}: {written} bytes of {}",
                    body.len()
                );
                (items, written)
            };
            let (few, many) = (weigh(size), weigh(4 * size));
            // A little more for longer numbers.
            assert!(many.0 <= 4 * few.0 && many.1 <= few.1 / 2 * 9, "{name}: {few:?} became {many:?}");
        }
        let entries = |count| {
            format!(r#"{{"object":"page","entry":[{}0]}}"#, r#"{"id":"2","messaging":[0]},"#.repeat(count))
        };
        assert_eq!(split(entries(100_000).as_bytes()).err(), Some(Reason::TooManyItems));
        done.send(()).unwrap();
    });
    // Only so that it ends: a thing that grows with the square of these sizes takes hours.
    end.recv_timeout(Duration::from_secs(300)).expect("it ends, and well");
}

/// 77: what can only be one number is that number; anything else is an id like any other.
#[test]
fn numbers_are_canonical_or_opaque() {
    let thirty = "1".repeat(30);
    for (written, expected) in [
        ("15551230001", "phone 15551230001"),
        ("+15551230001", "phone 15551230001"),
        ("+1 (555) 123-00.01", "phone 15551230001"),
        ("1\u{a0}555\u{a0}1230001", "phone 15551230001"),
        ("١٥٥٥١٢٣٠٠٠١", "phone 15551230001"),
        ("۱۵۵۵۱۲۳۰۰۰۱", "phone 15551230001"),
        // Without its country nobody knows whose it is.
        ("0555 1230001", "phone 05551230001"),
        ("123", "whatsapp_user waba:900/123"),
        (&thirty, &format!("whatsapp_user waba:900/{thirty}")),
        ("１５５５１２３０００１", "whatsapp_user waba:900/１５５５１２３０００１"),
        ("555-CALL-NOW", "whatsapp_user waba:900/555-CALL-NOW"),
    ] {
        let message = json!({ "from": written, "id": "wamid.1", "timestamp": "1780000000", "type": "text", "text": { "body": "x" } });
        let body = number("messages", &json!({ "messages": [message] }));
        assert_eq!(persons(&body), [[expected]], "{written}");
        assert_eq!(one(&body).kind, Kind::MessageReceived, "{written}");
    }
}

/// 79, 80: milliseconds, whatever was written; what cannot be is the entry's time, or else the arrival.
#[test]
fn times_are_those_that_can_be() {
    let soon = RECEIVED_MS + 5 * 60 * 1000;
    let at = |ms: i64| Some(ms);
    for (class, written, expected) in [
        (79, "1780000000".to_owned(), at(1_780_000_000_000)),
        (79, "1780000000123".to_owned(), at(AT)),
        (79, "\"1780000000\"".to_owned(), at(1_780_000_000_000)),
        (79, "\"1780000000123\"".to_owned(), at(AT)),
        (79, "1780000000.9".to_owned(), at(1_780_000_000_000)),
        (79, "1.780000000123e12".to_owned(), at(AT)),
        (79, "\"2026-05-28T20:26:40Z\"".to_owned(), None),
        (79, "null".to_owned(), None),
        (79, "{}".to_owned(), None),
        (80, "0".to_owned(), None),
        (80, "-1780000000".to_owned(), None),
        (80, "1".to_owned(), None),
        (80, "946684800".to_owned(), None),
        (80, "9999999999999".to_owned(), None),
        (80, "99999999999999999999".to_owned(), None),
        (80, "1e300".to_owned(), None),
        (80, soon.to_string(), at(soon)),
        (80, (soon + 1).to_string(), None),
    ] {
        let element = said("m_1", "\"x\"").replace(&format!(":{AT},"), &format!(":{written},"));
        let body = page(std::slice::from_ref(&element));
        assert_eq!(one(&body).occurred_ms, expected.unwrap_or(ENTRY_AT), "class {class}: {written}");
        let without = String::from_utf8(body).unwrap().replace(&format!(r#""time":{ENTRY_AT},"#), "");
        let event = one(without.as_bytes());
        assert_eq!(event.occurred_ms, expected.unwrap_or(RECEIVED_MS), "class {class}: {written}");
        assert_eq!(event.source.as_str(), element, "class {class}: as Meta wrote it");
    }
}

/// 81: a thousand at one moment have one order, however they come.
#[test]
fn a_thousand_at_one_moment_have_one_order() {
    let mut elements: Vec<String> = (0..1000).map(|n| said(&format!("m_{n}"), "\"x\"")).collect();
    let order = |elements: &[String]| {
        let mut all: Vec<_> = elements.chunks(137).flat_map(|some| events(&page(some))).collect();
        all.sort_by_key(|event| (event.occurred_ms, event.id));
        all.into_iter().map(|event| event.source.as_str().to_owned()).collect::<Vec<_>>()
    };
    let expected = order(&elements);
    for turn in 1..4 {
        elements.rotate_left(271 * turn);
        assert_eq!(order(&elements), expected);
    }
    elements.reverse();
    assert_eq!(order(&elements), expected);
    assert_eq!(expected.len(), 1000);
}
