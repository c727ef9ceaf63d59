//! What only who knows a secret may do: a delivery's signature and a privacy callback's `signed_request`. Both are read by
//! the very files that ingest reads them with, and again here; the two have to agree on what is believed and what is not.

#![no_main]

#[path = "../../ingest/src/form.rs"]
mod form;
#[path = "../../ingest/src/signature.rs"]
mod signature;
#[path = "../../ingest/src/signed_request.rs"]
mod signed_request;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::{HeaderMap, HeaderValue};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use ring::hmac;
use schemas::{CallbackKind, SecretRole};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};

use signature::{Claim, ClaimError, Keys};
use signed_request::{SignedRequest, SignedRequestError, is_code};

/// A request, and the secrets that it may be signed with.
#[derive(Debug, Arbitrary)]
struct Request<'a> {
    secrets: Vec<&'a [u8]>,
    body: &'a [u8],
    headers: Vec<Header<'a>>,
    callback: Callback<'a>,
}

/// A signature header.
#[derive(Debug, Arbitrary)]
enum Header<'a> {
    Anything(&'a [u8]),
    Digest { prefix: Prefix, tag: [u8; 32], upper: bool },
    Signed { secret: u8, prefix: Prefix, upper: bool, damage: Option<Damage> },
}

#[derive(Debug, Arbitrary)]
enum Prefix {
    Sha256,
    Sha1,
    UpperCase,
    None,
}

/// One byte of a text is another.
#[derive(Debug, Arbitrary)]
struct Damage {
    at: u16,
    byte: u8,
}

/// A privacy callback's form.
#[derive(Debug, Arbitrary)]
enum Callback<'a> {
    Anything(&'a [u8]),
    Signed { secret: u8, payload: Payload<'a>, before: &'a str, after: &'a str, damage: Option<Damage> },
}

#[derive(Debug, Arbitrary)]
enum Payload<'a> {
    Text(&'a str),
    Bytes(&'a [u8]),
    Right { user: u64, issued_at: u64, as_text: bool },
    Members { algorithm: &'a str, user: &'a str, issued_at: i64 },
}

fuzz_target!(|request: Request<'_>| {
    let roles = [SecretRole::Current, SecretRole::Next, SecretRole::Instagram];
    // An empty secret is refused before it gets here.
    let secrets: Vec<_> =
        roles.into_iter().zip(request.secrets.iter().copied().filter(|secret| !secret.is_empty())).collect();
    check_signature(&request, &secrets);
    check_callback(&request.callback, &secrets);
});

type Secret<'a> = (SecretRole, &'a [u8]);

fn check_signature(request: &Request<'_>, secrets: &[Secret<'_>]) {
    let texts = request.headers.iter().map(|header| header.text(request.body, secrets));
    // What is no value of a header is refused by whoever reads HTTP.
    let values: Vec<_> = texts.filter_map(|text| HeaderValue::from_bytes(&text).ok()).collect();
    let mut headers = HeaderMap::new();
    for value in &values {
        headers.append(&signature::HEADER, value.clone());
    }
    let keys = Keys::new(secrets.iter().copied());
    let found = Claim::of(&headers).map(|(claim, _)| keys.verify(request.body, &claim));
    let expected = match values.as_slice() {
        [] => Err(ClaimError::Missing),
        [only] => claimed(only.as_bytes()).ok_or(ClaimError::Malformed),
        _ => Err(ClaimError::Malformed),
    };
    assert_eq!(found, expected.map(|tag| signer(request.body, &tag, secrets)));
}

/// The 32 bytes of `sha256=` and 64 digits of either case, and of nothing else.
fn claimed(value: &[u8]) -> Option<Vec<u8>> {
    let digits = std::str::from_utf8(value.strip_prefix(b"sha256=")?).ok()?;
    let is_digest = digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    is_digest.then(|| (0..64).step_by(2).map(byte).collect())?
}

fn signer(text: &[u8], tag: &[u8], secrets: &[Secret<'_>]) -> Option<SecretRole> {
    secrets.iter().find(|(_, secret)| mac(secret, text) == tag).map(|(role, _)| *role)
}

fn mac(secret: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text).as_ref().to_vec()
}

fn chosen<'a>(secrets: &[Secret<'a>], choice: u8) -> &'a [u8] {
    // With no secret to choose from, and one time in four, it is somebody else's.
    secrets.get(usize::from(choice) % 4).map_or(b"somebody else's", |(_, secret)| secret)
}

impl Header<'_> {
    fn text(&self, body: &[u8], secrets: &[Secret<'_>]) -> Vec<u8> {
        let (prefix, tag, upper, damage) = match self {
            Self::Anything(text) => return text.to_vec(),
            Self::Digest { prefix, tag, upper } => (prefix, tag.to_vec(), *upper, None),
            Self::Signed { secret, prefix, upper, damage } => {
                (prefix, mac(chosen(secrets, *secret), body), *upper, damage.as_ref())
            }
        };
        let digits = if upper { hex::encode_upper(tag) } else { hex::encode(tag) };
        let mut text = format!("{}{digits}", prefix.as_str()).into_bytes();
        if let Some(damage) = damage {
            damage.inflict(&mut text);
        }
        text
    }
}

impl Prefix {
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Sha256 => "sha256=",
            Self::Sha1 => "sha1=",
            Self::UpperCase => "SHA256=",
            Self::None => "",
        }
    }
}

impl Damage {
    fn inflict(&self, text: &mut [u8]) {
        let length = text.len().max(1);
        if let Some(byte) = text.get_mut(usize::from(self.at) % length) {
            *byte = self.byte;
        }
    }
}

fn check_callback(callback: &Callback<'_>, secrets: &[Secret<'_>]) {
    let form = callback.form(secrets);
    let keys = Keys::new(secrets.iter().copied());
    let read = SignedRequest::read(&form, &keys);
    let genuine = genuine(&form, secrets);
    match (&read, &genuine) {
        (Ok(request), Some(payload)) => check_request(request, payload),
        (Ok(_), None) => panic!("a request was believed that nobody signed"),
        (Err(SignedRequestError::Signature), Some(_)) => panic!("a signed request was not believed"),
        (Err(_), _) => {}
    }
    if let Callback::Signed { payload: Payload::Right { user, .. }, before, after, damage: None, .. } =
        callback
        && genuine.is_some()
        && [before, after].iter().all(|beside| !beside.contains(['%', '+', '&', '=']))
    {
        let request = read.expect("a whole request");
        assert_eq!(request.user.expose_secret(), user.to_string());
    }
}

/// What a payload tells. Beside it may stand what is no text and no number that could be kept.
#[derive(Deserialize)]
struct Told {
    algorithm: String,
    user_id: Value,
}

fn check_request(request: &SignedRequest, payload: &str) {
    let json = URL_SAFE_NO_PAD.decode(payload).expect("base64 as it has to be");
    let told: Told = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(told.algorithm, "HMAC-SHA256");
    let user = match told.user_id {
        Value::String(user) => user,
        user @ Value::Number(_) => user.to_string(),
        _ => panic!("a request about nobody was taken"),
    };
    assert_eq!(request.user.expose_secret(), user);
    let app = "acme".parse().expect("an app name");
    let [deletion, again, deauthorisation] =
        [CallbackKind::DataDeletion, CallbackKind::DataDeletion, CallbackKind::Deauthorize]
            .map(|kind| request.code(&app, kind));
    assert!(is_code(&deletion) && deletion == again && deletion != deauthorisation);
}

/// The payload's text, if the form has one `signed_request` that one of the secrets signed.
fn genuine(form: &[u8], secrets: &[Secret<'_>]) -> Option<String> {
    let mut found = Vec::new();
    for pair in std::str::from_utf8(form).ok()?.split('&') {
        let mut parts = pair.splitn(2, '=');
        if decoded(parts.next()?)? == b"signed_request" {
            found.push(String::from_utf8(decoded(parts.next().unwrap_or_default())?).ok()?);
        }
    }
    let [signed] = found.as_slice() else { return None };
    let (signature, payload) = signed.split_once('.')?;
    let is_signer =
        |(_, secret): &Secret<'_>| URL_SAFE_NO_PAD.encode(mac(secret, payload.as_bytes())) == signature;
    secrets.iter().any(is_signer).then(|| payload.to_owned())
}

/// Percent and plus, undone.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let spaced = text.replace('+', " ");
    let mut parts = spaced.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(part.get(2..)?.as_bytes());
    }
    Some(bytes)
}

impl Callback<'_> {
    fn form(&self, secrets: &[Secret<'_>]) -> Vec<u8> {
        let (secret, payload, before, after, damage) = match self {
            Self::Anything(form) => return form.to_vec(),
            Self::Signed { secret, payload, before, after, damage } => {
                (chosen(secrets, *secret), payload.text(), before, after, damage)
            }
        };
        let mut signed = format!("{}.{payload}", URL_SAFE_NO_PAD.encode(mac(secret, payload.as_bytes())));
        if let Some(damage) = damage
            && signed.is_ascii()
        {
            let mut bytes = signed.into_bytes();
            damage.inflict(&mut bytes);
            signed = String::from_utf8_lossy(&bytes).into_owned();
        }
        format!("{before}&signed_request={signed}&{after}").into_bytes()
    }
}

impl Payload<'_> {
    fn text(&self) -> String {
        let json = match self {
            Self::Text(text) => return (*text).to_owned(),
            Self::Bytes(bytes) => return URL_SAFE_NO_PAD.encode(bytes),
            Self::Right { user, issued_at, as_text: true } => {
                json!({ "algorithm": "HMAC-SHA256", "user_id": user.to_string(), "issued_at": issued_at.to_string() })
            }
            Self::Right { user, issued_at, as_text: false } => {
                json!({ "algorithm": "HMAC-SHA256", "user_id": user, "issued_at": issued_at, "expires": 0 })
            }
            Self::Members { algorithm, user, issued_at } => {
                json!({ "algorithm": algorithm, "user_id": user, "issued_at": issued_at })
            }
        };
        URL_SAFE_NO_PAD.encode(json.to_string())
    }
}
