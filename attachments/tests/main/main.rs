//! The attachments worker on a real log, a real PostgreSQL, a real S3 server and a Graph API over HTTP.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod bad_input;
mod crash;
mod fetch;
mod forget;
mod memory;
mod meta;
mod server;
mod share;
mod stage;
mod trouble;
mod unsend;
