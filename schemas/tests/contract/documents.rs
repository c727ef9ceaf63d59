//! The published contract is what the code writes: schemas, the AsyncAPI document, examples and the page of events.
//! `BLESS=1 cargo test -p schemas` writes them anew, unless that would break a reader or a record of before.

use std::collections::BTreeMap;
use std::path::Path;

use schemas::contract::{asyncapi, breaking, channels, events_page, schema, sealed_schema};
use schemas::{Kind, structured};
use serde_json::Value;

use crate::support::{events, examples, fixtures, headers, here};

pub(crate) fn pretty(value: &Value) -> String {
    format!("{}\n", serde_json::to_string_pretty(value).unwrap())
}

/// Holds a committed file to what the code writes.
pub(crate) fn hold(path: &Path, expected: &str) {
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, expected).unwrap();
    } else {
        let name = path.display();
        assert!(committed == expected, "{name} is not what the code writes: BLESS=1 cargo test -p schemas");
    }
}

/// The same for a schema: a change that breaks somebody is not even written.
fn hold_schema(path: &Path, expected: &Value) {
    if let Ok(committed) = std::fs::read_to_string(path) {
        let committed: Value = serde_json::from_str(&committed).unwrap();
        let broken = breaking(&committed, expected);
        assert!(broken.is_empty(), "a change of the contract that breaks somebody:\n{}", broken.join("\n"));
    }
    hold(path, &pretty(expected));
}

#[test]
fn schemas_are_those_of_the_types_and_break_nobody() {
    for kind in Kind::ALL {
        let file = format!("json/{}.v{}.json", kind.as_str(), kind.version());
        hold_schema(&here(&file), &schema(kind));
        // Records of former versions are kept, and so are their schemas.
        for version in 1..kind.version() {
            let file = here(&format!("json/{}.v{version}.json", kind.as_str()));
            assert!(file.exists(), "{} is gone: records of that version are still read", file.display());
        }
    }
    hold_schema(&here("json/sealed.v1.json"), &sealed_schema());
    let known: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    for entry in std::fs::read_dir(here("json")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let (kind, _) = name.strip_suffix(".json").and_then(|name| name.rsplit_once(".v")).unwrap();
        assert!(kind == "sealed" || known.contains(&kind), "{kind} is published and no longer written");
    }
}

#[test]
fn the_asyncapi_document_is_that_of_the_types() {
    hold(&here("asyncapi.json"), &pretty(&asyncapi()));
}

#[test]
fn the_page_of_events_is_that_of_the_types() {
    hold(&here("../docs/events.md"), &events_page());
}

#[test]
fn there_is_a_true_example_of_every_kind() {
    let examples = examples();
    assert_eq!(examples.keys().copied().collect::<Vec<_>>(), Kind::ALL);
    for (kind, event) in examples {
        let encoded = event.encode();
        let json = structured(headers(&encoded), &encoded.value).unwrap();
        let value: Value = serde_json::from_str(&json).unwrap();
        hold(&here(&format!("examples/{}.json", kind.as_str())), &pretty(&value));
    }
}

/// The schema, taking no member that it does not name: what is written and not described is found so.
fn closed(mut schema: Value) -> Value {
    fn close(schema: &mut Value) {
        match schema {
            Value::Object(members) => {
                if members.contains_key("properties") && !members.contains_key("additionalProperties") {
                    members.insert("additionalProperties".to_owned(), Value::Bool(false));
                }
                members.values_mut().for_each(close);
            }
            Value::Array(elements) => elements.iter_mut().for_each(close),
            _ => {}
        }
    }
    close(&mut schema);
    schema
}

#[test]
fn every_event_of_every_fixture_is_as_its_schema_says_and_no_more() {
    let mut validators: BTreeMap<Kind, jsonschema::Validator> = BTreeMap::new();
    let mut seen = 0;
    let folders = ["messenger", "instagram", "whatsapp"];
    let all = folders.into_iter().flat_map(fixtures).flat_map(|path| events(&std::fs::read(path).unwrap()));
    for event in all.chain(examples().into_values()) {
        let validator = validators
            .entry(event.kind)
            .or_insert_with(|| jsonschema::validator_for(&closed(schema(event.kind))).unwrap());
        // A lone surrogate in a source is no JSON to others; what matters stands beside it.
        let Ok(data) = serde_json::from_slice::<Value>(&event.encode().value) else { continue };
        let errors: Vec<_> = validator.iter_errors(&data).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", event.kind.as_str());
        seen += 1;
    }
    assert!(seen > 200 && validators.len() == Kind::ALL.len(), "{seen} events of {} kinds", validators.len());
}

#[test]
fn every_kind_comes_through_the_channels_that_the_page_says() {
    let mut seen: BTreeMap<Kind, Vec<schemas::Channel>> = BTreeMap::new();
    for path in ["messenger", "instagram", "whatsapp"].into_iter().flat_map(fixtures) {
        for event in events(&std::fs::read(path).unwrap()) {
            seen.entry(event.kind).or_default().push(event.channel);
        }
    }
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_ours()) {
        let mut seen = seen.remove(&kind).unwrap_or_default();
        seen.sort();
        seen.dedup();
        assert_eq!(seen, channels(kind), "{}", kind.as_str());
    }
}
