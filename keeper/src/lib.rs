//! The keeper: forgets people and tenants, removes what was kept for long enough, makes and expires backups, replaces keys.
//!
//! What is asked for stands in `control`; the keeper does it step by step, each step harmless to repeat, and goes on where it
//! was after a crash. One of several works at a time. It is the only part that destroys anything, and the receipts of what
//! it destroyed are records of `control`, hence entries of the audit.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod audit;
mod backup;
mod barrier;
mod callback;
mod config;
mod erasure;
mod error;
mod generations;
mod keeper;
mod metrics;
mod orphans;
mod people;
mod projected;
mod reseal;
mod restore;
mod retention;
mod rotation;
mod scan;
mod tenant_end;
mod time;

pub use backup::{BackupInfo, BackupKind, BackupPart};
pub use barrier::barrier;
pub use config::Config;
pub use error::KeepError;
pub use keeper::Keeper;
pub use restore::RestoreReport;
pub use retention::{Class, PlanRow, RETENTION, Rule, SweptRow};
pub use rotation::RotationReport;
