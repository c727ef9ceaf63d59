//! What Meta tells a business about its pages, accounts, numbers and templates. Nobody's personal data is meant to be in it,
//! but names are, so it is sealed like everything else, for the tenant itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use crate::content::PlatformError;

/// A message template got another status, quality, text or category (`meta-platform.md` §3c.4).
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TemplateUpdate {
    /// Which side of it: `status`, `quality`, `components` or `category`.
    pub change: String,
    /// Meta's id of the template.
    pub template_id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its language, as `en_US` whichever way Meta wrote it.
    pub language: Option<String>,
    /// What it is now: `APPROVED`, `PAUSED`, `GREEN`, `MARKETING` and so on.
    pub current: Option<String>,
    /// What it was.
    pub previous: Option<String>,
    /// What it is for.
    pub category: Option<String>,
    /// Why, in Meta's word.
    pub reason: Option<String>,
    /// Of an announced change, when it comes, Unix milliseconds.
    pub effective_ms: Option<i64>,
    /// What Meta recommends or describes; of `components`, the text now.
    pub text: Option<String>,
}

/// A WhatsApp number got another quality, limit, name, user name or setting (`meta-platform.md` §3c.4).
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NumberUpdate {
    /// Which side of it: `quality`, `name`, `username`, `security` or `settings`.
    pub change: String,
    /// The business's number as it is shown.
    pub number: Option<String>,
    /// What happened: `ONBOARDING`, `APPROVED`, `PIN_CHANGED`, `reserved` and so on.
    pub current: Option<String>,
    /// How many conversations a day it may begin.
    pub limit: Option<String>,
    /// How many it might before.
    pub previous_limit: Option<String>,
    /// The name or user name it is about.
    pub name: Option<String>,
    /// Why, in Meta's word.
    pub reason: Option<String>,
}

/// Something about a business account (`meta-platform.md` §3c.4).
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountUpdate {
    /// Which side of it: `account`, `alert`, `review`, `solution` or `payment`.
    pub change: String,
    /// What happened: `ACCOUNT_VIOLATION`, `PARTNER_ADDED`, `APPROVED` and so on; of an alert, its type.
    pub event: Option<String>,
    /// How it stands: a ban's state, an alert's status, a solution's status.
    pub current: Option<String>,
    /// How serious an alert is.
    pub severity: Option<String>,
    /// Why, in Meta's word.
    pub reason: Option<String>,
    /// What Meta says of it.
    pub text: Option<String>,
    /// What it is about, where it is not the account itself: a number, a solution, a partner, a payment set-up.
    pub entity: Option<String>,
    /// What may not be done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restrictions: Vec<Restriction>,
}

/// What a business account may not do.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Restriction {
    /// What, in Meta's word.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Until when, Unix milliseconds.
    pub until_ms: Option<i64>,
}

/// What a business account may do now. Words and numbers as Meta wrote them: `TIER_2K`, `2000`, `-1` for no limit.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CapabilityUpdate {
    /// How many conversations a day it may begin.
    pub daily_conversations: Option<String>,
    /// How many numbers the business may have.
    pub numbers_per_business: Option<String>,
    /// How many numbers the account may have.
    pub numbers_per_account: Option<String>,
}

/// A WhatsApp form (flow) changed its status, or does badly (`meta-platform.md` §3c.4).
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlowUpdate {
    /// What: `FLOW_STATUS_CHANGE`, `ENDPOINT_ERROR_RATE` and so on.
    pub event: Option<String>,
    /// Meta's id of it.
    pub flow_id: Option<String>,
    /// Its status, or that of the alert.
    pub current: Option<String>,
    /// Its status before.
    pub previous: Option<String>,
    /// What Meta says of it.
    pub text: Option<String>,
}

/// Meta warns, blocks or unblocks a page or account (`meta-platform.md` §3a).
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyNotice {
    /// `warning`, `block` or `unblock`.
    pub action: String,
    /// Why.
    pub reason: Option<String>,
}

/// What goes wrong with a number as a whole, not with one message (`meta-platform.md` §3c.1, `value.errors`).
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AssetErrors {
    /// What.
    pub errors: Vec<PlatformError>,
}

/// How far a history import is (`meta-platform.md` §3c.2). Its messages are events of their own.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryProgress {
    /// 0: the last day; 1: up to 90 days; 2: up to 180 days.
    pub phase: Option<i64>,
    /// Which piece of the phase.
    pub chunk: Option<i64>,
    /// How much of everything was sent, in percent.
    pub percent: Option<i64>,
    /// Why there is none: the owner declined.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<PlatformError>,
}
