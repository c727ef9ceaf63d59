//! What events hold: message text, attachment references, reactions, statuses. Personal data throughout, so `Debug` shows
//! only which type it is. Fields cover what a view shows; everything else Meta sent is readable from the event's `source`.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{AttachmentId, MessageKey};

/// What an event holds; its [`Kind`](crate::Kind) tells which.
#[derive(Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "most events are messages: a box would cost each of them an allocation"
)]
pub enum Content {
    /// Of `MessageReceived` and `MessageSent`.
    Message(MessageContent),
    /// Of `MessageEdited`.
    Edited(Edited),
    /// Of `MessageDeleted`.
    Deleted,
    /// Of `MessageReacted`.
    Reaction(Reaction),
    /// Of `MessageStatus`.
    Status(Status),
    /// Of `ConversationRead` and `ConversationDelivered`.
    Watermark(Watermark),
    /// Of `PostbackReceived`.
    Postback(Postback),
    /// Of `ReferralReceived`.
    Referral(Referral),
    /// Of `AttachmentStored` and `AttachmentFailed`.
    File(FileOutcome),
    /// Of `Unrecognized`.
    Unrecognized(Unrecognized),
}

/// What became of a message's file. Nothing in it is of the person.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileOutcome {
    /// Which file.
    pub attachment: AttachmentId,
    /// What became of it.
    pub state: FileState,
    /// Its size in bytes, once stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// What its bytes are, as far as they can be trusted: `application/octet-stream` when they are not what they claim.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Why it is not stored, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    /// It is in the store, sealed for its person.
    Stored,
    /// It is one that is not taken: from a wrong place, too large, not what was announced.
    Refused,
    /// Meta had it no longer.
    Expired,
    /// It could not be fetched in all the time there was.
    Failed,
}

impl FileState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Stored, Self::Refused, Self::Expired, Self::Failed];

    /// The state as its one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Failed => "failed",
        }
    }

    /// The state of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// A message.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MessageContent {
    /// What it is, in one word: `text`, `image`, `video`, `audio`, `document`, `sticker`, `location`, `contacts`,
    /// `interactive`, `button`, `order`, `system`, `unsupported`, `share`, `post`, `reel`, `story_mention`, `template`, or
    /// the word Meta used for something newer.
    pub kind: String,
    /// What to show: the text, caption, pressed button's title, contact names. Lone surrogates read U+FFFD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Files, shares and the like, by reference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// What it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<ReplyTo>,
    /// The button, quick reply, list row or form that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub button: Option<Button>,
    /// A place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Contact cards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cards: Vec<ContactCard>,
    /// A shopping cart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// The ad or link that led here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referral: Option<Referral>,
    /// Of a system message, what it tells: `user_changed_number`, `user_changed_user_id`, `customer_identity_changed`; of
    /// an unsupported one, what it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Forwarded from another chat.
    #[serde(default, skip_serializing_if = "is_false")]
    pub forwarded: bool,
    /// Of a sent one, the Meta app that sent it; absent when a person did in Meta's inbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// What Meta reports wrong with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<PlatformError>,
}

/// A file, share or the like, by reference: the bytes are fetched elsewhere.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Attachment {
    /// The file's id, when it is one that is fetched and kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<AttachmentId>,
    /// `image`, `video`, `audio`, `document`, `sticker`, `share`, `post`, `reel`, `story_mention`, `template`, or Meta's word.
    pub kind: String,
    /// WhatsApp's media id, good for seven days (`meta-platform.md` §5.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_id: Option<String>,
    /// Where Meta keeps it, for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Media type as declared, with its parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Digest as declared: base64, at times hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// File name as declared. Not to be trusted as a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Its own caption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// Title of a share, post or reel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// A voice message.
    #[serde(default, skip_serializing_if = "is_false")]
    pub voice: bool,
}

impl Attachment {
    /// Whether it is a file to fetch, rather than a link to something that stays at Meta.
    pub fn is_file(&self) -> bool {
        const FILES: [&str; 9] = [
            "image",
            "video",
            "audio",
            "voice",
            "document",
            "file",
            "sticker",
            "animated_image",
            "story_mention",
        ];
        self.media_id.is_some() || (self.url.is_some() && FILES.contains(&self.kind.as_str()))
    }
}

/// What a message answers.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ReplyTo {
    /// The message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<MessageKey>,
    /// The Instagram story, where Meta keeps it, for at most a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub story_url: Option<String>,
}

/// The button, quick reply, list row or form that was used.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Button {
    /// `quick_reply`, `button`, `list`, `form` or `call_permission`.
    pub kind: String,
    /// What the person saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What the business had put behind it; of a form, its answers as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
}

/// A place.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Location {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it is, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// A contact card.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ContactCard {
    /// The name on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The numbers on it, as written there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phones: Vec<String>,
}

/// A shopping cart.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The catalogue it is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog_id: Option<String>,
    /// What is in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<OrderItem>,
}

/// One line of a shopping cart. Numbers are kept as Meta wrote them.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OrderItem {
    /// The seller's id of the product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// How many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<String>,
    /// Price of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<String>,
    /// In what currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
}

/// A message's new text.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Edited {
    /// The text, or caption, as it reads now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Messenger's and Instagram's count of edits: the highest is the newest. WhatsApp has none: the latest is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The attachments it has now, when the edit names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
}

/// A reaction set or removed.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reaction {
    /// The emoji, or Meta's word for it when there is none; absent when the reaction was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emoji: Option<String>,
}

/// How far a sent message has come.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// How far.
    pub status: DeliveryStatus,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<PlatformError>,
    /// What it costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pricing: Option<Pricing>,
    /// What the sender had attached to find it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_data: Option<String>,
}

/// How far a sent message has come, in order; `Failed` stands outside the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// Meta took it.
    Sent,
    /// It reached a device.
    Delivered,
    /// It was opened.
    Read,
    /// Its voice message was played.
    Played,
    /// It did not go through.
    Failed,
}

impl DeliveryStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Sent, Self::Delivered, Self::Read, Self::Played, Self::Failed];

    /// The status as its one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
            Self::Failed => "failed",
        }
    }

    /// The status of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// What a message costs (`meta-platform.md` §3c.1).
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pricing {
    /// Whether it is charged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billable: Option<bool>,
    /// Meta's pricing model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Why it is charged or free.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The rate it falls under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
}

/// An error as Meta reports it.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PlatformError {
    /// Meta's number for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    /// In a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// In a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
}

/// How far a conversation was read or delivered.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Watermark {
    /// Every message up to this time, Unix milliseconds. The highest counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark_ms: Option<i64>,
    /// These messages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<MessageKey>,
}

/// A pressed button of a menu, greeting or template.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Postback {
    /// What the person saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What the business had put behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// The ad or link that led here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referral: Option<Referral>,
}

/// The ad or link that led a person here. What Meta calls `source` is `origin` here: an event's `source` is its exact text.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Referral {
    /// What the business had put into the link (`ref`).
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Where from: `ADS`, `SHORTLINK`, `ad`, `post` and so on, as Meta writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// What for: `OPEN_THREAD` and so on.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The ad or post.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ad_id: Option<String>,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Its headline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The product asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_id: Option<String>,
    /// Meta's id of the click (`ctwa_clid`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub click_id: Option<String>,
}

/// Something this version does not read.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Unrecognized {
    /// Where it stood: Meta's name of the webhook field or list, such as `calls` or `standby`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// What Meta tells about a person beside an event.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactProfile {
    /// The name they chose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The user name they chose, without `@`. It can change or vanish: not a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
}

/// A piece of a delivery exactly as Meta wrote it: valid JSON, byte for byte.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Source(Box<RawValue>);

impl Source {
    pub(crate) fn new(raw: Box<RawValue>) -> Self {
        Self(raw)
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

macro_rules! silent_debug {
    ($($name:ident),* $(,)?) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )*};
}
silent_debug!(
    Attachment,
    Button,
    ContactCard,
    ContactProfile,
    Edited,
    FileOutcome,
    Location,
    MessageContent,
    Order,
    OrderItem,
    PlatformError,
    Postback,
    Pricing,
    Reaction,
    Referral,
    ReplyTo,
    Source,
    Status,
    Unrecognized,
    Watermark,
);

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Message(_) => "Message(..)",
            Self::Edited(_) => "Edited(..)",
            Self::Deleted => "Deleted",
            Self::Reaction(_) => "Reaction(..)",
            Self::Status(_) => "Status(..)",
            Self::Watermark(_) => "Watermark(..)",
            Self::Postback(_) => "Postback(..)",
            Self::Referral(_) => "Referral(..)",
            Self::File(_) => "File(..)",
            Self::Unrecognized(_) => "Unrecognized(..)",
        })
    }
}
