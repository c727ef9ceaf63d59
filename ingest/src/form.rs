//! `application/x-www-form-urlencoded`: a handshake's query, and what Meta's privacy callbacks carry.

use std::borrow::Cow;

/// A name or value, decoded: `%41` and `+`. `None` when a `%` is not followed by two digits.
pub(crate) fn decode(text: &str) -> Option<Cow<'_, [u8]>> {
    if !text.bytes().any(|b| matches!(b, b'%' | b'+')) {
        return Some(Cow::Borrowed(text.as_bytes()));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut one = [0];
                hex::decode_to_slice([bytes.next()?, bytes.next()?], &mut one).ok()?;
                one[0]
            }
            other => other,
        });
    }
    Some(Cow::Owned(decoded))
}

/// As text, if it is UTF-8.
pub(crate) fn text(bytes: Cow<'_, [u8]>) -> Option<Cow<'_, str>> {
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

/// The field of this name. `None` unless it is there, once, and as text; other fields are ignored.
pub(crate) fn field<'a>(form: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let mut found = None;
    for pair in form.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if *decode(key)? == *name.as_bytes() && found.replace(text(decode(value)?)?).is_some() {
            return None;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(form: &str, expected: Option<&str>) {
        assert_eq!(field(form, "signed_request").as_deref(), expected, "{form}");
    }

    #[test]
    fn a_field_is_there_once() {
        check("signed_request=a.b", Some("a.b"));
        check("x=1&signed_request=a%2Eb&x=2&&y", Some("a.b"));
        check("signed%5Frequest=a+b", Some("a b"));
        check("signed_request=", Some(""));
        check("signed_request", Some(""));
        for wrong in [
            "",
            "x=1",
            "signed_request=a&signed_request=a",
            "signed_request=%f",
            "signed_request=%ff",
            "%=1&signed_request=a",
        ] {
            check(wrong, None);
        }
    }
}
