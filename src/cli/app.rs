//! `tidings app`: the Meta apps that may deliver.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use console::wire::{AppAnswer, List, Removed};
use reqwest::Method;
use schemas::AppId;
use serde_json::json;

use crate::cli::client::{Client, ClientArgs};
use crate::cli::failure::Failure;
use crate::cli::print;

const EXAMPLES: &str = "\
Examples:
  tidings app add main --secret-file app-secret.txt --verify-token 'a long random text'
  tidings app rotate main --next-secret-file new-secret.txt   # before you reset the secret at Meta
  tidings app rotate main --promote                           # after it
  tidings app list

The secret is in Meta's app dashboard under App settings, Basic. The webhook's address is what
`tidings up` prints, followed by /webhooks/APP.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AppArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    command: AppCommand,
}

#[derive(Debug, Subcommand)]
enum AppCommand {
    /// Add an app: Meta may deliver to /webhooks/APP from here on
    Add {
        /// Its name: 1 to 63 of a-z 0-9 - _
        app: AppId,
        /// File that holds the app secret
        #[arg(long, value_name = "FILE")]
        secret_file: PathBuf,
        /// The verify token entered at Meta
        #[arg(long, value_name = "TOKEN")]
        verify_token: String,
        #[command(flatten)]
        more: MoreSecrets,
    },
    /// Change an app's secrets or verify token; what is not given stays
    Rotate {
        /// Its name
        app: AppId,
        /// File that holds a new current secret
        #[arg(long, value_name = "FILE", conflicts_with = "promote")]
        secret_file: Option<PathBuf>,
        /// A new verify token; the one before stays valid until the next rotation
        #[arg(long, value_name = "TOKEN")]
        verify_token: Option<String>,
        #[command(flatten)]
        more: MoreSecrets,
        /// Make the next secret the current one and forget the old one
        #[arg(long)]
        promote: bool,
    },
    /// List the apps
    List,
    /// Remove an app: what Meta delivers to it is refused from here on
    Remove {
        /// Its name
        app: AppId,
    },
}

#[derive(Debug, Args)]
struct MoreSecrets {
    /// File that holds the next app secret, accepted beside the current one
    #[arg(long, value_name = "FILE")]
    next_secret_file: Option<PathBuf>,
    /// File that holds the separate secret of "Instagram API with Instagram Login"
    #[arg(long, value_name = "FILE")]
    instagram_secret_file: Option<PathBuf>,
}

pub(crate) async fn run(args: AppArgs) -> Result<(), Failure> {
    let client = args.client.client()?;
    let as_json = args.client.json;
    match args.command {
        AppCommand::Add { app, secret_file, verify_token, more } => {
            let body = json!({
                "id": app,
                "verify_token": verify_token,
                "secret": secret(&secret_file)?,
                "next_secret": more.next_secret_file.as_deref().map(secret).transpose()?,
                "instagram_secret": more.instagram_secret_file.as_deref().map(secret).transpose()?,
            });
            show(as_json, &client.post(&["apps"], &body).await?)
        }
        AppCommand::Rotate { app, secret_file, verify_token, more, promote } => {
            let body = json!({
                "verify_token": verify_token,
                "secret": secret_file.as_deref().map(secret).transpose()?,
                "next_secret": more.next_secret_file.as_deref().map(secret).transpose()?,
                "instagram_secret": more.instagram_secret_file.as_deref().map(secret).transpose()?,
                "promote": promote,
            });
            show(as_json, &client.post(&["apps", app.as_str(), "rotate"], &body).await?)
        }
        AppCommand::List => list(&client, as_json).await,
        AppCommand::Remove { app } => {
            let removed: Removed = client.act(Method::DELETE, &["apps", app.as_str()]).await?;
            if as_json { print::json(&removed) } else { print::line(&format!("removed {}", removed.removed)) }
        }
    }
}

async fn list(client: &Client, as_json: bool) -> Result<(), Failure> {
    let apps: List<AppAnswer> = client.get(&["apps"], &[]).await?;
    print::list(
        as_json,
        &apps.items,
        "no apps yet; `tidings app add APP --secret-file FILE --verify-token TOKEN` adds one",
        ["app", "path", "secrets", "verify tokens"],
        |app| [app.id.to_string(), app.path.clone(), roles(app), app.verify_tokens.to_string()],
    )
}

fn show(as_json: bool, app: &AppAnswer) -> Result<(), Failure> {
    if as_json {
        return print::json(app);
    }
    print::line(&format!("app {}: Meta delivers to {}; secrets: {}", app.id, app.path, roles(app)))
}

fn roles(app: &AppAnswer) -> String {
    app.secrets.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ")
}

/// The secret in a file, without the line end an editor leaves behind it.
fn secret(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).map_err(|cause| {
        Failure::usage(
            format!("the secret file {} cannot be read: {cause}", file.display()),
            "put the app secret, as Meta's app dashboard shows it, into a file of its own",
        )
    })?;
    let secret = text.trim();
    if secret.is_empty() {
        return Err(Failure::usage(
            format!("the secret file {} is empty", file.display()),
            "put the app secret, as Meta's app dashboard shows it, into the file",
        ));
    }
    Ok(secret.to_owned())
}
