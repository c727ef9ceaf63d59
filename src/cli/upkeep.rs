//! `tidings retention` and `tidings backup`: what is kept for how long, and copies of it.

use clap::{Args, Subcommand, ValueEnum};
use console::wire::{Backup, List, Restored, RetentionRow, Swept};
use serde_json::json;

use crate::cli::client::ClientArgs;
use crate::cli::failure::Failure;
use crate::cli::print;

const RETENTION: &str = "\
Examples:
  tidings retention plan            # what is kept for how long, and what the next sweep would remove
  tidings retention sweep --dry-run
  tidings retention sweep           # now, instead of at the next daily one";

const BACKUP: &str = "\
Examples:
  tidings backup create                  # views and keyring; kept for 30 days
  tidings backup create --kind monthly   # views only; kept for a year
  tidings backup list
  tidings backup restore ID              # whoever was forgotten since stays forgotten

A backup is sealed with a key of its own; both are destroyed when its time is over. Without the root key none opens.";

#[derive(Debug, Args)]
#[command(after_help = RETENTION)]
pub(crate) struct RetentionArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    command: RetentionCommand,
}

#[derive(Debug, Subcommand)]
enum RetentionCommand {
    /// What is kept for how long, how old the oldest is, and what the next sweep would remove
    Plan,
    /// Remove what was kept for long enough
    Sweep {
        /// Only tell what would go
        #[arg(long)]
        dry_run: bool,
    },
}

pub(crate) async fn retention(args: RetentionArgs) -> Result<(), Failure> {
    let client = args.client.client()?;
    match args.command {
        RetentionCommand::Plan => {
            let plan: List<RetentionRow> = client.get(&["retention"], &[]).await?;
            print::list(
                args.client.json,
                &plan.items,
                "nothing is kept",
                ["class", "counts from", "days", "oldest", "due", "goes by"],
                |row| {
                    let oldest = row.oldest_age_seconds.map(|age| format!("{:.1} d", age as f64 / 86_400.0));
                    [
                        row.class.clone(),
                        row.anchor.clone(),
                        row.keep_days.to_string(),
                        oldest.unwrap_or_default(),
                        row.due.to_string(),
                        row.action.clone(),
                    ]
                },
            )
        }
        RetentionCommand::Sweep { dry_run } => {
            let swept: List<Swept> =
                client.post_long(&["retention", "sweep"], &json!({ "dry_run": dry_run })).await?;
            let head = if dry_run { "would go" } else { "removed" };
            print::list(args.client.json, &swept.items, "nothing is due", ["class", head], |row| {
                [row.class.clone(), row.removed.to_string()]
            })
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = BACKUP)]
pub(crate) struct BackupArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    command: BackupCommand,
}

#[derive(Debug, Subcommand)]
enum BackupCommand {
    /// Make a backup
    Create {
        /// What it holds, and how long it is kept
        #[arg(long, value_enum, default_value_t = Kind::Daily)]
        kind: Kind,
    },
    /// List the backups
    List,
    /// Fill the databases from a backup
    Restore {
        /// Its id
        id: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// Views and keyring, for 30 days
    Daily,
    /// Views only, for a year
    Monthly,
}

pub(crate) async fn backup(args: BackupArgs) -> Result<(), Failure> {
    let client = args.client.client()?;
    let as_json = args.client.json;
    match args.command {
        BackupCommand::Create { kind } => {
            let kind = match kind {
                Kind::Daily => "daily",
                Kind::Monthly => "monthly",
            };
            let backup: Backup = client.post_long(&["backups"], &json!({ "kind": kind })).await?;
            if as_json {
                return print::json(&backup);
            }
            print::line(&format!(
                "backup {}: {} rows in {} bytes, until {} (UTC)",
                backup.backup,
                backup.rows,
                backup.bytes,
                print::at(&backup.expires_at)
            ))
        }
        BackupCommand::List => {
            let backups: List<Backup> = client.get(&["backups"], &[]).await?;
            print::list(
                as_json,
                &backups.items,
                "no backups yet; `tidings backup create` makes one",
                ["backup", "kind", "created", "expires", "rows", "bytes"],
                |one| {
                    [
                        one.backup.clone(),
                        one.kind.clone(),
                        print::at(&one.created_at),
                        print::at(&one.expires_at),
                        one.rows.to_string(),
                        one.bytes.to_string(),
                    ]
                },
            )
        }
        BackupCommand::Restore { id } => {
            let done: Restored = client.post_long(&["backups", &id, "restore"], &json!({})).await?;
            if as_json {
                return print::json(&done);
            }
            print::line(&format!(
                "backup {}: {} rows are back, {} people are known again, {} stayed forgotten",
                done.backup, done.rows, done.people, done.forgotten
            ))
        }
    }
}
