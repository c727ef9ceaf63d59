//! JSON as Meta puts it on the wire: keys in a given order, every character beyond ASCII as `\uXXXX` with lower-case digits,
//! `/` as `\/` (`meta-platform.md` §1.2). Written by hand because that form, not the value, is what gets signed.

/// Stands for half of a surrogate pair: Meta cuts texts by UTF-16 units, at times in the middle of an emoji.
pub(crate) const HALF: char = '\u{f8fe}';

/// A JSON value with its keys in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with six digits after the point, as coordinates have.
    Degrees(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// An object.
    Object(Vec<(&'static str, Json)>),
}

/// An object of these members.
pub(crate) fn object<const N: usize>(members: [(&'static str, Json); N]) -> Json {
    Json::Object(members.into())
}

impl Json {
    /// Adds a member to an object; anything else is left as it is.
    #[must_use]
    pub(crate) fn with(mut self, key: &'static str, value: impl Into<Json>) -> Self {
        if let Self::Object(members) = &mut self {
            members.push((key, value.into()));
        }
        self
    }

    /// Adds a member when there is a value for it.
    #[must_use]
    pub(crate) fn with_some(self, key: &'static str, value: Option<impl Into<Json>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Adds another object's members to an object.
    #[must_use]
    pub(crate) fn merge(mut self, other: Json) -> Self {
        if let (Self::Object(members), Self::Object(others)) = (&mut self, other) {
            members.extend(others);
        }
        self
    }

    /// Appends the value in Meta's escaped form.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Int(value) => out.push_str(&value.to_string()),
            Self::Degrees(value) => out.push_str(&format!("{value:.6}")),
            Self::Text(text) => write_text(text, out),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_text(key, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '/' => out.push_str("\\/"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            HALF => out.push_str("\\ud83d"),
            ' '..='~' => out.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&String> for Json {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<i64> for Json {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<Vec<Json>> for Json {
    fn from(items: Vec<Json>) -> Self {
        Self::List(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: Json, expected: &str) {
        let mut out = String::new();
        value.write(&mut out);
        assert_eq!(out, expected);
        assert!(out.is_ascii());
    }

    #[test]
    fn writes_as_meta_does() {
        check("äöå 😀 https://x.y".into(), r#""\u00e4\u00f6\u00e5 \ud83d\ude00 https:\/\/x.y""#);
        check("a\"b\\c\n\u{0}\u{7f}".into(), r#""a\"b\\c\n\u0000\u007f""#);
        check(format!("cut {HALF} here").into(), r#""cut \ud83d here""#);
        check(
            object([("b", 1.into()), ("a", vec![Json::Null, true.into()].into())]),
            r#"{"b":1,"a":[null,true]}"#,
        );
        check(Json::Degrees(59.437), "59.437000");
    }
}
