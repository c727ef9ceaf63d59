//! A delivery as `raw` keeps it: the exact body, sealed, and beside it what only the edge knows (`schemas::raw_header`).

use bytes::Bytes;
use eventlog::{Header, Record};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use schemas::{SecretRole, raw_header};

use crate::sealer::Sealed;

/// The most of a `Content-Type` that is kept, in bytes. It is for people to look at; nothing hangs on it.
const LONGEST_CONTENT_TYPE: usize = 256;

/// The record for a body whose signature matched.
pub(crate) fn of(
    app: &Bytes,
    received_ms: i64,
    signature: &HeaderValue,
    secret: SecretRole,
    headers: &HeaderMap,
    sealed: Sealed,
) -> Record {
    Record {
        key: None,
        value: Some(sealed.value),
        headers: vec![
            Header::new(raw_header::APP, app.clone()),
            Header::new(raw_header::RECEIVED_AT, received_ms.to_string()),
            Header::new(raw_header::SIGNATURE, Bytes::copy_from_slice(signature.as_bytes())),
            Header::new(raw_header::SECRET, secret.as_str()),
            Header::new(raw_header::CONTENT_TYPE, content_type(headers)),
            Header::new(raw_header::KEY, sealed.key),
        ],
    }
}

/// As it was received, empty when it was not; what is not UTF-8 in it is replaced.
fn content_type(headers: &HeaderMap) -> Bytes {
    match headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes) {
        None => Bytes::new(),
        Some(b"application/json") => Bytes::from_static(b"application/json"),
        Some(other) => {
            let kept = other.get(..LONGEST_CONTENT_TYPE).unwrap_or(other);
            Bytes::from(String::from_utf8_lossy(kept).into_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_holds_the_sealed_body_and_text_beside_it() {
        let signature = HeaderValue::from_static("sha256=AB");
        let mut headers = HeaderMap::new();
        let body = Bytes::from_static(b"\xff\x00 sealed");
        let make = |headers: &HeaderMap| {
            let sealed = Sealed { value: body.clone(), key: Bytes::from_static(b"h1.wrapped") };
            of(&Bytes::from_static(b"acme"), 17, &signature, SecretRole::Next, headers, sealed)
        };
        let record = make(&headers);
        assert_eq!((record.key.as_ref(), record.value.as_ref()), (None, Some(&body)));
        let texts: Vec<_> = record
            .headers
            .iter()
            .map(|header| (&*header.name, std::str::from_utf8(&header.value).unwrap()))
            .collect();
        assert_eq!(
            texts,
            [
                ("app", "acme"),
                ("received_at", "17"),
                ("signature", "sha256=AB"),
                ("secret", "next"),
                ("content_type", ""),
                ("key", "h1.wrapped"),
            ]
        );
        let mut check = |value: &[u8], expected: &str| {
            headers.insert(CONTENT_TYPE, HeaderValue::from_bytes(value).unwrap());
            assert_eq!(make(&headers).header_str("content_type"), Some(expected));
        };
        check(b"application/json", "application/json");
        check(b"text/plain; charset=utf-16", "text/plain; charset=utf-16");
        check(b"a\xffb", "a\u{fffd}b");
        check("é".repeat(1000).as_bytes(), &"é".repeat(128));
    }
}
