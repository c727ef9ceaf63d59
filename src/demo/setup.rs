//! What stands before the first message: a folder, an app, three organisations and all of their accounts but one.

use std::path::{Path, PathBuf};

use anyhow::Context;
use console::wire::{AppAnswer, AssetAnswer, TenantAnswer};
use reqwest::Method;
use sandbox::{Account, Channel, Secret};
use schemas::Topics;
use serde_json::json;

use crate::cli::{Client, Failure};
use crate::demo::{Args, Stage};
use crate::up::Options;

/// The app's name in `/webhooks/{app}`.
pub(crate) const APP: &str = "demo";
/// Nobody's secret: it signs made-up messages on this machine.
const SECRET: &str = "a made-up app secret";

/// What the simulated Graph API asks for.
pub(crate) const GRAPH_TOKEN: &str = "EAA-made-up";

/// What the simulated Meta signs with.
pub(crate) fn secret() -> Secret {
    Secret::new(SECRET.as_bytes())
}

/// Where the demo keeps everything.
pub(crate) struct Folder {
    path: PathBuf,
    removed: bool,
}

impl Folder {
    /// The given folder, which must be new or empty; or one that is removed when dropped.
    pub(crate) fn new(given: Option<PathBuf>) -> Result<Self, Failure> {
        if let Some(path) = given {
            if std::fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some()) {
                return Err(Failure::usage(
                    format!("{} is not empty", path.display()),
                    "the demo counts what it finds there: give it a new folder with --data, or none",
                ));
            }
            return Ok(Self { path, removed: false });
        }
        let path = std::env::temp_dir().join(format!("tidings-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("making the folder {}", path.display()))?;
        Ok(Self { path, removed: true })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.removed {
            // What is left of a temporary folder does no harm.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// How `up` is started, and what to call its log.
pub(crate) fn options(args: &Args, folder: &Path) -> Result<(Options, String), Failure> {
    let mut options = Options::new(folder.to_owned());
    // Free ports: a demo beside a running Tidings disturbs nobody.
    options.listen.set_port(0);
    options.admin_listen.set_port(0);
    let Some(brokers) = &args.kafka else { return Ok((options, "embedded log".to_owned())) };
    options.kafka = Some(args.kafka_args.config(brokers)?);
    // Topics of its own each time: what an earlier demo left there is sealed with another root key.
    let prefix = format!("demo-{}-{}.", jiff::Timestamp::now().as_second(), std::process::id());
    options.topics = Topics::new(prefix);
    Ok((options, format!("Kafka at {brokers}")))
}

/// Adds the app, the organisations and their accounts. One WhatsApp number is left out and returned: what arrives for it
/// is parked until it is connected.
pub(crate) async fn organisations(stage: &Stage) -> Result<Account, Failure> {
    let app = json!({ "id": APP, "verify_token": "demo-verify-token", "secret": SECRET });
    let _: AppAnswer = stage.client.post(&["apps"], &app).await?;
    for organisation in stage.world.organisations() {
        let tenant = json!({ "id": organisation.tenant, "name": organisation.name });
        let _: TenantAnswer = stage.client.post(&["tenants"], &tenant).await?;
    }
    let late = stage.world.accounts().iter().rfind(|account| account.channel == Channel::Whatsapp);
    let late = late.context("a world without a WhatsApp number")?.clone();
    for account in stage.world.accounts().iter().filter(|account| account.id != late.id) {
        connect(stage, account).await?;
    }
    Ok(late)
}

/// Connects an account to its organisation; a WhatsApp number with the business account it belongs to.
pub(crate) async fn connect(stage: &Stage, account: &Account) -> Result<(), Failure> {
    let tenant = stage.world.tenant(account);
    let path = ["tenants", tenant, "assets", account.channel.as_str(), &account.id, "token"];
    let _: AssetAnswer = stage.client.put(&path, &json!({ "access_token": GRAPH_TOKEN })).await?;
    put(&stage.client, tenant, account.channel.as_str(), &account.id).await?;
    match &account.waba {
        Some(waba) => put(&stage.client, tenant, "waba", waba).await,
        None => Ok(()),
    }
}

async fn put(client: &Client, tenant: &str, channel: &str, id: &str) -> Result<(), Failure> {
    let _: AssetAnswer = client.act(Method::PUT, &["tenants", tenant, "assets", channel, id]).await?;
    Ok(())
}

/// Where to look, in words.
pub(crate) fn addresses(stage: &Stage) -> String {
    let Stage { webhooks, admin, token_file, .. } = stage;
    let tenant = &stage.world.organisations()[0].tenant;
    // As this one was called, so that the lines can be copied.
    let tidings = std::env::args().next().unwrap_or_else(|| "tidings".to_owned());
    format!(
        "
  webhooks    {webhooks}/webhooks/{APP}
  admin API   {admin}            described at {admin}/openapi.json
  metrics     {admin}/metrics
  token       {token}

  In another terminal:
    export TIDINGS_ADMIN={admin} TIDINGS_TOKEN_FILE={token}
    {tidings} conversation list {tenant}
    {tidings} event follow {tenant}
    {tidings} verify
",
        token = token_file.display(),
    )
}
