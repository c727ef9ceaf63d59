//! Each role as a process of its own, on Kafka: they share nothing but the log.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use blob::BlobStore;
use clap::Args;
use control::ControlPlane;
use eventlog::{Disposition, EventLog};
use graph::{Graph, GraphConfig};
use keyring::Keyring;
use schemas::Topics;
use seal::{EdgeKey, RootKey};
use secrecy::SecretString;
use service::{Lifecycle, serve_monitor};
use store::{KeyringDb, KeyringRole, StoreError, ViewsDb, ViewsRole};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::blobs::BlobArgs;
use crate::cli::{Exit, Failure, line, secret, token};
use crate::edge::EdgeArgs;
use crate::kafka::KafkaArgs;
use crate::logs::LogArgs;
use crate::parts::{Parts, listen};
use crate::rebuild::rebuilder;

const GRACE: Duration = Duration::from_secs(25);
/// How long an append may take where no answer to Meta hangs on it.
const UNHURRIED: Duration = Duration::from_secs(20);
const CLOSE: Duration = Duration::from_secs(5);
const DATABASE_WAIT: Duration = Duration::from_secs(60);
const DATABASE_RETRY: Duration = Duration::from_secs(1);
const KEYRING_CONNECTIONS: usize = 8;
const PROJECTOR_CONNECTIONS: usize = 12;
const READER_CONNECTIONS: usize = 8;
const ATTACHMENTS_CONNECTIONS: usize = 8;

/// What every role takes.
#[derive(Debug, Args)]
pub(crate) struct RoleArgs {
    /// Kafka: host:port,host:port
    #[arg(long, env = "TIDINGS_KAFKA_BROKERS", value_name = "BROKERS")]
    kafka: Option<String>,
    /// The deployment's root key file, the same for every role that needs it: one line `tidings-root-v1:` and 64 random
    /// hexadecimal digits (openssl rand -hex 32), mode 0600; or wrapped by AWS KMS, as `tidings key wrap` makes it. Ingest
    /// needs an edge key only, the projector none
    #[arg(long, env = "TIDINGS_ROOT_KEY", value_name = "FILE")]
    root_key: Option<PathBuf>,
    /// Another address of AWS KMS, such as a private endpoint's
    #[arg(long, env = "TIDINGS_KMS_ENDPOINT", value_name = "URL")]
    kms_endpoint: Option<String>,
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

/// Receive webhooks: verify, seal, keep, answer. Needs the log and the edge key, nothing else.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tidings ingest --kafka b1:9092,b2:9092 --edge-key /etc/tidings/edge-key --listen 0.0.0.0:8080 --monitor-listen 10.0.0.5:9090"
)]
pub(crate) struct IngestArgs {
    /// Where webhooks arrive
    #[arg(long, env = "TIDINGS_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The edge key file, instead of the root key: it opens app secrets and seals bodies, and opens none
    #[arg(long, env = "TIDINGS_EDGE_KEY", value_name = "FILE", conflicts_with = "root_key")]
    edge_key: Option<PathBuf>,
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
    after_help = "Example:\n  tidings projector --kafka b1:9092 --postgres 'host=db1 user=tidings dbname=tidings_views' --audit-key /etc/tidings/audit-key"
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

/// Serve the admin API, and do what it is asked: forget, export, sweep, back up.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tidings console --kafka b1:9092 --root-key /etc/tidings/root-key --postgres 'host=db1 user=tidings dbname=tidings_views' \\\n      --keyring 'host=db1 user=tidings dbname=tidings_keyring' --s3-bucket tidings --listen 10.0.0.5:8081 --token-file /etc/tidings/admin-token"
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
    /// The keyring's database
    #[arg(long, env = "TIDINGS_KEYRING", value_name = "URL", value_parser = secret)]
    keyring: SecretString,
    #[command(flatten)]
    blobs: BlobArgs,
    #[command(flatten)]
    role: RoleArgs,
}

/// Fetch, check, seal and store what people attach.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tidings attachments --kafka b1:9092 --root-key /etc/tidings/root-key --postgres 'host=db1 user=tidings dbname=tidings_views' \\\n      --keyring 'host=db1 user=tidings dbname=tidings_keyring' --s3-bucket tidings"
)]
pub(crate) struct AttachmentsArgs {
    /// The database with the queue: the views'
    #[arg(long, env = "TIDINGS_POSTGRES", value_name = "URL", value_parser = secret)]
    postgres: SecretString,
    /// The keyring's database
    #[arg(long, env = "TIDINGS_KEYRING", value_name = "URL", value_parser = secret)]
    keyring: SecretString,
    /// Another Graph API than Meta's; its host is then the one allowed origin of media
    #[arg(long, env = "TIDINGS_GRAPH_URL", value_name = "URL")]
    graph_url: Option<String>,
    #[command(flatten)]
    blobs: BlobArgs,
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
    args.role.brokers("ingest")?;
    let edge_key = match (&args.edge_key, &args.role.root_key) {
        (Some(file), _) => EdgeKey::load(file).map_err(anyhow::Error::from)?,
        // What it needs of the root key is kept, the rest is forgotten.
        (None, Some(_)) => args.role.root(None).await?.edge(),
        (None, None) => {
            return Err(Failure::usage(
                "ingest needs the edge key",
                "--edge-key FILE names it; `tidings key edge --root-key FILE --out FILE` makes it from the root key",
            ));
        }
    };
    let role = Role::open("ingest", args.role).await?;
    let listener = listen(args.listen, "--listen").await?;
    info!("webhooks arrive at {}", listener.local_addr()?);
    let Parts { log, plane, topics, registry, readiness, clock } = &role.parts;
    let edge = ingest::Edge::new(
        args.edge.config(),
        log.clone(),
        plane.clone(),
        Arc::new(edge_key),
        topics,
        registry,
        readiness,
        clock.clone(),
    )?;
    role.run(|stop| edge.serve(listener, stop)).await
}

pub(crate) async fn router(args: RouterArgs) -> Result<ExitCode, Failure> {
    args.role.brokers("router")?;
    let root = Arc::new(args.role.root(None).await?);
    let mut role = Role::open("router", args.role).await?;
    if !args.no_migrate {
        patiently("the keyring (--keyring)", || store::migrate_keyring(&args.keyring)).await?;
    }
    let keyring = role.keyring(&args.keyring, KeyringRole::Router, &root).await?;
    role.wait_for_keeper(keyring.db()).await?;
    let config = router::Config { member: role.member.clone(), ..router::Config::default() };
    let Parts { log, plane, topics, registry, readiness, clock } = &role.parts;
    let router = router::Router::new(
        config,
        log.clone(),
        plane.clone(),
        keyring,
        root,
        topics,
        registry,
        readiness,
        clock.clone(),
    )?;
    role.run(|stop| router.run(stop)).await
}

pub(crate) async fn projector(args: ProjectorArgs) -> Result<ExitCode, Failure> {
    let role = Role::open("projector", args.role).await?;
    let Parts { log, plane, topics, registry, readiness, clock } = &role.parts;
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

pub(crate) async fn attachments(args: AttachmentsArgs) -> Result<ExitCode, Failure> {
    args.role.brokers("attachments")?;
    let root = Arc::new(args.role.root(args.blobs.only_region()).await?);
    let blobs = blobs(&args.blobs).await?;
    let graph = graph(args.graph_url)?;
    let mut role = Role::open("attachments", args.role).await?;
    let connect = || ViewsDb::connect(&args.postgres, ViewsRole::Attachments, ATTACHMENTS_CONNECTIONS);
    let queue = patiently("the views (--postgres)", connect).await?;
    let keyring = role.keyring(&args.keyring, KeyringRole::Opener, &root).await?;
    role.wait_for_keeper(keyring.db()).await?;
    let config = attachments::Config { member: role.member.clone(), ..attachments::Config::default() };
    let Parts { log, plane, topics, registry, readiness, clock } = &role.parts;
    let worker = attachments::Attachments::new(
        config,
        log.clone(),
        plane.clone(),
        queue,
        keyring,
        graph,
        blobs,
        topics,
        registry,
        readiness,
        clock.clone(),
    )?;
    role.run(|stop| worker.run(stop)).await
}

pub(crate) async fn console(args: ConsoleArgs) -> Result<ExitCode, Failure> {
    args.role.brokers("console")?;
    let mut config = console::Config {
        audit_public_key: args.audit_public_key.map(|key| key.0),
        ..console::Config::new(token(&args.token_file)?)
    };
    let root = Arc::new(args.role.root(args.blobs.only_region()).await?);
    let blobs = blobs(&args.blobs).await?;
    let mut role = Role::open("console", args.role).await?;
    let listener = listen(args.listen, "--listen").await?;
    info!("the admin API is at http://{}", listener.local_addr()?);
    let connect = |role| {
        let views = &args.postgres;
        move || ViewsDb::connect(views, role, READER_CONNECTIONS)
    };
    let views = patiently("the views (--postgres)", connect(ViewsRole::Reader)).await?;
    let kept = patiently("the views (--postgres)", connect(ViewsRole::Keeper)).await?;
    let keyring = role.keyring(&args.keyring, KeyringRole::Keeper, &root).await?;
    let Parts { log, plane, topics, registry, readiness, clock } = &role.parts;
    let keeper = keeper::Keeper::new(
        keeper::Config::default(),
        log.clone(),
        plane.clone(),
        keyring,
        kept,
        blobs,
        root,
        topics,
        registry,
        clock.clone(),
    )?;
    config.rebuild = Some(rebuilder(args.postgres.clone(), log.clone(), topics.clone(), plane.clone()));
    let console = console::Console::new(
        config,
        log.clone(),
        plane.clone(),
        views,
        keeper.clone(),
        topics,
        registry,
        readiness,
        clock.clone(),
    )?;
    let keeping = role.life.soft();
    role.life.spawn("keeper", keeper.run(keeping));
    role.run(|stop| console.serve(listener, stop)).await
}

/// The bucket, reached.
async fn blobs(args: &BlobArgs) -> Result<BlobStore, Failure> {
    let config = args.required()?;
    BlobStore::connect(config).await.map_err(|cause| {
        let exit = match cause.disposition() {
            blob::Disposition::Retry => Exit::Unreachable,
            blob::Disposition::Stop => Exit::No,
        };
        Failure::new(
            exit,
            format!("{:#}", anyhow::Error::from(cause)),
            "see --s3-bucket and what stands beside it",
        )
    })
}

/// Meta's Graph API, or another one.
pub(crate) fn graph(url: Option<String>) -> Result<Graph, Failure> {
    let config = GraphConfig { base: url, ..GraphConfig::default() };
    Graph::new(config).map_err(|cause| {
        Failure::usage(format!("{:#}", anyhow::Error::from(cause)), "--graph-url is http(s)://host[:port]")
    })
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
    /// Cancelled when the service has finished: what runs beside it ends then.
    finished: CancellationToken,
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
    fn brokers(&self, name: &str) -> Result<&str, Failure> {
        self.kafka.as_deref().ok_or_else(|| needs_kafka(name))
    }

    /// The root key, unwrapped where AWS KMS wraps it.
    async fn root(&self, only_region: Option<&str>) -> Result<RootKey, Failure> {
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

impl Role {
    /// Everything but the service itself. A wrong setting or address fails here.
    async fn open(name: &'static str, args: RoleArgs) -> Result<Self, Failure> {
        let brokers = args.brokers(name)?;
        let mut kafka = args.kafka_args.config(brokers)?;
        if name != "ingest" {
            // Nobody waits for these appends, and one that runs out of time repeats those in flight with it.
            kafka.append_timeout = UNHURRIED;
        }
        args.logs.init()?;
        let life = Lifecycle::new(GRACE)?;
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
        let parts = Parts::open(log, Topics::new(args.topic_prefix)).await?;
        Ok(Self {
            name,
            member: args.member.unwrap_or_else(host),
            parts,
            life,
            monitor,
            finished: CancellationToken::new(),
        })
    }

    /// The keyring under this role. What it remembers is forgotten when `control` says so, and the database is told.
    async fn keyring(
        &mut self,
        url: &SecretString,
        role: KeyringRole,
        root: &Arc<RootKey>,
    ) -> Result<Keyring, Failure> {
        let connect = || KeyringDb::connect(url, role, KEYRING_CONNECTIONS);
        let db = patiently("the keyring (--keyring)", connect).await?;
        let keyring = Keyring::new(db, root.clone());
        let member = format!("{}/{}", self.name, self.member);
        let attending = keyring.clone().attend(
            member,
            self.parts.plane.watch(),
            self.parts.clock.clone(),
            self.finished.clone(),
        );
        self.life.spawn("keyring", async move { Ok(attending.await?) });
        Ok(keyring)
    }

    /// Waits until nobody who was forgotten is known any more: after a restore, that is the keeper's to do first.
    async fn wait_for_keeper(&self, db: &KeyringDb) -> Result<(), Failure> {
        let people: Vec<_> = self.parts.plane.state().people.forgotten.iter().cloned().collect();
        loop {
            let there = patiently("the keyring (--keyring)", || db.still_there(&people)).await?;
            if there.is_empty() {
                return Ok(());
            }
            warn!(
                people = there.len(),
                "people who were forgotten are known here, as after a restore: waiting until the console has forgotten them again"
            );
            tokio::time::sleep(DATABASE_RETRY).await;
        }
    }

    /// Runs the service, with the control plane and the monitoring beside it until it has finished.
    async fn run<F>(mut self, service: impl FnOnce(CancellationToken) -> F) -> Result<ExitCode, Failure>
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let finished = self.finished.clone();
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
