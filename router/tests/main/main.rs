//! The router on a real log and a real keyring: everything a delivery can become, the way back for it, and trouble.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod bad_input;
mod content;
mod owners;
mod parked;
mod people;
mod routing;
mod sealed;
mod stage;
mod trouble;
