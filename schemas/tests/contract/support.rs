//! One tenant, one key, and subjects made from the identifiers themselves: everything a test needs to route.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemas::{
    Asset, AssetKind, Content, Event, EventContext, FileOutcome, FileState, IdKey, Identifier, Kind,
    PeopleSaid, RawPosition, RawRef, SubjectId, TenantId, split,
};
use serde_json::Value;

pub(crate) const RECEIVED_MS: i64 = 1_780_000_060_000;

pub(crate) fn fixtures(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

pub(crate) fn all_fixtures() -> Vec<Vec<u8>> {
    let folders = ["whatsapp", "messenger", "instagram", "hostile"];
    folders.into_iter().flat_map(fixtures).map(|path| std::fs::read(path).unwrap()).collect()
}

/// A stand-in for the keyring: the first identifier decides.
pub(crate) fn subject(persons: &[Identifier]) -> Option<SubjectId> {
    let key = IdKey::new(&[1; 32]);
    let nowhere = Asset::new(AssetKind::Messenger, "keyring").unwrap();
    persons.first().map(|person| SubjectId::from_bytes(*key.message(&nowhere, &person.value).as_bytes()))
}

/// Every item of a body with the event it becomes, parked and quarantined ones left out.
pub(crate) fn events(body: &[u8]) -> Vec<Event> {
    let Ok(split) = split(body) else { return Vec::new() };
    let count = u32::try_from(split.items.len()).unwrap();
    let tenant: TenantId = "alpha".parse().unwrap();
    let key = IdKey::new(&[7; 32]);
    let mut events = Vec::new();
    for item in split.items {
        let Some(route) = item.assets().last().cloned() else { continue };
        let context = EventContext {
            tenant: &tenant,
            asset: &route,
            id_key: &key,
            subject: subject(item.persons()),
            received_ms: RECEIVED_MS,
            raw: RawPosition { raw: RawRef { partition: 2, offset: 40 }, index: item.index(), count },
        };
        events.push(item.into_event(&context));
    }
    events
}

/// What Tidings itself says of the first file of a message: that it is stored, or that Meta had it no longer.
pub(crate) fn about_file(message: &Event, kind: Kind) -> Event {
    let Content::Message(content) = &message.content else { panic!("a message") };
    let attachment = content.attachments.first().and_then(|attachment| attachment.id).expect("a file");
    let outcome = FileOutcome {
        attachment,
        state: FileState::Stored,
        bytes: Some(48_211),
        media_type: Some("image/jpeg".to_owned()),
        reason: None,
    };
    let outcome = match kind {
        Kind::AttachmentStored => outcome,
        _ => FileOutcome {
            state: FileState::Expired,
            bytes: None,
            media_type: None,
            reason: Some("expired".to_owned()),
            ..outcome
        },
    };
    Event {
        id: IdKey::new(&[7; 32]).file_event(kind, &message.asset, attachment),
        kind,
        direction: None,
        occurred_ms: RECEIVED_MS + 1_000,
        received_ms: RECEIVED_MS + 1_000,
        contact: None,
        content: Content::File(outcome),
        source: serde_json::from_str("{}").expect("an object"),
        ..message.clone()
    }
}

/// A path of this crate.
pub(crate) fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// One event of each kind: the first one that a fixture named for it makes, else the first of all.
pub(crate) fn examples() -> BTreeMap<Kind, Event> {
    const BEST: [(&str, Kind); 9] = [
        ("whatsapp/media", Kind::MessageReceived),
        ("messenger/echo", Kind::MessageSent),
        ("messenger/edit", Kind::MessageEdited),
        ("whatsapp/reaction", Kind::MessageReacted),
        ("whatsapp/statuses", Kind::MessageStatus),
        ("whatsapp/handovers", Kind::ThreadControl),
        ("messenger/feed", Kind::CommentChanged),
        ("whatsapp/templates", Kind::TemplateUpdated),
        ("messenger/unrecognized", Kind::Unrecognized),
    ];
    // Compact, as Meta sends it.
    let compact = |path: &Path| {
        let body: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        events(body.to_string().as_bytes())
    };
    let mut found = BTreeMap::new();
    for (name, kind) in BEST {
        let events = compact(&here("fixtures").join(name).with_extension("json"));
        found.insert(kind, events.into_iter().find(|event| event.kind == kind).unwrap());
    }
    for path in ["messenger", "instagram", "whatsapp"].into_iter().flat_map(fixtures) {
        for event in compact(&path) {
            found.entry(event.kind).or_insert(event);
        }
    }
    let message = found[&Kind::MessageReceived].clone();
    for kind in [Kind::AttachmentStored, Kind::AttachmentFailed] {
        found.insert(kind, about_file(&message, kind));
    }
    let into = message.subject.unwrap();
    let from = "f".repeat(32).parse().unwrap();
    for kind in [Kind::PersonMerged, Kind::PersonSplit] {
        let said = PeopleSaid::by(&message);
        found.insert(kind, said.event(kind, [from, into], into, &IdKey::new(&[7; 32])));
    }
    found
}

/// A header lookup over what `encode` made.
pub(crate) fn headers<'a>(encoded: &'a schemas::Encoded) -> impl Fn(&str) -> Option<&'a str> {
    |name| encoded.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
}
