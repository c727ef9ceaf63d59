//! What happens to a conversation as a whole: who answers in it, calls, groups.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use crate::content::PlatformError;

/// Which app answers in a conversation (`meta-platform.md` §3a, §3c.3).
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ThreadControl {
    /// `passed`, `taken` or `requested`; `roles` when apps were given roles.
    pub action: String,
    /// Who answered before.
    pub previous_owner: Option<Owner>,
    /// Who answers now.
    pub new_owner: Option<Owner>,
    /// Who asks to answer.
    pub requested_owner: Option<Owner>,
    /// What one app tells the other.
    pub metadata: Option<String>,
    /// What was said so far, in Meta's summary.
    pub summary: Option<String>,
    /// Of `roles`: which apps have which.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<AppRoles>,
}

/// Who answers.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Owner {
    /// The Meta app.
    pub app_id: Option<String>,
    /// What it is: `customer_service`, `ai_agent`, `escalation` and so on.
    pub role: Option<String>,
    /// Which of Meta's own apps it is, such as `meta_business_agent`.
    pub app_role: Option<String>,
}

/// An app's roles.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppRoles {
    /// The Meta app.
    pub app_id: String,
    /// Its roles, such as `primary_receiver`.
    pub roles: Vec<String>,
}

/// A call by voice (`meta-platform.md` §3c.4, `calls`). What it is negotiated with is in `source` only.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Call {
    /// How far it is: `ringing`, `connect`, `accepted`, `rejected`, `terminate`, or Meta's word.
    pub state: String,
    /// How it ended: `completed` or `failed`.
    pub outcome: Option<String>,
    /// When it began, Unix milliseconds.
    pub started_ms: Option<i64>,
    /// When it ended, Unix milliseconds.
    pub ended_ms: Option<i64>,
    /// How long it took, in seconds.
    pub seconds: Option<i64>,
    /// What the caller had attached to find it again.
    pub callback_data: Option<String>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<PlatformError>,
}

/// A WhatsApp group was made, changed or ended, or somebody joined or left (`meta-platform.md` §3c.4).
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupUpdate {
    /// Which side of it: `lifecycle`, `participants`, `settings` or `status`.
    pub change: String,
    /// What happened, in Meta's word.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Its title.
    pub subject: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// How to join it.
    pub invite_link: Option<String>,
    /// The request that led to it.
    pub request_id: Option<String>,
    /// Why, in Meta's word.
    pub reason: Option<String>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<PlatformError>,
}
