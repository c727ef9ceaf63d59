//! A views database with a writer and a reader, and made-up rows.

use schemas::{AttachmentId, ConversationId, EventId, Field, MessageKey, SubjectId, TenantId};
use secrecy::SecretString;
use store::{
    AttachmentChange, AttachmentName, ContactChange, ConversationChange, ConversationChanges, DeletionChange,
    EditChange, MessageChange, OffsetMove, ReactionChange, SealedPart, StatusChange, ViewsDb, ViewsRole,
    WatermarkChange,
};
use testkit::Postgres;

pub(crate) struct Stage {
    pub(crate) postgres: Postgres,
    pub(crate) url: SecretString,
    pub(crate) writer: ViewsDb,
    pub(crate) reader: ViewsDb,
}

pub(crate) async fn stage() -> Stage {
    let postgres = Postgres::start().await.unwrap();
    let url: SecretString = postgres.database().await.unwrap().into();
    store::migrate_views(&url).await.unwrap();
    let writer = ViewsDb::connect(&url, ViewsRole::Projector, 4).await.unwrap();
    let reader = ViewsDb::connect(&url, ViewsRole::Reader, 4).await.unwrap();
    Stage { postgres, url, writer, reader }
}

impl Stage {
    /// How many rows the coverage table holds.
    pub(crate) async fn rows(&self) -> String {
        self.ask("SELECT count(*) FROM coverage").unwrap()
    }

    pub(crate) fn ask(&self, sql: &str) -> Option<String> {
        ask(&self.url, sql)
    }
}

/// What the database says, asked as its owner; `None` when it refuses.
pub(crate) fn ask(url: &SecretString, sql: &str) -> Option<String> {
    let url = secrecy::ExposeSecret::expose_secret(url);
    let output = std::process::Command::new("psql").args([url, "-XqtAc", sql]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    output.status.success().then_some(text)
}

pub(crate) fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

pub(crate) const fn conversation(n: u8) -> ConversationId {
    ConversationId::from_bytes([n; 16])
}

pub(crate) const fn person(n: u8) -> SubjectId {
    SubjectId::from_bytes([n; 16])
}

pub(crate) const fn event(n: u8) -> EventId {
    EventId::from_bytes([n; 16])
}

pub(crate) const fn key(n: u8) -> MessageKey {
    MessageKey::from_bytes([n; 16])
}

pub(crate) fn step(expected: u64, next: u64) -> OffsetMove<'static> {
    OffsetMove { projection: "conversation", topic: "events", partition: 0, expected, next }
}

pub(crate) fn message(
    changes: &mut ConversationChanges,
    tenant_name: &str,
    n: u8,
    at_ms: i64,
    direction: &'static str,
) {
    let conversations = ConversationChange {
        channel: "whatsapp",
        asset: "whatsapp:1".into(),
        subject: Some(person(1)),
        last_at_ms: at_ms,
    };
    changes.conversations.insert((tenant(tenant_name), conversation(1)), conversations);
    let content = format!(r#"{{"kind":"text","text":"text {n}"}}"#);
    let change = MessageChange {
        imported: false,
        standby: false,
        at_ms,
        event: event(n),
        conversation: conversation(1),
        subject: Some(person(1)),
        direction,
        kind: "text".into(),
        content: content.into_bytes(),
    };
    changes.messages.insert((tenant(tenant_name), key(n)), change);
}

/// Nothing is sealed in these tests: the text as it stands there.
pub(crate) fn text(part: &SealedPart) -> String {
    assert_eq!((part.field, part.subject), (Field::Content, Some(person(1))));
    let content: serde_json::Value = serde_json::from_slice(&part.bytes).unwrap();
    content["text"].as_str().unwrap().to_owned()
}

pub(crate) async fn texts(db: &ViewsDb, name: &str) -> Vec<String> {
    let rows = db.messages(&tenant(name), &[conversation(1)], 1000, None).await.unwrap();
    let show = |row: &store::MessageRow| {
        let status = row.status.map_or("-", |status| status.as_str());
        let text = row.edit.as_ref().or(row.content.as_ref()).map_or("(none)".into(), text);
        format!("{text} {status} {}", if row.deleted { "deleted" } else { "" })
    };
    rows.iter().map(|row| show(row).trim_end().to_owned()).collect()
}

/// How many rows [`everything_of`] is.
pub(crate) const ROWS_EACH: u64 = 9;

/// A message, an edit, a reaction, a file, a profile, a status, a deletion and a watermark of a person's, in a conversation
/// of theirs.
pub(crate) fn everything_of(changes: &mut ConversationChanges, n: u8, at_ms: i64) {
    let (acme, subject) = (tenant("a"), Some(person(n)));
    let content = br#"{"text":"x"}"#.to_vec();
    let row =
        ConversationChange { channel: "whatsapp", asset: "whatsapp:1".into(), subject, last_at_ms: at_ms };
    changes.conversations.insert((acme.clone(), conversation(n)), row);
    let row = ContactChange { at_ms, event: event(n), content: content.clone() };
    changes.contacts.insert((acme.clone(), person(n)), row);
    let row = MessageChange {
        imported: false,
        standby: false,
        at_ms,
        event: event(n),
        conversation: conversation(n),
        subject,
        direction: "in",
        kind: "text".into(),
        content: content.clone(),
    };
    changes.messages.insert((acme.clone(), key(n)), row);
    let row = EditChange { revision: 1, at_ms, event: event(n), subject, content: content.clone() };
    changes.edits.insert((acme.clone(), key(n)), row);
    let row =
        ReactionChange { at_ms, event: event(n), subject, direction: "in", content: Some(content.clone()) };
    changes.reactions.insert((acme.clone(), key(n), subject), row);
    let name = AttachmentName { message: key(n), event: event(n), position: 0, kind: "image".into() };
    let row = AttachmentChange { subject, named: Some(name), at_ms, ..Default::default() };
    changes.attachments.insert((acme.clone(), AttachmentId::from_bytes([n; 16])), row);
    // What is said of a message that never had a row is theirs all the same.
    let unseen = (acme.clone(), key(100 + n));
    changes.deletions.insert(unseen.clone(), DeletionChange { subject, at_ms });
    changes.statuses.insert(unseen, StatusChange { subject, rank: 2, failed: false });
    changes.watermarks.insert((acme, conversation(n), 3), WatermarkChange { subject, at_ms });
}
