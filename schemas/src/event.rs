//! Canonical events: one thing that happened in one conversation, in the same shape for the three products.

use crate::content::{ContactProfile, Content};
use crate::{
    Asset, Channel, ConversationId, EventId, IdKey, Kind, MessageKey, RawPosition, Source, SubjectId,
    TenantId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One event of one tenant (`design.md` §4).
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Derived from kind, asset and natural key: the same event has the same id however Meta batches or repeats it.
    pub id: EventId,
    /// What happened.
    pub kind: Kind,
    /// Whose it is.
    pub tenant: TenantId,
    /// The product it came through.
    pub channel: Channel,
    /// Where it happened, as exactly as the payload tells: the page, account or phone number; a business account only
    /// when no number is named.
    pub asset: Asset,
    /// The connected asset that led to the tenant: `asset` itself, or the business account it belongs to.
    pub route: Asset,
    /// Who acted: the person (`In`), the business (`Out`), or `None` for Meta itself, as in a status.
    pub direction: Option<Direction>,
    /// The conversation; `None` when it is about none.
    pub conversation: Option<ConversationId>,
    /// The person; `None` when it is about none.
    pub subject: Option<SubjectId>,
    /// The message it is, or is about.
    pub message: Option<MessageKey>,
    /// When, by Meta's clock, Unix milliseconds. A time that cannot be (missing, before 2010, more than five minutes after
    /// the arrival) is replaced by the arrival; `source` keeps what Meta wrote.
    pub occurred_ms: i64,
    /// When the delivery arrived, Unix milliseconds.
    pub received_ms: i64,
    /// Which part of which delivery it was read from.
    pub raw: RawPosition,
    /// Brought by a history import: no notification is due.
    pub imported: bool,
    /// Another app answers in the conversation: to be shown, not to be answered.
    pub standby: bool,
    /// What Meta tells about the person beside the event.
    pub contact: Option<ContactProfile>,
    /// What it holds.
    pub content: Content,
    /// The item exactly as it came.
    pub source: Source,
}

impl Event {
    /// The partition it belongs in: that of its conversation, else of its asset.
    pub fn partition(&self, partitions: u32) -> u32 {
        partition(self.conversation.as_ref(), &self.asset, partitions)
    }
}

/// The partition of what happened in this conversation, or else to this asset.
pub(crate) fn partition(conversation: Option<&ConversationId>, asset: &Asset, partitions: u32) -> u32 {
    let hash = match conversation {
        // Already uniformly random: HMAC output.
        Some(conversation) => {
            conversation.as_bytes().iter().take(8).fold(0, |hash, byte| (hash << 8) | u64::from(*byte))
        }
        None => {
            let mut hash = crate::partition::Fnv::default();
            hash.part(asset.kind().as_str().as_bytes());
            hash.part(asset.id().as_bytes());
            hash.finish()
        }
    };
    crate::partition::of(hash, partitions)
}

/// What an [`Item`](crate::Item) needs from its surroundings to become an event.
#[derive(Debug, Clone, Copy)]
pub struct EventContext<'a> {
    /// Whose the asset is.
    pub tenant: &'a TenantId,
    /// The connected asset that matched.
    pub asset: &'a Asset,
    /// The tenant's id-key.
    pub id_key: &'a IdKey,
    /// The subject that the item's persons are; `None` when it names nobody.
    pub subject: Option<SubjectId>,
    /// When the delivery arrived, Unix milliseconds.
    pub received_ms: i64,
    /// Which part of which delivery this is.
    pub raw: RawPosition,
}

/// Who acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The person.
    In,
    /// The business: through the API, Meta's own inbox or the WhatsApp Business app.
    Out,
}

impl Direction {
    /// The direction as its one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}
