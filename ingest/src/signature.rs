//! `X-Hub-Signature-256`: HMAC-SHA256 over the exact bytes of the body (`meta-platform.md` §1.2).

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use ring::hmac;
use schemas::SecretRole;

/// The header, as `hyper` names it.
pub(crate) static HEADER: HeaderName = HeaderName::from_static("x-hub-signature-256");

/// The signature a request claims. Well-formed, not yet believed.
pub(crate) struct Claim([u8; 32]);

/// Why a request claims nothing that could be checked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ClaimError {
    /// The header is missing.
    Missing,
    /// There are several, or it is not `sha256=` and 64 hexadecimal digits.
    Malformed,
}

impl Claim {
    /// Reads the one signature header of a request, and gives its text too.
    pub(crate) fn of(headers: &HeaderMap) -> Result<(Self, &HeaderValue), ClaimError> {
        let mut values = headers.get_all(&HEADER).iter();
        let value = values.next().ok_or(ClaimError::Missing)?;
        if values.next().is_some() {
            return Err(ClaimError::Malformed);
        }
        Ok((Self::parse(value.as_bytes()).ok_or(ClaimError::Malformed)?, value))
    }

    /// Of its 32 bytes.
    pub(crate) const fn from_bytes(tag: [u8; 32]) -> Self {
        Self(tag)
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let mut tag = [0; 32];
        hex::decode_to_slice(value.strip_prefix(b"sha256=")?, &mut tag).ok()?;
        Some(Self(tag))
    }
}

/// An app's secrets, ready to check with.
pub(crate) struct Keys(Vec<(SecretRole, hmac::Key)>);

impl Keys {
    /// Prepares secrets. None of them may be empty: anybody could sign with that.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = (SecretRole, &'a [u8])>) -> Self {
        Self(
            secrets
                .into_iter()
                .map(|(role, secret)| (role, hmac::Key::new(hmac::HMAC_SHA256, secret)))
                .collect(),
        )
    }

    /// Which secret gives the claimed signature.
    pub(crate) fn verify(&self, body: &[u8], claim: &Claim) -> Option<SecretRole> {
        self.signer(body, claim).map(|(role, _)| *role)
    }

    /// A key for another purpose, of the secret that gives the claimed signature: one secret, one key.
    pub(crate) fn derived(&self, body: &[u8], claim: &Claim, label: &[u8]) -> Option<hmac::Key> {
        let (_, key) = self.signer(body, claim)?;
        Some(hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(key, label).as_ref()))
    }

    /// All secrets are always tried, so time does not tell which it was.
    fn signer(&self, body: &[u8], claim: &Claim) -> Option<&(SecretRole, hmac::Key)> {
        let mut matched = None;
        for secret in &self.0 {
            let matches = hmac::verify(&secret.1, body, &claim.0).is_ok();
            matched = matched.or(matches.then_some(secret));
        }
        matched
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    const SECRET: &[u8] = b"test_app_secret";
    const PLAIN: &str = r#"{"object":"whatsapp_business_account","entry":[]}"#;
    const SPACED: &str = r#"{"object": "whatsapp_business_account", "entry": []}"#;
    const ESCAPED: &str =
        r#"{"object":"page","entry":[{"id":"1","text":"\u00e4\u00f6\u00e5 \ud83d\ude00 https:\/\/x.y"}]}"#;
    const DECODED: &str = r#"{"object":"page","entry":[{"id":"1","text":"äöå 😀 https://x.y"}]}"#;
    const PLAIN_TAG: &str = "dec6a680679a968e7e0319355b23599cbfc54502c0784668e9618baa0c633756";
    const SPACED_TAG: &str = "56cbbaf4961c6cfdae48b7f116c047e5eb513d2c931baae63a2bc1afd26f803a";
    const OTHER_TAG: &str = "769b03d8c2ae6498f2d1e1f7299c0ba55448c69d741e7b0bb243d852d8a8d8c7";
    const ESCAPED_TAG: &str = "5045e843ebe027d58bfd28674658d00f3997d57c4bf0bea644ea8c991f4b2c73";
    const DECODED_TAG: &str = "c1585a4e38515b731d51b0b159d98a9099c42920851c0a2a160e4b3616c1daa9";

    fn keys() -> Keys {
        Keys::new([(SecretRole::Current, SECRET)])
    }

    #[track_caller]
    fn check(body: &str, digits: &str, expected: bool) {
        let claim = Claim::parse(format!("sha256={digits}").as_bytes()).unwrap();
        assert_eq!(keys().verify(body.as_bytes(), &claim).is_some(), expected);
    }

    #[test]
    fn the_test_vectors_hold() {
        check(PLAIN, PLAIN_TAG, true);
        check(PLAIN, &PLAIN_TAG.to_uppercase(), true);
        check(SPACED, SPACED_TAG, true);
        check(ESCAPED, ESCAPED_TAG, true);
        check(DECODED, DECODED_TAG, true);
        check(DECODED, ESCAPED_TAG, false);
        check(ESCAPED, DECODED_TAG, false);
        check(PLAIN, SPACED_TAG, false);
        check(PLAIN, OTHER_TAG, false);
        check(&format!("{PLAIN}\n"), PLAIN_TAG, false);
        check(&format!("{PLAIN}\0"), PLAIN_TAG, false);
    }

    #[test]
    fn any_secret_may_have_signed_and_is_named() {
        let keys = Keys::new([
            (SecretRole::Current, b"another".as_slice()),
            (SecretRole::Next, b"otro_secreto"),
            (SecretRole::Instagram, SECRET),
        ]);
        let claim = |digits: &str| Claim::parse(format!("sha256={digits}").as_bytes()).unwrap();
        assert_eq!(keys.verify(PLAIN.as_bytes(), &claim(OTHER_TAG)), Some(SecretRole::Next));
        assert_eq!(keys.verify(PLAIN.as_bytes(), &claim(PLAIN_TAG)), Some(SecretRole::Instagram));
        assert_eq!(keys.verify(PLAIN.as_bytes(), &claim(SPACED_TAG)), None);
    }

    #[test]
    fn only_one_form_is_a_claim() {
        let wrong = [
            String::new(),
            "sha256=".to_owned(),
            PLAIN_TAG.to_owned(),
            format!("SHA256={PLAIN_TAG}"),
            format!("sha1={PLAIN_TAG}"),
            format!("sha256 ={PLAIN_TAG}"),
            format!("sha256= {PLAIN_TAG}"),
            format!("sha256={PLAIN_TAG} "),
            format!("sha256={PLAIN_TAG}\n"),
            format!("sha256={PLAIN_TAG}0"),
            format!("sha256={PLAIN_TAG},sha256={PLAIN_TAG}"),
            format!("sha256={}", &PLAIN_TAG[1..]),
            format!("sha256={}g", &PLAIN_TAG[1..]),
            format!("sha256={}é", &PLAIN_TAG[2..]),
        ];
        for value in wrong {
            assert!(Claim::parse(value.as_bytes()).is_none(), "{value:?}");
        }
        let mut headers = HeaderMap::new();
        assert_eq!(Claim::of(&headers).err(), Some(ClaimError::Missing));
        headers.append(&HEADER, HeaderValue::try_from(format!("sha256={PLAIN_TAG}")).unwrap());
        assert!(Claim::of(&headers).is_ok());
        headers.append(&HEADER, HeaderValue::try_from(format!("sha256={PLAIN_TAG}")).unwrap());
        assert_eq!(Claim::of(&headers).err(), Some(ClaimError::Malformed), "even the same one twice");
    }

    /// Flips bits of body and signature, makes signatures up, cuts and extends bodies: nothing of it passes.
    #[test]
    fn no_forgery_passes() {
        let keys = Keys::new([
            (SecretRole::Current, SECRET),
            (SecretRole::Next, b"next_secret"),
            (SecretRole::Instagram, b"instagram_secret"),
        ]);
        let genuine = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), ESCAPED.as_bytes());
        let genuine: [u8; 32] = genuine.as_ref().try_into().unwrap();
        let mut random = StdRng::seed_from_u64(11);
        let (mut accepted, mut tried) = (0, 0);
        let mut forge = |body: &[u8], tag: [u8; 32]| {
            tried += 1;
            accepted += u32::from(keys.verify(body, &Claim(tag)).is_some());
        };
        for bit in 0..256 {
            let mut tag = genuine;
            tag[bit / 8] ^= 1 << (bit % 8);
            forge(ESCAPED.as_bytes(), tag);
        }
        for bit in 0..ESCAPED.len() * 8 {
            let mut body = ESCAPED.as_bytes().to_vec();
            body[bit / 8] ^= 1 << (bit % 8);
            forge(&body, genuine);
        }
        for end in 0..ESCAPED.len() {
            forge(&ESCAPED.as_bytes()[..end], genuine);
        }
        for _ in 0..120_000 {
            forge(ESCAPED.as_bytes(), random.random());
        }
        assert!(tried > 100_000);
        assert_eq!(accepted, 0, "of {tried} forgeries");
        assert_eq!(keys.verify(ESCAPED.as_bytes(), &Claim(genuine)), Some(SecretRole::Current));
    }
}
