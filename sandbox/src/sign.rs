//! `X-Hub-Signature-256` (`meta-platform.md` §1.2).

use std::fmt;

use ring::hmac;

/// An app secret to sign with. Made up, like everything here, but it keeps to itself all the same.
#[derive(Clone)]
pub struct Secret(hmac::Key);

impl Secret {
    /// From the secret's bytes.
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The header's value for exactly these bytes.
pub fn sign(secret: &Secret, body: &[u8]) -> String {
    format!("sha256={}", hex::encode(hmac::sign(&secret.0, body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of `meta-platform.md` §1.2.
    #[test]
    fn signs_as_meta_does() {
        let key = Secret::new(b"test_app_secret");
        let body = br#"{"object":"whatsapp_business_account","entry":[]}"#;
        assert_eq!(
            sign(&key, body),
            "sha256=dec6a680679a968e7e0319355b23599cbfc54502c0784668e9618baa0c633756"
        );
        let body = br#"{"object":"page","entry":[{"id":"1","text":"\u00e4\u00f6\u00e5 \ud83d\ude00 https:\/\/x.y"}]}"#;
        assert_eq!(
            sign(&key, body),
            "sha256=5045e843ebe027d58bfd28674658d00f3997d57c4bf0bea644ea8c991f4b2c73"
        );
    }
}
