//! `tidings quarantine`: deliveries that could not be used, and the way back for them.

use clap::{Args, Subcommand};
use console::wire::{List, Quarantined, QuarantinedDetail, Redriven};
use serde_json::json;

use crate::cli::client::ClientArgs;
use crate::cli::failure::Failure;
use crate::cli::print;

const EXAMPLES: &str = "\
Examples:
  tidings quarantine list
  tidings quarantine show 3:1042
  tidings quarantine redrive 3:1042 4:17     # through the normal path again
  tidings quarantine redrive --all";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct QuarantineArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    command: QuarantineCommand,
}

#[derive(Debug, Subcommand)]
enum QuarantineCommand {
    /// List what is in quarantine
    List,
    /// Show what is known of one delivery
    Show {
        /// Its id
        id: String,
    },
    /// Send deliveries through the normal path again
    Redrive {
        /// Their ids
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        ids: Vec<String>,
        /// All of them
        #[arg(long)]
        all: bool,
    },
}

pub(crate) async fn run(args: QuarantineArgs) -> Result<(), Failure> {
    let client = args.client.client()?;
    let as_json = args.client.json;
    match args.command {
        QuarantineCommand::List => {
            let entries: List<Quarantined> = client.get(&["quarantine"], &[]).await?;
            print::list(
                as_json,
                &entries.items,
                "nothing is in quarantine",
                ["id", "reason", "at", "attempts"],
                |entry| {
                    [entry.id.clone(), entry.reason.clone(), print::at(&entry.at), entry.attempts.to_string()]
                },
            )
        }
        QuarantineCommand::Show { id } => {
            let detail: QuarantinedDetail = client.get(&["quarantine", &id], &[]).await?;
            if as_json { print::json(&detail) } else { show(&detail) }
        }
        QuarantineCommand::Redrive { ids, all } => {
            let done: Redriven =
                client.post(&["quarantine", "redrive"], &json!({ "ids": ids, "all": all })).await?;
            if as_json {
                return print::json(&done);
            }
            print::line(&format!(
                "{} go through the normal path again; `tidings quarantine list` shows what comes back",
                done.redriven
            ))
        }
    }
}

fn show(detail: &QuarantinedDetail) -> Result<(), Failure> {
    let entry = &detail.entry;
    let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
    let kept = match detail.size_bytes {
        Some(size) if detail.kept => format!("kept, {size} bytes"),
        _ => "no longer kept: it cannot be redriven".to_owned(),
    };
    print::table(
        ["delivery", &entry.id],
        [
            ["reason".to_owned(), format!("{}: {}", entry.reason, detail.meaning)],
            ["set aside at".to_owned(), print::at(&entry.at)],
            ["attempts".to_owned(), entry.attempts.to_string()],
            ["body".to_owned(), kept],
            ["app".to_owned(), known(&detail.app)],
            ["received at".to_owned(), detail.received_at.as_deref().map(print::at).unwrap_or_default()],
            ["content type".to_owned(), known(&detail.content_type)],
        ],
    )
}
