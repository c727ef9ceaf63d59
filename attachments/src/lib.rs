//! The attachments worker: what people sent is fetched while Meta has it, checked, sealed for its person and kept.
//!
//! It reads `events` and queues every file that a message names; the queue is its own and durable before the position in the
//! log moves. Each file is streamed from Meta through the seal into the store of objects, where it becomes visible only when
//! it came whole and is what was said of it. Then the event that says so is appended, then the job goes: stopped anywhere,
//! it is done again with the same names and ids, which changes nothing.
//!
//! It decides nothing about what may be fetched or shown, `graph` does; it keeps no plain byte, and reads no view.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod append;
mod attachments;
mod config;
mod desk;
mod error;
mod fetch;
mod hold;
mod intake;
mod job;
mod kept;
mod lanes;
mod member;
mod metrics;
mod outcome;
mod patience;
mod recall;
mod sealing;
mod shelf;

pub use attachments::Attachments;
pub use config::Config;
