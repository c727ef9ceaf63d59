//! The client against real servers: ours as a process that gets killed, a foreign one, and one that keeps versions.

#![allow(clippy::unwrap_used, reason = "tests")]

mod crash;
mod errors;
mod foreign;
mod harness;
mod local;
mod objects;
mod uploads;
mod versioned;
