//! Retention, backups and keys.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What there is of a class of things, and how long it is kept.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RetentionRow {
    /// The class, in one word.
    #[schema(example = "identity_tombstones")]
    pub class: String,
    /// From when its time counts.
    pub anchor: String,
    /// For how many days it is kept.
    pub keep_days: u64,
    /// How old the oldest is, in seconds; absent when there is none, or nobody can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_age_seconds: Option<u64>,
    /// How many the next sweep would remove.
    pub due: u64,
    /// How they go.
    pub action: String,
}

/// Whether a sweep only tells what it would do.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sweep {
    /// Remove nothing.
    pub dry_run: bool,
}

/// What a sweep removed of a class.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Swept {
    /// The class, in one word.
    pub class: String,
    /// How many.
    pub removed: u64,
}

/// What kind of backup to make.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewBackup {
    /// `daily` (default), or `monthly`: kept for a year, and without the keyring.
    pub kind: Option<String>,
}

/// A backup.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Backup {
    /// Its id.
    pub backup: String,
    /// `daily` or `monthly`.
    pub kind: String,
    /// When it was made.
    pub created_at: String,
    /// When it and its key are destroyed.
    pub expires_at: String,
    /// Its size, sealed.
    pub bytes: u64,
    /// How many rows it holds.
    pub rows: u64,
    /// Whether people's keys are in it.
    pub keyring: bool,
}

/// What a restore did.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Restored {
    /// The backup.
    pub backup: String,
    /// Rows of the views that came in.
    pub rows: u64,
    /// People who are known again, because the keyring had lost them.
    pub people: u64,
    /// People of the backup who had been forgotten since: of them nothing came back.
    pub forgotten: u64,
}

/// Which keys to replace.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotate {
    /// `root`, `tenant` or `data`.
    pub level: String,
    /// With `tenant`: whose; every tenant's when absent.
    #[serde(default)]
    pub tenant: Option<String>,
}

/// Whether a rebuild only compares.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rebuild {
    /// Make the view and compare it, and leave the one that is read in its place.
    pub dry_run: bool,
}

/// What came of a rebuild.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Rebuilt {
    /// The view.
    pub view: String,
    /// Records of the log that were read.
    pub read: u64,
    /// Of those, records that this version cannot read.
    pub unreadable: u64,
    /// Rows of the new view.
    pub rows: u64,
    /// Rows that were otherwise in the view that was read, or missing in one of the two.
    pub differs: u64,
    /// Of those, rows that say the same and are sealed otherwise.
    pub resealed: u64,
    /// Whether the new view is the one that is read now.
    pub switched: bool,
    /// How long it took.
    pub seconds: f64,
}

/// What a rotation did.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Rotated {
    /// The level.
    pub level: String,
    /// Tenants whose keys were replaced, or sealed again.
    pub tenants: u64,
    /// People's keys that were sealed again.
    pub keys: u64,
    /// Apps whose secrets were sealed again.
    pub apps: u64,
    /// Backups whose keys were sealed again.
    pub backups: u64,
    /// Generations of tenants' keys that nothing needed any more, and that are destroyed.
    pub retired: u64,
}
