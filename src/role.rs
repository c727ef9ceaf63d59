//! Each role as a process of its own, on Kafka: they share nothing but the log.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use control::ControlPlane;
use eventlog::{Disposition, EventLog};
use keyring::Keyring;
use schemas::Topics;
use seal::RootKey;
use secrecy::SecretString;
use service::{Lifecycle, serve_monitor};
use store::{KeyringDb, StoreError, ViewsDb, ViewsRole};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cli::{Exit, Failure, line, secret, token};
use crate::edge::EdgeArgs;
use crate::kafka::KafkaArgs;
use crate::logs::LogArgs;
use crate::parts::{Parts, listen};

const GRACE: Duration = Duration::from_secs(25);
/// How long an append may take where no answer to Meta hangs on it.
const UNHURRIED: Duration = Duration::from_secs(20);
const CLOSE: Duration = Duration::from_secs(5);
const DATABASE_WAIT: Duration = Duration::from_secs(60);
const DATABASE_RETRY: Duration = Duration::from_secs(1);
const KEYRING_CONNECTIONS: usize = 8;
const PROJECTOR_CONNECTIONS: usize = 12;
const READER_CONNECTIONS: usize = 8;

/// What every role takes.
#[derive(Debug, Args)]
pub(crate) struct RoleArgs {
    /// Kafka: host:port,host:port
    #[arg(long, env = "TIDINGS_KAFKA_BROKERS", value_name = "BROKERS")]
    kafka: Option<String>,
    /// The deployment's root key file, the same for every role: one line `tidings-root-v1:` and 64 random hexadecimal
    /// digits (openssl rand -hex 32), mode 0600
    #[arg(long, env = "TIDINGS_ROOT_KEY", value_name = "FILE")]
    root_key: PathBuf,
    /// Where /metrics, /healthz and /readyz are; for a private network only
    #[arg(long, env = "TIDINGS_MONITOR_LISTEN", value_name = "ADDR")]
    monitor_listen: Option<SocketAddr>,
    /// This process's name in its consumer groups: unique among its kind, the same after a restart. Default: the host's
    #[arg(long, env = "TIDINGS_MEMBER", value_name = "NAME")]
    member: Option<String>,
    /// Begin every topic's name with this
    #[arg(long, env = "TIDINGS_TOPIC_PREFIX", value_name = "PREFIX", default_value = "")]
    topic_prefix: String,
    #[command(flatten)]
    kafka_args: KafkaArgs,
    #[command(flatten)]
    logs: LogArgs,
}

/// Receive webhooks: verify, keep, answer. Needs the log and the root key, nothing else.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tidings ingest --kafka b1:9092,b2:9092 --root-key /etc/tidings/root-key --listen 0.0.0.0:8080 --monitor-listen 10.0.0.5:9090"
)]
pub(crate) struct IngestArgs {
    /// Where webhooks arrive
    #[arg(long, env = "TIDINGS_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    #[command(flatten)]
    edge: EdgeArgs,
    #[command(flatten)]
    role: RoleArgs,
}

/// Split deliveries, find tenant and person, append events.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tidings router --kafka b1:9092 --root-key /etc/tidings/root-key --keyring 'host=db1 user=tidings dbname=tidings_keyring'"
)]
pub(crate) struct RouterArgs {
    /// The keyring's database
    #[arg(long, env = "TIDINGS_KEYRING", value_name = "URL", value_parser = secret)]
    keyring: SecretString,
    /// Leave the tables as they are: `tidings migrate` makes and updates them
    #[arg(long, env = "TIDINGS_NO_MIGRATE")]
    no_migrate: bool,
    #[command(flatten)]
    role: RoleArgs,
}

/// Fold events into the views.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tidings projector --kafka b1:9092 --root-key /etc/tidings/root-key --postgres 'host=db1 user=tidings dbname=tidings_views' --audit-key /etc/tidings/audit-key"
)]
pub(crate) struct ProjectorArgs {
    /// File that holds the key audit heads are signed with, the same for every projector; made when missing
    #[arg(long, env = "TIDINGS_AUDIT_KEY", value_name = "FILE")]
    audit_key: PathBuf,
    /// The views' database
    #[arg(long, env = "TIDINGS_POSTGRES", value_name = "URL", value_parser = secret)]
    postgres: SecretString,
    /// Leave the tables as they are: `tidings migrate` makes and updates them
    #[arg(long, env = "TIDINGS_NO_MIGRATE")]
    no_migrate: bool,
    #[command(flatten)]
    role: RoleArgs,
}

/// Serve the admin API.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tidings console --kafka b1:9092 --root-key /etc/tidings/root-key --postgres 'host=db1 user=tidings dbname=tidings_views' \\\n      --listen 10.0.0.5:8081 --token-file /etc/tidings/admin-token"
)]
pub(crate) struct ConsoleArgs {
    /// Where the admin API is; for a private network only
    #[arg(long, env = "TIDINGS_ADMIN_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// The key that audit heads have to be signed with, as the projector says it when it starts
    #[arg(long, env = "TIDINGS_AUDIT_PUBLIC_KEY", value_name = "HEX", value_parser = public_key)]
    audit_public_key: Option<PublicKey>,
    /// File that holds the admin token
    #[arg(long, env = "TIDINGS_TOKEN_FILE", value_name = "FILE")]
    token_file: PathBuf,
    /// The views' database
    #[arg(long, env = "TIDINGS_POSTGRES", value_name = "URL", value_parser = secret)]
    postgres: SecretString,
    #[command(flatten)]
    role: RoleArgs,
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
    postgres: Option<SecretString>,
    /// The keyring's database
    #[arg(long, env = "TIDINGS_KEYRING", value_name = "URL", value_parser = secret)]
    keyring: Option<SecretString>,
}

pub(crate) async fn ingest(args: IngestArgs) -> Result<ExitCode, Failure> {
    let role = Role::open("ingest", args.role).await?;
    let listener = listen(args.listen, "--listen").await?;
    info!("webhooks arrive at {}", listener.local_addr()?);
    let Parts { log, plane, root, topics, registry, readiness, clock } = &role.parts;
    let edge = ingest::Edge::new(
        args.edge.config(),
        log.clone(),
        plane.clone(),
        root.clone(),
        topics,
        registry,
        readiness,
        clock.clone(),
    )?;
    role.run(|stop| edge.serve(listener, stop)).await
}

pub(crate) async fn router(args: RouterArgs) -> Result<ExitCode, Failure> {
    let role = Role::open("router", args.role).await?;
    let Parts { log, plane, root, topics, registry, readiness, clock } = &role.parts;
    if !args.no_migrate {
        patiently("the keyring (--keyring)", || store::migrate_keyring(&args.keyring)).await?;
    }
    let connect = || KeyringDb::connect(&args.keyring, KEYRING_CONNECTIONS);
    let db = patiently("the keyring (--keyring)", connect).await?;
    let config = router::Config { member: role.member.clone(), ..router::Config::default() };
    let keyring = Keyring::new(db, root.clone());
    let router = router::Router::new(
        config,
        log.clone(),
        plane.clone(),
        keyring,
        topics,
        registry,
        readiness,
        clock.clone(),
    )?;
    role.run(|stop| router.run(stop)).await
}

pub(crate) async fn projector(args: ProjectorArgs) -> Result<ExitCode, Failure> {
    let role = Role::open("projector", args.role).await?;
    let Parts { log, plane, topics, registry, readiness, clock, .. } = &role.parts;
    if !args.no_migrate {
        patiently("the views (--postgres)", || store::migrate_views(&args.postgres)).await?;
    }
    let connect = || ViewsDb::connect(&args.postgres, ViewsRole::Projector, PROJECTOR_CONNECTIONS);
    let views = patiently("the views (--postgres)", connect).await?;
    let config = projector::Config {
        member: role.member.clone(),
        audit_key: args.audit_key,
        ..projector::Config::default()
    };
    let projector = projector::Projector::new(
        config,
        log.clone(),
        plane.clone(),
        views,
        topics,
        registry,
        readiness,
        clock.clone(),
    )?;
    info!(
        "audit heads are signed with the key {} (--audit-public-key of the console)",
        hex::encode(projector.audit_public_key())
    );
    role.run(|stop| projector.run(stop)).await
}

pub(crate) async fn console(args: ConsoleArgs) -> Result<ExitCode, Failure> {
    let config = console::Config {
        audit_public_key: args.audit_public_key.map(|key| key.0),
        ..console::Config::new(token(&args.token_file)?)
    };
    let role = Role::open("console", args.role).await?;
    let listener = listen(args.listen, "--listen").await?;
    info!("the admin API is at http://{}", listener.local_addr()?);
    let Parts { log, plane, root, topics, registry, readiness, clock } = &role.parts;
    let connect = || ViewsDb::connect(&args.postgres, ViewsRole::Reader, READER_CONNECTIONS);
    let views = patiently("the views (--postgres)", connect).await?;
    let console = console::Console::new(
        config,
        log.clone(),
        plane.clone(),
        views,
        root.clone(),
        topics,
        registry,
        readiness,
        clock.clone(),
    )?;
    role.run(|stop| console.serve(listener, stop)).await
}

pub(crate) async fn migrate(args: MigrateArgs) -> Result<(), Failure> {
    if let Some(views) = &args.postgres {
        store::migrate_views(views).await.context("migrating the views (--postgres)")?;
        line("the views' database is up to date")?;
    }
    if let Some(keyring) = &args.keyring {
        store::migrate_keyring(keyring).await.context("migrating the keyring (--keyring)")?;
        line("the keyring's database is up to date")?;
    }
    Ok(())
}

/// An Ed25519 public key.
#[derive(Debug, Clone)]
struct PublicKey(Vec<u8>);

fn public_key(text: &str) -> Result<PublicKey, &'static str> {
    let key = hex::decode(text).ok().filter(|key| key.len() == 32);
    key.map(PublicKey).ok_or("a public key is 64 hexadecimal digits")
}

/// A role that is about to run.
struct Role {
    name: &'static str,
    member: String,
    parts: Parts,
    life: Lifecycle,
    monitor: Option<TcpListener>,
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
    let is_role = ["ingest", "router", "projector", "console"].contains(&role.as_str());
    let has_kafka = arguments.any(|argument| argument == "--kafka" || argument.starts_with("--kafka="))
        || std::env::var_os("TIDINGS_KAFKA_BROKERS").is_some();
    let lacks = error.kind() == clap::error::ErrorKind::MissingRequiredArgument;
    (is_role && lacks && !has_kafka).then(|| needs_kafka(&role))
}

impl Role {
    /// Everything but the service itself. A wrong setting or address fails here.
    async fn open(name: &'static str, args: RoleArgs) -> Result<Self, Failure> {
        let brokers = args.kafka.as_deref().ok_or_else(|| needs_kafka(name))?;
        let mut kafka = args.kafka_args.config(brokers)?;
        if name != "ingest" {
            // Nobody waits for these appends, and one that runs out of time repeats those in flight with it.
            kafka.append_timeout = UNHURRIED;
        }
        args.logs.init()?;
        let life = Lifecycle::new(GRACE)?;
        let root = RootKey::load(&args.root_key).map_err(anyhow::Error::from)?;
        let monitor = match args.monitor_listen {
            Some(at) => Some(listen(at, "--monitor-listen").await?),
            None => None,
        };
        let log = EventLog::kafka(kafka).await.map_err(|cause| {
            let exit = if cause.disposition() == Disposition::Retry { Exit::Unreachable } else { Exit::No };
            Failure::new(
                exit,
                cause.to_string(),
                "see whether the brokers that --kafka names are up and let us in",
            )
        })?;
        let parts = Parts::open(log, Topics::new(args.topic_prefix), root).await?;
        Ok(Self { name, member: args.member.unwrap_or_else(host), parts, life, monitor })
    }

    /// Runs the service, with the control plane and the monitoring beside it until it has finished.
    async fn run<F>(mut self, service: impl FnOnce(CancellationToken) -> F) -> Result<ExitCode, Failure>
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let finished = CancellationToken::new();
        let guard = finished.clone().drop_guard();
        let service = service(self.life.soft());
        self.life.spawn(self.name, async move {
            let ended = service.await;
            drop(guard);
            ended
        });
        let plane: ControlPlane = self.parts.plane;
        let follow = finished.clone();
        self.life.spawn("control", async move { Ok(plane.follow(follow).await?) });
        if let Some(listener) = self.monitor {
            info!("/metrics, /healthz and /readyz are at http://{}", listener.local_addr()?);
            self.life.spawn(
                "monitor",
                serve_monitor(listener, self.parts.registry, self.parts.readiness, finished),
            );
        }
        let code = self.life.run().await;
        self.parts.log.close(CLOSE).await;
        Ok(code)
    }
}

/// Waits a while for a database that is not there yet: roles may start in any order, and before it.
async fn patiently<T, F>(what: &'static str, mut attempt: impl FnMut() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let until = Instant::now() + DATABASE_WAIT;
    loop {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(cause) if cause.disposition() == store::Disposition::Retry => {
                if Instant::now() >= until {
                    return Err(Failure::new(
                        Exit::Unreachable,
                        format!("{what}: {cause}"),
                        "see whether PostgreSQL is up there, and whether the other roles or `tidings migrate` have made the tables",
                    ));
                }
                warn!(error = %cause, "waiting for {what}");
                tokio::time::sleep(DATABASE_RETRY).await;
            }
            Err(cause) => return Err(anyhow::Error::from(cause).context(what).into()),
        }
    }
}

/// The host's name: unique among the members of a group when each host runs one of a kind.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "one".to_owned() } else { name.to_owned() }
}
