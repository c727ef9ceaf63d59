//! A tenant's public key as it was handed in: only what is needed of it is kept, and only when it is well made.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::FeedKeyError;

/// Bytes of a coordinate, by curve.
const CURVES: [(&str, usize); 3] = [("P-256", 32), ("P-384", 48), ("P-521", 66)];
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
const KEY_ID_CHARS: usize = 200;

/// What is kept of a JWK.
pub(crate) struct PublicJwk {
    pub(crate) numbers: Numbers,
    pub(crate) key_id: Option<String>,
}

/// The numbers that are the key, in base64url as it has to be.
pub(crate) enum Numbers {
    Ec { curve: &'static str, x: String, y: String },
    X25519 { x: String },
    Rsa { n: String, e: String },
}

impl Numbers {
    /// The required members alone, in the order of RFC 7638.
    pub(crate) fn canonical(&self) -> String {
        match self {
            Self::Ec { curve, x, y } => format!(r#"{{"crv":"{curve}","kty":"EC","x":"{x}","y":"{y}"}}"#),
            Self::X25519 { x } => format!(r#"{{"crv":"X25519","kty":"OKP","x":"{x}"}}"#),
            Self::Rsa { n, e } => format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#),
        }
    }

    /// What a feed uses the key with.
    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::Ec { .. } | Self::X25519 { .. } => "ECDH-ES",
            Self::Rsa { .. } => "RSA-OAEP-256",
        }
    }

    /// What a key that says what it is for has to allow.
    fn operation(&self) -> &'static [&'static str] {
        match self {
            // RFC 7517 gives the public half of an agreement no operations: some tools write the private half's.
            Self::Ec { .. } | Self::X25519 { .. } => &["deriveKey", "deriveBits"],
            Self::Rsa { .. } => &["encrypt", "wrapKey"],
        }
    }
}

/// The members that matter here, as they may stand in a JWK. Anything else in it is of no concern.
#[derive(Deserialize)]
struct Members {
    kty: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    keys: Option<IgnoredAny>,
    k: Option<IgnoredAny>,
    d: Option<IgnoredAny>,
    p: Option<IgnoredAny>,
    q: Option<IgnoredAny>,
    dp: Option<IgnoredAny>,
    dq: Option<IgnoredAny>,
    qi: Option<IgnoredAny>,
    oth: Option<IgnoredAny>,
}

impl PublicJwk {
    pub(crate) fn parse(text: &str) -> Result<Self, FeedKeyError> {
        if text.contains("PRIVATE KEY-----") {
            return Err(FeedKeyError::Private);
        }
        let members: Members = serde_json::from_str(text).map_err(|_| FeedKeyError::NotJwk)?;
        if members.keys.is_some() {
            return Err(FeedKeyError::Set);
        }
        if members.k.is_some() {
            return Err(FeedKeyError::Secret);
        }
        let private =
            [&members.d, &members.p, &members.q, &members.dp, &members.dq, &members.qi, &members.oth];
        if private.iter().any(|member| member.is_some()) {
            return Err(FeedKeyError::Private);
        }
        let numbers = members.numbers()?;
        members.allow(&numbers)?;
        if members.kid.as_ref().is_some_and(|key_id| key_id.chars().count() > KEY_ID_CHARS) {
            return Err(FeedKeyError::KeyId);
        }
        Ok(Self { numbers, key_id: members.kid })
    }
}

impl Members {
    fn numbers(&self) -> Result<Numbers, FeedKeyError> {
        match (self.kty.as_deref(), self.crv.as_deref()) {
            (Some("EC"), Some(curve)) => {
                let (curve, bytes) =
                    *CURVES.iter().find(|(name, _)| *name == curve).ok_or(FeedKeyError::Kind)?;
                Ok(Numbers::Ec { curve, x: exact(&self.x, bytes)?, y: exact(&self.y, bytes)? })
            }
            (Some("OKP"), Some("X25519")) => Ok(Numbers::X25519 { x: exact(&self.x, 32)? }),
            (Some("RSA"), _) => {
                let (n, e) = (decoded(&self.n)?, decoded(&self.e)?);
                // RFC 7518: no zeros in front. An even modulus, and an exponent of 1 or an even one, protect nothing.
                let [high, .., low] = n.as_slice() else { return Err(FeedKeyError::Rsa) };
                let long = RSA_BYTES.contains(&n.len()) && (n.len() > *RSA_BYTES.start() || *high >= 0x80);
                let odd = |byte: &u8| byte % 2 == 1;
                let exponent = e.first().is_some_and(|byte| *byte != 0)
                    && e.last().is_some_and(odd)
                    && e.as_slice() != [1]
                    && e.len() <= 8;
                if !long || *high == 0 || !odd(low) || !exponent {
                    return Err(FeedKeyError::Rsa);
                }
                Ok(Numbers::Rsa { n: URL_SAFE_NO_PAD.encode(n), e: URL_SAFE_NO_PAD.encode(e) })
            }
            (Some("oct"), _) => Err(FeedKeyError::Secret),
            (Some(_), _) => Err(FeedKeyError::Kind),
            (None, _) => Err(FeedKeyError::NotJwk),
        }
    }

    /// A key that says what it is for is used for nothing else.
    fn allow(&self, numbers: &Numbers) -> Result<(), FeedKeyError> {
        let algorithm = numbers.algorithm();
        let usage = self.usage.as_ref().is_none_or(|usage| usage == "enc");
        let alg = self.alg.as_ref().is_none_or(|alg| alg == algorithm);
        let operations = self.key_ops.as_ref().is_none_or(|operations| {
            operations.iter().any(|operation| numbers.operation().contains(&operation.as_str()))
                || (operations.is_empty() && algorithm == "ECDH-ES")
        });
        if usage && alg && operations { Ok(()) } else { Err(FeedKeyError::Use { algorithm }) }
    }
}

fn decoded(member: &Option<String>) -> Result<Vec<u8>, FeedKeyError> {
    let text = member.as_ref().ok_or(FeedKeyError::NotJwk)?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| FeedKeyError::Numbers)
}

/// RFC 7518: a coordinate is as long as its curve's, zeros included.
fn exact(member: &Option<String>, bytes: usize) -> Result<String, FeedKeyError> {
    let decoded = decoded(member)?;
    if decoded.len() == bytes { Ok(URL_SAFE_NO_PAD.encode(decoded)) } else { Err(FeedKeyError::Numbers) }
}
