//! `tidings key`: key files.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use console::wire::Rotated;
use schemas::TenantId;
use serde_json::json;

use crate::cli::client::ClientArgs;
use crate::cli::failure::Failure;
use crate::cli::print;

const EXAMPLES: &str = "\
Examples:
  tidings key rotate root            # and write the edge keys anew
  tidings key rotate tenant acme
  tidings key edge --root-key root-key --out edge-key        # all that ingest needs to hold
  tidings key wrap --root-key root-key --kms-key alias/tidings --region us-west-2";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct KeyArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Level {
    /// The root: what it sealed is sealed again
    Root,
    /// Tenants': their people's keys are sealed again
    Tenant,
    /// Those that ingest seals bodies with
    Data,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Replace the keys of a level; nothing fails meanwhile
    Rotate {
        /// The level
        level: Level,
        /// With tenant: whose; everybody's without
        tenant: Option<TenantId>,
    },
    /// Write the edge key file: it opens app secrets and seals bodies, and opens nothing that was sealed
    Edge {
        /// The root key file
        #[arg(long, value_name = "FILE", env = "TIDINGS_ROOT_KEY")]
        root_key: PathBuf,
        /// The edge key file; written anew after every rotation of the root
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Another address of AWS KMS
        #[arg(long, env = "TIDINGS_KMS_ENDPOINT", value_name = "URL")]
        kms_endpoint: Option<String>,
    },
    /// Wrap the root key file with AWS KMS: the file alone opens nothing then. Makes the key when there is no file
    Wrap {
        /// The root key file
        #[arg(long, value_name = "FILE", env = "TIDINGS_ROOT_KEY")]
        root_key: PathBuf,
        /// The KMS key: id, ARN or alias
        #[arg(long, value_name = "KEY")]
        kms_key: String,
        /// Its region
        #[arg(long, value_name = "REGION")]
        region: String,
        /// Another address of AWS KMS
        #[arg(long, env = "TIDINGS_KMS_ENDPOINT", value_name = "URL")]
        kms_endpoint: Option<String>,
        /// Refuse a KMS key in any other region
        #[arg(long, env = "TIDINGS_ONLY_REGION", value_name = "REGION")]
        only_region: Option<String>,
    },
}

pub(crate) async fn run(args: KeyArgs) -> Result<(), Failure> {
    match args.command {
        KeyCommand::Rotate { level, tenant } => {
            let level = match level {
                Level::Root => "root",
                Level::Tenant => "tenant",
                Level::Data => "data",
            };
            let body = json!({ "level": level, "tenant": tenant });
            let done: Rotated = args.client.client()?.post_long(&["keys", "rotate"], &body).await?;
            if args.client.json {
                return print::json(&done);
            }
            if done.level == "data" {
                return print::line("whoever receives seals with a new data key from now on");
            }
            print::line(&format!(
                "{} keys are replaced; sealed with the new ones: tenants {}, people's keys {}, apps {}, backups {}",
                done.level, done.tenants, done.keys, done.apps, done.backups
            ))
        }
        KeyCommand::Edge { root_key, out, kms_endpoint } => {
            let options = kms::Options { endpoint: kms_endpoint, ..kms::Options::default() };
            let root = kms::load_root(&root_key, options).await.context("reading the root key")?;
            root.edge().write(&out).context("writing the edge key")?;
            print::line(&format!("the edge key is in {}", out.display()))
        }
        KeyCommand::Wrap { root_key, kms_key, region, kms_endpoint, only_region } => {
            let options = kms::Options { endpoint: kms_endpoint, only_region, ..kms::Options::default() };
            let root = kms::wrap_root(&root_key, &region, &kms_key, options)
                .await
                .context("wrapping the root key")?;
            print::line(&format!(
                "the {} generations of the root key in {} are wrapped by KMS",
                root.key_ids().len(),
                root_key.display()
            ))
        }
    }
}
