//! The projector: folds events into the views of conversations, coverage and audit.
//!
//! Every fold is pure and order-free, and every batch's rows move in one transaction with the offset that caused them: a
//! repeat, a crash or a second projector changes nothing. It reads the log and writes PostgreSQL; content it stores as it
//! comes. A database that is away is waited out; nothing is skipped for it.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod audit;
mod audit_key;
mod backoff;
mod config;
mod cover;
mod fold;
mod metrics;
mod monitor;
mod projection;
mod projector;
mod rebuild;
mod rebuild_course;
mod runner;
mod worker;

pub use config::Config;
pub use fold::{fold, fold_into};
pub use projector::Projector;
pub use rebuild::{
    RebuildConfig, RebuildError, RebuildParts, RebuildProgress, RebuildReport, RebuildStage, rebuild,
};
