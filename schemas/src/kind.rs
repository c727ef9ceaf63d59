//! What can happen: every kind of event, its word, its version, what it holds. One table, from which the published contract
//! is made too.

use schemars::{Schema, SchemaGenerator};
use serde::Deserialize;

use crate::content::{self, Content};

macro_rules! content_of {
    ($raw:ident, Deleted) => {
        Ok(Content::Deleted)
    };
    ($raw:ident, $content:ident($type:ident)) => {
        part::<content::$type>($raw).map(Content::$content)
    };
}

macro_rules! schema_of {
    ($generator:ident, Deleted) => {
        $generator.subschema_for::<content::Nothing>()
    };
    ($generator:ident, $content:ident($type:ident)) => {
        $generator.subschema_for::<content::$type>()
    };
}

macro_rules! kinds {
    ($($(#[doc = $comment:literal])* $kind:ident = $word:literal v $version:literal, $content:ident $(($type:ident))?;)*) => {
        /// What happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[doc = $comment])* $kind,)*
        }

        impl Kind {
            /// Every kind, for metrics and documentation.
            pub const ALL: [Self; [$($word),*].len()] = [$(Self::$kind),*];

            /// The kind as its one word; never changes, because event ids are keyed by it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $word,)*
                }
            }

            /// The version of what it holds that is written today. Older ones are read too.
            pub const fn version(self) -> u8 {
                match self {
                    $(Self::$kind => $version,)*
                }
            }

            /// What it is, in a sentence or two.
            pub fn meaning(self) -> String {
                match self {
                    $(Self::$kind => concat!($($comment),*).trim().to_owned(),)*
                }
            }

            /// What a kind holds, from the JSON of its version of today.
            pub(crate) fn read(self, raw: &str) -> Result<Content, serde_json::Error> {
                match self {
                    $(Self::$kind => content_of!(raw, $content $(($type))?),)*
                }
            }

            pub(crate) fn schema(self, generator: &mut SchemaGenerator) -> Schema {
                match self {
                    $(Self::$kind => schema_of!(generator, $content $(($type))?),)*
                }
            }
        }
    };
}

fn part<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, serde_json::Error> {
    serde_json::from_str(json)
}

kinds! {
    /// The person wrote.
    MessageReceived = "message.received" v 1, Message(MessageContent);
    /// The business wrote, here or elsewhere.
    MessageSent = "message.sent" v 1, Message(MessageContent);
    /// A message got another text.
    MessageEdited = "message.edited" v 1, Edited(Edited);
    /// A message was taken back.
    MessageDeleted = "message.deleted" v 1, Deleted;
    /// A reaction was set or removed.
    MessageReacted = "message.reacted" v 1, Reaction(Reaction);
    /// A sent message was sent, delivered, read, played or failed.
    MessageStatus = "message.status" v 1, Status(Status);
    /// Everything up to a time, or one message, was read.
    ConversationRead = "conversation.read" v 1, Watermark(Watermark);
    /// Everything up to a time, or some messages, were delivered.
    ConversationDelivered = "conversation.delivered" v 1, Watermark(Watermark);
    /// The person pressed a button of a menu, greeting or template.
    PostbackReceived = "postback.received" v 1, Postback(Postback);
    /// The person came through a link or an ad.
    ReferralReceived = "referral.received" v 1, Referral(Referral);
    /// The person agreed to be written to later, or took it back.
    OptinReceived = "optin.received" v 1, OptIn(OptIn);
    /// The person said which messages they want.
    PreferenceChanged = "preference.changed" v 1, Preference(Preference);
    /// The person said what they thought of an answer, or filled in a survey.
    FeedbackReceived = "feedback.received" v 1, Feedback(Feedback);
    /// Another app answers in the conversation from now on, or asks to.
    ThreadControl = "thread.control" v 1, Thread(ThreadControl);
    /// A call rings, was taken, or ended.
    CallUpdated = "call.updated" v 1, Call(Call);
    /// A group was made, changed or ended, or somebody joined or left.
    GroupUpdated = "group.updated" v 1, Group(GroupUpdate);
    /// The business changed how it calls the person in its address book.
    ContactUpdated = "contact.updated" v 1, AddressBook(AddressBookEntry);
    /// The person has another number, user id or security code.
    IdentityChanged = "identity.changed" v 1, Identity(IdentityChange);
    /// Two subjects turned out to be one person. Made by Tidings itself.
    PersonMerged = "person.merged" v 1, Link(PersonLink);
    /// Two subjects turned out not to be one person after all. Made by Tidings itself.
    PersonSplit = "person.split" v 1, Link(PersonLink);
    /// The person linked their account with the business, or ended it.
    AccountLinked = "account.linked" v 1, AccountLink(AccountLink);
    /// Meta noticed that an ad has led to something.
    ConversionDetected = "conversion.detected" v 1, Conversion(Conversion);
    /// A comment was written, changed, hidden or removed. Part of no conversation.
    CommentChanged = "comment.changed" v 1, Comment(Comment);
    /// Something else changed on a page's feed. Part of no conversation.
    FeedChanged = "feed.changed" v 1, Feed(FeedChange);
    /// The page or account was mentioned. Part of no conversation.
    MentionReceived = "mention.received" v 1, Mention(Mention);
    /// How an expired story was seen. Part of no conversation.
    StoryInsights = "story.insights" v 1, Insights(StoryInsights);
    /// A message template got another status, quality, text or category.
    TemplateUpdated = "template.updated" v 1, Template(TemplateUpdate);
    /// A number got another quality, limit, name, user name or setting.
    NumberUpdated = "number.updated" v 1, Number(NumberUpdate);
    /// Something happened to a business account.
    AccountUpdated = "account.updated" v 1, Account(AccountUpdate);
    /// A business account may do more or less.
    CapabilityUpdated = "capability.updated" v 1, Capability(CapabilityUpdate);
    /// A form (flow) changed its status, or does badly.
    FlowUpdated = "flow.updated" v 1, Flow(FlowUpdate);
    /// Meta warns, blocks or unblocks a page or account.
    PolicyEnforced = "policy.enforced" v 1, Policy(PolicyNotice);
    /// Something goes wrong with a number as a whole.
    AssetFailed = "asset.failed" v 1, Errors(AssetErrors);
    /// A history import went on, ended, or was declined.
    HistoryProgressed = "history.progressed" v 1, History(HistoryProgress);
    /// A message's file is in the store. Made by Tidings itself.
    AttachmentStored = "attachment.stored" v 1, File(FileOutcome);
    /// A message's file will not be in the store, and why. Made by Tidings itself.
    AttachmentFailed = "attachment.failed" v 1, File(FileOutcome);
    /// Something this version does not read; `source` has it whole.
    Unrecognized = "unrecognized" v 2, Unrecognized(Unrecognized);
}

impl Kind {
    /// The kind of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether Tidings itself makes it, of nothing that Meta sent.
    pub const fn is_ours(self) -> bool {
        matches!(
            self,
            Self::AttachmentStored | Self::AttachmentFailed | Self::PersonMerged | Self::PersonSplit
        )
    }
}
