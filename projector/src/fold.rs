//! The conversation fold: what events change, as rows to be merged.
//!
//! Pure, and a join of lattices throughout: of everything that can happen twice one rule says which stands, so the same
//! changes come out however events are ordered, repeated or cut into batches. `store` merges them into its tables by the same
//! rules.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use schemas::{Content, TenantId};
use schemas::{
    ConversationId, DeliveryStatus, Direction, Edited, Event, Kind, MessageContent, MessageKey, Postback,
    Watermark,
};
use serde::Serialize;
use store::{
    ContactChange, ConversationChange, ConversationChanges, DeletionChange, EditChange, MessageChange,
    ReactionChange, SEVERAL, StatusChange, WatermarkChange,
};

const SENT: i16 = 1;
const DELIVERED: i16 = 2;
const READ: i16 = 3;
const PLAYED: i16 = 4;

/// What these events change.
pub fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> ConversationChanges {
    let mut changes = ConversationChanges::default();
    for event in events {
        add(&mut changes, event);
    }
    changes
}

/// Adds what one event changes.
pub(crate) fn add(changes: &mut ConversationChanges, event: &Event) {
    changes.applied.routed(&event.tenant, event.raw.raw, event.raw.index, event.raw.count);
    contact(changes, event);
    match &event.content {
        Content::Message(content) => message(changes, event, content),
        Content::Postback(postback) => message(changes, event, &pressed(postback)),
        Content::Referral(_) => conversation(changes, event),
        Content::Edited(edited) => edit(changes, event, edited),
        Content::Deleted => deletion(changes, event),
        Content::Reaction(_) => reaction(changes, event),
        Content::Status(status) => {
            if let Some(message) = event.message {
                reached(changes, &event.tenant, message, status.status);
            }
        }
        Content::Watermark(mark) => watermark(changes, event, mark),
        Content::Unrecognized(_) => {}
    }
}

/// Merges: what is there already and what comes decide by `rule` alone.
fn merge<K: Ord, V>(rows: &mut BTreeMap<K, V>, key: K, new: V, rule: impl FnOnce(&mut V, V)) {
    match rows.entry(key) {
        Entry::Vacant(place) => {
            place.insert(new);
        }
        Entry::Occupied(mut known) => rule(known.get_mut(), new),
    }
}

fn latest<T: Ord>(known: &mut T, new: T) {
    if new > *known {
        *known = new;
    }
}

fn contact(changes: &mut ConversationChanges, event: &Event) {
    let (Some(subject), Some(profile)) = (event.subject, &event.contact) else { return };
    if profile.name.is_none() && profile.username.is_none() {
        return;
    }
    let new = ContactChange { at_ms: event.occurred_ms, content: bytes(profile) };
    merge(&mut changes.contacts, (event.tenant.clone(), subject), new, latest);
}

fn conversation(changes: &mut ConversationChanges, event: &Event) {
    let Some(id) = event.conversation else { return };
    let new = ConversationChange {
        channel: event.channel.as_str(),
        asset: event.asset.to_string(),
        subject: event.subject,
        last_at_ms: event.occurred_ms,
    };
    merge(&mut changes.conversations, (event.tenant.clone(), id), new, |known, new| {
        known.last_at_ms = known.last_at_ms.max(new.last_at_ms);
        // Nobody gives way to somebody, and two are a group.
        known.subject = match (known.subject, new.subject) {
            (Some(one), Some(other)) if one != other => Some(SEVERAL),
            (one, other) => one.or(other),
        };
    });
}

fn message(changes: &mut ConversationChanges, event: &Event, content: &MessageContent) {
    conversation(changes, event);
    let Some(conversation) = event.conversation else { return };
    let direction = event.direction.unwrap_or(if event.kind == Kind::MessageSent {
        Direction::Out
    } else {
        Direction::In
    });
    let new = MessageChange {
        imported: event.imported,
        at_ms: event.occurred_ms,
        event: event.id,
        conversation,
        direction: direction.as_str(),
        kind: word(&content.kind),
        content: bytes(content),
    };
    merge(&mut changes.messages, (event.tenant.clone(), key(event)), new, |known, new| {
        if new.rank() < known.rank() {
            *known = new;
        }
    });
}

/// Meta's word for what a message is, as a text that every database takes.
fn word(kind: &str) -> String {
    kind.chars().filter(|letter| !letter.is_control()).take(64).collect()
}

/// A pressed button shows as what the person said with it.
fn pressed(postback: &Postback) -> MessageContent {
    MessageContent {
        kind: "postback".to_owned(),
        text: postback.title.clone(),
        referral: postback.referral.clone(),
        ..MessageContent::default()
    }
}

/// What Meta gave no message id is known by its event.
fn key(event: &Event) -> MessageKey {
    event.message.unwrap_or_else(|| MessageKey::from_bytes(*event.id.as_bytes()))
}

fn edit(changes: &mut ConversationChanges, event: &Event, edited: &Edited) {
    let Some(message) = event.message else { return };
    let new = EditChange {
        revision: edited.revision.map_or(0, |revision| i64::try_from(revision).unwrap_or(i64::MAX)),
        at_ms: event.occurred_ms,
        event: event.id,
        content: bytes(edited),
    };
    merge(&mut changes.edits, (event.tenant.clone(), message), new, latest);
}

fn deletion(changes: &mut ConversationChanges, event: &Event) {
    let Some(message) = event.message else { return };
    let new = DeletionChange { at_ms: event.occurred_ms };
    merge(&mut changes.deletions, (event.tenant.clone(), message), new, |known, new| {
        known.at_ms = known.at_ms.min(new.at_ms);
    });
}

fn reaction(changes: &mut ConversationChanges, event: &Event) {
    let (Some(message), Content::Reaction(reaction)) = (event.message, &event.content) else { return };
    let out = event.direction == Some(Direction::Out);
    let new = ReactionChange {
        at_ms: event.occurred_ms,
        event: event.id,
        direction: if out { Direction::Out } else { Direction::In }.as_str(),
        content: reaction.emoji.is_some().then(|| bytes(reaction)),
    };
    let actor = event.subject.filter(|_| !out);
    merge(&mut changes.reactions, (event.tenant.clone(), message, actor), new, latest);
}

fn reached(
    changes: &mut ConversationChanges,
    tenant: &TenantId,
    message: MessageKey,
    status: DeliveryStatus,
) {
    let new = match status {
        DeliveryStatus::Sent => StatusChange { rank: SENT, failed: false },
        DeliveryStatus::Delivered => StatusChange { rank: DELIVERED, failed: false },
        DeliveryStatus::Read => StatusChange { rank: READ, failed: false },
        DeliveryStatus::Played => StatusChange { rank: PLAYED, failed: false },
        DeliveryStatus::Failed => StatusChange { rank: 0, failed: true },
    };
    merge(&mut changes.statuses, (tenant.clone(), message), new, |known, new| {
        known.rank = known.rank.max(new.rank);
        known.failed |= new.failed;
    });
}

fn watermark(changes: &mut ConversationChanges, event: &Event, mark: &Watermark) {
    let (status, rank) = match event.kind {
        Kind::ConversationRead => (DeliveryStatus::Read, READ),
        _ => (DeliveryStatus::Delivered, DELIVERED),
    };
    for message in &mark.messages {
        reached(changes, &event.tenant, *message, status);
    }
    if let (Some(conversation), Some(at_ms)) = (event.conversation, mark.watermark_ms) {
        let key: (TenantId, ConversationId, i16) = (event.tenant.clone(), conversation, rank);
        merge(&mut changes.watermarks, key, WatermarkChange { at_ms }, |known, new| {
            known.at_ms = known.at_ms.max(new.at_ms);
        });
    }
}

fn bytes(content: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(content).expect("string keys and plain values always serialize")
}
