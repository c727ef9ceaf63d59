//! Made-up histories: everything that can happen to a message, several times and with equal times.

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use schemas::{
    Asset, Channel, ContactProfile, Content, ConversationId, DeliveryStatus, Direction, Edited, Event,
    EventId, Kind, MessageContent, MessageKey, Postback, RawPosition, RawRef, Reaction, Source, Status,
    SubjectId, TenantId, Unrecognized, Watermark,
};

/// The tenants of every history.
pub(crate) fn tenants() -> [TenantId; 2] {
    ["acme".parse().unwrap(), "other".parse().unwrap()]
}

/// A history of `count` events in no sensible order, one delivery each.
pub(crate) fn history(seed: u64, count: usize) -> Vec<Event> {
    let random = &mut StdRng::seed_from_u64(seed);
    (0..count as u64).map(|offset| event(random, RawRef { partition: 0, offset })).collect()
}

/// The same events in another order, some of them several times.
pub(crate) fn shuffled(events: &[Event], seed: u64) -> Vec<Event> {
    let random = &mut StdRng::seed_from_u64(seed);
    let mut all = events.to_vec();
    for _ in 0..events.len() / 3 {
        all.push(events.choose(random).unwrap().clone());
    }
    all.shuffle(random);
    all
}

/// A plain text in a conversation of its own number.
pub(crate) fn text(number: u64, conversation: u8) -> Event {
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
    event
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
        contact: None,
        content: Content::Unrecognized(Unrecognized::default()),
        source: serde_json::from_str::<Source>("{}").unwrap(),
    }
}

fn event(random: &mut StdRng, raw: RawRef) -> Event {
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
    (event.kind, event.content) = match random.random_range(0..14) {
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
                    ..MessageContent::default()
                }),
            )
        }
        4 | 5 => {
            let revision = random.random_bool(0.5).then(|| random.random_range(1..4));
            (
                Kind::MessageEdited,
                Content::Edited(Edited { text: word(random), revision, attachments: Vec::new() }),
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
        _ => (Kind::Unrecognized, Content::Unrecognized(Unrecognized::default())),
    };
    event
}
