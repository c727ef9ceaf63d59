//! What the pipeline itself has to know of an event to show it in the right place. Nothing in it is of the person, so it
//! stands in clear beside the sealed content.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AttachmentId, Content, DeliveryStatus, Event, FileOutcome, MessageKey, SubjectId};

/// The longest word that is kept of what Meta calls a message's type, in characters.
const LONGEST_WORD: usize = 64;

/// What can be known of an event without opening it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Facts {
    /// What it is more exactly, in one word: of a message its type, of a call its state, of who answers what happened, of a
    /// preference its category, of an account, number or template which side of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Of a message or an edit, the files to fetch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileFact>,
    /// Of an edit, Meta's count of edits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Of a reaction, whether it was removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// Of a status, how far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<DeliveryStatus>,
    /// Of a watermark, up to when, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark_ms: Option<i64>,
    /// Of a watermark, which messages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<MessageKey>,
    /// What became of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileOutcome>,
    /// Of an account, number or template, which one where it is not the asset itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// Of people who turned out to be one, or not: the subject that stands for both, then the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub people: Option<(SubjectId, SubjectId)>,
}

/// A file that a message names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileFact {
    /// Its id.
    pub id: AttachmentId,
    /// What it is said to be, in one word.
    pub kind: String,
}

impl Facts {
    /// What can be known of this event.
    pub fn of(event: &Event) -> Self {
        let of = |kind: &str| Self { kind: Some(word(kind)), ..Self::default() };
        match &event.content {
            Content::Message(message) => {
                Self { files: files(&message.attachments), status: message.status, ..of(&message.kind) }
            }
            // A pressed button shows as what the person said with it.
            Content::Postback(_) => of("postback"),
            Content::Identity(_) => of("system"),
            Content::Edited(edited) => {
                Self { revision: edited.revision, files: files(&edited.attachments), ..Self::default() }
            }
            Content::Reaction(reaction) => Self { removed: reaction.emoji.is_none(), ..Self::default() },
            Content::Status(status) => Self { status: Some(status.status), ..Self::default() },
            Content::Watermark(mark) => {
                Self { watermark_ms: mark.watermark_ms, messages: mark.messages.clone(), ..Self::default() }
            }
            Content::File(outcome) => Self { file: Some(outcome.clone()), ..Self::default() },
            Content::Thread(thread) => of(&thread.action),
            Content::Call(call) => of(&call.state),
            Content::Preference(preference) => of(&preference.category),
            Content::OptIn(optin) => of(optin.kind.as_deref().unwrap_or("optin")),
            Content::AddressBook(entry) => {
                Self { removed: entry.action.as_deref() == Some("remove"), ..Self::default() }
            }
            Content::Link(link) => Self { people: Some((link.into, link.from)), ..of(&link.evidence) },
            Content::Template(update) => Self {
                item: update.template_id.as_deref().or(update.name.as_deref()).map(word),
                ..of(&update.change)
            },
            Content::Number(update) => of(&update.change),
            Content::Account(update) => Self {
                // Of what happens to an account each sort stands by itself: a restriction is not over with the next news.
                item: match update.change.as_str() {
                    "account" | "alert" => update.event.as_deref().map(word),
                    _ => update.entity.as_deref().map(word),
                },
                ..of(&update.change)
            },
            Content::Capability(_) => of("capability"),
            Content::Flow(update) => Self { item: update.flow_id.as_deref().map(word), ..of("flow") },
            Content::Policy(_) => of("policy"),
            Content::Errors(_) => of("errors"),
            Content::History(_) => of("history"),
            Content::Deleted
            | Content::Referral(_)
            | Content::Feedback(_)
            | Content::Group(_)
            | Content::AccountLink(_)
            | Content::Conversion(_)
            | Content::Comment(_)
            | Content::Feed(_)
            | Content::Mention(_)
            | Content::Insights(_)
            | Content::Unrecognized(_) => Self::default(),
        }
    }
}

fn files(attachments: &[crate::Attachment]) -> Vec<FileFact> {
    let fact = |one: &crate::Attachment| Some(FileFact { id: one.id?, kind: word(&one.kind) });
    attachments.iter().filter_map(fact).collect()
}

/// Meta's word for what something is, as a text that every database takes.
fn word(kind: &str) -> String {
    kind.chars().filter(|letter| !letter.is_control()).take(LONGEST_WORD).collect()
}
