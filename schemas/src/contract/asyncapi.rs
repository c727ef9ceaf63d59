//! The AsyncAPI 3 document: every topic, what stands in it, and which schema its data has.

use serde_json::{Map, Value, json};

use crate::Kind;

/// The whole document. Payloads are the schemas beside it (`json/`), referred to by file.
pub fn asyncapi() -> Value {
    let mut feed = Map::new();
    let mut messages = Map::new();
    for kind in Kind::ALL {
        let name = name(kind);
        feed.insert(name.clone(), json!({ "$ref": format!("#/components/messages/{name}") }));
        let traits = json!([{ "$ref": "#/components/messageTraits/event" }]);
        messages.insert(
            name,
            json!({
                "name": format!("org.tidings.{}.v{}", kind.as_str(), kind.version()),
                "title": kind.as_str(),
                "summary": kind.meaning(),
                "contentType": "application/json",
                "payload": { "$ref": format!("json/{}", file(kind)) },
                "traits": traits,
            }),
        );
    }
    messages.insert(
        "sealed".into(),
        message("An event of any kind, what it says sealed for its person", "sealed.v1.json", true),
    );
    messages.insert("encrypted".into(), json!({
        "title": "encrypted",
        "summary": "An event of any kind, its data as a JWE in compact form for the tenant's public key; decrypted it is the data \
                    of its type",
        "contentType": "application/jose",
        "payload": { "type": "string" },
        "traits": [{ "$ref": "#/components/messageTraits/event" }],
    }));
    for (name, summary) in INNER {
        messages.insert(
            name.into(),
            json!({
                "title": name,
                "summary": summary,
                "contentType": "application/octet-stream",
                "payload": {},
            }),
        );
    }
    let reference = |name: &str| json!({ name: { "$ref": format!("#/components/messages/{name}") } });
    feed.insert("encrypted".into(), json!({ "$ref": "#/components/messages/encrypted" }));
    let mut channels = Map::new();
    channels.insert("feed".into(), json!({
        "address": "inbox.{tenant}",
        "title": "A tenant's feed",
        "description": "Every event of one tenant, readable by that tenant only. Partitioned by conversation, kept for seven days. \
                        The same event may come again with the same `ce_id`. An event whose person was forgotten becomes a record \
                        with the same key and no value.",
        "parameters": { "tenant": { "description": "The tenant's id" } },
        "messages": feed,
    }));
    channels.insert("events".into(), json!({
        "address": "events",
        "title": "All events",
        "description": "Every event of every tenant, sealed. For Tidings itself; no tenant reads it. Compacted by `ce_id`.",
        "messages": reference("sealed"),
    }));
    for (name, summary) in INNER {
        channels.insert(
            name.into(),
            json!({
                "address": name,
                "title": name,
                "description": format!("{summary}. For Tidings itself."),
                "messages": reference(name),
            }),
        );
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tidings",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Events of Meta messaging (Messenger, Instagram Direct, WhatsApp): CloudEvents 1.0 in Kafka's binary mode. \
                            `inbox.<tenant>` is what a tenant's inbox service reads.",
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": {
            "readFeed": {
                "action": "receive",
                "title": "Read a tenant's feed",
                "summary": "Keep a cursor of your own, take each `ce_id` once, and act on `standby` and `imported`.",
                "channel": { "$ref": "#/channels/feed" },
            },
        },
        "components": { "messages": messages, "messageTraits": { "event": event() } },
    })
}

/// The topics that are for Tidings itself and hold no events.
const INNER: [(&str, &str); 4] = [
    ("raw", "Deliveries as Meta sent them, sealed"),
    ("quarantine", "Pointers to deliveries that could not be routed, and why; never content"),
    ("control", "Tenants, assets, apps, erasures and what operators did"),
    ("callbacks", "Whom a deletion request is about, sealed until it is answered"),
];

/// The file that holds a kind's schema.
pub(crate) fn file(kind: Kind) -> String {
    format!("{}.v{}.json", kind.as_str(), kind.version())
}

fn name(kind: Kind) -> String {
    kind.as_str().replace('.', "_")
}

fn message(summary: &str, file: &str, is_event: bool) -> Value {
    let mut message = json!({
        "title": "sealed",
        "summary": summary,
        "contentType": "application/json",
        "payload": { "$ref": format!("json/{file}") },
    });
    if is_event {
        message["traits"] = json!([{ "$ref": "#/components/messageTraits/event" }]);
    }
    message
}

/// What every event has beside its data.
fn event() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let hex = |description: &str| json!({ "type": "string", "pattern": "^[0-9a-f]{32}$", "description": description });
    json!({
        "headers": {
            "type": "object",
            "properties": {
                "ce_specversion": { "type": "string", "const": "1.0" },
                "ce_id": hex("The event's id: the same however often Meta repeats it"),
                "ce_type": text("`org.tidings.<kind>.v<version>`"),
                "ce_source": text("`urn:tidings:<asset>`"),
                "ce_subject": text("The conversation, else the asset"),
                "ce_time": json!({ "type": "string", "format": "date-time", "description": "When, by Meta's clock" }),
                "ce_tenant": text("The tenant"),
                "ce_dataschema": text("`urn:tidings:schema:<kind>:v<version>`: the `$id` of the data's schema"),
                "ce_rawposition": text("`partition:offset:index/count` in `raw`; offset 9223372036854775807 of what an operator said, which stands in no delivery"),
                "ce_person": hex("The person as their subject; absent when it is about nobody"),
                "ce_restricted": { "type": "string", "const": "true", "description": "The person's data is to be kept and used for nothing" },
                "content-type": { "type": "string", "enum": ["application/json", "application/jose"] },
            },
            "required": ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "ce_tenant", "content-type"],
        },
        "bindings": { "kafka": { "key": { "type": "string", "description": "The `ce_id`" }, "bindingVersion": "0.5.0" } },
    })
}
