//! Conversations and their messages.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One conversation of a tenant.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Conversation {
    /// Its id: 32 hexadecimal digits.
    pub id: String,
    /// `messenger`, `instagram` or `whatsapp`.
    pub channel: String,
    /// The asset it runs through, `channel:id`.
    pub asset: String,
    /// The person on the other side.
    pub contact: Contact,
    /// How many messages it holds.
    pub messages: u64,
    /// When something last happened in it.
    pub last_at: String,
}

/// The person on the other side of a conversation.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Contact {
    /// The person's subject: a random id that holds no identifier of theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The name they gave themselves, where Meta sent one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Their user name, where Meta sent one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// They objected: what is kept of them may not be used.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restricted: bool,
}

/// One message of a conversation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Message {
    /// Its id: 32 hexadecimal digits.
    pub id: String,
    /// The id of the event that brought it: its CloudEvent in the feed.
    pub event: String,
    /// `in` from the person, `out` to them.
    pub direction: String,
    /// What it is, such as `text` or `image`.
    pub kind: String,
    /// Its text or caption as it stands now; `null` when it has none or was deleted.
    pub text: Option<String>,
    /// When it was sent, by Meta's clock.
    pub at: String,
    /// How far it got: `sent`, `delivered`, `read`, `played`, `failed`; `null` when nobody said.
    pub status: Option<String>,
    /// Whether its text was changed after it was sent.
    pub edited: bool,
    /// Whether it was taken back.
    pub deleted: bool,
    /// What is attached.
    pub attachments: Vec<AttachmentView>,
    /// What people reacted with.
    pub reactions: Vec<ReactionView>,
}

/// A reference to an attachment.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AttachmentView {
    /// Its id, when it is a file that is fetched and kept: `/v1/tenants/{tenant}/attachments/{id}` has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Of a file: `pending` while it is fetched, then `stored`, or `refused`, `expired` or `failed` with a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Its size, once stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// What its bytes are, once stored; `application/octet-stream` when they are not what they claim to be.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Why it is not stored, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it is: `image`, `video`, `audio`, `document`, `sticker`, or Meta's word.
    pub kind: String,
    /// WhatsApp's media id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_id: Option<String>,
    /// Where Meta keeps it, for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Media type as declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Digest as declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What to call it: the last part of what its sender chose, without what cannot be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Its own caption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// Title of a share, post or reel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// A voice message.
    pub voice: bool,
}

/// A reaction.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReactionView {
    /// `in` from the person, `out` from the business.
    pub direction: String,
    /// The emoji, or Meta's word for it.
    pub emoji: String,
    /// When.
    pub at: String,
}

/// Something that stands until something newer is said: who answers, a call, a wish, a template.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Standing {
    /// What kind of thing: `thread`, `call`, `preference`, `address_book`, `asset`, `person`.
    pub side: String,
    /// Which of them, such as a template and which side of it; empty when there is one.
    pub item: String,
    /// The kind of event that said so, as in `docs/events.md`.
    pub kind: String,
    /// When it was said.
    pub since: String,
    /// What was said: that kind's content.
    pub content: serde_json::Value,
}

/// Something that was not read when it came, and how it reads with this version.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Reparsed {
    /// The event's id.
    pub id: String,
    /// When it happened.
    pub time: String,
    /// Meta's name of where it stood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Why it was not read.
    pub reason: String,
    /// What this version makes of it: events of their kinds, or `unrecognized` again.
    pub reads_as: Vec<Reading>,
}

/// One event that something reads as.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Reading {
    /// Its kind, as in `docs/events.md`.
    pub kind: String,
    /// Its content.
    pub content: serde_json::Value,
}
