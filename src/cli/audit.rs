//! `tidings audit`: who did what to which tenant, and whether the record of it is whole.

use clap::{Args, Subcommand};
use console::wire::{AuditEntry, AuditVerdict};
use schemas::TenantId;

use crate::cli::client::ClientArgs;
use crate::cli::failure::{Exit, Failure};
use crate::cli::print;

const EXAMPLES: &str = "\
Examples:
  tidings audit list acme
  tidings audit list              # what concerns no single tenant, such as apps
  tidings audit verify            # every chain; exit 1 when one is broken
  tidings audit verify acme";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// List what was done, the oldest first
    List {
        /// The tenant; without it, what concerns the platform as a whole
        tenant: Option<TenantId>,
    },
    /// Check that nothing was changed, removed or inserted
    Verify {
        /// The tenant; without it, every chain
        tenant: Option<TenantId>,
    },
}

pub(crate) async fn run(args: AuditArgs) -> Result<(), Failure> {
    let client = args.client.client()?;
    let as_json = args.client.json;
    match args.command {
        AuditCommand::List { tenant } => {
            let entries: Vec<AuditEntry> = match &tenant {
                Some(tenant) => client.pages(&["tenants", tenant.as_str(), "audit"], usize::MAX).await?,
                None => client.pages(&["audit"], usize::MAX).await?,
            };
            print::list(
                as_json,
                &entries,
                "nothing was done yet",
                ["at", "actor", "action", "target"],
                |entry| {
                    [print::at(&entry.at), entry.actor.clone(), entry.action.clone(), entry.target.clone()]
                },
            )
        }
        AuditCommand::Verify { tenant } => {
            let query: Vec<(&str, &str)> = tenant.iter().map(|tenant| ("tenant", tenant.as_str())).collect();
            let verdict: AuditVerdict = client.get(&["audit", "verify"], &query).await?;
            if as_json {
                print::json(&verdict)?
            } else {
                show(&verdict)?
            }
            if verdict.ok {
                return Ok(());
            }
            Err(Failure::new(
                Exit::No,
                "an audit chain is broken",
                "the record in PostgreSQL differs from what was done; compare it with a copy you kept, and rebuild it from the log",
            ))
        }
    }
}

fn show(verdict: &AuditVerdict) -> Result<(), Failure> {
    print::table(
        ["chain", "entries", "verdict", "head"],
        verdict.chains.iter().map(|chain| {
            let word = match &chain.fault {
                None if chain.ok => "whole".to_owned(),
                fault => format!("BROKEN: {}", fault.as_deref().unwrap_or("its hashes do not agree")),
            };
            [chain.chain.clone(), chain.entries.to_string(), word, chain.head.clone().unwrap_or_default()]
        }),
    )
}
