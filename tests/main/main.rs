//! End to end: the built `tidings` binary on its real parts, spoken to as others would, and killed as the world does.
//!
//! Every proof prints one line that begins with `promise=`. `TIDINGS_CHAOS_EVENTS` and `TIDINGS_CHAOS_KILLS` set the size of
//! the chaos tests, `TIDINGS_CHAOS_SEED` repeats one. Missing tools fail a test; nothing is skipped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod batch;
mod broker;
mod canary;
mod chaos;
mod consumers;
mod contract;
mod demo;
mod feed;
mod first;
mod identities;
mod judge;
mod meta;
mod plan;
mod privacy;
mod process;
mod refusals;
mod rig;
mod roles;
