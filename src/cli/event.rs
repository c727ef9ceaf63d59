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
  tidings event follow acme --json | jq -c .type
  tidings event reparse acme                     # how what was not read would read today";

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
    /// Show how everything that is kept `unrecognized` reads with this version; changes nothing
    Reparse {
        /// The tenant
        tenant: TenantId,
    },
}

/// What a person is shown of something that was not read.
#[derive(Deserialize)]
struct Again {
    id: String,
    time: String,
    #[serde(default)]
    field: String,
    reason: String,
    reads_as: Vec<Reading>,
}

#[derive(Deserialize)]
struct Reading {
    kind: String,
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
        EventCommand::Reparse { tenant } => {
            let take = |line: &str| if as_json { print::line(line) } else { again(line) };
            client.lines(&["tenants", tenant.as_str(), "events", "reparse"], &[], take).await
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

fn again(line: &str) -> Result<(), Failure> {
    let again: Again =
        serde_json::from_str(line).map_err(|_| no_event("a line is not what was asked for"))?;
    let kinds: Vec<_> = again.reads_as.iter().map(|reading| reading.kind.as_str()).collect();
    let (time, field) = (print::at(&again.time), &again.field);
    let kinds = kinds.join(", ");
    let shown = format!("{time}  {field:24}  {:14}  {kinds:32}  {}", again.reason, again.id);
    print::line(&print::plain(&shown))
}

fn no_event(what: &str) -> Failure {
    Failure::new(Exit::Unreachable, what, "use a `tidings` of the console's version")
}

fn glimpse(line: &str) -> Result<(), Failure> {
    let event: Glimpse = serde_json::from_str(line).map_err(|_| no_event("a line is not a CloudEvent"))?;
    let kind = event.kind.strip_prefix("org.tidings.").unwrap_or(&event.kind);
    let kind = kind.rsplit_once(".v").map_or(kind, |(kind, _)| kind);
    let shown = format!("{}  {kind:24}  {:40}  {}", print::at(&event.time), event.subject, event.id);
    print::line(&print::plain(&shown))
}
