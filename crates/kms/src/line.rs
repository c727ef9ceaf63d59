//! A line of the root key file whose secret KMS wrapped: `tidings-root-kms-v1:<region>:<key>:<base64>`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::KmsError;

const PREFIX: &str = "tidings-root-kms-v1:";

/// A key of KMS. An ARN has colons in it; a region and base64 have none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyName {
    pub(crate) region: String,
    pub(crate) key: String,
}

impl KeyName {
    pub(crate) fn new(region: &str, key: &str) -> Result<Self, KmsError> {
        let word = |text: &str, more: &[u8]| {
            (1..=2048).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
        };
        // `arn:<partition>:kms:<region>:<account>:key/…`
        let elsewhere =
            key.starts_with("arn:") && !matches!(key.split(':').nth(3), Some(place) if place == region);
        if !word(region, b"-") || !word(key, b":/_-") || elsewhere {
            return Err(KmsError::Name);
        }
        Ok(Self { region: region.to_owned(), key: key.to_owned() })
    }
}

/// Such a line, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) name: KeyName,
    pub(crate) ciphertext: Vec<u8>,
}

impl Line {
    /// Whether a line is one, well made or not.
    pub(crate) fn is(line: &str) -> bool {
        line.starts_with(PREFIX)
    }

    pub(crate) fn parse(line: &str) -> Result<Self, KmsError> {
        let rest = line.strip_prefix(PREFIX).ok_or(KmsError::Line)?;
        let (region, rest) = rest.split_once(':').ok_or(KmsError::Line)?;
        let (key, ciphertext) = rest.rsplit_once(':').ok_or(KmsError::Line)?;
        let name = KeyName::new(region, key).map_err(|_| KmsError::Line)?;
        let ciphertext = STANDARD.decode(ciphertext).map_err(|_| KmsError::Line)?;
        if ciphertext.is_empty() {
            return Err(KmsError::Line);
        }
        Ok(Self { name, ciphertext })
    }

    pub(crate) fn text(&self) -> String {
        let KeyName { region, key } = &self.name;
        format!("{PREFIX}{region}:{key}:{}", STANDARD.encode(&self.ciphertext))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<(&str, &str)>) {
        let parsed = Line::parse(line).ok();
        assert_eq!(
            parsed.as_ref().map(|line| (line.name.region.as_str(), line.name.key.as_str())),
            expected,
            "{line}"
        );
        if let Some(parsed) = parsed {
            assert_eq!(parsed.text(), line);
        }
    }

    #[test]
    fn a_line_names_its_key_in_any_of_the_ways_kms_knows() {
        let arn = "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        check(&format!("tidings-root-kms-v1:us-west-2:{arn}:AQID"), Some(("us-west-2", arn)));
        check("tidings-root-kms-v1:us-west-2:alias/tidings:AQID", Some(("us-west-2", "alias/tidings")));
        check("tidings-root-kms-v1:us-west-2:1234abcd-12ab:AQI=", Some(("us-west-2", "1234abcd-12ab")));
        for wrong in [
            "",
            "tidings-root-v1:us-west-2:alias/tidings:AQID",
            "tidings-root-kms-v1:",
            "tidings-root-kms-v1:us-west-2",
            "tidings-root-kms-v1:us-west-2:alias/tidings",
            "tidings-root-kms-v1:us-west-2:alias/tidings:",
            "tidings-root-kms-v1:us-west-2:alias/tidings:A",
            "tidings-root-kms-v1:us-west-2:alias%2Ftidings:AQID",
            "tidings-root-kms-v1:us-west-2::AQID",
            "tidings-root-kms-v1::alias/tidings:AQID",
            "tidings-root-kms-v1:us west:alias/tidings:AQID",
            "tidings-root-kms-v1:é:alias/tidings:AQID",
        ] {
            check(wrong, None);
        }
        check(&format!("tidings-root-kms-v1:eu-west-1:{arn}:AQID"), None);
    }
}
