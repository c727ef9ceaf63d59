//! The router: raw deliveries become tenants' events.
//!
//! Judging a delivery is pure ([`judge`](crate)): body and control state in, items and pointers out. The shell around it
//! resolves people, appends everything, and moves its position only when all of it is durable. Every id is derived from
//! content, so doing anything twice is harmless and nothing here remembers what it did. It reads no view and opens no
//! attachment.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod append;
mod config;
mod engine;
mod error;
mod judge;
mod metrics;
mod reroute;
mod router;
mod trigger;
mod worker;

pub use config::Config;
pub use router::Router;
