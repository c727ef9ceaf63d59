//! One app that may deliver, its secrets opened.

use bytes::Bytes;
use control::{AppKeys, ControlError};
use ring::hmac;
use ring::rand::SystemRandom;
use schemas::{App, AppId};
use seal::EdgeKey;
use secrecy::ExposeSecret;

use crate::signature::Keys;

/// One app's way in.
pub(crate) struct Door {
    /// The app.
    pub(crate) id: AppId,
    /// The app's name, as raw records carry it.
    pub(crate) app: Bytes,
    /// What its deliveries are signed with.
    pub(crate) keys: Keys,
    tokens: Tokens,
}

/// Why an app's secrets cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DoorError {
    /// They are sealed for an edge key that this process does not hold.
    #[error(transparent)]
    Locked(#[from] ControlError),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Random,
    /// They are none: anybody could sign.
    #[error("app {app} has {what}")]
    Unusable { app: AppId, what: &'static str },
}

/// An app's verify tokens. Compared by their HMACs under a random key, so time tells neither length nor content.
struct Tokens {
    key: hmac::Key,
    tags: Vec<hmac::Tag>,
}

impl Tokens {
    fn new<'a>(tokens: impl Iterator<Item = &'a [u8]>) -> Result<Self, DoorError> {
        let key =
            hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).map_err(|_| DoorError::Random)?;
        let tags = tokens.map(|token| hmac::sign(&key, token)).collect();
        Ok(Self { key, tags })
    }

    fn contain(&self, token: &[u8]) -> bool {
        // Every token is compared, whichever matches.
        self.tags
            .iter()
            .fold(false, |found, tag| hmac::verify(&self.key, token, tag.as_ref()).is_ok() | found)
    }
}

impl Door {
    /// Opens an app's secrets.
    pub(crate) fn open(app: &App, edge: &EdgeKey) -> Result<Self, DoorError> {
        let keys = AppKeys::open(app, edge)?;
        let unusable = |what| Err(DoorError::Unusable { app: app.id.clone(), what });
        let secrets = keys.secrets.iter().map(|(role, secret)| (*role, secret.expose_secret()));
        let tokens = keys.verify_tokens.iter().map(ExposeSecret::expose_secret);
        if keys.secrets.is_empty() {
            return unusable("no secret");
        }
        if secrets.clone().any(|(_, secret)| secret.is_empty()) {
            return unusable("an empty secret");
        }
        if tokens.clone().any(<[u8]>::is_empty) {
            return unusable("an empty verify token");
        }
        Ok(Self {
            id: app.id.clone(),
            app: Bytes::copy_from_slice(app.id.as_str().as_bytes()),
            keys: Keys::new(secrets),
            tokens: Tokens::new(tokens)?,
        })
    }

    /// Whether it is one of the app's verify tokens.
    pub(crate) fn knows(&self, token: &[u8]) -> bool {
        self.tokens.contain(token)
    }
}
