//! What events change in the conversation view: one entry a row, and of each which of two stands. The fold makes them, and the
//! tables merge them by the same rules.

use std::collections::BTreeMap;

use schemas::{AttachmentId, ConversationId, EventId, MessageKey, SubjectId, TenantId};

use crate::coverage_mark::CoverageChange;
use crate::standing::{StandingChange, StandingKey};

/// What a batch of events changes, folded: one entry a row. Keys begin with the tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConversationChanges {
    /// Conversations.
    pub conversations: BTreeMap<(TenantId, ConversationId), ConversationChange>,
    /// What people call themselves.
    pub contacts: BTreeMap<(TenantId, SubjectId), ContactChange>,
    /// Messages.
    pub messages: BTreeMap<(TenantId, MessageKey), MessageChange>,
    /// The newest edit of each message.
    pub edits: BTreeMap<(TenantId, MessageKey), EditChange>,
    /// Messages that were taken back.
    pub deletions: BTreeMap<(TenantId, MessageKey), DeletionChange>,
    /// The newest reaction of each actor to each message; the actor is empty for the business.
    pub reactions: BTreeMap<(TenantId, MessageKey, Option<SubjectId>), ReactionChange>,
    /// How far sent messages came.
    pub statuses: BTreeMap<(TenantId, MessageKey), StatusChange>,
    /// How far conversations were delivered (2) and read (3).
    pub watermarks: BTreeMap<(TenantId, ConversationId, i16), WatermarkChange>,
    /// Files that messages name, and what became of them.
    pub attachments: BTreeMap<(TenantId, AttachmentId), AttachmentChange>,
    /// What stands until something newer is said.
    pub standing: BTreeMap<(TenantId, StandingKey), StandingChange>,
    /// Which items were applied.
    pub applied: CoverageChange,
}

/// Stands for the people of a group, where a conversation's person would stand. No subject is all zeros.
pub const SEVERAL: SubjectId = SubjectId::from_bytes([0; 16]);

/// A conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationChange {
    /// The product.
    pub channel: &'static str,
    /// The asset, `kind:id`.
    pub asset: String,
    /// The person; `None` when no event named one, [`SEVERAL`] once two were named, as in a group.
    pub subject: Option<SubjectId>,
    /// The newest event, Unix milliseconds.
    pub last_at_ms: i64,
}

/// What a person calls themselves; the newest wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContactChange {
    /// When Meta said so, Unix milliseconds.
    pub at_ms: i64,
    /// The event that said so.
    pub event: EventId,
    /// The profile, sealed.
    pub content: Vec<u8>,
}

/// A message; of two with one key the live one wins over that for another app, this over the imported one, a message over
/// what stands in its place, then the earliest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageChange {
    /// Brought by a history import.
    pub imported: bool,
    /// For another app to answer.
    pub standby: bool,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// The event that brought it.
    pub event: EventId,
    /// Where it belongs.
    pub conversation: ConversationId,
    /// For whom it is sealed; nobody: for the tenant itself.
    pub subject: Option<SubjectId>,
    /// `in` or `out`.
    pub direction: &'static str,
    /// What it is, in one word.
    pub kind: String,
    /// What it says, sealed.
    pub content: Vec<u8>,
}

impl MessageChange {
    /// What decides between two; the smaller wins.
    pub fn rank(&self) -> (bool, bool, bool, i64, EventId, Option<SubjectId>, ConversationId) {
        // Of one event that was told of two subjects, who turned out to be one in between, the smaller's stands.
        let Self { imported, standby, at_ms, event, subject, conversation, .. } = self;
        (*imported, *standby, self.kind == PLACEHOLDER, *at_ms, *event, *subject, *conversation)
    }
}

/// The kind of a message that stands in the place of another one, which is to come (`meta-platform.md` §3c.2).
pub(crate) const PLACEHOLDER: &str = "media_placeholder";

/// A message's new text; the highest revision wins, then the latest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EditChange {
    /// Meta's count of edits; 0 where it does not count.
    pub revision: i64,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// The event.
    pub event: EventId,
    /// For whom it is sealed.
    pub subject: Option<SubjectId>,
    /// What it says now, sealed.
    pub content: Vec<u8>,
}

/// A message was taken back; terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletionChange {
    /// Whose it is, as in [`ConversationChange`].
    pub subject: Option<SubjectId>,
    /// The first time it was said, Unix milliseconds.
    pub at_ms: i64,
}

/// A reaction set, or removed; the latest wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReactionChange {
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// The event.
    pub event: EventId,
    /// For whom it is sealed.
    pub subject: Option<SubjectId>,
    /// `in` or `out`.
    pub direction: &'static str,
    /// The reaction, sealed; `None` once removed.
    pub content: Option<Vec<u8>>,
}

/// A file: where it hangs, what became of it, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttachmentChange {
    /// Whose it is.
    pub subject: Option<SubjectId>,
    /// Where it hangs, once an event has named it.
    pub named: Option<AttachmentName>,
    /// What became of it.
    pub outcome: AttachmentOutcome,
    /// The newest time of all this, Unix milliseconds.
    pub at_ms: i64,
}

/// Where a file hangs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentName {
    /// The message.
    pub message: MessageKey,
    /// The event that names it.
    pub event: EventId,
    /// Its place there.
    pub position: i16,
    /// What it is said to be, in one word.
    pub kind: String,
}

/// What became of a file; the highest rank stands, and of two with one rank the greater by what else is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttachmentOutcome {
    /// 0 pending, 1 failed, 2 expired, 3 refused, 4 stored.
    pub rank: i16,
    /// Its size.
    pub bytes: Option<i64>,
    /// What its bytes are.
    pub media_type: Option<String>,
    /// Why it is not stored, in one word.
    pub reason: Option<String>,
}

/// How far a sent message came; only rises.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatusChange {
    /// Whose it is, as in [`ConversationChange`]: a status may come of a message that never had a row.
    pub subject: Option<SubjectId>,
    /// 0 none, 1 sent, 2 delivered, 3 read, 4 played.
    pub rank: i16,
    /// It was reported failed.
    pub failed: bool,
}

/// Everything up to here; only rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatermarkChange {
    /// Whose it is, as in [`ConversationChange`].
    pub subject: Option<SubjectId>,
    /// Unix milliseconds.
    pub at_ms: i64,
}
