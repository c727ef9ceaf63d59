//! What events hold. Personal data throughout, so `Debug` shows only which type it is. Fields cover what a view shows or a
//! reader acts on; everything else Meta sent is readable from the event's `source`. The published JSON Schemas are made from
//! these types and their comments.

mod account;
mod file;
mod message;
mod person;
mod public;
mod receipt;
mod thread;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_with::skip_serializing_none;

pub use account::{
    AccountUpdate, AssetErrors, CapabilityUpdate, FlowUpdate, HistoryProgress, NumberUpdate, PolicyNotice,
    Restriction, TemplateUpdate,
};
pub use file::{FileOutcome, FileState};
pub use message::{
    Attachment, Button, ContactCard, Edited, FormAnswer, Location, MessageContent, Order, OrderItem,
    Postback, Reaction, Referral, ReplyTo,
};
pub use person::{
    AccountLink, AddressBookEntry, ContactProfile, Conversion, Feedback, FeedbackAnswer, IdentityChange,
    OptIn, PersonLink, Preference,
};
pub use public::{Comment, FeedChange, Mention, StoryInsights};
pub use receipt::{DeliveryStatus, PlatformError, Pricing, Status, Watermark};
pub use thread::{AppRoles, Call, GroupUpdate, Owner, ThreadControl};

macro_rules! content {
    ($($(#[$comment:meta])* $name:ident($type:ident)),* $(,)?) => {
        /// What an event holds; its [`Kind`](crate::Kind) tells which.
        #[derive(Clone, PartialEq)]
        #[expect(
            clippy::large_enum_variant,
            reason = "most events are messages: a box would cost each of them an allocation"
        )]
        pub enum Content {
            $($(#[$comment])* $name($type),)*
            /// Of `MessageDeleted`.
            Deleted,
        }

        impl Serialize for Content {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $(Self::$name(content) => content.serialize(serializer),)*
                    Self::Deleted => Nothing {}.serialize(serializer),
                }
            }
        }

        impl fmt::Debug for Content {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$name(_) => concat!(stringify!($name), "(..)"),)*
                    Self::Deleted => "Deleted",
                })
            }
        }
    };
}

content! {
    /// Of `MessageReceived` and `MessageSent`.
    Message(MessageContent),
    /// Of `MessageEdited`.
    Edited(Edited),
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
    /// Of `OptinReceived`.
    OptIn(OptIn),
    /// Of `PreferenceChanged`.
    Preference(Preference),
    /// Of `FeedbackReceived`.
    Feedback(Feedback),
    /// Of `ThreadControl`.
    Thread(ThreadControl),
    /// Of `CallUpdated`.
    Call(Call),
    /// Of `GroupUpdated`.
    Group(GroupUpdate),
    /// Of `ContactUpdated`.
    AddressBook(AddressBookEntry),
    /// Of `IdentityChanged`.
    Identity(IdentityChange),
    /// Of `PersonMerged` and `PersonSplit`.
    Link(PersonLink),
    /// Of `AccountLinked`.
    AccountLink(AccountLink),
    /// Of `ConversionDetected`.
    Conversion(Conversion),
    /// Of `CommentChanged`.
    Comment(Comment),
    /// Of `FeedChanged`.
    Feed(FeedChange),
    /// Of `MentionReceived`.
    Mention(Mention),
    /// Of `StoryInsights`.
    Insights(StoryInsights),
    /// Of `TemplateUpdated`.
    Template(TemplateUpdate),
    /// Of `NumberUpdated`.
    Number(NumberUpdate),
    /// Of `AccountUpdated`.
    Account(AccountUpdate),
    /// Of `CapabilityUpdated`.
    Capability(CapabilityUpdate),
    /// Of `FlowUpdated`.
    Flow(FlowUpdate),
    /// Of `PolicyEnforced`.
    Policy(PolicyNotice),
    /// Of `AssetFailed`.
    Errors(AssetErrors),
    /// Of `HistoryProgressed`.
    History(HistoryProgress),
    /// Of `AttachmentStored` and `AttachmentFailed`.
    File(FileOutcome),
    /// Of `Unrecognized`.
    Unrecognized(Unrecognized),
}

/// The content of a kind that says everything by itself.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Nothing {}

/// Something this version does not read; the event's `source` has it whole.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unrecognized {
    /// Where it stood: Meta's name of the webhook field or list, such as `messages` or `game_plays`.
    pub field: Option<String>,
    /// Why it is not read.
    pub reason: Unread,
}

/// Why something is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unread {
    /// Its name is not known to this version.
    Unknown,
    /// Its name is known, but Meta's description of what it holds was never seen: kept until it is.
    Undocumented,
    /// Its name is known, but this one is not what it should be: a part is missing, doubled or of another type.
    Unreadable,
    /// It says that something changed, but not what it is now.
    Valueless,
}

impl Unread {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Unknown, Self::Undocumented, Self::Unreadable, Self::Valueless];

    /// The reason as its one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Undocumented => "undocumented",
            Self::Unreadable => "unreadable",
            Self::Valueless => "valueless",
        }
    }
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
pub(crate) const fn is_false(flag: &bool) -> bool {
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
    AccountLink,
    AccountUpdate,
    AddressBookEntry,
    AppRoles,
    AssetErrors,
    Attachment,
    Button,
    Call,
    CapabilityUpdate,
    Comment,
    ContactCard,
    ContactProfile,
    Conversion,
    Edited,
    FeedChange,
    Feedback,
    FeedbackAnswer,
    FileOutcome,
    FlowUpdate,
    FormAnswer,
    GroupUpdate,
    HistoryProgress,
    IdentityChange,
    Location,
    Mention,
    MessageContent,
    NumberUpdate,
    OptIn,
    Order,
    OrderItem,
    Owner,
    PersonLink,
    PlatformError,
    PolicyNotice,
    Postback,
    Preference,
    Pricing,
    Reaction,
    Referral,
    ReplyTo,
    Restriction,
    Source,
    Status,
    StoryInsights,
    TemplateUpdate,
    ThreadControl,
    Unrecognized,
    Watermark,
);
