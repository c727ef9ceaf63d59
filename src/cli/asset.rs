//! `tidings asset`: which pages, accounts and numbers are whose.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use console::wire::{AssetAnswer, List, Removed};
use reqwest::Method;
use schemas::{AssetKind, TenantId};
use secrecy::ExposeSecret;
use serde_json::json;

use crate::cli::client::{Client, ClientArgs, token};
use crate::cli::failure::Failure;
use crate::cli::print;

const EXAMPLES: &str = "\
Examples:
  tidings asset connect acme messenger 1234567890     # a page, by page id
  tidings asset connect acme instagram 17841400000    # an account, by account id
  tidings asset connect acme whatsapp 106540352242    # a number, by phone_number_id
  tidings asset connect acme waba 102290129340        # every number of a WhatsApp business account
  tidings asset connect acme whatsapp 106540352242 --access-token-file token.txt   # and fetch what people attach
  tidings asset list acme
  tidings asset state acme waba 102290129340          # templates, restrictions, alerts

What arrived for an asset before it was connected is parked, not lost: connecting routes it.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AssetArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    command: AssetCommand,
}

#[derive(Debug, Subcommand)]
enum AssetCommand {
    /// Connect an asset to a tenant; what was parked for it is routed now
    Connect {
        #[command(flatten)]
        named: Named,
        /// File that holds the access token its media is fetched with; kept sealed
        #[arg(long, value_name = "FILE")]
        access_token_file: Option<PathBuf>,
    },
    /// Set the access token that an asset's media is fetched with
    Token {
        #[command(flatten)]
        named: Named,
        /// File that holds the access token; kept sealed
        #[arg(long, value_name = "FILE")]
        access_token_file: PathBuf,
    },
    /// Disconnect an asset; what arrives for it from here on is parked
    Disconnect(Named),
    /// Show what Meta said last of an asset: quality, limits, templates, restrictions
    State(Named),
    /// List the connected assets
    List {
        /// Only this tenant's
        tenant: Option<TenantId>,
    },
}

#[derive(Debug, Args)]
struct Named {
    /// The tenant
    tenant: TenantId,
    /// messenger, instagram, whatsapp or waba
    channel: AssetKind,
    /// Page id, account id, phone_number_id or business account id
    id: String,
}

impl Named {
    fn path(&self) -> [&str; 5] {
        ["tenants", self.tenant.as_str(), "assets", self.channel.as_str(), &self.id]
    }
}

async fn set_token(client: &Client, named: &Named, file: &Path) -> Result<AssetAnswer, Failure> {
    let token = token(file)?;
    let [a, b, c, d, e] = named.path();
    client.put(&[a, b, c, d, e, "token"], &json!({ "access_token": token.expose_secret() })).await
}

pub(crate) async fn run(args: AssetArgs) -> Result<(), Failure> {
    let client = args.client.client()?;
    let as_json = args.client.json;
    match args.command {
        AssetCommand::Token { named, access_token_file } => {
            let asset = set_token(&client, &named, &access_token_file).await?;
            if as_json {
                return print::json(&asset);
            }
            print::line(&format!("{} has an access token of tenant {}", asset.asset, asset.tenant))
        }
        AssetCommand::Connect { named, access_token_file } => {
            // First the token: what was parked is routed at once, and its media is fetched then.
            if let Some(file) = &access_token_file {
                set_token(&client, &named, file).await?;
            }
            let asset: AssetAnswer = client.act(Method::PUT, &named.path()).await?;
            if as_json {
                return print::json(&asset);
            }
            print::line(&format!(
                "{} is connected to tenant {}; what was parked for it is routed now",
                asset.asset, asset.tenant
            ))
        }
        AssetCommand::Disconnect(named) => {
            let removed: Removed = client.act(Method::DELETE, &named.path()).await?;
            if as_json {
                return print::json(&removed);
            }
            print::line(&format!("disconnected {}; what arrives for it is parked", removed.removed))
        }
        AssetCommand::State(named) => {
            let path = [&named.path()[..], &["state"]].concat();
            print::standing(as_json, client.get(&path, &[]).await?, "Meta has said nothing of it yet")
        }
        AssetCommand::List { tenant } => {
            let query: Vec<(&str, &str)> = tenant.iter().map(|tenant| ("tenant", tenant.as_str())).collect();
            let assets: List<AssetAnswer> = client.get(&["assets"], &query).await?;
            print::list(
                as_json,
                &assets.items,
                "no assets yet; `tidings asset connect TENANT CHANNEL ID` connects one",
                ["tenant", "channel", "id"],
                |asset| [asset.tenant.to_string(), asset.channel.clone(), asset.id.clone()],
            )
        }
    }
}
