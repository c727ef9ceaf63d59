//! A record that somebody else may have written into a topic: nothing of it does harm, and what can be read can be written
//! and read again.

#![no_main]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fuzz::record::{self, Record};
use libfuzzer_sys::fuzz_target;
use schemas::{DecodeError, Event, SealedEvent, structured};
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    let Some(record) = Record::read(input) else { return };
    let headers = |name: &str| record.header(name);
    if let Ok(event) = Event::decode(headers, record.value) {
        record::check(&event);
    }
    if let Ok(sealed) = SealedEvent::decode(headers, record.value) {
        record::check_sealed(&sealed);
        if let Ok(event) = sealed.open(|_, plain| Ok::<_, DecodeError>(plain.to_vec())) {
            record::check(&event);
        }
    }
    if let Ok(json) = structured(headers, record.value) {
        check_structured(&record, &json);
    }
});

/// One JSON object with the attributes as they are, and the value as it is.
fn check_structured(record: &Record<'_>, json: &str) {
    let is_json = record.header("content-type").is_none_or(|kind| kind == "application/json");
    let attributes = if is_json {
        let data = std::str::from_utf8(record.value).expect("JSON is text").trim_ascii();
        let attributes = json.strip_suffix(&format!(r#","data":{data}}}"#));
        attributes.expect("the data comes last and as it is")
    } else {
        json.strip_suffix('}').expect("an object")
    };
    let attributes: Value = serde_json::from_str(&format!("{attributes}}}")).expect("JSON");
    for (attribute, header) in [
        ("specversion", "ce_specversion"),
        ("id", "ce_id"),
        ("type", "ce_type"),
        ("source", "ce_source"),
        ("subject", "ce_subject"),
        ("time", "ce_time"),
        ("tenant", "ce_tenant"),
        ("dataschema", "ce_dataschema"),
        ("rawposition", schemas::RAW_POSITION),
        ("person", schemas::PERSON),
    ] {
        assert_eq!(attributes.get(attribute).and_then(Value::as_str), record.header(header), "{attribute}");
    }
    let encoded =
        attributes.get("data_base64").map(|data| STANDARD.decode(data.as_str().unwrap_or_default()));
    let expected = (!is_json).then(|| Ok(record.value.to_vec()));
    assert!(encoded == expected, "what is no JSON is not embedded in base64");
}
