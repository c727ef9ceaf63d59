//! What the pipeline itself has to know of an event to show it in the right place. Nothing in it is of the person, so it
//! stands in clear beside the sealed content.

use serde::{Deserialize, Serialize};

use crate::{AttachmentId, Content, DeliveryStatus, Event, FileOutcome, MessageKey};

/// The longest word that is kept of what Meta calls a message's type, in characters.
const LONGEST_WORD: usize = 64;

/// What can be known of an event without opening it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Of a message, what it is, in one word.
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
}

/// A file that a message names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFact {
    /// Its id.
    pub id: AttachmentId,
    /// What it is said to be, in one word.
    pub kind: String,
}

impl Facts {
    /// What can be known of this event.
    pub fn of(event: &Event) -> Self {
        match &event.content {
            Content::Message(message) => Self {
                kind: Some(word(&message.kind)),
                files: files(&message.attachments),
                ..Self::default()
            },
            // A pressed button shows as what the person said with it.
            Content::Postback(_) => Self { kind: Some("postback".to_owned()), ..Self::default() },
            Content::Edited(edited) => {
                Self { revision: edited.revision, files: files(&edited.attachments), ..Self::default() }
            }
            Content::Reaction(reaction) => Self { removed: reaction.emoji.is_none(), ..Self::default() },
            Content::Status(status) => Self { status: Some(status.status), ..Self::default() },
            Content::Watermark(mark) => {
                Self { watermark_ms: mark.watermark_ms, messages: mark.messages.clone(), ..Self::default() }
            }
            Content::File(outcome) => Self { file: Some(outcome.clone()), ..Self::default() },
            Content::Deleted | Content::Referral(_) | Content::Unrecognized(_) => Self::default(),
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
