//! Values sealed as one word of text: `v2.<key id>.<base64url(nonce ‖ ciphertext ‖ tag)>`, and `v1.` of earlier days.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::SecretSlice;
use zeroize::Zeroize;

use crate::{Key, SealError};

/// What a text says of itself before any key is tried.
pub(crate) enum Form<'a> {
    /// Without a key id: any generation may have sealed it.
    V1 { body: &'a str },
    /// Sealed by this generation.
    V2 { key_id: &'a str, body: &'a str },
}

impl<'a> Form<'a> {
    pub(crate) fn of(sealed: &'a str) -> Result<Self, SealError> {
        if let Some(body) = sealed.strip_prefix("v1.") {
            return Ok(Self::V1 { body });
        }
        let rest = sealed.strip_prefix("v2.").ok_or(SealError::Format)?;
        let (key_id, body) = rest.split_once('.').ok_or(SealError::Format)?;
        Ok(Self::V2 { key_id, body })
    }
}

/// Which generation of the root key a text sealed by [`crate::RootKey`] or [`crate::EdgeKey`], or a wrapped data key,
/// needs. `None` when it does not say.
pub fn key_id(sealed: &str) -> Option<&str> {
    let rest = sealed.strip_prefix("v2.").or_else(|| sealed.strip_prefix("h1."))?;
    rest.split_once('.').map(|(key_id, _)| key_id)
}

/// A key made ready for sealing text.
pub(crate) struct TextKey(LessSafeKey);

impl TextKey {
    /// For `v2.`
    pub(crate) fn new(key: &Key) -> Self {
        Self::labelled(key, "seal/aes-256-gcm/v2")
    }

    /// For `v1.`, which is only opened any more.
    pub(crate) fn v1(key: &Key) -> Self {
        Self::labelled(key, "seal/aes-256-gcm/v1")
    }

    fn labelled(key: &Key, label: &str) -> Self {
        let key =
            UnboundKey::new(&AES_256_GCM, key.derive(label).expose()).expect("the key is 32 bytes long");
        Self(LessSafeKey::new(key))
    }

    pub(crate) fn seal(&self, key_id: &str, context: &str, plain: &[u8]) -> Result<String, SealError> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| SealError::Random)?;
        self.seal_with(nonce, key_id, context, plain)
    }

    /// With a nonce that is given: for the published test vectors.
    pub(crate) fn seal_with(
        &self,
        nonce: [u8; NONCE_LEN],
        key_id: &str,
        context: &str,
        plain: &[u8],
    ) -> Result<String, SealError> {
        let mut body = plain.to_vec();
        let aad = Aad::from(context.as_bytes());
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut body)
            .map_err(|_| SealError::Format)?;
        let mut sealed = nonce.to_vec();
        sealed.append(&mut body);
        Ok(format!("v2.{key_id}.{}", URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// Opens the last part of a text.
    pub(crate) fn open(&self, context: &str, body: &str) -> Result<SecretSlice<u8>, SealError> {
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| SealError::Format)?;
        let (nonce, body) = bytes.split_at_checked(NONCE_LEN).ok_or(SealError::Format)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Format)?;
        let mut body = body.to_vec();
        let opened = self
            .0
            .open_in_place(nonce, Aad::from(context.as_bytes()), &mut body)
            .map(|opened| SecretSlice::from(opened.to_vec()))
            .map_err(|_| SealError::Opens);
        body.zeroize();
        opened
    }
}
