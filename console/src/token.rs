//! The admin token, compared in constant time.

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ring::hmac;
use ring::rand::SystemRandom;
use secrecy::{ExposeSecret, SecretString};

use crate::problem::Problem;
use crate::state::Shared;

/// Knows the token without keeping it: a keyed hash under a key of this process.
pub(crate) struct TokenCheck {
    key: hmac::Key,
    tag: hmac::Tag,
}

impl TokenCheck {
    /// Refuses an empty token.
    pub(crate) fn new(token: &SecretString) -> anyhow::Result<Self> {
        let token = token.expose_secret();
        anyhow::ensure!((1..=512).contains(&token.len()), "the admin token is 1 to 512 characters long");
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| anyhow::anyhow!("the system gave no random bytes"))?;
        Ok(Self { tag: hmac::sign(&key, token.as_bytes()), key })
    }

    /// Whether this is the token. Hashing first makes the time independent of where the texts differ, and of the length.
    fn accepts(&self, presented: &[u8]) -> bool {
        hmac::verify(&self.key, presented, self.tag.as_ref()).is_ok()
    }
}

/// Lets a request pass that shows the token.
pub(crate) async fn require(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let presented = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.as_bytes().split_at_checked(7))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "))
        .map(|(_, token)| token.trim_ascii());
    match presented {
        Some(token) if shared.token.accepts(token) => next.run(request).await,
        Some(_) => Problem::unauthorized("the admin token is not the one of this deployment").into_response(),
        None => Problem::unauthorized("this needs the admin token").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_is_accepted() {
        let check = TokenCheck::new(&SecretString::from("0123456789abcdef")).unwrap();
        assert!(check.accepts(b"0123456789abcdef"));
        for wrong in [&b""[..], b"0", b"0123456789abcdee", b"0123456789abcdef0", b"0123456789ABCDEF"] {
            assert!(!check.accepts(wrong));
        }
        assert!(TokenCheck::new(&SecretString::from("")).is_err());
    }
}
