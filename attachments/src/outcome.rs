//! What became of a file, as an event: pure.

use schemas::{AttachmentId, Content, Event, FileOutcome, FileState, IdKey, Kind, SealedEvent, Source};

use crate::kept::Kept;

/// A file that is stored.
pub(crate) fn stored(attachment: AttachmentId, kept: &Kept) -> FileOutcome {
    FileOutcome {
        attachment,
        state: FileState::Stored,
        bytes: Some(kept.bytes),
        media_type: Some(kept.media_type.to_owned()),
        reason: None,
    }
}

/// A file that is not.
pub(crate) fn not_stored(attachment: AttachmentId, state: FileState, reason: &str) -> FileOutcome {
    FileOutcome { attachment, state, bytes: None, media_type: None, reason: Some(reason.to_owned()) }
}

/// The event that says so: in the place of the event that named the file, with an id that is the same each time.
pub(crate) fn event(named: &SealedEvent, outcome: FileOutcome, id_key: &IdKey, now_ms: i64) -> Event {
    let kind = match outcome.state {
        FileState::Stored => Kind::AttachmentStored,
        FileState::Refused | FileState::Expired | FileState::Failed => Kind::AttachmentFailed,
    };
    Event {
        id: id_key.file_event(kind, &named.asset, outcome.attachment),
        kind,
        tenant: named.tenant.clone(),
        channel: named.channel,
        asset: named.asset.clone(),
        route: named.route.clone(),
        // Nobody acted.
        direction: None,
        conversation: named.conversation,
        subject: named.subject,
        message: named.message,
        occurred_ms: now_ms,
        received_ms: now_ms,
        raw: named.raw,
        imported: named.imported,
        standby: named.standby,
        contact: None,
        content: Content::File(outcome),
        source: nothing(),
    }
}

/// Meta wrote nothing of it.
fn nothing() -> Source {
    serde_json::from_str("null").expect("null is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::tests::sealed;

    #[test]
    fn an_outcome_stands_beside_its_message() {
        let named = sealed(Kind::MessageReceived, 1);
        let id_key = IdKey::new(&[7; 32]);
        let attachment = AttachmentId::from_bytes([1; 16]);
        let kept = Kept { bytes: 5, media_type: "image/jpeg" };
        let good = event(&named, stored(attachment, &kept), &id_key, 9);
        assert_eq!(
            (good.kind, good.message, good.raw, good.subject, good.occurred_ms, good.source.as_str()),
            (Kind::AttachmentStored, named.message, named.raw, named.subject, 9, "null")
        );
        let bad = event(&named, not_stored(attachment, FileState::Expired, "expired"), &id_key, 9);
        assert_eq!(bad.kind, Kind::AttachmentFailed);
        assert_ne!(good.id, bad.id);
        let again = event(&named, stored(attachment, &kept), &id_key, 10);
        assert_eq!(again.id, good.id, "whenever it is said");
        let encoded = good.encode();
        let header = |name: &str| {
            encoded.headers.iter().find(|(known, _)| *known == name).map(|(_, text)| text.as_str())
        };
        assert_eq!(Event::decode(header, &encoded.value).unwrap(), good);
    }
}
