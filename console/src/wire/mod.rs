//! What the admin API says, as JSON. The `tidings` command prints these objects as they are with `--json`, and others
//! script against them: fields are added, never renamed or removed.
//!
//! Times are RFC 3339 in UTC with milliseconds. Ids are text.

mod keep;
mod operate;
mod people;
mod report;
mod upkeep;
mod views;

pub use keep::{FeedAnswer, SetFeed, SetToken, Terminate};
pub use operate::{AppAnswer, AssetAnswer, NewApp, NewTenant, Removed, RotateApp, TenantAnswer};
pub use people::{
    Correct, Erase, ErasureAnswer, ExportedConversation, ExportedProfile, Hold, Merge, PersonExport,
    PersonFound, Restrict,
};
pub use report::{
    AffectedPerson, AffectedTenant, AuditEntry, AuditVerdict, ChainVerdict, LogPosition, LossEquation,
    Quarantined, QuarantinedDetail, Redrive, Redriven, Replay, Replayed, Span, Status, TenantEquation,
};
pub use upkeep::{
    Backup, NewBackup, Rebuild, Rebuilt, Restored, RetentionRow, Rotate, Rotated, Sweep, Swept,
};
pub use views::{AttachmentView, Contact, Conversation, Message, ReactionView, Reading, Reparsed, Standing};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A request that was not done.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What is wrong.
    #[schema(example = "there is no tenant acme")]
    pub error: String,
    /// What to do about it.
    #[schema(example = "`tidings tenant list` shows the tenants")]
    pub help: String,
}

/// A list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct List<T> {
    /// Its elements.
    pub items: Vec<T>,
}

/// A page of a long list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// Its elements.
    pub items: Vec<T>,
    /// Ask with `after=` this for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Unix milliseconds as RFC 3339 in UTC, with milliseconds.
pub fn time(unix_ms: i64) -> String {
    // Outside the years that can be written: the nearest one that can.
    let at = jiff::Timestamp::from_millisecond(unix_ms).unwrap_or(if unix_ms < 0 {
        jiff::Timestamp::MIN
    } else {
        jiff::Timestamp::MAX
    });
    format!("{at:.3}")
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_are_rfc_3339_with_milliseconds() {
        assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(time(-1), "1969-12-31T23:59:59.999Z");
        assert!(time(i64::MAX).starts_with("9999-12-3"));
        assert!(time(i64::MIN).starts_with("-009999"));
    }
}
