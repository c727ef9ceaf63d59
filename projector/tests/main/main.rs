//! The projector on a real PostgreSQL and a real log: whatever happens to either, the same rows come out.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod coverage;
mod faults;
mod forgetting;
mod history;
mod order;
mod people;
mod pipeline;
mod rebuild;
mod rig;
