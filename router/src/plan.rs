//! What a routed item is appended as: pure but for the randomness of seals.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use eventlog::Record;
use keyring::SubjectKey;
use publish::{FeedForm, Outlet, PublishError, Published, publish};
use schemas::{EventContext, Item, Outcome, Pointer, Reason};

/// An item's records, and the user name it tells of its person.
pub(crate) type Written = (Published, Option<String>);

/// An item as its event, sealed. An item that cannot be written, because it breaks our code or is larger than the log takes,
/// is set aside alone.
pub(crate) fn write(
    item: Item<'_>,
    context: &EventContext<'_>,
    key: &SubjectKey,
    form: &FeedForm,
    is_restricted: bool,
    events: &Outlet,
    feed: &Outlet,
) -> Result<Written, Reason> {
    let write = || {
        let event = item.into_event(context);
        let published = publish(&event, key, form, is_restricted, events, feed);
        published.map(|published| (published, event.contact.and_then(|contact| contact.username)))
    };
    match catch_unwind(AssertUnwindSafe(write)) {
        Ok(Ok(written)) => Ok(written),
        Ok(Err(PublishError::TooLarge)) => Err(Reason::TooLarge),
        Ok(Err(PublishError::Seal(_) | PublishError::Feed(_))) | Err(_) => Err(Reason::Crashed),
    }
}

/// A pointer as its record.
pub(crate) fn pointer_record(pointer: &Pointer) -> Record {
    let what = match &pointer.outcome {
        Outcome::Parked { assets } => assets.first().map_or_else(|| "parked".to_owned(), ToString::to_string),
        Outcome::Quarantined { reason } => reason.as_str().to_owned(),
        Outcome::Forgotten => "forgotten".to_owned(),
        Outcome::Empty => "empty".to_owned(),
    };
    let value = serde_json::to_vec(pointer).expect("a pointer is plain data");
    Record {
        key: Some(Bytes::from(format!("{}/{what}", pointer.raw))),
        value: Some(value.into()),
        headers: Vec::new(),
    }
}
