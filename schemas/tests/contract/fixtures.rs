//! Payload files (`fixtures/**.json`) and, beside each, what becomes of it (`.txt`). `BLESS=1 cargo test -p schemas` writes
//! the texts anew; read the difference before keeping it.

use std::fmt::Write as _;
use std::path::Path;

use schemas::{Event, Kind, split};
use serde_json::Value;

use crate::support::{RECEIVED_MS, all_fixtures, events, fixtures, headers};

#[test]
fn whatsapp() {
    check_all("whatsapp");
}

#[test]
fn messenger() {
    check_all("messenger");
}

#[test]
fn instagram() {
    check_all("instagram");
}

#[test]
fn hostile() {
    check_all("hostile");
}

fn check_all(folder: &str) {
    let bless = std::env::var_os("BLESS").is_some();
    let mut different = Vec::new();
    for path in fixtures(folder) {
        let text = describe(&std::fs::read(&path).unwrap());
        let expected = path.with_extension("txt");
        if bless {
            std::fs::write(&expected, text).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != text {
            different.push(format!("{}:\n{text}", short(&path)));
        }
    }
    assert!(different.is_empty(), "became something else than expected:\n{}", different.join("\n"));
}

fn short(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// The whole outcome as text: one line per item with what routing sees, one with what the event is, one with its content.
fn describe(body: &[u8]) -> String {
    let mut text = String::new();
    let split = match split(body) {
        Ok(split) => split,
        Err(reason) => return format!("quarantined: {}\n", reason.as_str()),
    };
    let channel = split.channel.map_or("none", |channel| channel.as_str());
    writeln!(text, "{channel}, {} items", split.items.len()).unwrap();
    let events = events(body);
    for item in &split.items {
        let assets: Vec<_> = item.assets().iter().map(ToString::to_string).collect();
        let persons: Vec<_> = item
            .persons()
            .iter()
            .map(|person| format!("{}={}", person.kind.as_str(), person.value))
            .collect();
        writeln!(text, "#{} [{}] [{}]", item.index(), assets.join(" "), persons.join(" ")).unwrap();
        match events.iter().find(|event| event.raw.index == item.index()) {
            Some(event) => {
                assert_eq!(item.occurred_ms(RECEIVED_MS), event.occurred_ms, "told before it is read");
                describe_event(&mut text, body, event);
            }
            None => writeln!(text, "   no asset").unwrap(),
        }
    }
    text
}

fn describe_event(text: &mut String, body: &[u8], event: &Event) {
    let source = event.source.as_str();
    let kept = body.windows(source.len()).any(|window| window == source.as_bytes());
    assert!(kept, "the source is a slice of the body, byte for byte");
    let encoded = event.encode();
    let decoded = Event::decode(headers(&encoded), &encoded.value).unwrap();
    assert_eq!(&decoded, event);
    assert_eq!(decoded.encode().value, encoded.value);

    let short = |id: Option<String>| id.map_or_else(|| "-".to_owned(), |id| id[..6].to_owned());
    writeln!(
        text,
        "   {} {} id={} message={} conversation={} at={}{}",
        event.kind.as_str(),
        event.direction.map_or("-", schemas::Direction::as_str),
        short(Some(event.id.to_string())),
        short(event.message.map(|key| key.to_string())),
        short(event.conversation.map(|id| id.to_string())),
        event.occurred_ms,
        match (event.imported, event.standby) {
            (false, false) => "",
            (true, _) => " imported",
            (false, true) => " standby",
        },
    )
    .unwrap();
    let mut data: Value = serde_json::from_slice(&encoded.value).unwrap_or_else(|_| lossy(&encoded.value));
    let content = data["content"].as_object_mut().unwrap();
    content.remove("source");
    if !content.is_empty() {
        writeln!(text, "   {}", Value::Object(content.clone())).unwrap();
    }
}

/// `Value` refuses lone surrogates, which only a source may hold.
fn lossy(value: &[u8]) -> Value {
    let text = std::str::from_utf8(value).unwrap();
    let (before, _) = text.split_once(r#""source":"#).unwrap();
    serde_json::from_str(&format!(r#"{before}"source":null}}}}"#)).unwrap()
}

#[test]
fn every_kind_has_a_fixture() {
    let events: Vec<_> = all_fixtures().iter().flat_map(|body| events(body)).collect();
    assert!(!events.iter().any(|event| event.kind.is_ours()));
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_ours()) {
        assert!(events.iter().any(|event| event.kind == kind), "{kind:?}");
    }
}

#[test]
fn a_message_and_what_follows_it_share_the_message() {
    let at = |path: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path);
        events(&std::fs::read(path).unwrap())
    };
    let keys = |events: &[Event]| events.iter().map(|event| event.message.unwrap()).collect::<Vec<_>>();
    let messages = keys(&at("messenger/message.json"));
    let edits = keys(&at("messenger/edit.json"));
    assert_eq!(edits, [messages[0], messages[0]]);
    let sent = keys(&at("messenger/echo.json"));
    assert_eq!(keys(&at("messenger/reaction.json")), [sent[0], sent[0], sent[0]]);
    let changed = keys(&at("whatsapp/edit_and_revoke.json"));
    assert_eq!([changed[0], changed[2]], [keys(&at("whatsapp/text.json"))[0]; 2]);
    let echoes = keys(&at("whatsapp/echoes.json"));
    assert_eq!(echoes[0], echoes[1], "a revoked echo");
}

#[test]
fn the_same_ids_on_two_pages_are_two_people_and_two_messages() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/messenger/two_pages.json");
    let events = events(&std::fs::read(path).unwrap());
    let [one, other] = &events[..] else { panic!("two events") };
    assert_ne!((one.id, one.message, one.conversation), (other.id, other.message, other.conversation));
    assert_ne!(one.subject, other.subject);
}

#[test]
fn debug_output_shows_nothing_of_a_person() {
    for body in all_fixtures() {
        let Ok(split) = split(&body) else { continue };
        let persons: Vec<_> = split.items.iter().flat_map(schemas::Item::persons).collect();
        let shown = format!("{split:?} {persons:?} {:?}", events(&body));
        for secret in
            ["15551230001", "7001", "9001", "US.", "wamid", "m_text", "Ada", "kettle", "hallo", "ciao"]
        {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
}
