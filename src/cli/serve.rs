//! `tidings up`: everything in one process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use schemas::Topics;
use secrecy::SecretString;
use serde::Serialize;

use crate::blobs::BlobArgs;
use crate::cli::failure::Failure;
use crate::cli::print;
use crate::edge::EdgeArgs;
use crate::kafka::KafkaArgs;
use crate::logs::LogArgs;
use crate::up::{Options, Postgres, start};

const EXAMPLES: &str = "\
Examples:
  tidings up --data ./tidings
  tidings up --data ./tidings --listen 0.0.0.0:443 --tls-certificate chain.pem --tls-key key.pem
  tidings up --data ./tidings --kafka broker1:9092,broker2:9092,broker3:9092

DIR holds everything: the log, PostgreSQL, attachments, the root key (back it up!) and the admin token. One process
at a time uses it. Ctrl-C and SIGTERM stop it in order; after a kill it goes on where it was.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct UpArgs {
    /// The folder for everything that is kept
    #[arg(long, value_name = "DIR", env = "TIDINGS_DATA")]
    data: PathBuf,
    /// Where webhooks arrive
    #[arg(long, value_name = "ADDR", env = "TIDINGS_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where the admin API and /metrics are; for a private network only
    #[arg(long, value_name = "ADDR", env = "TIDINGS_ADMIN_LISTEN", default_value = "127.0.0.1:8081")]
    admin_listen: SocketAddr,
    /// Kafka instead of the log in DIR: host:port,host:port
    #[arg(long, value_name = "BROKERS")]
    kafka: Option<String>,
    /// A running PostgreSQL instead of a child in DIR: the database of the views
    #[arg(long, value_name = "URL", value_parser = secret)]
    postgres: Option<SecretString>,
    /// With --postgres: the database of the keyring. Default: one beside it, its name followed by _keyring
    #[arg(long, value_name = "URL", value_parser = secret, requires = "postgres")]
    keyring: Option<SecretString>,
    /// Begin every topic's name with this, so that several deployments can share a cluster
    #[arg(long, value_name = "PREFIX", env = "TIDINGS_TOPIC_PREFIX", default_value = "")]
    topic_prefix: String,
    /// Print the ready line as JSON
    #[arg(long)]
    json: bool,
    /// Another Graph API than Meta's; its host is then the one allowed origin of media
    #[arg(long, env = "TIDINGS_GRAPH_URL", value_name = "URL")]
    graph_url: Option<String>,
    #[command(flatten)]
    edge: EdgeArgs,
    #[command(flatten)]
    blobs: BlobArgs,
    #[command(flatten)]
    kafka_args: KafkaArgs,
    #[command(flatten)]
    logs: LogArgs,
}

/// The last line when ready, with `--json`.
#[derive(Serialize)]
struct Ready<'a> {
    ready: bool,
    webhooks: &'a str,
    admin: &'a str,
    token_file: &'a str,
}

pub(crate) async fn up(args: UpArgs) -> Result<ExitCode, Failure> {
    args.logs.init()?;
    let options = Options {
        listen: args.listen,
        admin_listen: args.admin_listen,
        kafka: args.kafka.as_deref().map(|brokers| args.kafka_args.config(brokers)).transpose()?,
        postgres: args.postgres.map(|views| Postgres { views, keyring: args.keyring }),
        blobs: args.blobs.config()?,
        graph_url: args.graph_url,
        topics: Topics::new(args.topic_prefix),
        edge: args.edge.config(),
        ..Options::new(args.data)
    };
    let running = start(options).await?;
    let (webhooks, admin) = (running.webhooks.clone(), running.admin.clone());
    let token_file = running.token_file.display().to_string();
    let (ready, stop) = (running.ready(), running.stop());
    let announce = async move {
        tokio::select! {
            () = ready => announce(args.json, &webhooks, &admin, &token_file),
            () = stop.cancelled() => Ok(()),
        }
    };
    let (code, announced) = tokio::join!(running.run(), announce);
    announced?;
    Ok(code)
}

fn announce(as_json: bool, webhooks: &str, admin: &str, token_file: &str) -> Result<(), Failure> {
    if as_json {
        return print::json(&Ready { ready: true, webhooks, admin, token_file });
    }
    print::line(&format!(
        "Tidings is ready.\n  webhooks  {webhooks}/webhooks/APP\n  admin     {admin}\n  token     {token_file}\n\
         Next, in another terminal:\n  export TIDINGS_ADMIN={admin} TIDINGS_TOKEN_FILE={token_file}\n  tidings app add --help\n\
         Ctrl-C stops it."
    ))
}

/// A database's address may hold a password: it is never shown.
pub(crate) fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}
