//! What to fetch, as a webhook told it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

/// A file to fetch.
#[derive(Clone)]
pub struct MediaRequest {
    /// Where it is.
    pub source: MediaSource,
    /// Its media type as declared, with parameters or without.
    pub declared_mime: Option<String>,
    /// Its SHA-256 as declared, in base64 or hexadecimal. What is neither counts as not declared.
    pub declared_sha256: Option<String>,
}

/// Where a file is.
#[derive(Clone)]
pub enum MediaSource {
    /// WhatsApp: an id, good for seven days, that the Graph API turns into an address good for five minutes.
    WhatsappId {
        /// The id.
        media_id: String,
        /// The number that received it; the id then counts only for that number.
        phone_number_id: Option<String>,
    },
    /// Messenger and Instagram: a signed address. Whoever has it has the file.
    Url(String),
}

// Addresses and ids are as good as the file: none is shown.
impl fmt::Debug for MediaRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaRequest").field("source", &self.source).finish_non_exhaustive()
    }
}

impl fmt::Debug for MediaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WhatsappId { .. } => "WhatsappId(..)",
            Self::Url(_) => "Url(..)",
        })
    }
}

/// Ids are put into a path: digits in practice, nothing that means something there.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// A SHA-256 in any of the forms that have been seen.
pub(crate) fn digest(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    let bytes = if text.len() == 64 {
        hex::decode(text).ok()?
    } else {
        [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD]
            .iter()
            .find_map(|alphabet| alphabet.decode(text).ok())?
    };
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests() {
        let bytes: [u8; 32] = std::array::from_fn(|index| 255 - index as u8);
        let base64 = STANDARD.encode(bytes);
        for text in [
            hex::encode(bytes),
            hex::encode_upper(bytes),
            base64.clone(),
            base64.trim_end_matches('=').to_owned(),
            URL_SAFE.encode(bytes),
            URL_SAFE_NO_PAD.encode(bytes),
            format!(" {base64}\n"),
        ] {
            assert_eq!(digest(&text), Some(bytes), "{text}");
        }
        for text in ["", "abc", "YWJj", &"g".repeat(64), &"a".repeat(63), &"a".repeat(66)] {
            assert_eq!(digest(text), None, "{text}");
        }
    }

    #[test]
    fn ids() {
        for id in ["1", "424242", "aBc_-9"] {
            assert!(is_id(id), "{id}");
        }
        for id in ["", "..", "1/2", "1?a=b", "1%2e", "1 2", "é", "1\n", &"1".repeat(129)] {
            assert!(!is_id(id), "{id}");
        }
    }

    #[test]
    fn debug_hides_all() {
        let request = MediaRequest {
            source: MediaSource::WhatsappId {
                media_id: "424242".into(),
                phone_number_id: Some("111".into()),
            },
            declared_mime: Some("image/jpeg".into()),
            declared_sha256: Some("abcdef".into()),
        };
        assert_eq!(format!("{request:?}"), "MediaRequest { source: WhatsappId(..), .. }");
        assert_eq!(format!("{:?}", MediaSource::Url("https://a".into())), "Url(..)");
    }
}
