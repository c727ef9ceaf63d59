//! What events mean for the queue: pure.

use std::time::Duration;

use eventlog::Stored;
use schemas::{Channel, DecodeError, Kind, MessageKey, SealedEvent};
use store::{QueuedFile, UnsentMessage};

use crate::recall::remember;

/// How long WhatsApp's media ids are good (`meta-platform.md` §5.1).
const MEDIA_ID_LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long a signed address of Messenger's or Instagram's is tried. Meta says nothing of it; what hangs on a story lives for
/// a day (`meta-platform.md` §5.2).
const ADDRESS_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// What a batch of events adds to the queue.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    pub(crate) files: Vec<QueuedFile>,
    pub(crate) unsent: Vec<UnsentMessage>,
    /// Offsets of records that this version cannot read, and why.
    pub(crate) unreadable: Vec<(u64, DecodeError)>,
}

impl Intake {
    /// Of these records of `events`.
    pub(crate) fn of(records: &[Stored]) -> Self {
        let mut intake = Self::default();
        for stored in records {
            // A tombstone: what it covers is removed by whoever put it there.
            let Some(value) = stored.record.value.as_deref() else { continue };
            match SealedEvent::decode(|name| stored.record.header_str(name), value) {
                Ok(event) => intake.add(event),
                Err(cause) => intake.unreadable.push((stored.offset, cause)),
            }
        }
        intake
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.unsent.is_empty()
    }

    fn add(&mut self, event: SealedEvent) {
        if event.kind == Kind::MessageDeleted {
            // Without a message there is nothing that could be found by it.
            if let Some(message) = event.message {
                self.unsent.push(UnsentMessage { tenant: event.tenant, message, subject: event.subject });
            }
            return;
        }
        if event.facts.files.is_empty() {
            return;
        }
        let (message, expires_ms) = (message(&event), expires_ms(&event));
        let ids: Vec<_> = event.facts.files.iter().map(|file| file.id).collect();
        let (tenant, subject, asset) = (event.tenant.clone(), event.subject, event.asset.clone());
        let remembered = remember(event);
        for (position, attachment) in (0..).zip(ids) {
            self.files.push(QueuedFile {
                tenant: tenant.clone(),
                attachment,
                subject,
                message,
                position,
                asset: asset.clone(),
                event: remembered.clone(),
                expires_ms,
            });
        }
    }
}

/// The message an event is about; what Meta gave no message id is known by its event, in the views too.
pub(crate) fn message(event: &SealedEvent) -> MessageKey {
    event.message.unwrap_or_else(|| MessageKey::from_bytes(*event.id.as_bytes()))
}

/// Until when an event's files are tried.
fn expires_ms(event: &SealedEvent) -> i64 {
    let life = match event.channel {
        Channel::Whatsapp => MEDIA_ID_LIFE,
        Channel::Messenger | Channel::Instagram => ADDRESS_LIFE,
    };
    // What a history import brings happened long ago; its ids and addresses are new.
    let from_ms = if event.imported { event.occurred_ms.max(event.received_ms) } else { event.occurred_ms };
    from_ms.saturating_add(i64::try_from(life.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
pub(crate) mod tests {
    use eventlog::{Header, Record};
    use schemas::{Asset, AttachmentId, EventId, Facts, FileFact, RawPosition, RawRef, SubjectId, TenantId};

    use super::*;

    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    const NOW_MS: i64 = 1_800_000_000_000;

    /// An event with that many files.
    pub(crate) fn sealed(kind: Kind, files: u8) -> SealedEvent {
        let fact = |id| FileFact { id: AttachmentId::from_bytes([id; 16]), kind: "image".into() };
        SealedEvent {
            id: EventId::from_bytes([1; 16]),
            kind,
            version: kind.version(),
            tenant: "acme".parse::<TenantId>().unwrap(),
            channel: Channel::Whatsapp,
            asset: "whatsapp:111".parse::<Asset>().unwrap(),
            route: "waba:900".parse::<Asset>().unwrap(),
            direction: None,
            conversation: None,
            subject: Some(SubjectId::from_bytes([3; 16])),
            message: Some(MessageKey::from_bytes([4; 16])),
            occurred_ms: NOW_MS,
            received_ms: NOW_MS + 1000,
            raw: RawPosition { raw: RawRef { partition: 1, offset: 2 }, index: 0, count: 1 },
            imported: false,
            standby: false,
            facts: Facts { files: (1..=files).map(fact).collect(), ..Facts::default() },
            content: b"sealed content".to_vec(),
            contact: Some(b"sealed contact".to_vec()),
            source: b"sealed source".to_vec(),
        }
    }

    fn stored(event: &SealedEvent) -> Stored {
        let encoded = event.encode();
        let headers = encoded.headers.into_iter().map(|(name, text)| Header::new(name, text)).collect();
        let record = Record { key: Some(encoded.key), value: Some(encoded.value), headers };
        Stored { offset: 7, timestamp_ms: 0, record }
    }

    fn of(event: &SealedEvent) -> Intake {
        Intake::of(&[stored(event)])
    }

    #[test]
    fn every_file_is_queued_and_nothing_else_is() {
        let intake = of(&sealed(Kind::MessageReceived, 2));
        let found: Vec<_> = intake.files.iter().map(|file| (file.position, file.attachment)).collect();
        assert_eq!(found, [(0, AttachmentId::from_bytes([1; 16])), (1, AttachmentId::from_bytes([2; 16]))]);
        assert!(intake.unsent.is_empty() && intake.unreadable.is_empty());
        for (kind, files) in
            [(Kind::MessageReceived, 0), (Kind::AttachmentStored, 0), (Kind::MessageStatus, 0)]
        {
            assert!(of(&sealed(kind, files)).is_empty(), "{kind:?}");
        }
        assert_eq!(of(&sealed(Kind::MessageEdited, 1)).files.len(), 1);
        let nameless = SealedEvent { message: None, ..sealed(Kind::MessageSent, 1) };
        assert_eq!(of(&nameless).files[0].message.as_bytes(), nameless.id.as_bytes());
    }

    #[test]
    fn what_is_taken_back_is_noted() {
        let intake = of(&sealed(Kind::MessageDeleted, 0));
        assert_eq!(intake.unsent.len(), 1);
        assert!(intake.files.is_empty());
        assert!(of(&SealedEvent { message: None, ..sealed(Kind::MessageDeleted, 0) }).is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_counted_and_a_tombstone_is_nothing() {
        let mut broken = stored(&sealed(Kind::MessageReceived, 1));
        broken.record.value = Some(b"{"[..].into());
        let mut tombstone = stored(&sealed(Kind::MessageReceived, 1));
        tombstone.record.value = None;
        let intake = Intake::of(&[broken, tombstone, stored(&sealed(Kind::MessageReceived, 1))]);
        assert_eq!((intake.unreadable.len(), intake.files.len()), (1, 1));
    }

    #[track_caller]
    fn check(channel: Channel, imported: bool, expected_ms: i64) {
        // Imported: half a year old.
        let occurred_ms = if imported { NOW_MS - 180 * DAY_MS } else { NOW_MS };
        let event = SealedEvent { channel, imported, occurred_ms, ..sealed(Kind::MessageReceived, 1) };
        assert_eq!(expires_ms(&event), expected_ms, "{channel} imported={imported}");
    }

    #[test]
    fn files_are_tried_for_as_long_as_meta_keeps_them() {
        check(Channel::Whatsapp, false, NOW_MS + 7 * DAY_MS);
        check(Channel::Messenger, false, NOW_MS + DAY_MS);
        check(Channel::Instagram, false, NOW_MS + DAY_MS);
        check(Channel::Whatsapp, true, NOW_MS + 1000 + 7 * DAY_MS);
    }
}
