//! `tidings demo`: everything at work with simulated traffic.

use std::process::ExitCode;

/// What the demo is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the demo.
pub(crate) async fn run(_args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("the demo is not part of this build yet")
}
