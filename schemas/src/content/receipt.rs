//! How far messages have come.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use crate::MessageKey;

/// How far a sent message has come.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// How far.
    pub status: DeliveryStatus,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<PlatformError>,
    /// What it costs.
    pub pricing: Option<Pricing>,
    /// What the sender had attached to find it again.
    pub callback_data: Option<String>,
}

/// How far a sent message has come, in order; `Failed` stands outside the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
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
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pricing {
    /// Whether it is charged.
    pub billable: Option<bool>,
    /// Meta's pricing model.
    pub model: Option<String>,
    /// Why it is charged or free.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The rate it falls under.
    pub category: Option<String>,
}

/// An error as Meta reports it.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlatformError {
    /// Meta's number for it.
    pub code: Option<i64>,
    /// In a few words.
    pub title: Option<String>,
    /// In a sentence.
    pub details: Option<String>,
}

/// How far a conversation was read or delivered.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Watermark {
    /// Every message up to this time, Unix milliseconds. The highest counts.
    pub watermark_ms: Option<i64>,
    /// These messages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<MessageKey>,
}
