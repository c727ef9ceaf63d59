//! Quarantine, audit, the loss equation and the state of the pipeline.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::time;

/// A delivery that could not be used.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Quarantined {
    /// Its id: its place in the raw log.
    #[schema(example = "3:1042")]
    pub id: String,
    /// Why, as one word.
    #[schema(example = "not_json")]
    pub reason: String,
    /// Its place in the raw log, `partition:offset`.
    pub raw: String,
    /// When it was set aside last.
    pub at: String,
    /// How often it was tried.
    pub attempts: u32,
}

/// A quarantined delivery with what is known of its body, which itself is not shown.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct QuarantinedDetail {
    /// The delivery.
    #[serde(flatten)]
    pub entry: Quarantined,
    /// What the reason means.
    pub meaning: String,
    /// Whether the raw log still holds the body: only then can it be redriven.
    pub kept: bool,
    /// The body's size in bytes, while it is kept.
    pub size_bytes: Option<u64>,
    /// The app it was delivered to.
    pub app: Option<String>,
    /// When it was received.
    pub received_at: Option<String>,
    /// Its content type, as the sender gave it.
    pub content_type: Option<String>,
}

/// Which quarantined deliveries are to be tried again.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Redrive {
    /// These.
    pub ids: Vec<String>,
    /// All of them.
    pub all: bool,
}

/// How many deliveries will be tried again.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Redriven {
    /// How many.
    pub redriven: u64,
}

/// What is to be routed again.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Replay {
    /// Everything that the raw log still keeps.
    pub all: bool,
}

/// How many deliveries will be routed again.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Replayed {
    /// How many.
    pub replayed: u64,
}

/// One entry of an audit chain.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Its place in the chain, from 0.
    pub sequence: u64,
    /// When it was done.
    pub at: String,
    /// Who did it: `admin` for the holder of the admin token, `platform` for Tidings itself.
    pub actor: String,
    /// What was done, as one word.
    pub action: String,
    /// To what.
    pub target: String,
    /// The entry's hash, which covers every entry before it.
    pub hash: String,
}

/// What was sent in a span of time.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Span {
    /// Messages, edits and reactions, by the time Meta gives them.
    pub messages: u64,
    /// Files.
    pub files: u64,
    /// The earliest of them.
    pub first: String,
    /// The latest of them.
    pub last: String,
}

impl From<store::Span> for Span {
    fn from(span: store::Span) -> Self {
        Self {
            messages: span.messages,
            files: span.files,
            first: time(span.first_ms),
            last: time(span.last_ms),
        }
    }
}

/// A tenant of whom something was sent, or to whom something was done, in a span of time.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AffectedTenant {
    /// Its id.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// How many people.
    pub people: u64,
    /// Entries of its audit in that time.
    pub acts: u64,
    /// What was sent.
    #[serde(flatten)]
    pub span: Span,
}

/// A person of whom something was sent in a span of time.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AffectedPerson {
    /// Who; `null` for what is about nobody.
    pub subject: Option<String>,
    /// What was sent.
    #[serde(flatten)]
    pub span: Span,
}

/// Whether audit chains are whole.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditVerdict {
    /// Whether every chain is.
    pub ok: bool,
    /// How many entries were checked.
    pub entries: u64,
    /// Each chain.
    pub chains: Vec<ChainVerdict>,
}

/// Whether one audit chain is whole.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ChainVerdict {
    /// A tenant, or `_platform`.
    pub chain: String,
    /// Whether every hash follows from the one before and the head's signature is true.
    pub ok: bool,
    /// How many entries it has.
    pub entries: u64,
    /// The hash of its last entry.
    pub head: Option<String>,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// The loss equation: received = routed + unroutable + quarantined + forgotten, and routed = projected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LossEquation {
    /// Whether there is no hole.
    pub ok: bool,
    /// Deliveries in the raw log.
    pub received: u64,
    /// Items they hold, as far as they were read.
    pub items: u64,
    /// Items that became events.
    pub routed: u64,
    /// Items that are parked: no active tenant owns their asset.
    pub unroutable: u64,
    /// Items (or whole deliveries) that are in quarantine.
    pub quarantined: u64,
    /// Items that were dropped for good: their person was forgotten since they happened.
    #[serde(default)]
    pub forgotten: u64,
    /// Routed items that the conversation view has applied.
    pub projected: u64,
    /// What is under way: unread deliveries, unread records, events not yet applied. 0 when everything is settled.
    pub pending: u64,
    /// Deliveries the router has passed of which a part is nowhere. Must be 0.
    pub holes: u64,
    /// Some of the holes, `partition:offset`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hole_examples: Vec<String>,
    /// What each tenant has of `routed` and `projected`; equal once nothing of it is under way.
    #[serde(default)]
    pub tenants: Vec<TenantEquation>,
}

/// The loss equation of one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TenantEquation {
    /// The tenant.
    pub tenant: String,
    /// Items that became its events.
    pub routed: u64,
    /// Those of them that the conversation view has applied.
    pub projected: u64,
}

/// How the parts of the pipeline stand.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The version of the console.
    pub version: String,
    /// Whether this process is ready.
    pub ready: bool,
    /// What it waits for, when it is not.
    pub waiting_for: Vec<String>,
    /// Tenants known.
    pub tenants: usize,
    /// Assets connected.
    pub assets: usize,
    /// Apps that may deliver.
    pub apps: usize,
    /// How far each stage has read each partition.
    pub positions: Vec<LogPosition>,
}

/// How far a stage has read one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogPosition {
    /// The stage: `router`, or a view.
    pub stage: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The oldest offset kept.
    pub earliest: u64,
    /// The next offset the stage reads.
    pub position: u64,
    /// The end of the partition.
    pub end: u64,
    /// Records it has yet to read.
    pub lag: u64,
}
