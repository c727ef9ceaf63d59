//! Bodies that are too large to keep, and that no mutation leads to: deep, long and crowded ones. Each is as large as ingest
//! takes it, or larger; reading one must cost time and memory in proportion to its size, and no stack.

const MEGABYTE: usize = 1 << 20;

/// All of them, by name.
pub fn bodies() -> Vec<(String, String)> {
    [deep(), long(), crowded(), crowded_changes()].concat()
}

fn deep() -> Vec<(String, String)> {
    let mut bodies = Vec::new();
    for depth in [100, 120, 121, 122, 123, 124, 125, 127, 128, 1000, 100_000, 1_000_000] {
        for (kind, open, close) in [("arrays", "[", "]"), ("objects", r#"{"a":"#, "}")] {
            let value = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let mut add = |where_to, body| bodies.push((format!("deep-{depth}-{kind}-{where_to}"), body));
            add("in-message", message(&value));
            add("in-entry", entries("instagram", &format!(r#"{{"id":"1","field":"x","value":{value}}}"#)));
            add("in-change", changes(&format!(r#"{{"field":"x","value":{value}}}"#)));
            add("cut-short", open.repeat(depth));
            add("alone", value);
        }
    }
    bodies
}

fn long() -> Vec<(String, String)> {
    let mut bodies = Vec::new();
    let units = [
        ("plain", "x"),
        ("escapes", r"\u00e4"),
        ("halves", r"\ud83d"),
        ("two-bytes", "ä"),
        ("backslashes", r"\\"),
    ];
    for (kind, unit) in units {
        let text = unit.repeat(3 * MEGABYTE / unit.len());
        let mut add = |what, json: String| bodies.push((format!("long-{what}-{kind}"), message(&json)));
        add("text", format!(r#"{{"mid":"m","text":"{text}"}}"#));
        add("name", format!(r#"{{"mid":"m","text":"x","{text}":1}}"#));
        add("id", format!(r#"{{"mid":"{text}","text":"x"}}"#));
    }
    bodies.push(("long-number".to_owned(), message(&"9".repeat(3 * MEGABYTE))));
    let space = " \n\t\r".repeat(3 * MEGABYTE / 4);
    bodies.push(("long-space".to_owned(), format!("{space}{}", message(r#"{"mid":"m","text":"x"}"#))));
    bodies
}

fn crowded() -> Vec<(String, String)> {
    let in_message = |json: String| message(&format!(r#"{{"mid":"m","text":"x",{json}}}"#));
    let element =
        |json: String| messaging(&format!(r#"{{"sender":{{"id":"7"}},"recipient":{{"id":"2"}},{json}}}"#));
    let text = |i: usize| {
        format!(
            r#"{{"sender":{{"id":"{i}"}},"timestamp":1780000000123,"message":{{"mid":"{i}","text":"x"}}}}"#
        )
    };
    let image = |i: usize| format!(r#"{{"type":"image","payload":{{"url":"https://cdn/{i}"}}}}"#);
    let sticker = |i: usize| format!(r#"{{"type":"sticker","payload":{{"url":"https://cdn/s{i}"}}}}"#);
    let product = |i: usize| format!(r#"{{"id":"{i}","quantity":1,"unit_price":1.5,"currency":"EUR"}}"#);
    let answer = |i: usize| format!(r#""q{i}":{{"type":"csat","payload":"{i}"}}"#);
    named([
        ("members", in_message(list(1_000_000, |i| format!(r#""k{i}":{i}"#)))),
        ("members-of-one-name", in_message(list(500_000, |_| r#""mid":1"#.to_owned()))),
        ("objects", format!("{{{}}}", list(200_000, |_| r#""object":"page""#.to_owned()))),
        ("entries", entries("page", &list(100_000, |i| format!(r#"{{"id":"{i}"}}"#)))),
        ("entries-that-are-none", entries("page", &list(100_000, |_| "0".to_owned()))),
        ("items-of-the-limit", messaging(&list(50_000, |_| "0".to_owned()))),
        ("items-beyond-the-limit", messaging(&list(50_001, |_| "0".to_owned()))),
        ("messages", messaging(&list(40_000, text))),
        ("messages-all-the-same", messaging(&list(40_000, |_| text(0)))),
        (
            "attachments",
            in_message(format!(r#""attachments":[{},{}]"#, list(30_000, image), list(30_000, sticker))),
        ),
        ("products", element(format!(r#""order":{{"products":[{}]}}"#, list(50_000, product)))),
        (
            "receipts",
            element(format!(r#""delivery":{{"mids":[{}]}}"#, list(300_000, |i| format!(r#""m_{i}""#)))),
        ),
        (
            "answers",
            element(format!(
                r#""messaging_feedback":{{"feedback_screens":[{{"questions":{{{}}}}}]}}"#,
                list(80_000, answer)
            )),
        ),
        (
            "roles",
            element(format!(
                r#""app_roles":{{{}}}"#,
                list(80_000, |i| format!(r#""{i}":["primary_receiver"]"#))
            )),
        ),
    ])
}

fn crowded_changes() -> Vec<(String, String)> {
    let text = |i: usize| {
        let from = format!(r#""from":"1555{i:07}","id":"w{i}","timestamp":"1780000000""#);
        format!(r#"{{{from},"type":"text","text":{{"body":"x"}}}}"#)
    };
    let contact = |i: usize| format!(r#"{{"wa_id":"1555{i:07}","profile":{{"name":"P"}}}}"#);
    let person = |i: usize| format!(r#"{{"wa_id":"1555{i:07}"}}"#);
    let card = |i: usize| format!(r#"{{"name":{{"formatted_name":"{i}"}},"phones":[{{"phone":"{i}"}}]}}"#);
    let thread = |i: usize| {
        format!(r#"{{"id":"1555{i:07}","context":{{"wa_id":"1555{i:07}"}},"messages":[{}]}}"#, text(i))
    };
    let nothing = list(60_000, |_| r#"{"field":"messages","value":{}}"#.to_owned());
    let of_messages = |contacts, messages| {
        change(
            "messages",
            &format!(r#""contacts":[{}],"messages":[{}]"#, list(contacts, contact), list(messages, text)),
        )
    };
    named([
        ("contacts-of-few-messages", changes(&of_messages(60_000, 8))),
        ("contacts-of-many-messages", changes(&of_messages(20_000, 20_000))),
        (
            "cards",
            changes(&change(
                "messages",
                &format!(
                    r#""messages":[{{"from":"15551230001","id":"w","type":"contacts","contacts":[{}]}}]"#,
                    list(40_000, card)
                ),
            )),
        ),
        // Many that hold nothing, and one at their end that does.
        ("changes-of-nothing", changes(&format!("{nothing},{}", of_messages(1, 1)))),
        (
            "participants",
            changes(&change(
                "group_participants_update",
                &format!(r#""groups":[{{"group_id":"g","participants":[{}]}}]"#, list(40_000, person)),
            )),
        ),
        (
            "thread",
            changes(&change(
                "history",
                &format!(
                    r#""history":[{{"threads":[{{"id":"15551230001","context":{{"wa_id":"15551230001"}},"messages":[{}]}}]}}]"#,
                    list(30_000, text)
                ),
            )),
        ),
        (
            "threads",
            changes(&change("history", &format!(r#""history":[{{"threads":[{}]}}]"#, list(20_000, thread)))),
        ),
        (
            "statuses-of-standby",
            changes(&change(
                "standby",
                &format!(
                    r#""standby":{{"contacts":[{}],"statuses":[{}]}}"#,
                    list(20_000, contact),
                    list(20_000, |i| format!(
                        r#"{{"id":"w{i}","status":"read","recipient_id":"1555{i:07}"}}"#
                    ))
                ),
            )),
        ),
    ])
}

fn named<const N: usize>(bodies: [(&str, String); N]) -> Vec<(String, String)> {
    bodies.into_iter().map(|(name, body)| (format!("crowded-{name}"), body)).collect()
}

fn list(count: usize, one: impl Fn(usize) -> String) -> String {
    (0..count).map(one).collect::<Vec<_>>().join(",")
}

fn entries(object: &str, entries: &str) -> String {
    format!(r#"{{"object":"{object}","entry":[{entries}]}}"#)
}

fn messaging(elements: &str) -> String {
    entries("page", &format!(r#"{{"id":"2","time":1780000000123,"messaging":[{elements}]}}"#))
}

fn message(message: &str) -> String {
    let people = r#""sender":{"id":"7"},"recipient":{"id":"2"}"#;
    messaging(&format!(r#"{{{people},"timestamp":1780000000123,"message":{message}}}"#))
}

fn changes(changes: &str) -> String {
    entries("whatsapp_business_account", &format!(r#"{{"id":"900","changes":[{changes}]}}"#))
}

fn change(field: &str, value: &str) -> String {
    format!(r#"{{"field":"{field}","value":{{"metadata":{{"phone_number_id":"111"}},{value}}}}}"#)
}
