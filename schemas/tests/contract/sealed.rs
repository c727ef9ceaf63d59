//! Events as `events` holds them: the same event after sealing, writing, reading and opening, and nothing of it in clear.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use schemas::{DecodeError, Event, EventId, Facts, Field, Kind, SealedEvent};

use crate::support::{all_fixtures, events, examples, headers};

/// A cipher that keeps nothing secret from who knows it, and is bound to its place as the real one is.
fn seal(event: EventId, field: Field, plain: &[u8]) -> Vec<u8> {
    let mut sealed = [event.as_bytes(), field.as_str().as_bytes(), b"|"].concat();
    sealed.extend(plain.iter().map(|byte| byte ^ 0x5a));
    sealed
}

fn open(event: EventId, field: Field, sealed: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let place = seal(event, field, b"");
    let body = sealed.strip_prefix(&place[..]).ok_or(DecodeError::Sealed)?;
    Ok(body.iter().map(|byte| byte ^ 0x5a).collect())
}

fn sealed(event: &Event) -> SealedEvent {
    event.seal(|field, plain| Ok::<_, DecodeError>(seal(event.id, field, plain))).unwrap()
}

fn opened(sealed: &SealedEvent) -> Result<Event, DecodeError> {
    sealed.open(|field, bytes| open(sealed.id, field, bytes))
}

/// Sealed, written, read and opened.
fn survives(event: &Event) {
    let sealed = sealed(event);
    let encoded = sealed.encode();
    let read = SealedEvent::decode(headers(&encoded), &encoded.value).unwrap();
    assert_eq!(read, sealed);
    assert_eq!(read.facts, Facts::of(event));
    assert_eq!(read.partition(6), event.partition(6));
    assert_eq!(&opened(&read).unwrap(), event);
}

/// Every event of the fixtures, and what Tidings itself makes.
fn all_events() -> Vec<Event> {
    let mut all: Vec<Event> = all_fixtures().iter().flat_map(|body| events(body)).collect();
    all.extend(examples().into_values());
    all
}

proptest! {
    #[test]
    fn any_event_is_the_same_once_opened(
        pick in any::<Index>(),
        changes in prop::collection::vec((any::<Index>(), any::<u8>(), 0u8..4), 0..6),
    ) {
        let bodies = all_fixtures();
        let mut body = pick.get(&bodies).clone();
        for (at, byte, how) in changes {
            if body.is_empty() { break }
            let at = at.index(body.len());
            match how {
                0 => body[at] = byte,
                1 => { body.remove(at); }
                2 => body.insert(at, byte),
                _ => body.truncate(at),
            }
        }
        events(&body).iter().for_each(survives);
    }

    #[test]
    fn a_part_in_another_place_does_not_open(one in any::<Index>(), other in any::<Index>(), field in select(vec![
        Field::Content, Field::Contact, Field::Source,
    ])) {
        let all = all_events();
        let (one, other) = (sealed(one.get(&all)), sealed(other.get(&all)));
        let mut swapped = one.clone();
        match field {
            Field::Content => swapped.content = other.content,
            Field::Contact => swapped.contact = other.contact,
            Field::Source => swapped.source = other.source,
        }
        let is_same = swapped == one || (field == Field::Contact && swapped.contact.is_none());
        prop_assert_eq!(opened(&swapped).is_ok(), is_same || one.id == other.id);
        let mut crossed = one.clone();
        std::mem::swap(&mut crossed.content, &mut crossed.source);
        prop_assert!(opened(&crossed).is_err());
    }
}

#[test]
fn every_event_is_the_same_once_opened_and_shows_nothing_before() {
    let all = all_events();
    assert!(Kind::ALL.iter().all(|kind| all.iter().any(|event| event.kind == *kind)));
    for event in &all {
        survives(event);
        let encoded = sealed(event).encode();
        let clear = event.encode();
        assert_eq!(encoded.key, clear.key);
        // The same attributes, but for the schema: whoever knows one form knows where the other one goes.
        let others = |encoded: &schemas::Encoded| -> Vec<_> {
            encoded.headers.iter().filter(|(name, _)| *name != "ce_dataschema").cloned().collect()
        };
        assert_eq!(others(&encoded), others(&clear));
        let kind = event.kind.as_str();
        assert_eq!(
            headers(&encoded)("ce_dataschema"),
            Some(&*format!("urn:tidings:schema:{kind}:sealed.v{}", event.kind.version()))
        );
        let shown = format!("{:?} {}", encoded.headers, String::from_utf8_lossy(&encoded.value));
        for secret in
            ["15551230001", "wamid.", "m_text", "aW_text", "Ada", "kettle", "hallo", "ciao", "lookaside"]
        {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
}

#[test]
fn what_is_no_sealed_event_is_refused_without_showing_it() {
    let event = all_events().remove(0);
    let encoded = sealed(&event).encode();
    for missing in ["ce_id", "ce_type", "ce_tenant", "ce_rawposition"] {
        let lacking = |name: &str| if name == missing { None } else { headers(&encoded)(name) };
        let result = SealedEvent::decode(lacking, &encoded.value);
        assert!(matches!(result, Err(DecodeError::Missing(name)) if name == missing));
    }
    // Neither form is taken for the other.
    let clear = event.encode();
    assert!(matches!(SealedEvent::decode(headers(&clear), &clear.value), Err(DecodeError::Data { .. })));
    assert!(matches!(Event::decode(headers(&encoded), &encoded.value), Err(DecodeError::Data { .. })));
    let text = String::from_utf8(encoded.value.to_vec()).unwrap();
    let broken = text.replacen(r#""content":""#, r#""content":"15551230001="#, 1);
    assert_ne!(broken, text);
    let error = SealedEvent::decode(headers(&encoded), broken.as_bytes()).unwrap_err();
    assert!(matches!(error, DecodeError::Sealed));
    assert!(!format!("{error} {error:?}").contains("15551230001"));
    for cut in [0, 1, text.len() / 2, text.len() - 1] {
        assert!(SealedEvent::decode(headers(&encoded), &encoded.value[..cut]).is_err());
    }
    // What opens and is not what it should be.
    let mut other = sealed(&event);
    other.content = seal(event.id, Field::Content, br#"{"kind":15551230001}"#);
    let error = opened(&other).unwrap_err();
    assert!(matches!(error, DecodeError::Data { .. }) && !format!("{error:?}").contains("15551230001"));
}
