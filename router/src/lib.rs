//! The router: raw deliveries become tenants' events.
//!
//! Judging a delivery and writing its events are pure: body and control state in, records out. The shell around them
//! resolves people, appends everything, and moves its position only when all of it is durable. Every id is derived from
//! content, so doing anything twice is harmless and nothing here remembers what it did. It reads no view and opens no
//! attachment.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod append;
mod config;
mod engine;
mod error;
mod fetch;
mod job;
mod judge;
mod member;
mod metrics;
mod patience;
mod plan;
mod reroute;
mod router;
mod trigger;
mod unseal;
mod worker;

pub use config::Config;
pub use router::Router;
