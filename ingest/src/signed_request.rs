//! `signed_request`: how Meta signs its privacy callbacks (`meta-platform.md` §8.1).
//!
//! `<signature>.<payload>`, both base64url without padding; the signature is HMAC-SHA256 over the payload's text as it was
//! sent. There is one form: padding, the other alphabet or stray bits are refused. Nothing is read before it is verified.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use schemas::{AppId, CallbackKind};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::form;
use crate::signature::{Claim, Keys};

const ALGORITHM: &str = "HMAC-SHA256";
/// The longest id of a user that is taken, in characters. Meta's have 17 or so.
const LONGEST_USER: usize = 128;
/// What the key for confirmation codes is derived with. Nothing that Meta signs begins so.
const CODE_LABEL: &[u8] = b"tidings/callback/code/v1";
const CODE_BYTES: usize = 16;

/// A request that a secret of the app signed.
pub(crate) struct SignedRequest {
    /// The app-scoped id of whom it is about.
    pub(crate) user: SecretString,
    issued_at: u64,
    code_key: hmac::Key,
}

/// Why a body is no signed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignedRequestError {
    /// It is not of the one form, or does not say whom it is about and when it was made.
    Malformed,
    /// It was signed in a way that is not known here.
    Algorithm,
    /// No secret of the app gives its signature.
    Signature,
}

#[derive(Deserialize)]
struct Payload {
    algorithm: Option<String>,
    user_id: Scalar,
    issued_at: Scalar,
}

/// Meta writes ids and times as numbers here and as strings there.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Number(u64),
    Text(String),
}

impl Scalar {
    fn into_text(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}

impl SignedRequest {
    /// Reads and verifies a form.
    pub(crate) fn read(form: &[u8], keys: &Keys) -> Result<Self, SignedRequestError> {
        let form = std::str::from_utf8(form).map_err(|_| SignedRequestError::Malformed)?;
        let signed = form::field(form, "signed_request").ok_or(SignedRequestError::Malformed)?;
        let (signature, payload) = signed.split_once('.').ok_or(SignedRequestError::Malformed)?;
        let mut tag = [0; 32];
        match URL_SAFE_NO_PAD.decode_slice(signature, &mut tag) {
            Ok(length) if length == tag.len() => {}
            Ok(_) | Err(_) => return Err(SignedRequestError::Malformed),
        }
        let code_key = keys
            .derived(payload.as_bytes(), &Claim::from_bytes(tag), CODE_LABEL)
            .ok_or(SignedRequestError::Signature)?;
        let (user, issued_at) = Self::payload(payload)?;
        Ok(Self { user, issued_at, code_key })
    }

    fn payload(text: &str) -> Result<(SecretString, u64), SignedRequestError> {
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| SignedRequestError::Malformed)?;
        let payload: Payload = serde_json::from_slice(&json).map_err(|_| SignedRequestError::Malformed)?;
        if payload.algorithm.as_deref() != Some(ALGORITHM) {
            return Err(SignedRequestError::Algorithm);
        }
        let user = payload.user_id.into_text();
        let is_id = (1..=LONGEST_USER).contains(&user.len()) && user.bytes().all(|b| b.is_ascii_graphic());
        let issued_at = payload.issued_at.into_text().parse().ok().filter(|_| is_id);
        Ok((SecretString::from(user), issued_at.ok_or(SignedRequestError::Malformed)?))
    }

    /// The confirmation code: the same for the same request, and nothing to anybody who does not have the app's secret.
    ///
    /// Derived from the secret that signed: whatever becomes of other keys, as long as a request verifies, it has its code.
    pub(crate) fn code(&self, app: &AppId, kind: CallbackKind) -> String {
        let mut context = hmac::Context::with_key(&self.code_key);
        let issued_at = self.issued_at.to_string();
        for part in [app.as_str(), kind.as_str(), self.user.expose_secret(), &issued_at] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        hex::encode(context.sign().as_ref().get(..CODE_BYTES).unwrap_or_default())
    }
}

/// Whether a text may be a confirmation code.
pub(crate) fn is_code(text: &str) -> bool {
    text.len() == 2 * CODE_BYTES && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use schemas::SecretRole;

    use super::*;

    const SECRET: &str = "test_app_secret";
    /// `meta-platform.md` §8.1.
    const VECTOR: &str = "LXGaNN8BB7Xbx5VPdpeQAU-n5t77FAdv3RiBU7EBgRw.eyJhbGdvcml0aG0iOiJITUFDLVNIQTI1NiIsImlzc3VlZF9hdCI6MTc4MDAwMDAwMCwidXNlcl9pZCI6IjEwMTUwMDAwMDAwMDAwMDAxIn0";

    fn keys(secrets: &[(SecretRole, &str)]) -> Keys {
        Keys::new(secrets.iter().map(|(role, secret)| (*role, secret.as_bytes())))
    }

    fn read(signed: &str) -> Result<SignedRequest, SignedRequestError> {
        let keys = keys(&[(SecretRole::Current, "another"), (SecretRole::Next, SECRET)]);
        SignedRequest::read(format!("signed_request={signed}").as_bytes(), &keys)
    }

    /// Signs a payload's text as it is.
    fn signed(payload: &str) -> String {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), payload.as_bytes());
        format!("{}.{payload}", URL_SAFE_NO_PAD.encode(tag))
    }

    fn of(json: &str) -> Result<SignedRequest, SignedRequestError> {
        read(&signed(&URL_SAFE_NO_PAD.encode(json)))
    }

    fn code(request: &SignedRequest) -> String {
        request.code(&"acme".parse().unwrap(), CallbackKind::DataDeletion)
    }

    #[test]
    fn the_vector_is_read() {
        let request = read(VECTOR).unwrap();
        assert_eq!((request.user.expose_secret(), request.issued_at), ("10150000000000001", 1_780_000_000));
        // Percent-encoded it is the same.
        assert_eq!(code(&read(&VECTOR.replace('-', "%2D").replace('.', "%2e")).unwrap()), code(&request));
    }

    #[test]
    fn a_code_is_that_of_one_request() {
        let of = |user: &str, at: u64| {
            of(&format!(r#"{{"algorithm":"HMAC-SHA256","user_id":{user},"issued_at":{at},"expires":0}}"#))
                .unwrap()
        };
        let request = of(r#""101""#, 7);
        assert!(is_code(&code(&request)), "{}", code(&request));
        assert_eq!(code(&request), code(&of("101", 7)), "a number is the same user");
        let (other_app, acme) = ("other".parse().unwrap(), "acme".parse().unwrap());
        let others = [
            code(&of("102", 7)),
            code(&of("101", 8)),
            code(&of("10", 17)),
            request.code(&other_app, CallbackKind::DataDeletion),
            request.code(&acme, CallbackKind::Deauthorize),
        ];
        for other in others {
            assert_ne!(other, code(&request));
        }
        // The secret takes another role: the code stays.
        let form = format!("signed_request={VECTOR}");
        let in_role =
            |role| code(&SignedRequest::read(form.as_bytes(), &keys(&[(role, SECRET)])).ok().unwrap());
        assert_eq!(in_role(SecretRole::Next), in_role(SecretRole::Current));
        for wrong in
            ["", "0123456789abcdef0123456789abcde", "0123456789ABCDEF0123456789ABCDEF", "data-deletion"]
        {
            assert!(!is_code(wrong), "{wrong}");
        }
    }

    #[track_caller]
    fn check(signed: &str, expected: SignedRequestError) {
        assert_eq!(read(signed).err(), Some(expected), "{signed:.200}");
    }

    #[test]
    fn nothing_else_is_a_signed_request() {
        use SignedRequestError::{Algorithm, Malformed, Signature};
        let (signature, payload) = VECTOR.split_once('.').unwrap();
        for malformed in [
            String::new(),
            ".".to_owned(),
            payload.to_owned(),
            format!("{signature}{payload}"),
            format!("{signature}=.{payload}"),
            format!("{signature}%3D.{payload}"),
            // The same bits with another last character, and the other alphabet.
            format!("{}.{payload}", signature.replace("gRw", "gRx")),
            format!("{}.{payload}", signature.replace('-', "%2B")),
            format!("{}.{payload}", &signature[1..]),
            format!("{signature}AA.{payload}"),
            format!("é.{payload}"),
        ] {
            check(&malformed, Malformed);
        }
        for forged in [
            format!("{signature}."),
            format!("{signature}.{payload}="),
            format!("{signature}.{payload}.{payload}"),
            format!("{signature}.{}", &payload[1..]),
            format!("{}.{payload}", signature.replace("LX", "MX")),
            format!("{signature}.{}", payload.replace("eyJ", "eyK")),
        ] {
            check(&forged, Signature);
        }
        // Signed, and yet not of the one form.
        for payload in ["", "=", "e30=", "e31", "bm90IGpzb24", "eyJh\u{e9}", "W10", "bnVsbA"] {
            check(&signed(payload), Malformed);
        }
        let fields = |algorithm: &str, user: &str, at: &str| {
            of(&format!(r#"{{"algorithm":{algorithm},"user_id":{user},"issued_at":{at}}}"#)).err()
        };
        for algorithm in [r#""HMAC-SHA1""#, r#""none""#, r#""""#, "null", r#""hmac-sha256""#] {
            assert_eq!(fields(algorithm, "1", "1"), Some(Algorithm), "{algorithm}");
        }
        assert_eq!(of(r#"{"user_id":1,"issued_at":1}"#).err(), Some(Algorithm));
        let long = format!(r#""{}""#, "1".repeat(LONGEST_USER + 1));
        for user in
            [r#""""#, "null", "[]", "{}", "-1", "1.5", "1e99", r#""a b""#, r#""\n""#, r#""\u00e9""#, &long]
        {
            assert_eq!(fields(r#""HMAC-SHA256""#, user, "1"), Some(Malformed), "{user}");
        }
        for at in ["null", "-1", r#""soon""#, r#""""#, "1.5"] {
            assert_eq!(fields(r#""HMAC-SHA256""#, "1", at), Some(Malformed), "{at}");
        }
        for missing in [
            r#"{"algorithm":"HMAC-SHA256","issued_at":1}"#,
            r#"{"algorithm":"HMAC-SHA256","user_id":1}"#,
            r#"{"algorithm":"HMAC-SHA256","user_id":1,"user_id":2,"issued_at":1}"#,
            r#"{"algorithm":"HMAC-SHA256","user_id":1,"issued_at":1}}"#,
        ] {
            assert_eq!(of(missing).err(), Some(Malformed), "{missing}");
        }
        assert_eq!(of(&"[".repeat(10_000)).err(), Some(Malformed));
    }
}
