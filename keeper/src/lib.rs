//! The keeper: forgets people and tenants, removes what was kept for long enough, makes and expires backups, replaces keys.
//!
//! What is asked for stands in `control`; the keeper does it step by step, each step harmless to repeat, and goes on where it
//! was after a crash. One of several works at a time. It is the only part that destroys anything, and the receipts of what
//! it destroyed are records of `control`, hence entries of the audit.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod barrier;
mod callback;
mod config;
mod erasure;
mod error;
mod keeper;
mod metrics;
mod scan;

pub use barrier::barrier;
pub use config::Config;
pub use error::KeepError;
pub use keeper::Keeper;
