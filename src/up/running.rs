//! Starting all parts in one process, and stopping them in order.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use blob::{BlobConfig, BlobStore, LocalS3};
use eventlog::{EmbeddedConfig, EventLog, KafkaConfig};
use graph::{Graph, GraphConfig};
use keyring::Keyring;
use schemas::Topics;
use seal::RootKey;
use service::{Lifecycle, Readiness};
use store::{KeyringDb, KeyringRole, ViewsDb, ViewsRole};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};

use crate::parts::{Parts, listen};
use crate::rebuild::rebuilder;
use crate::up::database::{Databases, Postgres};
use crate::up::folder::DataFolder;

/// From the first signal to the exit: ingest drains, what was taken is routed and projected as far as it is in hand.
const GRACE: Duration = Duration::from_secs(25);
const CLOSE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);
const REMIND: Duration = Duration::from_secs(10);
const PROJECTOR_CONNECTIONS: usize = 12;
const READER_CONNECTIONS: usize = 8;
const KEYRING_CONNECTIONS: usize = 8;
const KEEPER_CONNECTIONS: usize = 4;
const ATTACHMENTS_CONNECTIONS: usize = 8;
/// The store of objects is this process's own business.
const OBJECTS_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const BUCKET: &str = "tidings";
/// One process is the only member of each of its groups.
const MEMBER: &str = "up";

/// What `up` is told.
pub(crate) struct Options {
    /// The data folder.
    pub(crate) data: PathBuf,
    /// Where webhooks arrive.
    pub(crate) listen: SocketAddr,
    /// Where the admin API and the metrics are.
    pub(crate) admin_listen: SocketAddr,
    /// Kafka instead of the log in the data folder.
    pub(crate) kafka: Option<KafkaConfig>,
    /// A running PostgreSQL instead of a child of our own.
    pub(crate) postgres: Option<Postgres>,
    /// A bucket instead of a folder in the data folder.
    pub(crate) blobs: Option<BlobConfig>,
    /// Another Graph API than Meta's.
    pub(crate) graph_url: Option<String>,
    /// The names of the topics.
    pub(crate) topics: Topics,
    /// How ingest is set.
    pub(crate) edge: ingest::Config,
}

impl Options {
    /// The defaults on this folder.
    pub(crate) fn new(data: PathBuf) -> Self {
        Self {
            data,
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            kafka: None,
            postgres: None,
            blobs: None,
            graph_url: None,
            topics: Topics::default(),
            edge: ingest::Config::default(),
        }
    }
}

/// Everything, started. Ends when [`Running::run`] returns.
pub(crate) struct Running {
    /// Where webhooks arrive, such as `http://127.0.0.1:8080`.
    pub(crate) webhooks: String,
    /// Where the admin API is.
    pub(crate) admin: String,
    /// The file that holds the admin token.
    pub(crate) token_file: PathBuf,
    readiness: Readiness,
    life: Lifecycle,
    log: EventLog,
    databases: Databases,
    objects: Option<LocalS3>,
    // The last to go: nothing uses the folder any more then.
    _folder: DataFolder,
}

/// Starts everything. Returns once all parts run; [`Running::ready`] tells when they are ready.
pub(crate) async fn start(options: Options) -> anyhow::Result<Running> {
    let mut life = Lifecycle::new(GRACE)?;
    let folder = DataFolder::open(&options.data)?;
    let scheme = if options.edge.tls.is_some() { "https" } else { "http" };
    let public = listen(options.listen, "--listen").await?;
    let private = listen(options.admin_listen, "--admin-listen").await?;
    let webhooks = format!("{scheme}://{}", public.local_addr()?);
    let admin = format!("http://{}", private.local_addr()?);

    let root = Arc::new(RootKey::load_or_create(&folder.join("root-key"))?);
    let token = folder.token()?;
    let databases = Databases::open(options.postgres, &folder).await?;
    let log = match options.kafka {
        Some(kafka) => EventLog::kafka(kafka).await?,
        None => EventLog::embedded(EmbeddedConfig::new(folder.private("log")?)).await?,
    };
    let objects = match &options.blobs {
        Some(_) => None,
        None => Some(LocalS3::start(&folder.private("objects")?, OBJECTS_LISTEN, BUCKET).await?),
    };
    let blobs = options.blobs.or_else(|| objects.as_ref().map(LocalS3::config));
    let blobs = BlobStore::connect(blobs.context("there is a bucket or a folder")?).await?;
    let graph = Graph::new(GraphConfig { base: options.graph_url, ..GraphConfig::default() })
        .context("the Graph API (TIDINGS_GRAPH_URL)")?;
    let parts = Parts::open(log.clone(), options.topics).await?;
    let Parts { plane, topics, registry, readiness, clock, .. } = parts;

    // Each stage stops when the one before has finished, so what was taken at the door still goes its way.
    let (working, work_ends) = next_stage();
    let (serving, serve_ends) = next_stage();
    life.spawn("control", {
        let (plane, ends) = (plane.clone(), serve_ends.clone());
        async move { Ok(plane.follow(ends).await?) }
    });
    let views = async |role, connections| {
        ViewsDb::connect(&databases.views, role, connections).await.context("the views")
    };
    let mut keyring = async |name, role| {
        let db = KeyringDb::connect(&databases.keyring, role, KEYRING_CONNECTIONS).await;
        let keyring = Keyring::new(db.context("the keyring")?, root.clone());
        let attending = keyring.clone().attend(
            format!("{name}/{MEMBER}"),
            plane.watch(),
            clock.clone(),
            serve_ends.clone(),
        );
        life.spawn("keyring", async move { Ok(attending.await?) });
        anyhow::Ok(keyring)
    };
    let writer = views(ViewsRole::Projector, PROJECTOR_CONNECTIONS).await?;
    let reader = views(ViewsRole::Reader, READER_CONNECTIONS).await?;
    let routing = keyring("router", KeyringRole::Router).await?;
    let opening = keyring("attachments", KeyringRole::Opener).await?;
    let keeper = keeper::Keeper::new(
        keeper::Config::default(),
        log.clone(),
        plane.clone(),
        keyring("console", KeyringRole::Keeper).await?,
        views(ViewsRole::Keeper, KEEPER_CONNECTIONS).await?,
        blobs.clone(),
        root.clone(),
        &topics,
        &registry,
        clock.clone(),
    )?;
    // Whatever was restored: nobody who was forgotten is known before anything is served.
    keeper::barrier(&keeper).await.context("replaying the ledger of erasures")?;

    let edge = ingest::Edge::new(
        options.edge,
        log.clone(),
        plane.clone(),
        Arc::new(root.edge()),
        &topics,
        &registry,
        &readiness,
        clock.clone(),
    )?;
    let router = router::Router::new(
        router::Config { member: MEMBER.to_owned(), ..router::Config::default() },
        log.clone(),
        plane.clone(),
        routing,
        root,
        &topics,
        &registry,
        &readiness,
        clock.clone(),
    )?;
    let projector = projector::Projector::new(
        projector::Config {
            member: MEMBER.to_owned(),
            audit_key: folder.join("audit-key"),
            ..projector::Config::default()
        },
        log.clone(),
        plane.clone(),
        writer,
        &topics,
        &registry,
        &readiness,
        clock.clone(),
    )?;
    let console = console::Console::new(
        console::Config {
            audit_public_key: Some(projector.audit_public_key()),
            rebuild: Some(rebuilder(
                databases.views.clone(),
                log.clone(),
                topics.clone(),
                plane.clone(),
                clock.clone(),
            )),
            ..console::Config::new(token)
        },
        log.clone(),
        plane.clone(),
        reader,
        keeper.clone(),
        &topics,
        &registry,
        &readiness,
        clock.clone(),
    )?;
    let attachments = attachments::Attachments::new(
        attachments::Config { member: MEMBER.to_owned(), ..attachments::Config::default() },
        log.clone(),
        plane.clone(),
        views(ViewsRole::Attachments, ATTACHMENTS_CONNECTIONS).await?,
        opening,
        graph,
        blobs,
        &topics,
        &registry,
        &readiness,
        clock,
    )?;

    let soft = life.soft();
    life.spawn("ingest", holding(working, edge.serve(public, soft)));
    life.spawn("router", holding(serving.clone(), router.run(work_ends.clone())));
    life.spawn("attachments", holding(serving.clone(), attachments.run(work_ends.clone())));
    life.spawn("keeper", holding(serving.clone(), keeper.run(work_ends.clone())));
    life.spawn("projector", holding(serving, projector.run(work_ends)));
    life.spawn("console", console.serve(private, serve_ends));

    let token_file = folder.token_file();
    Ok(Running { webhooks, admin, token_file, readiness, life, log, databases, objects, _folder: folder })
}

impl Running {
    /// Resolves when every part is ready for work.
    pub(crate) fn ready(&self) -> impl Future<Output = ()> + Send + 'static {
        let readiness = self.readiness.clone();
        async move {
            let mut remind = tokio::time::interval_at(tokio::time::Instant::now() + REMIND, REMIND);
            loop {
                let closed = readiness.closed();
                if closed.is_empty() {
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    _ = remind.tick() => info!("not ready yet: waiting for {}", closed.join(", ")),
                }
            }
        }
    }

    /// Cancelling it stops everything in order; it is cancelled when anything else does.
    pub(crate) fn stop(&self) -> CancellationToken {
        self.life.soft()
    }

    /// Runs until SIGTERM, Ctrl-C, [`Running::stop`] or a part's failure, and then stops everything in order.
    pub(crate) async fn run(self) -> ExitCode {
        let code = self.life.run().await;
        self.log.close(CLOSE).await;
        if let Err(cause) = self.databases.close().await {
            warn!(error = format!("{cause:#}"), "PostgreSQL did not stop in order");
        }
        if let Some(objects) = self.objects {
            objects.stop().await;
        }
        code
    }
}

/// A stage: whoever works in it holds the guard, and the token says that nobody does any more.
fn next_stage() -> (Arc<DropGuard>, CancellationToken) {
    let ends = CancellationToken::new();
    (Arc::new(ends.clone().drop_guard()), ends)
}

/// Holds a stage open while the task runs, however it ends.
async fn holding(
    stage: Arc<DropGuard>,
    task: impl Future<Output = anyhow::Result<()>> + Send,
) -> anyhow::Result<()> {
    let ended = task.await;
    drop(stage);
    ended
}
