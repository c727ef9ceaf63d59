//! What the roles take from the command line, and what is refused before anything is opened.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use seal::RootKey;
use secrecy::SecretString;

use crate::blobs::BlobArgs;
use crate::cli::{Failure, secret};
use crate::edge::EdgeArgs;
use crate::kafka::KafkaArgs;
use crate::logs::LogArgs;

/// What every role takes.
#[derive(Debug, Args)]
pub(crate) struct RoleArgs {
    /// Kafka: host:port,host:port
    #[arg(long, env = "TIDINGS_KAFKA_BROKERS", value_name = "BROKERS")]
    pub(crate) kafka: Option<String>,
    /// The deployment's root key file, the same for every role that needs it: one line `tidings-root-v1:` and 64 random
    /// hexadecimal digits (openssl rand -hex 32), mode 0600; or wrapped by AWS KMS, as `tidings key wrap` makes it. Ingest
    /// takes an edge key instead, the projector none
    #[arg(long, env = "TIDINGS_ROOT_KEY", value_name = "FILE")]
    pub(crate) root_key: Option<PathBuf>,
    /// Another address of AWS KMS, such as a private endpoint's
    #[arg(long, env = "TIDINGS_KMS_ENDPOINT", value_name = "URL")]
    pub(crate) kms_endpoint: Option<String>,
    /// Where /metrics, /healthz and /readyz are; for a private network only
    #[arg(long, env = "TIDINGS_MONITOR_LISTEN", value_name = "ADDR")]
    pub(crate) monitor_listen: Option<SocketAddr>,
    /// This process's name in its consumer groups: unique among its kind, the same after a restart. Default: the host's
    #[arg(long, env = "TIDINGS_MEMBER", value_name = "NAME")]
    pub(crate) member: Option<String>,
    /// Begin every topic's name with this
    #[arg(long, env = "TIDINGS_TOPIC_PREFIX", value_name = "PREFIX", default_value = "")]
    pub(crate) topic_prefix: String,
    #[command(flatten)]
    pub(crate) kafka_args: KafkaArgs,
    #[command(flatten)]
    pub(crate) logs: LogArgs,
}

/// Receive webhooks: verify, seal, keep, answer. Needs the log and the edge key, nothing else.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tidings ingest --kafka b1:9092,b2:9092 --edge-key /etc/tidings/edge-key --listen 0.0.0.0:8080 --monitor-listen 10.0.0.5:9090"
)]
pub(crate) struct IngestArgs {
    /// Where webhooks arrive
    #[arg(long, env = "TIDINGS_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// The edge key file, as `tidings key edge` makes it: it opens app secrets and seals bodies, and opens none
    #[arg(long, env = "TIDINGS_EDGE_KEY", value_name = "FILE")]
    pub(crate) edge_key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) edge: EdgeArgs,
    #[command(flatten)]
    pub(crate) role: RoleArgs,
}

/// Split deliveries, find tenant and person, append events.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tidings router --kafka b1:9092 --root-key /etc/tidings/root-key --keyring 'host=db1 user=tidings dbname=tidings_keyring'"
)]
pub(crate) struct RouterArgs {
    /// The keyring's database
    #[arg(long, env = "TIDINGS_KEYRING", value_name = "URL", value_parser = secret)]
    pub(crate) keyring: SecretString,
    /// Refuse to start with a KMS key in any other region
    #[arg(long, env = "TIDINGS_ONLY_REGION", value_name = "REGION")]
    pub(crate) only_region: Option<String>,
    /// Leave the tables as they are: `tidings migrate` makes and updates them
    #[arg(long, env = "TIDINGS_NO_MIGRATE")]
    pub(crate) no_migrate: bool,
    #[command(flatten)]
    pub(crate) role: RoleArgs,
}

/// Fold events into the views.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tidings projector --kafka b1:9092 --postgres 'host=db1 user=tidings dbname=tidings_views' --audit-key /etc/tidings/audit-key"
)]
pub(crate) struct ProjectorArgs {
    /// File that holds the key audit heads are signed with, the same for every projector; made when missing
    #[arg(long, env = "TIDINGS_AUDIT_KEY", value_name = "FILE")]
    pub(crate) audit_key: PathBuf,
    /// The views' database
    #[arg(long, env = "TIDINGS_POSTGRES", value_name = "URL", value_parser = secret)]
    pub(crate) postgres: SecretString,
    /// Leave the tables as they are: `tidings migrate` makes and updates them
    #[arg(long, env = "TIDINGS_NO_MIGRATE")]
    pub(crate) no_migrate: bool,
    #[command(flatten)]
    pub(crate) role: RoleArgs,
}

/// Serve the admin API, and do what it is asked: forget, export, sweep, back up.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tidings console --kafka b1:9092 --root-key /etc/tidings/root-key --postgres 'host=db1 user=tidings dbname=tidings_views' \\\n      --keyring 'host=db1 user=tidings dbname=tidings_keyring' --s3-bucket tidings --listen 10.0.0.5:8081 --token-file /etc/tidings/admin-token"
)]
pub(crate) struct ConsoleArgs {
    /// Where the admin API is; for a private network only
    #[arg(long, env = "TIDINGS_ADMIN_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8081")]
    pub(crate) listen: SocketAddr,
    /// The key that audit heads have to be signed with, as the projector says it when it starts
    #[arg(long, env = "TIDINGS_AUDIT_PUBLIC_KEY", value_name = "HEX", value_parser = public_key)]
    pub(crate) audit_public_key: Option<PublicKey>,
    /// File that holds the admin token
    #[arg(long, env = "TIDINGS_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: PathBuf,
    /// The views' database
    #[arg(long, env = "TIDINGS_POSTGRES", value_name = "URL", value_parser = secret)]
    pub(crate) postgres: SecretString,
    /// The keyring's database
    #[arg(long, env = "TIDINGS_KEYRING", value_name = "URL", value_parser = secret)]
    pub(crate) keyring: SecretString,
    /// The edge key file that ingest reads on this machine: written anew whenever the root key is rotated
    #[arg(long, env = "TIDINGS_EDGE_KEY", value_name = "FILE")]
    pub(crate) edge_key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) blobs: BlobArgs,
    #[command(flatten)]
    pub(crate) role: RoleArgs,
}

/// Fetch, check, seal and store what people attach.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tidings attachments --kafka b1:9092 --root-key /etc/tidings/root-key --postgres 'host=db1 user=tidings dbname=tidings_views' \\\n      --keyring 'host=db1 user=tidings dbname=tidings_keyring' --s3-bucket tidings"
)]
pub(crate) struct AttachmentsArgs {
    /// The database with the queue: the views'
    #[arg(long, env = "TIDINGS_POSTGRES", value_name = "URL", value_parser = secret)]
    pub(crate) postgres: SecretString,
    /// The keyring's database
    #[arg(long, env = "TIDINGS_KEYRING", value_name = "URL", value_parser = secret)]
    pub(crate) keyring: SecretString,
    /// Another Graph API than Meta's; its host is then the one allowed origin of media
    #[arg(long, env = "TIDINGS_GRAPH_URL", value_name = "URL")]
    pub(crate) graph_url: Option<String>,
    #[command(flatten)]
    pub(crate) blobs: BlobArgs,
    #[command(flatten)]
    pub(crate) role: RoleArgs,
}

/// Make or update the tables of the views and of the keyring, where the roles may not (--no-migrate).
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tidings migrate --postgres 'host=db1 user=owner dbname=tidings_views' --keyring 'host=db1 user=owner dbname=tidings_keyring'"
)]
#[group(required = true, multiple = true)]
pub(crate) struct MigrateArgs {
    /// The views' database
    #[arg(long, env = "TIDINGS_POSTGRES", value_name = "URL", value_parser = secret)]
    pub(crate) postgres: Option<SecretString>,
    /// The keyring's database
    #[arg(long, env = "TIDINGS_KEYRING", value_name = "URL", value_parser = secret)]
    pub(crate) keyring: Option<SecretString>,
}

/// An Ed25519 public key.
#[derive(Debug, Clone)]
pub(crate) struct PublicKey(pub(crate) Vec<u8>);

fn public_key(text: &str) -> Result<PublicKey, &'static str> {
    let key = hex::decode(text).ok().filter(|key| key.len() == 32);
    key.map(PublicKey).ok_or("a public key is 64 hexadecimal digits")
}

fn needs_kafka(name: &str) -> Failure {
    Failure::usage(
        format!("the {name} needs Kafka: the embedded log belongs to one process"),
        format!(
            "name the brokers, `tidings {name} --kafka host:port …` (or TIDINGS_KAFKA_BROKERS), or run everything in one process with `tidings up --data DIR`"
        ),
    )
}

/// The refusal of a role that has no log, when the command line lacks other flags as well.
pub(crate) fn without_log(
    error: &clap::Error,
    mut arguments: impl Iterator<Item = String>,
) -> Option<Failure> {
    let role = arguments.next()?;
    let is_role = ["ingest", "router", "projector", "attachments", "console"].contains(&role.as_str());
    let has_kafka = arguments.any(|argument| argument == "--kafka" || argument.starts_with("--kafka="))
        || std::env::var_os("TIDINGS_KAFKA_BROKERS").is_some();
    let lacks = error.kind() == clap::error::ErrorKind::MissingRequiredArgument;
    (is_role && lacks && !has_kafka).then(|| needs_kafka(&role))
}

impl RoleArgs {
    /// The brokers. Asked for before anything else is looked at: a role is nothing without them.
    pub(crate) fn brokers(&self, name: &str) -> Result<&str, Failure> {
        self.kafka.as_deref().ok_or_else(|| needs_kafka(name))
    }

    /// The root key, unwrapped where AWS KMS wraps it.
    pub(crate) async fn root(&self, only_region: Option<&str>) -> Result<RootKey, Failure> {
        let Some(file) = &self.root_key else {
            return Err(Failure::usage("this role needs the root key", "--root-key FILE names it"));
        };
        let options = kms::Options {
            endpoint: self.kms_endpoint.clone(),
            only_region: only_region.map(ToOwned::to_owned),
            ..kms::Options::default()
        };
        Ok(kms::load_root(file, options).await.map_err(anyhow::Error::from)?)
    }
}
