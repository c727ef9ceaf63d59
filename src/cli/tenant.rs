//! `tidings tenant`: the client organisations.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use console::wire::{FeedAnswer, List, TenantAnswer};
use reqwest::Method;
use schemas::TenantId;
use serde_json::json;

use crate::cli::client::ClientArgs;
use crate::cli::failure::Failure;
use crate::cli::print;

const EXAMPLES: &str = "\
Examples:
  tidings tenant add acme --name 'Acme Relief'
  tidings tenant list
  tidings tenant suspend acme    # its events are parked …
  tidings tenant resume acme     # … and flow again, the parked ones first
  tidings tenant feed acme --format jwe --public-jwk acme.jwk.json
  tidings tenant terminate acme  # in 30 days nothing of it is left";

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
    /// Set the form of a tenant's feed: JSON in clear, or JWE that only the tenant can open
    Feed {
        /// Its id
        tenant: TenantId,
        /// The form
        #[arg(long, value_enum)]
        format: Format,
        /// With jwe: the tenant's public key, as a JWK
        #[arg(long, value_name = "FILE", required_if_eq("format", "jwe"))]
        public_jwk: Option<PathBuf>,
    },
    /// End a tenant: its events are parked, and everything of it is destroyed when its time is over
    Terminate {
        /// Its id
        tenant: TenantId,
        /// In so many days; until then, `resume` keeps it after all
        #[arg(long, value_name = "N", default_value_t = 30)]
        days: u32,
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
        TenantCommand::Terminate { tenant, days } => {
            client.post(&["tenants", tenant.as_str(), "terminate"], &json!({ "days": days })).await?
        }
        TenantCommand::Feed { tenant, format, public_jwk } => {
            let jwk = public_jwk.as_deref().map(read).transpose()?;
            let body = json!({ "format": format.as_str(), "jwk": jwk });
            let feed: FeedAnswer = client.put(&["tenants", tenant.as_str(), "feed"], &body).await?;
            if as_json {
                return print::json(&feed);
            }
            let key = feed.key.map(|key| format!(", for the key {key}")).unwrap_or_default();
            return print::line(&format!("the feed {} is {} from here on{key}", feed.feed, feed.format));
        }
        TenantCommand::List => {
            let tenants: List<TenantAnswer> = client.get(&["tenants"], &[]).await?;
            return print::list(
                as_json,
                &tenants.items,
                "no tenants yet; `tidings tenant add TENANT --name NAME` adds one",
                ["tenant", "name", "state", "assets", "feed"],
                |tenant| {
                    let assets = tenant.assets.to_string();
                    [
                        tenant.id.to_string(),
                        tenant.name.clone(),
                        tenant.state.clone(),
                        assets,
                        tenant.feed.clone(),
                    ]
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
        tenant.state,
        tenant.feed
    ))?;
    match &tenant.purge_at {
        Some(at) => print::line(&format!("everything of it is destroyed at {} (UTC)", print::at(at))),
        None => Ok(()),
    }
}

/// The form of a feed.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// JSON that whoever may read the topic can read
    Clear,
    /// JWE that only the tenant can open
    Jwe,
}

impl Format {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Jwe => "jwe",
        }
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|cause| {
        Failure::usage(
            format!("the key file {} cannot be read: {cause}", file.display()),
            "--public-jwk names a file that holds the tenant's public key as a JWK",
        )
    })
}
