//! PostgreSQL: every table, every statement, every migration. The only crate that names tokio-postgres.
//!
//! Two databases that never meet: the *views* that projections build and readers query, and the *keyring* that knows
//! which identifiers are one person. Statements take arrays, never a row at a time, and a projection's rows move in one
//! transaction with the offset that caused them. Content is opaque bytes to the database.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod affected;
mod attachment_queue;
mod audit;
mod backup;
mod backup_frame;
mod backup_keyring;
mod backup_stage;
mod backup_views;
mod connect;
mod conversation;
mod conversation_change;
mod conversation_read;
mod coverage;
mod coverage_fold;
mod coverage_mark;
mod coverage_read;
mod coverage_state;
mod database;
mod error;
mod forget;
mod keyring;
mod keyring_keep;
mod keyring_people;
mod migrate;
mod offset;
mod people;
mod rebuild;
mod rebuild_look;
mod retention;
mod standing;

pub use affected::{AffectedPerson, AffectedTenant, Span};
pub use attachment_queue::{
    DueJob, QueueBacklog, QueueJob, QueueLook, QueueTicket, QueueWork, QueuedFile, UnsentMessage, Wanted,
};
pub use audit::{
    AUDIT_PRUNED, AuditFault, AuditHead, AuditRow, NewAuditRow, PLATFORM_CHAIN, entry_hash, verify_chain,
};
pub use backup::{BackupError, Copied};
pub use backup_keyring::{KeyTwice, KeyringLedger, RestoredKeyring};
pub use backup_views::{LogBounds, RestoredViews, ViewsLedger};
pub use connect::{ViewsDb, ViewsRole};
pub use conversation_change::{
    AttachmentChange, AttachmentName, AttachmentOutcome, ContactChange, ConversationChange,
    ConversationChanges, DeletionChange, EditChange, MessageChange, ReactionChange, SEVERAL, StatusChange,
    WatermarkChange,
};
pub use conversation_read::{
    ConversationCursor, ConversationRow, FileRow, MessageCursor, MessageRow, ReactionRow, SealedPart,
};
pub use coverage::{Coverage, CoverageView, QuarantineChange, QuarantineRow, RawProgress, TenantCoverage};
pub use coverage_fold::Folded;
pub use coverage_mark::{CoverageChange, Whole};
pub use database::ensure_sibling_database;
pub use error::{Disposition, StoreError};
pub use keyring::{Found, KeyringDb, KeyringRole, Lead, Lookup, NOBODY, SubjectKeyRow, TenantKeyRow};
pub use keyring_keep::KeeperLock;
pub use migrate::{migrate_keyring, migrate_views};
pub use offset::{Moved, OffsetMove, ProjectionOffset};
pub use rebuild::{Held, Rebuild, RebuildWriter};
pub use rebuild_look::{Look, TableDifference};
pub use retention::AuditAnchor;
pub use standing::{Side, StandingChange, StandingKey, StandingRow};
