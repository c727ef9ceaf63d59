//! Made-up histories: everything that can happen to a message, several times and with equal times.

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use schemas::{
    Asset, Attachment, AttachmentId, Channel, ContactProfile, Content, ConversationId, DeliveryStatus,
    Direction, Edited, Event, EventId, FileOutcome, FileState, Kind, MessageContent, MessageKey, Postback,
    RawPosition, RawRef, Reaction, SealedEvent, Source, Status, SubjectId, TenantId, Unread, Unrecognized,
    Watermark,
};

/// The tenants of every history.
pub(crate) fn tenants() -> [TenantId; 2] {
    ["acme".parse().unwrap(), "other".parse().unwrap()]
}

/// A history of `count` events in no sensible order, one delivery each. The projector opens nothing, so nothing is sealed.
pub(crate) fn history(seed: u64, count: usize) -> Vec<SealedEvent> {
    let random = &mut StdRng::seed_from_u64(seed);
    let mut named = Vec::new();
    let raw = |offset| RawRef { partition: 0, offset };
    (0..count as u64).map(|offset| unsealed(&event(random, raw(offset), &mut named))).collect()
}

/// An event as `events` would hold it, but for the seal.
pub(crate) fn unsealed(event: &Event) -> SealedEvent {
    event.seal(|_, plain| Ok::<_, std::convert::Infallible>(plain.to_vec())).unwrap()
}

/// The same events in another order, some of them several times.
pub(crate) fn shuffled(events: &[SealedEvent], seed: u64) -> Vec<SealedEvent> {
    let random = &mut StdRng::seed_from_u64(seed);
    let mut all = events.to_vec();
    for _ in 0..events.len() / 3 {
        all.push(events.choose(random).unwrap().clone());
    }
    all.shuffle(random);
    all
}

/// A plain text in a conversation of its own number.
pub(crate) fn text(number: u64, conversation: u8) -> SealedEvent {
    let raw = RawRef { partition: 0, offset: number };
    let mut event =
        blank(raw, &tenants()[0], conversation, EventId::from_bytes(u128::from(number).to_be_bytes()));
    event.kind = Kind::MessageReceived;
    event.message = Some(MessageKey::from_bytes(u128::from(number).to_be_bytes()));
    event.occurred_ms = i64::try_from(number).unwrap();
    event.content = Content::Message(MessageContent {
        kind: "text".into(),
        text: Some(format!("message {number}")),
        ..MessageContent::default()
    });
    unsealed(&event)
}

fn blank(raw: RawRef, tenant: &TenantId, conversation: u8, id: EventId) -> Event {
    let asset: Asset = "whatsapp:10001".parse().unwrap();
    Event {
        id,
        kind: Kind::Unrecognized,
        tenant: tenant.clone(),
        channel: Channel::Whatsapp,
        asset: asset.clone(),
        route: asset,
        direction: Some(Direction::In),
        conversation: Some(ConversationId::from_bytes([conversation; 16])),
        subject: Some(SubjectId::from_bytes([conversation; 16])),
        message: None,
        occurred_ms: 0,
        received_ms: 1_700_000_000_000,
        raw: RawPosition { raw, index: 0, count: 1 },
        imported: false,
        standby: false,
        contact: None,
        content: unread(),
        source: serde_json::from_str::<Source>("{}").unwrap(),
    }
}

fn unread() -> Content {
    Content::Unrecognized(Unrecognized { field: None, reason: Unread::Unknown })
}

/// A file that an event names: its id is that event's.
fn file(event: &Event) -> Attachment {
    let id = Some(AttachmentId::from_bytes(*event.id.as_bytes()));
    Attachment { id, kind: "image".into(), ..Attachment::default() }
}

/// What became of one of these files, or of one that nothing names.
fn outcome(random: &mut StdRng, event: &mut Event, named: &[Event]) {
    let state = *FileState::ALL.choose(random).unwrap();
    event.kind = if state == FileState::Stored { Kind::AttachmentStored } else { Kind::AttachmentFailed };
    if let Some(name) = named.choose(random).filter(|_| random.random_bool(0.9)) {
        let (id, kind, occurred_ms, raw) = (event.id, event.kind, event.occurred_ms, event.raw);
        *event = Event { id, kind, occurred_ms, raw, contact: None, ..name.clone() };
        event.content = Content::File(FileOutcome {
            attachment: AttachmentId::from_bytes(*name.id.as_bytes()),
            state,
            // Meta is asked more than once, and does not always say the same.
            bytes: (state == FileState::Stored).then(|| random.random_range(1..4)),
            media_type: (state == FileState::Stored).then(|| "image/jpeg".to_owned()),
            reason: (state != FileState::Stored).then(|| format!("reason_{}", random.random_range(0..3))),
        });
        return;
    }
    // A file is of one person.
    let number = random.random_range(1..3);
    let attachment = AttachmentId::from_bytes([number; 16]);
    event.conversation = Some(ConversationId::from_bytes([number; 16]));
    event.subject = Some(SubjectId::from_bytes([number; 16]));
    event.content =
        Content::File(FileOutcome { attachment, state, bytes: None, media_type: None, reason: None });
}

fn event(random: &mut StdRng, raw: RawRef, named: &mut Vec<Event>) -> Event {
    let tenant = tenants().choose(random).unwrap().clone();
    let conversation = random.random_range(1..=3_u8);
    // Few messages and few times, so that much meets and much is equal.
    let mut message = [conversation; 16];
    message[0] = random.random_range(0..8);
    let mut event = blank(raw, &tenant, conversation, EventId::from_bytes(random.random()));
    event.message = Some(MessageKey::from_bytes(message));
    event.occurred_ms = random.random_range(1..12);
    event.imported = random.random_bool(0.1);
    if random.random_bool(0.3) {
        event.direction = Some(Direction::Out);
    }
    // The third one is a group.
    if conversation == 3 {
        event.subject = Some(SubjectId::from_bytes([random.random_range(10..13); 16]));
    }
    if random.random_bool(0.2) {
        let name = Some(format!("Name {}", random.random_range(0..3)));
        event.contact = Some(ContactProfile { name, username: None });
    }
    let word = |random: &mut StdRng| Some(format!("text {}", random.random_range(0..1000)));
    (event.kind, event.content) = match random.random_range(0..17) {
        14..=16 => {
            outcome(random, &mut event, named);
            return event;
        }
        0..=3 => {
            let kind = if event.direction == Some(Direction::Out) {
                Kind::MessageSent
            } else {
                Kind::MessageReceived
            };
            (
                kind,
                Content::Message(MessageContent {
                    kind: "text".into(),
                    text: word(random),
                    attachments: if random.random_bool(0.4) { vec![file(&event)] } else { Vec::new() },
                    ..MessageContent::default()
                }),
            )
        }
        4 | 5 => {
            let revision = random.random_bool(0.5).then(|| random.random_range(1..4));
            (
                Kind::MessageEdited,
                Content::Edited(Edited { text: word(random), revision, attachments: vec![file(&event)] }),
            )
        }
        6 if random.random_bool(0.5) => (Kind::MessageDeleted, Content::Deleted),
        6 | 7 => {
            let emoji = random.random_bool(0.7).then(|| "👍".to_owned());
            (Kind::MessageReacted, Content::Reaction(Reaction { emoji }))
        }
        8 | 9 => {
            let status = *DeliveryStatus::ALL.choose(random).unwrap();
            let status = Status { status, errors: Vec::new(), pricing: None, callback_data: None };
            (Kind::MessageStatus, Content::Status(status))
        }
        10 | 11 => {
            let kind = *[Kind::ConversationRead, Kind::ConversationDelivered].choose(random).unwrap();
            let watermark_ms = random.random_bool(0.8).then(|| random.random_range(1..12));
            let messages = event.message.filter(|_| random.random_bool(0.3)).into_iter().collect();
            (kind, Content::Watermark(Watermark { watermark_ms, messages }))
        }
        12 => {
            event.message = None;
            let title = word(random);
            (Kind::PostbackReceived, Content::Postback(Postback { title, ..Postback::default() }))
        }
        _ => (Kind::Unrecognized, unread()),
    };
    if matches!(&event.content, Content::Message(MessageContent { attachments, .. }) | Content::Edited(Edited { attachments, .. }) if !attachments.is_empty())
    {
        named.push(event.clone());
    }
    event
}
