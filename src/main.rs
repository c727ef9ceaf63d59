//! The `tidings` command: the operator's client, each role as a process of its own, and everything in one with `up`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod blobs;
mod cli;
mod demo;
mod edge;
mod kafka;
mod logs;
mod parts;
mod rebuild;
mod role;
mod role_args;
mod up;

use std::process::ExitCode;

/// Many small, short-lived allocations on many threads: the system's allocator gives that memory back late or never.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
