//! Events of earlier versions, made those of today. The log keeps events for as long as an account lives, so every version
//! that was ever written stays readable; `golden/` holds one of each, and is never written anew.
//!
//! A version is raised only for a change that a reader of the former one would not survive; what is added beside the rest
//! needs none.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::content::Content;
use crate::{DecodeError, Kind};

/// One step: the content of a version as that of the next.
fn step(kind: Kind, version: u8, content: &mut BTreeMap<String, Box<RawValue>>) {
    if let (Kind::Unrecognized, 1) = (kind, version) {
        // Version 2 says why something is not read. Version 1 knew of no reason but that it did not know it.
        content.entry("reason".to_owned()).or_insert_with(|| raw(r#""unknown""#));
    }
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).expect("a constant is JSON")
}

/// The content of that version as the JSON of today's. A version that is still to come is refused.
fn upcast(kind: Kind, version: u8, raw: &str) -> Result<Cow<'_, str>, DecodeError> {
    if version == kind.version() {
        return Ok(Cow::Borrowed(raw));
    }
    if !(1..kind.version()).contains(&version) {
        return Err(DecodeError::UnknownType);
    }
    // Member by member: what Meta sent stands among them, and may be what no other reader takes.
    let mut content: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(raw).map_err(|error| DecodeError::data(&error))?;
    for version in version..kind.version() {
        step(kind, version, &mut content);
    }
    Ok(Cow::Owned(serde_json::to_string(&content).expect("string keys and raw JSON always serialize")))
}

/// Reads content of that version.
pub(crate) fn read(kind: Kind, version: u8, raw: &str) -> Result<Content, DecodeError> {
    kind.read(&upcast(kind, version, raw)?).map_err(|error| DecodeError::data(&error))
}

impl Content {
    /// The content of that kind of event, from its JSON, of whichever version: where content is kept in a view, its version is
    /// not.
    ///
    /// # Errors
    /// It is not that kind's content.
    pub fn from_json(kind: Kind, json: &[u8]) -> Result<Self, DecodeError> {
        let text = std::str::from_utf8(json).map_err(|_| DecodeError::Data { line: 1, column: 0 })?;
        let newest = read(kind, kind.version(), text);
        (1..kind.version()).rev().fold(newest, |read_so_far, version| {
            read_so_far.or_else(|error| read(kind, version, text).map_err(|_| error))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Unread, Unrecognized};

    #[test]
    fn what_version_1_did_not_read_says_so() {
        let expected =
            Content::Unrecognized(Unrecognized { field: Some("calls".to_owned()), reason: Unread::Unknown });
        assert_eq!(read(Kind::Unrecognized, 1, r#"{"field":"calls"}"#).unwrap(), expected);
        assert_eq!(Content::from_json(Kind::Unrecognized, br#"{"field":"calls"}"#).unwrap(), expected);
        assert!(matches!(read(Kind::Unrecognized, 2, r#"{"field":"calls"}"#), Err(DecodeError::Data { .. })));
    }

    #[test]
    fn what_no_other_reader_takes_is_no_hindrance() {
        let raw = r#"{"field":"messaging","source":{"tomorrow":"\ud83d","huge":1e999}}"#;
        assert!(matches!(read(Kind::Unrecognized, 1, raw), Ok(Content::Unrecognized(_))));
    }

    #[test]
    fn versions_to_come_are_refused() {
        for version in [0, 3, 255] {
            assert!(matches!(read(Kind::Unrecognized, version, "{}"), Err(DecodeError::UnknownType)));
        }
    }
}
