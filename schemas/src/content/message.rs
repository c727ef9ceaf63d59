//! What messages hold, and what is done to them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use crate::content::{DeliveryStatus, PlatformError, is_false};
use crate::{AttachmentId, MessageKey};

/// A message.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MessageContent {
    /// What it is, in one word: `text`, `image`, `video`, `audio`, `document`, `sticker`, `location`, `contacts`,
    /// `interactive`, `button`, `order`, `system`, `unsupported`, `share`, `post`, `reel`, `story_mention`, `template`, or
    /// the word Meta used for something newer.
    pub kind: String,
    /// What to show: the text, caption, pressed button's title, contact names. Lone surrogates read U+FFFD.
    pub text: Option<String>,
    /// Files, shares and the like, by reference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// What it answers.
    pub reply_to: Option<ReplyTo>,
    /// The button, quick reply, list row or form that was used.
    pub button: Option<Button>,
    /// A place.
    pub location: Option<Location>,
    /// Contact cards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cards: Vec<ContactCard>,
    /// A shopping cart.
    pub order: Option<Order>,
    /// The ad or link that led here.
    pub referral: Option<Referral>,
    /// Of an unsupported message, what it was; of an appointment, its status; of a system message that this version does
    /// not know, what it tells.
    pub detail: Option<String>,
    /// Forwarded from another chat.
    #[serde(default, skip_serializing_if = "is_false")]
    pub forwarded: bool,
    /// Of a sent one, the Meta app that sent it; absent when a person did in Meta's inbox.
    pub app_id: Option<String>,
    /// What Meta reports wrong with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<PlatformError>,
    /// Of one that was imported, how far it had come.
    pub status: Option<DeliveryStatus>,
}

/// A file, share or the like, by reference: the bytes are fetched elsewhere.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attachment {
    /// The file's id, when it is one that is fetched and kept.
    pub id: Option<AttachmentId>,
    /// `image`, `video`, `audio`, `document`, `sticker`, `share`, `post`, `reel`, `story_mention`, `template`, or Meta's word.
    pub kind: String,
    /// WhatsApp's media id, good for seven days (`meta-platform.md` §5.1).
    pub media_id: Option<String>,
    /// Where Meta keeps it, for a while.
    pub url: Option<String>,
    /// Media type as declared, with its parameters.
    pub mime_type: Option<String>,
    /// Digest as declared: base64, at times hexadecimal.
    pub sha256: Option<String>,
    /// File name as declared. Not to be trusted as a path.
    pub filename: Option<String>,
    /// Its own caption.
    pub caption: Option<String>,
    /// Title of a share, post or reel.
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
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReplyTo {
    /// The message.
    pub message: Option<MessageKey>,
    /// The Instagram story, where Meta keeps it, for at most a day.
    pub story_url: Option<String>,
}

/// The button, quick reply, list row or form that was used.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Button {
    /// `quick_reply`, `button`, `list`, `form` or `call_permission`.
    pub kind: String,
    /// What the person saw.
    pub title: Option<String>,
    /// What the business had put behind it; of a form, its answers as JSON text.
    pub payload: Option<String>,
}

/// A place.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Location {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// What it is called.
    pub name: Option<String>,
    /// Where it is, in words.
    pub address: Option<String>,
}

/// A contact card.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContactCard {
    /// The name on it.
    pub name: Option<String>,
    /// The numbers on it, as written there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phones: Vec<String>,
}

/// A shopping cart.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Order {
    /// The catalogue it is from.
    pub catalog_id: Option<String>,
    /// What is in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<OrderItem>,
}

/// One line of a shopping cart. Numbers are kept as Meta wrote them.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderItem {
    /// The seller's id of the product.
    pub product: Option<String>,
    /// How many.
    pub quantity: Option<String>,
    /// Price of one.
    pub price: Option<String>,
    /// In what currency.
    pub currency: Option<String>,
}

/// A message's new text.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Edited {
    /// The text, or caption, as it reads now.
    pub text: Option<String>,
    /// Messenger's and Instagram's count of edits: the highest is the newest. WhatsApp has none: the latest is.
    pub revision: Option<u64>,
    /// The attachments it has now, when the edit names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
}

/// A reaction set or removed.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reaction {
    /// The emoji, or Meta's word for it when there is none; absent when the reaction was removed.
    pub emoji: Option<String>,
}

/// A pressed button of a menu, greeting or template.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Postback {
    /// What the person saw.
    pub title: Option<String>,
    /// What the business had put behind it.
    pub payload: Option<String>,
    /// The ad or link that led here.
    pub referral: Option<Referral>,
    /// The coupon it was a click on.
    pub coupon: Option<String>,
}

/// The ad or link that led a person here. What Meta calls `source` is `origin` here: an event's `source` is its exact text.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Referral {
    /// What the business had put into the link (`ref`).
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// Where from: `ADS`, `SHORTLINK`, `ad`, `post` and so on, as Meta writes it.
    pub origin: Option<String>,
    /// What for: `OPEN_THREAD` and so on.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The ad or post.
    pub ad_id: Option<String>,
    /// Its address.
    pub url: Option<String>,
    /// Its headline.
    pub title: Option<String>,
    /// Its text.
    pub text: Option<String>,
    /// The product asked about.
    pub product_id: Option<String>,
    /// Meta's id of the click (`ctwa_clid`).
    pub click_id: Option<String>,
    /// What was answered in the ad's form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<FormAnswer>,
}

/// An answer in an ad's form.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FormAnswer {
    /// What was asked.
    pub question: Option<String>,
    /// What was answered.
    pub answer: Option<String>,
}
