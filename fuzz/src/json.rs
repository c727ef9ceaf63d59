//! JSON read piece by piece: the text of every value as it stands, and of an object every member, repeated ones too.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object in the order they stand.
#[derive(Default)]
pub struct Members<'a>(pub Vec<(Vec<u8>, &'a str)>);

impl<'a> Members<'a> {
    /// Those of an object; `None` of anything else.
    pub fn of(text: &'a str) -> Option<Self> {
        text.starts_with('{').then(|| serde_json::from_str(text).ok())?
    }

    /// Every value of this name.
    pub fn named(&self, wanted: &str) -> Vec<&'a str> {
        self.0.iter().filter(|(name, _)| name == wanted.as_bytes()).map(|(_, value)| *value).collect()
    }

    /// The value of this name, if there is one and no other.
    pub fn only(&self, wanted: &str) -> Option<&'a str> {
        match self.named(wanted).as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }
}

/// The elements of an array.
pub fn elements(text: &str) -> Option<Vec<&str>> {
    let elements: Vec<&RawValue> = text.starts_with('[').then(|| serde_json::from_str(text).ok())??;
    Some(elements.into_iter().map(RawValue::get).collect())
}

/// A string, in bytes: lone surrogates are none that a `String` could hold.
pub fn string(text: &str) -> Option<Vec<u8>> {
    let Text(bytes) = text.starts_with('"').then(|| serde_json::from_str(text).ok())??;
    Some(bytes)
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReadMembers).map(Members)
    }
}

struct ReadMembers;

impl<'de> Visitor<'de> for ReadMembers {
    type Value = Vec<(Vec<u8>, &'de str)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((Text(name), value)) = map.next_entry::<Text, &RawValue>()? {
            members.push((name, value.get()));
        }
        Ok(members)
    }
}

struct Text(Vec<u8>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(ReadText)
    }
}

struct ReadText;

impl Visitor<'_> for ReadText {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text, E> {
        Ok(Text(bytes.to_owned()))
    }
}
