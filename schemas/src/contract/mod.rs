//! The published contract, made from the types: a JSON Schema for each kind, an AsyncAPI document for all topics, and the
//! table of events. `cargo test -p schemas` holds the committed files to it; see `README.md`.

mod asyncapi;
mod breaking;
mod page;

pub use asyncapi::asyncapi;
pub use breaking::breaking;
pub use page::{channels, events_page};

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::content::ContactProfile;
use crate::{Facts, Kind, wire};

/// The JSON Schema of the data of a feed's events of this kind, as they are written today.
pub fn schema(kind: Kind) -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut data = resolved(&mut generator, wire::Common::json_schema);
    let mut content = resolved(&mut generator, |generator| kind.schema(generator));
    let contact = resolved(&mut generator, |generator| generator.subschema_for::<ContactProfile>());
    member(&mut content, "contact", contact, false);
    let source = json!({ "description": "The item exactly as Meta sent it: any JSON, byte for byte." });
    member(&mut content, "source", source, true);
    member(&mut data, "content", content, true);
    let head = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("urn:tidings:schema:{}:v{}", kind.as_str(), kind.version()),
        "title": kind.as_str(),
        "description": kind.meaning(),
    });
    finished(head, data, generator)
}

/// The JSON Schema of the data of `events`, which is one for all kinds: what they say is sealed there.
pub fn sealed_schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut data = resolved(&mut generator, wire::Common::json_schema);
    let facts = resolved(&mut generator, |generator| generator.subschema_for::<Facts>());
    member(&mut data, "facts", facts, true);
    let sealed = |what: &str| json!({ "type": "string", "description": format!("{what}, sealed with AES-256-GCM, in base64 without padding.") });
    let parts = json!({
        "type": "object",
        "description": "What it says, each part sealed by itself for its person.",
        "properties": {
            "content": sealed("The content"),
            "contact": sealed("What the person calls themselves"),
            "source": sealed("The item as it came"),
        },
        "required": ["content", "source"],
    });
    member(&mut data, "sealed", parts, true);
    let head = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:tidings:schema:sealed:v1",
        "title": "sealed",
        "description": "An event as the topic `events` holds it: what routes and sorts it in clear, what it says sealed.",
    });
    finished(head, data, generator)
}

/// A type's schema itself, where it would be a reference.
fn resolved(
    generator: &mut SchemaGenerator,
    schema: impl FnOnce(&mut SchemaGenerator) -> schemars::Schema,
) -> Value {
    let schema = schema(generator).to_value();
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    match name.and_then(|name| generator.definitions().get(name)) {
        Some(definition) => definition.clone(),
        None => schema,
    }
}

/// Adds a member to an object's schema.
fn member(object: &mut Value, name: &str, schema: Value, is_required: bool) {
    let Some(object) = object.as_object_mut() else { return };
    let properties = object.entry("properties").or_insert_with(|| json!({}));
    if let Some(properties) = properties.as_object_mut() {
        properties.insert(name.to_owned(), schema);
    }
    if is_required
        && let Some(required) = object.entry("required").or_insert_with(|| json!([])).as_array_mut()
    {
        required.push(json!(name));
    }
}

/// The whole document: definitions that nothing refers to are left out, and what is absent is never `null`.
fn finished(mut head: Value, data: Value, mut generator: SchemaGenerator) -> Value {
    let (Value::Object(head_members), Value::Object(mut members)) = (head.take(), data) else { return head };
    members.remove("title");
    let mut document: Map<String, Value> = head_members;
    for (name, value) in members {
        document.entry(name).or_insert(value);
    }
    let mut definitions: Map<String, Value> = generator.take_definitions(true);
    loop {
        let text = format!("{} {}", Value::Object(document.clone()), Value::Object(definitions.clone()));
        let before = definitions.len();
        definitions.retain(|name, _| text.contains(&format!("\"#/$defs/{name}\"")));
        if definitions.len() == before {
            break;
        }
    }
    if !definitions.is_empty() {
        document.insert("$defs".to_owned(), Value::Object(definitions));
    }
    let mut document = Value::Object(document);
    without_null(&mut document);
    document
}

/// What has no value is left out, never `null`.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Array(types)) = members.get_mut("type") {
                types.retain(|word| word != "null");
                if let [only] = &types[..] {
                    let only = only.clone();
                    members.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = members.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type").is_none_or(|word| word != "null"));
                if let [Value::Object(only)] = &choices[..] {
                    let only = only.clone();
                    members.remove("anyOf");
                    for (name, value) in only {
                        members.entry(name).or_insert(value);
                    }
                }
            }
            // A Rust default says nothing to a reader.
            members.remove("default");
            members.values_mut().for_each(without_null);
        }
        Value::Array(elements) => elements.iter_mut().for_each(without_null),
        _ => {}
    }
}
