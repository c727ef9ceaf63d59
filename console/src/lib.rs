//! The console: the admin HTTP API that operators, the `tidings` command and scripts speak to.
//!
//! JSON under `/v1/…` behind a bearer token, an OpenAPI document at `/openapi.json`, and the monitoring routes, all on a
//! listener of its own. Every write becomes a record in `control` and is answered once it is durable and folded; every
//! read comes from the views under the reader's role, or from the log. The console deliberately holds no state of its own
//! and never changes a view: any number of them may run beside each other.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod access;
mod api;
mod config;
mod console;
mod extract;
mod feed;
mod ledger;
mod metrics;
mod open;
mod problem;
mod rebuild;
mod shown;
mod state;
mod thread;
mod token;
pub mod wire;

pub use config::Config;
pub use console::{Console, openapi};
pub use rebuild::{RebuildRefusal, Rebuilder, Rebuilding};
