//! Feeds that only their tenant reads: JWE (RFC 7516) to the tenant's public key, which any JOSE library opens.

use std::error::Error;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use josekit::jwe::alg::ecdh_es::EcdhEsJweEncrypter;
use josekit::jwe::alg::rsaes::RsaesJweEncrypter;
use josekit::jwe::{self, ECDH_ES, JweHeader, RSA_OAEP_256};
use josekit::jwk::Jwk;
use ring::digest;

use crate::jwk::{Numbers, PublicJwk};

/// Why a key is not taken for a feed, or something was not encrypted with it. Says nothing of the key but its kind.
#[derive(Debug, thiserror::Error)]
pub enum FeedKeyError {
    /// No JSON object with the members of a JWK.
    #[error("this is no JWK: a JSON object with `kty` and the members that belong to it (RFC 7517)")]
    NotJwk,
    /// A JWK set.
    #[error("this is a set of keys; give the one public key that the feed is to be encrypted to")]
    Set,
    /// It holds a private key.
    #[error(
        "this is a private key: keep it where the feed is read, and give its public one (without `d`, `p`, `q`, `dp`, `dq`, `qi`, `oth`)"
    )]
    Private,
    /// A secret that both sides would hold.
    #[error("this is a secret key; give the public key of a pair")]
    Secret,
    /// Another kind of key, or another curve.
    #[error("a feed's key is of type EC (P-256, P-384, P-521), OKP (X25519) or RSA (2048 bits and more)")]
    Kind,
    /// Too short or too long an RSA key, or one with an exponent that protects nothing.
    #[error("a feed's RSA key has 2048 to 8192 bits and an odd exponent above 1")]
    Rsa,
    /// A key meant for something else.
    #[error(
        "this key says that it is not for encryption with {algorithm}; see its `use`, `key_ops` and `alg`"
    )]
    Use {
        /// What the feed would use it with.
        algorithm: &'static str,
    },
    /// Its numbers are no public key.
    #[error("the numbers in this key are no public key of its type")]
    Numbers,
    /// Its name is too long to stand in front of every event.
    #[error("the `kid` of this key has more than 200 characters")]
    KeyId,
    /// The library did not encrypt.
    #[error("an event could not be encrypted for its feed")]
    Encrypt(#[source] Box<dyn Error + Send + Sync>),
}

/// A tenant's public key, to which its feed is encrypted.
pub struct FeedKey {
    encrypter: Encrypter,
    header: JweHeader,
    thumbprint: String,
}

enum Encrypter {
    EcdhEs(EcdhEsJweEncrypter),
    RsaOaep(RsaesJweEncrypter),
}

impl fmt::Debug for FeedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FeedKey({})", self.thumbprint)
    }
}

impl FeedKey {
    /// Of a public key as a JWK: EC or X25519 for `ECDH-ES`, RSA for `RSA-OAEP-256`. Its `kid` is kept.
    ///
    /// # Errors
    /// It is no public key that a feed can be encrypted to. The error says what to do.
    pub fn parse(jwk: &str) -> Result<Self, FeedKeyError> {
        let public = PublicJwk::parse(jwk)?;
        let numbers = Jwk::from_bytes(public.numbers.canonical()).map_err(|_| FeedKeyError::Numbers)?;
        let encrypter = match &public.numbers {
            Numbers::Rsa { .. } => RSA_OAEP_256.encrypter_from_jwk(&numbers).map(Encrypter::RsaOaep),
            Numbers::Ec { .. } | Numbers::X25519 { .. } => {
                ECDH_ES.encrypter_from_jwk(&numbers).map(Encrypter::EcdhEs)
            }
        };
        let mut header = JweHeader::new();
        header.set_algorithm(public.numbers.algorithm());
        header.set_content_encryption("A256GCM");
        header.set_token_type("JOSE");
        header.set_content_type("application/json");
        if let Some(key_id) = public.key_id {
            header.set_key_id(key_id);
        }
        let thumbprint = digest::digest(&digest::SHA256, public.numbers.canonical().as_bytes());
        let thumbprint = URL_SAFE_NO_PAD.encode(thumbprint);
        let key = Self { encrypter: encrypter.map_err(|_| FeedKeyError::Numbers)?, header, thumbprint };
        // Some points are on the curve and yet give no secret: found now, not with the first event.
        key.encrypt(b"{}").map_err(|_| FeedKeyError::Numbers)?;
        Ok(key)
    }

    /// A compact JWE of this JSON, `alg` by the key's type, `enc` `A256GCM`, `cty` `application/json`.
    ///
    /// # Errors
    /// The library did not encrypt.
    pub fn encrypt(&self, plain: &[u8]) -> Result<String, FeedKeyError> {
        let compact = match &self.encrypter {
            Encrypter::EcdhEs(encrypter) => jwe::serialize_compact(plain, &self.header, encrypter),
            Encrypter::RsaOaep(encrypter) => jwe::serialize_compact(plain, &self.header, encrypter),
        };
        compact.map_err(|cause| FeedKeyError::Encrypt(cause.into()))
    }

    /// The key's name, if its owner gave it one.
    pub fn key_id(&self) -> Option<&str> {
        self.header.key_id()
    }

    /// How the content key is agreed: `ECDH-ES` or `RSA-OAEP-256`.
    pub fn algorithm(&self) -> &'static str {
        match self.encrypter {
            Encrypter::EcdhEs(_) => "ECDH-ES",
            Encrypter::RsaOaep(_) => "RSA-OAEP-256",
        }
    }

    /// What people compare: the key's thumbprint (RFC 7638, SHA-256, base64url).
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }
}
