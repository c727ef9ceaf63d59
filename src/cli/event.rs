//! `tidings event`: a tenant's feed, as CloudEvents.

use clap::{Args, Subcommand};
use schemas::TenantId;
use serde::Deserialize;

use crate::cli::client::ClientArgs;
use crate::cli::failure::{Exit, Failure};
use crate::cli::print;

const EXAMPLES: &str = "\
Examples:
  tidings event list acme --json                 # CloudEvents 1.0, one a line
  tidings event follow acme --new-only           # what comes from now on
  tidings event follow acme --json | jq -c .type";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct EventArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    command: EventCommand,
}

#[derive(Debug, Subcommand)]
enum EventCommand {
    /// List what a tenant's feed holds now
    List {
        /// The tenant
        tenant: TenantId,
    },
    /// Follow a tenant's feed: what it holds, then what comes, until Ctrl-C
    Follow {
        /// The tenant
        tenant: TenantId,
        /// Leave out what it holds already
        #[arg(long)]
        new_only: bool,
    },
}

/// What a person is shown of an event.
#[derive(Deserialize)]
struct Glimpse {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    time: String,
}

pub(crate) async fn run(args: EventArgs) -> Result<(), Failure> {
    let client = args.client.client()?;
    let as_json = args.client.json;
    let take = |line: &str| if as_json { print::line(line) } else { glimpse(line) };
    match args.command {
        EventCommand::List { tenant } => {
            client.lines(&["tenants", tenant.as_str(), "events"], &[], take).await
        }
        EventCommand::Follow { tenant, new_only } => {
            let query = [("new_only", if new_only { "true" } else { "false" })];
            client.lines(&["tenants", tenant.as_str(), "events", "follow"], &query, take).await?;
            Err(Failure::new(
                Exit::Unreachable,
                "the console ended the stream: it is stopping",
                "follow again once it is back",
            ))
        }
    }
}

fn glimpse(line: &str) -> Result<(), Failure> {
    let event: Glimpse = serde_json::from_str(line).map_err(|_| {
        Failure::new(
            Exit::Unreachable,
            "a line is not a CloudEvent",
            "use a `tidings` of the console's version",
        )
    })?;
    let kind = event.kind.strip_prefix("org.tidings.").unwrap_or(&event.kind);
    let kind = kind.strip_suffix(".v1").unwrap_or(kind);
    let shown = format!("{}  {kind:24}  {:40}  {}", print::at(&event.time), event.subject, event.id);
    print::line(&print::plain(&shown))
}
