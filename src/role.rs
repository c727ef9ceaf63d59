//! Each role as a process of its own, on Kafka: they share nothing but the log.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use blob::BlobStore;
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
use crate::cli::{Exit, Failure, line, token};
use crate::parts::{Parts, listen};
use crate::rebuild::rebuilder;
use crate::role_args::{
    AttachmentsArgs, ConsoleArgs, IngestArgs, MigrateArgs, ProjectorArgs, RoleArgs, RouterArgs,
};

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

pub(crate) async fn ingest(args: IngestArgs) -> Result<ExitCode, Failure> {
    args.role.brokers("ingest")?;
    // The process that the whole internet speaks to has no root key, not even for a moment.
    let Some(file) = &args.edge_key else {
        return Err(Failure::usage(
            "ingest needs the edge key, and takes no root key",
            "--edge-key FILE names it; `tidings key edge --root-key FILE --out FILE` makes it from the root key",
        ));
    };
    if std::fs::read_to_string(file).is_ok_and(|text| text.starts_with("tidings-root")) {
        return Err(Failure::usage(
            format!("{} is a root key file, and ingest takes none", file.display()),
            "`tidings key edge --root-key FILE --out FILE` makes the edge key file from it",
        ));
    }
    let edge_key = EdgeKey::load(file).map_err(anyhow::Error::from)?;
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
    let root = Arc::new(args.role.root(args.only_region.as_deref()).await?);
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
        keeper::Config { edge_key_file: args.edge_key, ..keeper::Config::default() },
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
    config.rebuild =
        Some(rebuilder(args.postgres.clone(), log.clone(), topics.clone(), plane.clone(), clock.clone()));
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
