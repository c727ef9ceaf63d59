//! What a job remembers: the event that names its file, without what fetching it does not need.

use bytes::Bytes;
use schemas::{DecodeError, Encoded, SealedEvent};
use serde::{Deserialize, Serialize};

/// First byte of what is remembered: the version of its form.
const VERSION: u8 = 1;

/// An event as a record.
#[derive(Serialize, Deserialize)]
struct Remembered {
    headers: Vec<(String, String)>,
    value: Vec<u8>,
}

/// What is remembered cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecallError {
    #[error("what a job remembers is of another version")]
    Form,
    #[error("the event that a job remembers cannot be read")]
    Event(#[from] DecodeError),
}

/// An event as a job remembers it. What it says stays sealed; the item as Meta wrote it, and what the person calls
/// themselves, stay in the log.
pub(crate) fn remember(event: SealedEvent) -> Vec<u8> {
    let Encoded { headers, value, key: _ } =
        SealedEvent { contact: None, source: Vec::new(), ..event }.encode();
    let headers = headers.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
    let remembered = Remembered { headers, value: value.into() };
    postcard::to_extend(&remembered, vec![VERSION]).expect("texts and bytes always serialize")
}

/// The event that a job remembers.
pub(crate) fn recall(bytes: &[u8]) -> Result<SealedEvent, RecallError> {
    let rest = bytes.strip_prefix(&[VERSION]).ok_or(RecallError::Form)?;
    let Remembered { headers, value } = postcard::from_bytes(rest).map_err(|_| RecallError::Form)?;
    let header = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str());
    Ok(SealedEvent::decode(header, &Bytes::from(value))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::tests::sealed;

    #[test]
    fn what_is_remembered_is_the_event_without_its_source() {
        let event = sealed(schemas::Kind::MessageReceived, 2);
        let remembered = remember(event.clone());
        let recalled = recall(&remembered).unwrap();
        assert_eq!(recalled, SealedEvent { contact: None, source: Vec::new(), ..event });
        assert!(matches!(recall(&[]), Err(RecallError::Form)));
        assert!(matches!(recall(&[2, 0, 0]), Err(RecallError::Form)));
        for at in 0..remembered.len() {
            // Whatever is left of it, it is read or refused.
            let _ = recall(&remembered[..at]);
        }
        assert!(recall(&remembered[..remembered.len() - 1]).is_err());
    }
}
