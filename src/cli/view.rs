//! `tidings view`: views made anew from the log.

use clap::{Args, Subcommand, ValueEnum};
use console::wire::Rebuilt;
use serde_json::json;

use crate::cli::client::ClientArgs;
use crate::cli::failure::Failure;
use crate::cli::print;

const EXAMPLES: &str = "\
Examples:
  tidings view rebuild conversation --dry-run   # make it beside the one that is read, and compare
  tidings view rebuild conversation             # and put it in its place

Readers are served all the time. Broken off, it goes on where it was when it is called again.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ViewArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    command: ViewCommand,
}

#[derive(Debug, Subcommand)]
enum ViewCommand {
    /// Make a view anew from the log
    Rebuild {
        /// The view
        #[arg(value_enum)]
        view: View,
        /// Only compare
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum View {
    /// Conversations, messages and what hangs on them
    Conversation,
}

pub(crate) async fn run(args: ViewArgs) -> Result<(), Failure> {
    let client = args.client.client()?;
    let ViewCommand::Rebuild { view: View::Conversation, dry_run } = args.command;
    let body = json!({ "dry_run": dry_run });
    let done: Rebuilt = client.post_long(&["views", "conversation", "rebuild"], &body).await?;
    if args.client.json {
        return print::json(&done);
    }
    print::line(&format!(
        "{} rows from {} records in {:.1} s; {} were otherwise in the view that was read; {}",
        done.rows,
        done.read,
        done.seconds,
        done.differs,
        if done.switched { "it is in its place now" } else { "the old one is still read" }
    ))
}
