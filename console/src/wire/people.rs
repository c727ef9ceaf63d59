//! People: who is known, and what was asked for and done about them.

use schemas::{ErasureReason, SubjectId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::wire::Standing;

/// Somebody a tenant knows.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PersonFound {
    /// The subject: a random id that holds no identifier.
    pub subject: String,
    /// Every subject of theirs, where they have several: they were met under each before it was known that they are one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// The kinds of identifiers that lead to them; the identifiers themselves are nowhere.
    pub identifiers: Vec<String>,
    /// Their conversations.
    pub conversations: Vec<String>,
    /// They objected: what is kept of them may not be used.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restricted: bool,
    /// They must not be forgotten until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_until: Option<String>,
}

/// Who else somebody is.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Merge {
    /// Another subject, who is the same person.
    #[schema(value_type = String)]
    pub with: SubjectId,
}

/// Why somebody is to be forgotten.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Erase {
    /// `request` (default), `meta` or `minor`.
    #[schema(value_type = Option<String>)]
    pub reason: Option<ErasureReason>,
}

/// An erasure, and its receipt once it is done. Nothing in it is of the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErasureAnswer {
    /// Its id.
    pub erasure: String,
    /// Whose person.
    pub tenant: String,
    /// The person.
    pub subject: String,
    /// `requested`, `shredded` when the keys are gone, `done`.
    pub state: String,
    /// Why, in one word.
    pub reason: String,
    /// When it was asked for.
    pub requested_at: String,
    /// When it reached its state.
    pub at: String,
    /// When it has to be done at the latest: 30 days after the request.
    pub due_at: String,
    /// Whether everything was looked at again, and nothing was found.
    pub verified: bool,
    /// Rows of the views that were removed.
    pub rows: u64,
    /// Objects of the store that were removed.
    pub objects: u64,
    /// Records of the log and the feed that were tombstoned.
    pub records: u64,
    /// Sealed records that were tried afterwards; none opened.
    pub tried: u64,
}

/// What replaces the profile that Meta sends.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Correct {
    /// The name.
    pub name: Option<String>,
    /// The user name.
    pub username: Option<String>,
}

/// Whether what is kept of a person may be used.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Restrict {
    /// It may not.
    pub restricted: bool,
}

/// How long a person must not be forgotten.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hold {
    /// For so many days; absent: no longer.
    pub days: Option<u32>,
}

/// Everything that is kept of a person, for them: nobody else is in it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PersonExport {
    /// The version of this form.
    pub format: String,
    /// Whose person.
    pub tenant: String,
    /// The person.
    pub subject: String,
    /// When it was made.
    pub exported_at: String,
    /// What they call themselves, or what it was corrected to.
    pub profile: ExportedProfile,
    /// The kinds of identifiers that lead to them.
    pub identifiers: Vec<String>,
    /// Their conversations, each with what they wrote and what was written to them.
    pub conversations: Vec<ExportedConversation>,
    /// What else stands of them: wishes, calls, how the business calls them.
    #[serde(default)]
    pub standing: Vec<Standing>,
}

/// What a person calls themselves.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct ExportedProfile {
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The user name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
}

/// One conversation of an export.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ExportedConversation {
    /// Its id.
    pub id: String,
    /// `messenger`, `instagram` or `whatsapp`.
    pub channel: String,
    /// The asset it runs through.
    pub asset: String,
    /// Its messages that are sealed for this person, in order.
    pub messages: Vec<crate::wire::Message>,
}
