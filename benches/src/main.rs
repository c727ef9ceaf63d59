//! The parts of the benches that have to be Rust: splitting bodies, projecting events, posting at a steady rate.
//! `benches/run` starts what they need, pairs them with their peers and writes the table.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod corpus;
mod post;
mod project;
mod split;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
enum Bench {
    /// B6: cut a body into its items, beside a parse into `serde_json::Value`.
    Split(split::Args),
    /// B8: project events with all three views, on a PostgreSQL of its own.
    Project(project::Args),
    /// B11l: post signed messages at a steady rate; prints when each was sent.
    Post(post::Args),
    /// Prints one signed body and its signature, for a load generator.
    Body(corpus::Args),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Bench::parse() {
        Bench::Split(args) => split::run(&args),
        Bench::Project(args) => project::run(args).await,
        Bench::Post(args) => post::run(args).await,
        Bench::Body(args) => corpus::print(&args),
    }
}
