//! Data keys for raw bodies: whoever holds the public key makes them, only the root key opens them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use zeroize::Zeroize;

use crate::{Cipher, Key, SealError};

const PREFIX: &str = "h1.";
const INFO: &[u8] = b"tidings/raw/v1";

type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;
type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;
type Encapped = <X25519HkdfSha256 as Kem>::EncappedKey;

/// A fresh data key, and the text that brings it to whoever may open what it seals.
#[derive(Debug)]
pub struct DataKey {
    /// Seals raw bodies; generation 0.
    pub cipher: Cipher,
    /// `h1.<key id>.<base64url(enc)>.<base64url(ciphertext)>`: opens with [`crate::RootKey::data_key`].
    pub wrapped: String,
}

impl DataKey {
    /// A fresh one, wrapped to this public key of this generation (HPKE base mode, RFC 9180).
    pub(crate) fn generate(key_id: &str, public: &[u8; 32]) -> Result<Self, SealError> {
        let key = Key::generate()?;
        let public = PublicKey::from_bytes(public).map_err(|_| SealError::Format)?;
        let (enc, body) = hpke::single_shot_seal::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &public,
            INFO,
            key.expose(),
            &[],
        )
        .map_err(|_| SealError::Format)?;
        let (enc, body) = (URL_SAFE_NO_PAD.encode(enc.to_bytes()), URL_SAFE_NO_PAD.encode(body));
        Ok(Self { cipher: key.cipher(0), wrapped: format!("{PREFIX}{key_id}.{enc}.{body}") })
    }
}

/// A wrapped data key, taken apart.
pub(crate) struct Wrapped<'a> {
    pub(crate) key_id: &'a str,
    enc: Vec<u8>,
    body: Vec<u8>,
}

impl<'a> Wrapped<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, SealError> {
        let mut parts = text.strip_prefix(PREFIX).ok_or(SealError::Format)?.split('.');
        let (Some(key_id), Some(enc), Some(body), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(SealError::Format);
        };
        let decode = |part| URL_SAFE_NO_PAD.decode(part).map_err(|_| SealError::Format);
        Ok(Self { key_id, enc: decode(enc)?, body: decode(body)? })
    }

    /// The data key.
    pub(crate) fn open(&self, private: &Key) -> Result<Key, SealError> {
        let private = PrivateKey::from_bytes(private.expose()).map_err(|_| SealError::Format)?;
        let enc = Encapped::from_bytes(&self.enc).map_err(|_| SealError::Format)?;
        let mut bytes = hpke::single_shot_open::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &private,
            &enc,
            INFO,
            &self.body,
            &[],
        )
        .map_err(|_| SealError::Opens)?;
        let key = Key::from_slice(&bytes);
        bytes.zeroize();
        key
    }
}

/// The public key to a private one.
pub(crate) fn public(private: &Key) -> [u8; 32] {
    let private = PrivateKey::from_bytes(private.expose()).expect("any 32 bytes are a private key of X25519");
    let mut public = [0; 32];
    public.copy_from_slice(&X25519HkdfSha256::sk_to_pk(&private).to_bytes());
    public
}
