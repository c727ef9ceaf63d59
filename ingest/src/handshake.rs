//! The handshake: `GET /webhooks/{app}?hub.mode=subscribe&hub.challenge=…&hub.verify_token=…` (`meta-platform.md` §1.1).

use std::borrow::Cow;

use crate::form::{decode, text};

/// The longest challenge that is echoed, in characters.
const LONGEST_CHALLENGE: usize = 256;
/// The longest query that is read at all, in bytes.
const LONGEST_QUERY: usize = 4096;

/// A well-formed handshake.
#[derive(Debug)]
pub(crate) struct Handshake<'a> {
    /// What to echo: 1 to 256 of `A-Za-z0-9_-`.
    pub(crate) challenge: Cow<'a, str>,
    /// What has to be one of the app's verify tokens.
    pub(crate) token: Cow<'a, [u8]>,
}

impl<'a> Handshake<'a> {
    /// Reads a query. Each of the three parameters must be there once; others are ignored.
    pub(crate) fn parse(query: &'a str) -> Option<Self> {
        if query.len() > LONGEST_QUERY {
            return None;
        }
        let (mut mode, mut challenge, mut token) = (None, None, None);
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let place = match &*decode(name)? {
                b"hub.mode" => &mut mode,
                b"hub.challenge" => &mut challenge,
                b"hub.verify_token" => &mut token,
                _ => continue,
            };
            if place.replace(decode(value)?).is_some() {
                return None;
            }
        }
        if *mode? != *b"subscribe" {
            return None;
        }
        let challenge = text(challenge?)?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        let fits = (1..=LONGEST_CHALLENGE).contains(&challenge.len()) && challenge.bytes().all(plain);
        fits.then_some(Self { challenge, token: token? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, expected: Option<(&str, &str)>) {
        let handshake = Handshake::parse(query);
        let found =
            handshake.as_ref().map(|found| (&*found.challenge, std::str::from_utf8(&found.token).unwrap()));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_handshake_has_each_parameter_once() {
        check("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=me", Some(("1158201444", "me")));
        check(
            "hub.verify_token=a%20b+c%26&x=1&hub.challenge=a_-Z&hub.mode=subscribe&x=2",
            Some(("a_-Z", "a b c&")),
        );
        check("hub%2Emode=subscribe&hub.challenge=%31&hub.verify_token=", Some(("1", "")));
        for wrong in [
            "",
            "hub.mode=subscribe",
            "hub.mode=subscribe&hub.challenge=1",
            "hub.mode=subscribe&hub.verify_token=me",
            "hub.challenge=1&hub.verify_token=me",
            "hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=me",
            "hub.mode=subscribe&hub.mode=subscribe&hub.challenge=1&hub.verify_token=me",
            "hub.mode=subscribe&hub.challenge=1&hub.challenge=2&hub.verify_token=me",
            "hub.mode=subscribe&hub.challenge=1&hub.verify_token=me&hub.verify_token=me",
            "hub.mode=subscribe&hub.challenge=&hub.verify_token=me",
            "hub.mode=subscribe&hub.challenge=%3Cb%3E&hub.verify_token=me",
            "hub.mode=subscribe&hub.challenge=<script>&hub.verify_token=me",
            "hub.mode=subscribe&hub.challenge=1%0d%0a&hub.verify_token=me",
            "hub.mode=subscribe&hub.challenge=%ff&hub.verify_token=me",
            "hub.mode=subscribe&hub.challenge=1%4&hub.verify_token=me",
            "hub_mode=subscribe&hub_challenge=1&hub_verify_token=me",
        ] {
            check(wrong, None);
        }
        let challenge = |length: usize| "1".repeat(length);
        let query =
            |challenge: &str| format!("hub.mode=subscribe&hub.challenge={challenge}&hub.verify_token=me");
        check(&query(&challenge(256)), Some((&challenge(256), "me")));
        check(&query(&challenge(257)), None);
        check(&query(&challenge(1 << 20)), None);
    }
}
