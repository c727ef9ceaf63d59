//! What an event is appended as: pure but for the randomness of nonces.

use eventlog::{Header, MAX_RECORD_BYTES, Record, TopicPartition};
use keyring::SubjectKey;
use schemas::{Encoded, Event};
use seal::{FeedKeyError, SealError};

use crate::{FeedForm, Outlet};

/// The header of a feed's record that says: nobody may use it for anything but keeping it.
const RESTRICTED: &str = "ce_restricted";

/// An event's records and their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// For `events`: sealed for its person.
    pub event: (TopicPartition, Record),
    /// For the tenant's feed.
    pub feed: (TopicPartition, Record),
}

/// Why an event cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// It is larger than the log takes.
    #[error("the event is larger than the log takes")]
    TooLarge,
    /// It could not be sealed.
    #[error("the event could not be sealed")]
    Seal(#[from] SealError),
    /// It could not be encrypted for its tenant.
    #[error("the event could not be encrypted for its tenant")]
    Feed(#[from] FeedKeyError),
}

/// An event as it is to be appended: sealed with its person's key, and in the form of the tenant's feed.
///
/// # Errors
/// It is larger than the log takes, or cannot be sealed.
pub fn publish(
    event: &Event,
    key: &SubjectKey,
    form: &FeedForm,
    is_restricted: bool,
    events: &Outlet,
    feed: &Outlet,
) -> Result<Published, PublishError> {
    let sealed = event.seal(|field, plain| key.seal(event.id, field, plain))?;
    let clear = event.encode();
    let encoded = match form {
        FeedForm::Clear => clear,
        FeedForm::Jwe(key) => event.encode_jwe(key.encrypt(&clear.value)?),
    };
    let mut for_feed = record(encoded);
    if is_restricted {
        for_feed.headers.push(Header::new(RESTRICTED, "true"));
    }
    let for_events = record(sealed.encode());
    if for_events.size_bytes() > MAX_RECORD_BYTES || for_feed.size_bytes() > MAX_RECORD_BYTES {
        return Err(PublishError::TooLarge);
    }
    let at = |outlet: &Outlet| TopicPartition::new(&outlet.topic, event.partition(outlet.partitions));
    Ok(Published { event: (at(events), for_events), feed: (at(feed), for_feed) })
}

fn record(encoded: Encoded) -> Record {
    let headers = encoded.headers.into_iter().map(|(name, value)| Header::new(name, value)).collect();
    Record { key: Some(encoded.key), value: Some(encoded.value), headers }
}
