//! `tidings tenant`: the client organisations.

use clap::{Args, Subcommand};
use console::wire::{List, TenantAnswer};
use reqwest::Method;
use schemas::{TenantId, TenantState};
use serde_json::json;

use crate::cli::client::ClientArgs;
use crate::cli::failure::Failure;
use crate::cli::print;

const EXAMPLES: &str = "\
Examples:
  tidings tenant add acme --name 'Acme Relief'
  tidings tenant list
  tidings tenant suspend acme    # its events are parked …
  tidings tenant resume acme     # … and flow again, the parked ones first";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TenantArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    command: TenantCommand,
}

#[derive(Debug, Subcommand)]
enum TenantCommand {
    /// Add a tenant, or rename it, and make its feed
    Add {
        /// Its id: 1 to 63 of a-z 0-9 - _
        tenant: TenantId,
        /// The organisation's name
        #[arg(long)]
        name: String,
    },
    /// List the tenants
    List,
    /// Park a tenant's events from here on
    Suspend {
        /// Its id
        tenant: TenantId,
    },
    /// Let a suspended tenant's events flow again
    Resume {
        /// Its id
        tenant: TenantId,
    },
}

pub(crate) async fn run(args: TenantArgs) -> Result<(), Failure> {
    let client = args.client.client()?;
    let as_json = args.client.json;
    let tenant: TenantAnswer = match args.command {
        TenantCommand::Add { tenant, name } => {
            client.post(&["tenants"], &json!({ "id": tenant, "name": name })).await?
        }
        TenantCommand::Suspend { tenant } => {
            client.act(Method::POST, &["tenants", tenant.as_str(), "suspend"]).await?
        }
        TenantCommand::Resume { tenant } => {
            client.act(Method::POST, &["tenants", tenant.as_str(), "resume"]).await?
        }
        TenantCommand::List => {
            let tenants: List<TenantAnswer> = client.get(&["tenants"], &[]).await?;
            return print::list(
                as_json,
                &tenants.items,
                "no tenants yet; `tidings tenant add TENANT --name NAME` adds one",
                ["tenant", "name", "state", "assets", "feed"],
                |tenant| {
                    let state = state(tenant).to_owned();
                    let assets = tenant.assets.to_string();
                    [tenant.id.to_string(), tenant.name.clone(), state, assets, tenant.feed.clone()]
                },
            );
        }
    };
    if as_json {
        return print::json(&tenant);
    }
    print::line(&format!(
        "tenant {} ({}) is {}; its feed is the topic {}",
        tenant.id,
        print::plain(&tenant.name),
        state(&tenant),
        tenant.feed
    ))
}

fn state(tenant: &TenantAnswer) -> &'static str {
    match tenant.state {
        TenantState::Active => "active",
        TenantState::Suspended => "suspended",
    }
}
