//! `tidings replay`: everything through the normal path again.

use clap::Args;
use console::wire::Replayed;
use serde_json::json;

use crate::cli::client::ClientArgs;
use crate::cli::failure::Failure;
use crate::cli::print;

const EXAMPLES: &str = "\
Example:
  tidings replay --all && tidings verify --wait 300

Every stage takes repeats for what they are: what was shown is shown once, who was forgotten stays forgotten. The feeds
hold what is replayed once more; `ce_id` tells.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// Everything that the raw log still keeps
    #[arg(long, required = true)]
    all: bool,
}

pub(crate) async fn run(args: ReplayArgs) -> Result<(), Failure> {
    let client = args.client.client()?;
    let replayed: Replayed = client.post(&["replay"], &json!({ "all": args.all })).await?;
    if args.client.json {
        return print::json(&replayed);
    }
    print::line(&format!("{} deliveries will be routed again", replayed.replayed))
}
