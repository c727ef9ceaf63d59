//! Bodies to try things with, and what becomes of them.

use schemas::{Content, Event, IdentifierKind, MessageContent, split};
use serde_json::{Value, json};

use crate::support::events;

pub(crate) const AT: i64 = 1_780_000_000_123;
pub(crate) const ENTRY_AT: i64 = 1_780_000_000_456;

/// A page's delivery with these elements of `messaging`.
pub(crate) fn page(elements: &[String]) -> Vec<u8> {
    let elements = elements.join(",");
    format!(r#"{{"object":"page","entry":[{{"id":"222","time":{ENTRY_AT},"messaging":[{elements}]}}]}}"#)
        .into_bytes()
}

/// What a person did on the page.
pub(crate) fn did(what: &str) -> String {
    format!(r#"{{"sender":{{"id":"7001"}},"recipient":{{"id":"222"}},"timestamp":{AT},{what}}}"#)
}

/// What the page did.
pub(crate) fn answered(what: &str) -> String {
    format!(r#"{{"sender":{{"id":"222"}},"recipient":{{"id":"7001"}},"timestamp":{AT},{what}}}"#)
}

/// A message with this id, and its text as it is written.
pub(crate) fn said(mid: &str, text: &str) -> String {
    did(&format!(r#""message":{{"mid":"{mid}","text":{text}}}"#))
}

/// A number's delivery with these members of the value of `field`.
pub(crate) fn number(field: &str, members: &Value) -> Vec<u8> {
    let mut value = json!({ "messaging_product": "whatsapp",
        "metadata": { "display_phone_number": "15550001111", "phone_number_id": "111" } });
    value.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let entry = json!({ "id": "900", "changes": [{ "field": field, "value": value }] });
    json!({ "object": "whatsapp_business_account", "entry": [entry] }).to_string().into_bytes()
}

/// A WhatsApp message of this type.
pub(crate) fn wrote(id: &str, word: &str, content: &Value) -> Value {
    json!({ "from": "15551230001", "id": id, "timestamp": "1780000000", "type": word, word: content })
}

pub(crate) fn one(body: &[u8]) -> Event {
    let mut events = events(body);
    assert_eq!(events.len(), 1, "{}", String::from_utf8_lossy(body));
    events.remove(0)
}

pub(crate) fn message(event: &Event) -> &MessageContent {
    let Content::Message(content) = &event.content else { panic!("{:?} is no message", event.kind) };
    content
}

/// Who the items of a body are about: `kind value`, per item.
pub(crate) fn persons(body: &[u8]) -> Vec<Vec<String>> {
    let name = |kind: IdentifierKind, value: &str| format!("{} {value}", kind.as_str());
    let items = split(body).unwrap().items;
    items.iter().map(|item| item.persons().iter().map(|one| name(one.kind, &one.value)).collect()).collect()
}
