//! What became of files.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use crate::AttachmentId;

/// What became of a message's file. Nothing in it is of the person.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileOutcome {
    /// Which file.
    pub attachment: AttachmentId,
    /// What became of it.
    pub state: FileState,
    /// Its size in bytes, once stored.
    pub bytes: Option<u64>,
    /// What its bytes are, as far as they can be trusted: `application/octet-stream` when they are not what they claim.
    #[serde(rename = "type")]
    pub media_type: Option<String>,
    /// Why it is not stored, in one word.
    pub reason: Option<String>,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
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
