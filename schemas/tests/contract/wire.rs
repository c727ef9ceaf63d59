//! Events as CloudEvents: attributes, structured mode, and what is refused.

use schemas::{DecodeError, Event, structured};
use serde_json::Value;

use crate::support::{all_fixtures, events, headers};

fn one() -> Event {
    let body = br#"{"object":"page","entry":[{"id":"2","messaging":[{ "sender":{"id":"7"},"recipient":{"id":"2"},"timestamp":1780000000123,"message":{"mid":"m_1","text":"a\u00e4\ud83d"}}]}]}"#;
    events(body).remove(0)
}

#[test]
fn attributes_are_those_of_cloudevents_in_binary_mode() {
    let event = one();
    let encoded = event.encode();
    let conversation = event.conversation.unwrap().to_string();
    let id = event.id.to_string();
    assert_eq!(
        encoded.headers,
        [
            ("ce_specversion", "1.0".to_owned()),
            ("ce_id", id.clone()),
            ("ce_type", "org.tidings.message.received.v1".to_owned()),
            ("ce_source", "urn:tidings:messenger:2".to_owned()),
            ("ce_subject", conversation),
            ("ce_time", "2026-05-28T20:26:40.123Z".to_owned()),
            ("ce_tenant", "alpha".to_owned()),
            ("ce_dataschema", "urn:tidings:schema:message.received:v1".to_owned()),
            ("ce_rawposition", "2:40:0/1".to_owned()),
            ("content-type", "application/json".to_owned()),
            ("ce_person", event.subject.unwrap().to_string()),
        ]
    );
    assert_eq!(encoded.key, id.as_bytes());
    // About nobody: no such attribute.
    let nobody = Event { subject: None, ..event };
    assert!(nobody.encode().headers.iter().all(|(name, _)| *name != "ce_person"));
}

#[test]
fn no_attribute_and_no_key_holds_an_identifier() {
    for event in all_fixtures().iter().flat_map(|body| events(body)) {
        let encoded = event.encode();
        let shown = format!("{:?} {:?}", encoded.headers, encoded.key);
        for personal in ["15551230001", "7001", "9001", "US.", "wamid", "m_text", "aW_"] {
            assert!(!shown.contains(personal), "{personal} in {shown}");
        }
    }
}

#[test]
fn structured_mode_embeds_the_data_byte_for_byte() {
    for event in all_fixtures().iter().flat_map(|body| events(body)) {
        let encoded = event.encode();
        let json = structured(headers(&encoded), &encoded.value).unwrap();
        let data = std::str::from_utf8(&encoded.value).unwrap();
        let attributes =
            json.strip_suffix(&format!(r#","data":{data}}}"#)).expect("data comes last, as it is");
        let attributes: Value = serde_json::from_str(&format!("{attributes}}}")).unwrap();
        let mut names: Vec<_> = attributes.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        let person = if event.subject.is_some() { "person " } else { "" };
        let expected = format!(
            "datacontenttype dataschema id {person}rawposition source specversion subject tenant time type"
        );
        assert_eq!(names.join(" "), expected);
        assert!(!json.contains('\n') || event.source.as_str().contains('\n'));
    }
}

#[test]
fn what_is_encrypted_is_embedded_in_base64() {
    let event = one();
    let encoded = event.encode_jwe("aaaa..bbbb.cccc.dddd".to_owned());
    assert_eq!(headers(&encoded)("content-type"), Some("application/jose"));
    let json: Value = serde_json::from_str(&structured(headers(&encoded), &encoded.value).unwrap()).unwrap();
    assert_eq!(json["data_base64"], "YWFhYS4uYmJiYi5jY2NjLmRkZGQ=");
    assert_eq!(json["datacontenttype"], "application/jose");
    assert!(json.get("data").is_none());
    assert_eq!(json["id"], event.id.to_string());
    assert!(matches!(Event::decode(headers(&encoded), &encoded.value), Err(DecodeError::Data { .. })));
}

#[test]
fn what_is_no_event_is_refused_without_showing_it() {
    let encoded = one().encode();
    for missing in ["ce_id", "ce_type", "ce_tenant", "ce_rawposition"] {
        let result = Event::decode(
            |name| if name == missing { None } else { headers(&encoded)(name) },
            &encoded.value,
        );
        assert!(matches!(result, Err(DecodeError::Missing(name)) if name == missing));
    }
    let with = |name: &'static str, value: &'static str| {
        Event::decode(
            |asked| if asked == name { Some(value) } else { headers(&encoded)(asked) },
            &encoded.value,
        )
    };
    assert!(matches!(with("ce_type", "org.tidings.message.received.v2"), Err(DecodeError::UnknownType)));
    assert!(matches!(with("ce_type", "org.example.message.received.v1"), Err(DecodeError::UnknownType)));
    assert!(matches!(with("ce_type", "org.tidings.message.status.v1"), Err(DecodeError::Data { .. })));
    assert!(matches!(with("ce_id", "7"), Err(DecodeError::Id(_))));
    assert!(matches!(with("ce_rawposition", "1:2"), Err(DecodeError::RawPosition(_))));
    let error = Event::decode(headers(&encoded), br#"{"channel":"15551230001"}"#).unwrap_err();
    assert!(!error.to_string().contains("15551230001") && !format!("{error:?}").contains("15551230001"));
    assert!(structured(headers(&encoded), b"{").is_err());
}
