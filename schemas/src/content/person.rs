//! What is said of people: who they are, what they agreed to, what they thought of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use crate::SubjectId;

/// What Meta tells about a person beside an event.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContactProfile {
    /// The name they chose.
    pub name: Option<String>,
    /// The user name they chose, without `@`. It can change or vanish: not a key.
    pub username: Option<String>,
}

/// How the business calls a person in the address book of its WhatsApp Business app (`meta-platform.md` §3c.2).
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddressBookEntry {
    /// `add`, also for a changed entry, or `remove`.
    pub action: Option<String>,
    /// Their name there.
    pub name: Option<String>,
    /// Their first name there.
    pub first_name: Option<String>,
    /// Their user name, without `@`.
    pub username: Option<String>,
}

/// A person is known by something else from now on (`meta-platform.md` §3c.1, §3c.5).
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IdentityChange {
    /// `number`: another phone number; `user_id`: another user id, as happens with the number; `device`: their security code;
    /// else the word Meta used.
    pub change: String,
    /// What to show: Meta's sentence.
    pub text: Option<String>,
    /// Their number now.
    pub number: Option<String>,
    /// Their number before.
    pub previous_number: Option<String>,
    /// Their user id now.
    pub user_id: Option<String>,
    /// Their user id before.
    pub previous_user_id: Option<String>,
}

/// Two subjects are one person (`person.merged`), or are not after all (`person.split`). Tidings itself says so; random ids
/// are all there is in it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PersonLink {
    /// The subject that stands for both, as long as nothing splits them: the smaller of the two ids.
    pub into: SubjectId,
    /// The other one. Events of before still bear it.
    pub from: SubjectId,
    /// How that is known: `payload`, Meta named both in one event, or `operator`.
    pub evidence: String,
}

impl PersonLink {
    /// Meta named both in one event.
    pub const PAYLOAD: &str = "payload";
    /// An operator said so; no payload says otherwise afterwards.
    pub const OPERATOR: &str = "operator";
}

/// A person agreed to be written to later, or took it back (`meta-platform.md` §3a).
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OptIn {
    /// What for: `notification_messages`, or what Meta calls it. Absent of the old checkbox.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// `resumed` or `stopped`; absent the first time.
    pub status: Option<String>,
    /// What they agreed to, as it was shown.
    pub title: Option<String>,
    /// What the business had put behind it.
    pub payload: Option<String>,
    /// What the business had put into the link (`ref`).
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// What to send with.
    pub token: Option<String>,
    /// Until when that is good, Unix milliseconds.
    pub token_expires_ms: Option<i64>,
    /// How often they may be written to.
    pub frequency: Option<String>,
    /// In which time zone.
    pub timezone: Option<String>,
}

/// A person's wish about a kind of messages (`meta-platform.md` §3c.4, `user_preferences`).
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Preference {
    /// Of which messages: `marketing_messages`.
    pub category: String,
    /// `stop`, `resume` or `signup`.
    pub value: String,
    /// In a sentence.
    pub detail: Option<String>,
    /// Meta's id of the sign-up.
    pub signup_id: Option<String>,
}

/// What a person thought of an answer, or answered in a survey (`meta-platform.md` §3a).
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Feedback {
    /// `good` or `bad`; absent of a survey.
    pub rating: Option<String>,
    /// What they answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<FeedbackAnswer>,
}

/// One answer of a survey.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FeedbackAnswer {
    /// The business's id of the question.
    pub question: String,
    /// What kind of question: `csat`, `nps`, `ces` or `free_form`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The answer: a number, or a text.
    pub answer: Option<String>,
    /// What they added.
    pub follow_up: Option<String>,
}

/// A person linked their account with the business, or ended it. The code to redeem is in `source` only.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountLink {
    /// `linked` or `unlinked`.
    pub status: String,
}

/// Meta noticed in a conversation that an ad has led to something (`meta-platform.md` §3c.4, `automatic_events`).
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Conversion {
    /// `LeadSubmitted`, `Purchase`, or what Meta calls it.
    pub name: String,
    /// Meta's id of the click on the ad.
    pub click_id: Option<String>,
    /// In what currency.
    pub currency: Option<String>,
    /// How much, times a thousand, as Meta wrote it.
    pub amount: Option<String>,
}
