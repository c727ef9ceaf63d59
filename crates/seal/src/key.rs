//! Keys, and the sealed records made with them (`docs/keys.md` has the format).

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::{Zeroize, Zeroizing};

use crate::{Context, SealError};

/// First byte of every sealed record: the version of its form.
const VERSION: u8 = 1;
/// Version and key generation.
const HEAD_LEN: usize = 3;
/// By how many bytes a sealed record is longer than its plain text.
pub const OVERHEAD_BYTES: usize = HEAD_LEN + NONCE_LEN + MAX_TAG_LEN;

/// A 256-bit key. Cannot be printed; wiped when dropped.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; 32]>);

struct Len32;

impl hkdf::KeyType for Len32 {
    fn len(&self) -> usize {
        32
    }
}

impl Key {
    /// A fresh random key.
    ///
    /// # Errors
    /// The system gave no random bytes.
    pub fn generate() -> Result<Self, SealError> {
        let mut key = Zeroizing::new([0; 32]);
        SystemRandom::new().fill(&mut *key).map_err(|_| SealError::Random)?;
        Ok(Self(key))
    }

    /// The key of these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key of these bytes, if they are as many as a key has.
    ///
    /// # Errors
    /// Another length.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, SealError> {
        let mut key = Zeroizing::new([0; 32]);
        if bytes.len() != key.len() {
            return Err(SealError::Format);
        }
        key.copy_from_slice(bytes);
        Ok(Self(key))
    }

    /// The key of these 64 hexadecimal digits.
    pub(crate) fn from_hex(digits: &str) -> Option<Self> {
        let mut key = Zeroizing::new([0; 32]);
        hex::decode_to_slice(digits, &mut *key).ok()?;
        Some(Self(key))
    }

    pub(crate) fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(*self.0))
    }

    /// Its bytes: for sealing it under another key, and for HMAC. Never for anything that is kept or shown.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// A key for one purpose: HKDF-SHA256 with salt `tidings` over the label. Different labels give unrelated keys.
    #[must_use]
    pub fn derive(&self, label: &str) -> Self {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"tidings");
        let mut key = Zeroizing::new([0; 32]);
        salt.extract(&*self.0)
            .expand(&[label.as_bytes()], Len32)
            .and_then(|okm| okm.fill(&mut *key))
            .expect("32 bytes is a length HKDF-SHA256 gives");
        Self(key)
    }

    /// Ready to seal and open with. `generation` stands in what it seals, and is looked up there by whoever opens it.
    pub fn cipher(&self, generation: u16) -> Cipher {
        let key = UnboundKey::new(&AES_256_GCM, &*self.0).expect("the key is 32 bytes long");
        Cipher { key: LessSafeKey::new(key), generation }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// A key made ready for AES-256-GCM.
pub struct Cipher {
    key: LessSafeKey,
    generation: u16,
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher(…)")
    }
}

/// Which generation of its key a sealed record needs; `None` when it is no sealed record of this version.
pub fn generation(sealed: &[u8]) -> Option<u16> {
    match sealed.get(..HEAD_LEN)? {
        [VERSION, high, low] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

impl Cipher {
    /// The generation of its key.
    pub const fn generation(&self) -> u16 {
        self.generation
    }

    /// Seals for one context; the record opens there only. Nonces are random: fine below 2^32 records a key.
    ///
    /// # Errors
    /// The system gave no random bytes, or the text is longer than the cipher takes.
    pub fn seal(&self, context: &Context, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| SealError::Random)?;
        self.seal_with(nonce, context, plain)
    }

    /// With a nonce that is given: for the published test vectors.
    pub(crate) fn seal_with(
        &self,
        nonce: [u8; NONCE_LEN],
        context: &Context,
        plain: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let [high, low] = self.generation.to_be_bytes();
        let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD_BYTES);
        sealed.extend_from_slice(&[VERSION, high, low]);
        sealed.extend_from_slice(&nonce);
        let body = sealed.len();
        sealed.extend_from_slice(plain);
        let aad = Aad::from(context.bound(self.generation));
        let text = sealed.get_mut(body..).unwrap_or_default();
        let tag = self
            .key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, text)
            .map_err(|_| SealError::Format)?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what [`Cipher::seal`] made for this context.
    ///
    /// # Errors
    /// It is no sealed record, was sealed with another key or for another context, or was changed.
    pub fn open(&self, context: &Context, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        if generation(sealed) != Some(self.generation) {
            return Err(SealError::Opens);
        }
        let nonce = sealed.get(HEAD_LEN..HEAD_LEN + NONCE_LEN).ok_or(SealError::Format)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Format)?;
        let mut body = sealed.get(HEAD_LEN + NONCE_LEN..).unwrap_or_default().to_vec();
        let aad = Aad::from(context.bound(self.generation));
        let Ok(opened) = self.key.open_in_place(nonce, aad, &mut body) else {
            body.zeroize();
            return Err(SealError::Opens);
        };
        let length = opened.len();
        body.truncate(length);
        Ok(Zeroizing::new(body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_opens_with_its_key_in_its_context_only() {
        let key = Key::generate().unwrap();
        let context = |event: &[u8]| Context::new("event").part("acme").part(event);
        let cipher = key.cipher(3);
        let sealed = cipher.seal(&context(b"1"), b"hello").unwrap();
        assert_eq!(sealed.len(), 5 + OVERHEAD_BYTES);
        assert_eq!(generation(&sealed), Some(3));
        assert_eq!(cipher.open(&context(b"1"), &sealed).unwrap().as_slice(), b"hello");
        let fails = |cipher: &Cipher, context: &Context, sealed: &[u8]| {
            assert!(cipher.open(context, sealed).is_err());
        };
        fails(&cipher, &context(b"2"), &sealed);
        fails(&key.cipher(4), &context(b"1"), &sealed);
        fails(&Key::generate().unwrap().cipher(3), &context(b"1"), &sealed);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            fails(&cipher, &context(b"1"), &changed);
            fails(&cipher, &context(b"1"), &sealed[..at]);
        }
        assert_ne!(sealed, cipher.seal(&context(b"1"), b"hello").unwrap(), "nonces are random");
        assert_eq!(format!("{key:?} {cipher:?}"), "Key(…) Cipher(…)");
    }

    #[test]
    fn labels_give_unrelated_keys_that_never_change() {
        let key = Key::from_bytes([7; 32]);
        assert_ne!(key.derive("content").expose(), key.derive("attachment").expose());
        assert_eq!(key.derive("content").expose(), key.derive("content").expose());
        assert!(Key::from_slice(&[1; 31]).is_err());
    }
}
