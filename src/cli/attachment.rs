//! `tidings attachment`: files that people sent.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use schemas::{AttachmentId, TenantId};

use crate::cli::client::ClientArgs;
use crate::cli::failure::Failure;
use crate::cli::print;

const EXAMPLES: &str = "\
Examples:
  tidings conversation show acme ID --json | jq '.attachments'   # ids and states
  tidings attachment get acme 0f3a… --out picture.jpg

A file is pending while it is fetched, then stored, or refused, expired or failed with a reason.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AttachmentArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    command: AttachmentCommand,
}

#[derive(Debug, Subcommand)]
enum AttachmentCommand {
    /// Write a file's bytes into a file of your own
    Get {
        /// The tenant
        tenant: TenantId,
        /// The attachment's id
        id: AttachmentId,
        /// Where to; nothing is left there when it does not come whole
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

pub(crate) async fn run(args: AttachmentArgs) -> Result<(), Failure> {
    let client = args.client.client()?;
    let AttachmentCommand::Get { tenant, id, out } = args.command;
    let bytes = client.save(&["tenants", tenant.as_str(), "attachments", &id.to_string()], &out).await?;
    if args.client.json {
        return print::json(&serde_json::json!({ "file": out.display().to_string(), "bytes": bytes }));
    }
    print::line(&format!("{bytes} bytes in {}", out.display()))
}
