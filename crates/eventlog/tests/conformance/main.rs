//! What both logs promise, asked of both: every case below runs on the embedded log and on a real Apache Kafka.
//!
//! What only one of them can show (a killed process, a killed broker, a torn file) is in `embedded` and `kafka`.

#![expect(clippy::unwrap_used, reason = "a case that fails says where")]

mod appending;
mod embedded;
mod groups;
mod kafka;
mod keeping;
mod reading;
mod stage;
