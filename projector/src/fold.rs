//! The conversation fold: what events change, as rows to be merged.
//!
//! Pure, and a join of lattices throughout: of everything that can happen twice one rule says which stands, so the same
//! changes come out however events are ordered, repeated or cut into batches. `store` merges them into its tables by the same
//! rules.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use schemas::{
    AttachmentId, ConversationId, DeliveryStatus, Direction, FileOutcome, FileState, Kind, MessageKey,
    PersonLink, SealedEvent, SubjectId, TenantId,
};
use store::{
    AttachmentChange, AttachmentName, AttachmentOutcome, ContactChange, ConversationChange,
    ConversationChanges, DeletionChange, EditChange, MessageChange, ReactionChange, SEVERAL, Side,
    StandingChange, StandingKey, StatusChange, WatermarkChange,
};

const SENT: i16 = 1;
const DELIVERED: i16 = 2;
const READ: i16 = 3;
const PLAYED: i16 = 4;

/// What these events change.
pub fn fold<'a>(events: impl IntoIterator<Item = &'a SealedEvent>) -> ConversationChanges {
    let mut changes = ConversationChanges::default();
    for event in events {
        fold_into(&mut changes, event);
    }
    changes
}

/// Adds what one event changes to what others did.
pub fn fold_into(changes: &mut ConversationChanges, event: &SealedEvent) {
    add(changes, event.clone());
}

/// Adds what one event changes.
pub(crate) fn add(changes: &mut ConversationChanges, mut event: SealedEvent) {
    // What Tidings itself says of an item is not that item.
    if !event.kind.is_ours() {
        changes.applied.routed(&event.tenant, event.raw.raw, event.raw.index, event.raw.count);
    }
    contact(changes, &mut event);
    match event.kind {
        Kind::MessageReceived | Kind::MessageSent | Kind::PostbackReceived => {
            files(changes, &event);
            // An imported message tells how far it had come.
            if let (Kind::MessageSent, Some(message), Some(status)) =
                (event.kind, event.message, event.facts.status)
            {
                reached(changes, &event, message, status);
            }
            message(changes, event);
        }
        Kind::ReferralReceived => conversation(changes, &event),
        Kind::MessageEdited => {
            files(changes, &event);
            edit(changes, event);
        }
        Kind::MessageDeleted => deletion(changes, &event),
        Kind::MessageReacted => reaction(changes, event),
        Kind::MessageStatus => {
            if let (Some(message), Some(status)) = (event.message, event.facts.status) {
                reached(changes, &event, message, status);
            }
        }
        Kind::ConversationRead | Kind::ConversationDelivered => watermark(changes, &event),
        Kind::AttachmentStored | Kind::AttachmentFailed => outcome(changes, &event),
        Kind::IdentityChanged => message(changes, event),
        // What stands, or nothing that a view shows.
        _ => standing(changes, event),
    }
}

/// What stands until something newer is said.
fn standing(changes: &mut ConversationChanges, event: SealedEvent) {
    let Some((key, rank)) = stands(&event) else { return };
    if matches!(event.kind, Kind::CallUpdated | Kind::OptinReceived) {
        conversation(changes, &event);
    }
    let new = StandingChange {
        rank,
        at_ms: event.occurred_ms,
        event: event.id,
        kind: event.kind.as_str(),
        conversation: event.conversation,
        subject: event.subject,
        content: event.content,
    };
    merge(&mut changes.standing, (event.tenant, key), new, latest);
}

/// Which thing an event speaks of, and what counts before its time; nothing when it names none.
fn stands(event: &SealedEvent) -> Option<(StandingKey, i16)> {
    let word = event.facts.kind.as_deref().unwrap_or_default();
    let key = |side, holder: &[u8], item: String| StandingKey { side, holder: holder.to_vec(), item };
    Some(match event.kind {
        // Who asks to answer does not answer yet.
        Kind::ThreadControl if matches!(word, "passed" | "taken") => {
            (key(Side::Thread, event.conversation?.as_bytes(), String::new()), 0)
        }
        Kind::CallUpdated => {
            let rank = match word {
                "ringing" => 1,
                "connect" | "accepted" => 2,
                "rejected" | "terminate" => 3,
                _ => 0,
            };
            (key(Side::Call, event.message?.as_bytes(), String::new()), rank)
        }
        Kind::PreferenceChanged | Kind::OptinReceived => {
            (key(Side::Preference, event.subject?.as_bytes(), word.to_owned()), 0)
        }
        Kind::ContactUpdated => (key(Side::AddressBook, event.subject?.as_bytes(), String::new()), 0),
        Kind::PersonMerged | Kind::PersonSplit => {
            let (into, from) = event.facts.people?;
            // An operator's word stands against any payload's.
            let rank = i16::from(word == PersonLink::OPERATOR);
            (key(Side::Person, from.as_bytes(), into.to_string()), rank)
        }
        Kind::TemplateUpdated
        | Kind::NumberUpdated
        | Kind::AccountUpdated
        | Kind::CapabilityUpdated
        | Kind::FlowUpdated
        | Kind::PolicyEnforced
        | Kind::AssetFailed
        | Kind::HistoryProgressed => {
            let item = match &event.facts.item {
                Some(item) => format!("{word}:{item}"),
                None => word.to_owned(),
            };
            (key(Side::Asset, event.asset.to_string().as_bytes(), item), 0)
        }
        // Those that are rows of their own, and those that no view shows.
        Kind::MessageReceived
        | Kind::MessageSent
        | Kind::MessageEdited
        | Kind::MessageDeleted
        | Kind::MessageReacted
        | Kind::MessageStatus
        | Kind::ConversationRead
        | Kind::ConversationDelivered
        | Kind::PostbackReceived
        | Kind::ReferralReceived
        | Kind::IdentityChanged
        | Kind::AttachmentStored
        | Kind::AttachmentFailed
        | Kind::ThreadControl
        | Kind::FeedbackReceived
        | Kind::GroupUpdated
        | Kind::AccountLinked
        | Kind::ConversionDetected
        | Kind::CommentChanged
        | Kind::FeedChanged
        | Kind::MentionReceived
        | Kind::StoryInsights
        | Kind::Unrecognized => return None,
    })
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

fn contact(changes: &mut ConversationChanges, event: &mut SealedEvent) {
    let (Some(subject), Some(content)) = (event.subject, event.contact.take()) else { return };
    let new = ContactChange { at_ms: event.occurred_ms, event: event.id, content };
    merge(&mut changes.contacts, (event.tenant.clone(), subject), new, latest);
}

fn conversation(changes: &mut ConversationChanges, event: &SealedEvent) {
    let Some(id) = event.conversation else { return };
    let new = ConversationChange {
        channel: event.channel.as_str(),
        asset: event.asset.to_string(),
        subject: event.subject,
        last_at_ms: event.occurred_ms,
    };
    merge(&mut changes.conversations, (event.tenant.clone(), id), new, |known, new| {
        known.last_at_ms = known.last_at_ms.max(new.last_at_ms);
        known.subject = whose(known.subject, new.subject);
    });
}

/// Nobody gives way to somebody, and two are a group.
fn whose(known: Option<SubjectId>, new: Option<SubjectId>) -> Option<SubjectId> {
    match (known, new) {
        (Some(one), Some(other)) if one != other => Some(SEVERAL),
        (one, other) => one.or(other),
    }
}

fn message(changes: &mut ConversationChanges, event: SealedEvent) {
    conversation(changes, &event);
    let Some(conversation) = event.conversation else { return };
    let direction = event.direction.unwrap_or(if event.kind == Kind::MessageSent {
        Direction::Out
    } else {
        Direction::In
    });
    let key = (event.tenant.clone(), key(&event));
    let new = MessageChange {
        imported: event.imported,
        standby: event.standby,
        at_ms: event.occurred_ms,
        event: event.id,
        conversation,
        subject: event.subject,
        direction: direction.as_str(),
        kind: event.facts.kind.unwrap_or_default(),
        content: event.content,
    };
    merge(&mut changes.messages, key, new, |known, new| {
        if new.rank() < known.rank() {
            *known = new;
        }
    });
}

/// What Meta gave no message id is known by its event.
fn key(event: &SealedEvent) -> MessageKey {
    event.message.unwrap_or_else(|| MessageKey::from_bytes(*event.id.as_bytes()))
}

fn edit(changes: &mut ConversationChanges, event: SealedEvent) {
    let Some(message) = event.message else { return };
    let revision = event.facts.revision;
    let new = EditChange {
        revision: revision.map_or(0, |revision| i64::try_from(revision).unwrap_or(i64::MAX)),
        at_ms: event.occurred_ms,
        event: event.id,
        subject: event.subject,
        content: event.content,
    };
    merge(&mut changes.edits, (event.tenant, message), new, |known, new| {
        let rank = |edit: &EditChange| (edit.revision, edit.at_ms, edit.event);
        if rank(&new) > rank(known) {
            *known = new;
        }
    });
}

fn deletion(changes: &mut ConversationChanges, event: &SealedEvent) {
    let Some(message) = event.message else { return };
    let new = DeletionChange { subject: event.subject, at_ms: event.occurred_ms };
    merge(&mut changes.deletions, (event.tenant.clone(), message), new, |known, new| {
        known.at_ms = known.at_ms.min(new.at_ms);
        known.subject = whose(known.subject, new.subject);
    });
}

fn reaction(changes: &mut ConversationChanges, event: SealedEvent) {
    let Some(message) = event.message else { return };
    let out = event.direction == Some(Direction::Out);
    let new = ReactionChange {
        at_ms: event.occurred_ms,
        event: event.id,
        subject: event.subject,
        direction: if out { Direction::Out } else { Direction::In }.as_str(),
        content: (!event.facts.removed).then_some(event.content),
    };
    let actor = event.subject.filter(|_| !out);
    merge(&mut changes.reactions, (event.tenant, message, actor), new, |known, new| {
        if (new.at_ms, new.event) > (known.at_ms, known.event) {
            *known = new;
        }
    });
}

fn reached(
    changes: &mut ConversationChanges,
    event: &SealedEvent,
    message: MessageKey,
    status: DeliveryStatus,
) {
    let (rank, failed) = match status {
        DeliveryStatus::Sent => (SENT, false),
        DeliveryStatus::Delivered => (DELIVERED, false),
        DeliveryStatus::Read => (READ, false),
        DeliveryStatus::Played => (PLAYED, false),
        DeliveryStatus::Failed => (0, true),
    };
    let new = StatusChange { subject: event.subject, rank, failed };
    merge(&mut changes.statuses, (event.tenant.clone(), message), new, |known, new| {
        known.rank = known.rank.max(new.rank);
        known.failed |= new.failed;
        known.subject = whose(known.subject, new.subject);
    });
}

fn watermark(changes: &mut ConversationChanges, event: &SealedEvent) {
    let (status, rank) = match event.kind {
        Kind::ConversationRead => (DeliveryStatus::Read, READ),
        _ => (DeliveryStatus::Delivered, DELIVERED),
    };
    for message in &event.facts.messages {
        reached(changes, event, *message, status);
    }
    if let (Some(conversation), Some(at_ms)) = (event.conversation, event.facts.watermark_ms) {
        let key: (TenantId, ConversationId, i16) = (event.tenant.clone(), conversation, rank);
        let new = WatermarkChange { subject: event.subject, at_ms };
        merge(&mut changes.watermarks, key, new, |known, new| {
            known.at_ms = known.at_ms.max(new.at_ms);
            known.subject = whose(known.subject, new.subject);
        });
    }
}

/// The files that a message or an edit names.
fn files(changes: &mut ConversationChanges, event: &SealedEvent) {
    for (position, file) in (0..).zip(&event.facts.files) {
        let name = AttachmentName { message: key(event), event: event.id, position, kind: file.kind.clone() };
        let new = AttachmentChange {
            subject: event.subject,
            named: Some(name),
            at_ms: event.occurred_ms,
            ..AttachmentChange::default()
        };
        attachment(changes, event, file.id, new);
    }
}

/// What became of a file.
fn outcome(changes: &mut ConversationChanges, event: &SealedEvent) {
    let Some(FileOutcome { attachment: id, state, bytes, media_type, reason }) = &event.facts.file else {
        return;
    };
    let rank = match state {
        FileState::Failed => 1,
        FileState::Expired => 2,
        FileState::Refused => 3,
        FileState::Stored => 4,
    };
    let new = AttachmentChange {
        subject: event.subject,
        named: None,
        outcome: AttachmentOutcome {
            rank,
            bytes: bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
            media_type: media_type.clone(),
            reason: reason.clone(),
        },
        at_ms: event.occurred_ms,
    };
    attachment(changes, event, *id, new);
}

fn attachment(
    changes: &mut ConversationChanges,
    event: &SealedEvent,
    id: AttachmentId,
    new: AttachmentChange,
) {
    merge(&mut changes.attachments, (event.tenant.clone(), id), new, |known, new| {
        known.subject = known.subject.or(new.subject);
        known.named = known.named.take().or(new.named);
        latest(&mut known.outcome, new.outcome);
        known.at_ms = known.at_ms.max(new.at_ms);
    });
}
