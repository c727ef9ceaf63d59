//! A console with everything it needs, and a client that holds every answer against the OpenAPI document.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use blob::{BlobStore, LocalS3};
use bytes::Bytes;
use control::{ControlPlane, Partitions};
use eventlog::{EmbeddedConfig, EventLog, Topic};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use keeper::Keeper;
use keyring::Keyring;
use ring::signature::{Ed25519KeyPair, KeyPair};
use schemas::Topics;
use seal::RootKey;
use secrecy::SecretString;
use serde_json::Value;
use service::{Clock, Readiness};
use store::{KeyringDb, KeyringRole, ViewsDb, ViewsRole};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::contract::Contract;

pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// What the audit heads are signed with.
pub(crate) const AUDIT_SEED: [u8; 32] = [7; 32];
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Rig {
    pub(crate) log: EventLog,
    pub(crate) plane: ControlPlane,
    pub(crate) topics: Topics,
    /// The views under the projector's role: what it would write is written through this.
    pub(crate) projector: ViewsDb,
    /// The keyring as the router would have it.
    pub(crate) keyring: Keyring,
    /// Where the attachments worker would store.
    pub(crate) blobs: BlobStore,
    pub(crate) readiness: Readiness,
    address: SocketAddr,
    http: Client<HttpConnector, Full<Bytes>>,
    contract: Contract,
    asked: Mutex<BTreeSet<String>>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    // Dropped last.
    _objects: LocalS3,
    _postgres: testkit::Postgres,
    _folder: tempfile::TempDir,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let postgres = testkit::Postgres::start().await.unwrap();
        let views = postgres.database().await.unwrap();
        store::migrate_views(&SecretString::from(views.as_str())).await.unwrap();
        let ring = SecretString::from(postgres.database().await.unwrap());
        store::migrate_keyring(&ring).await.unwrap();
        // Kept in a file, so that it can be rotated.
        let root = Arc::new(RootKey::load_or_create(&folder.path().join("root-key")).unwrap());
        let keyring =
            async |role| Keyring::new(KeyringDb::connect(&ring, role, 4).await.unwrap(), root.clone());
        let objects = folder.path().join("objects");
        let objects = LocalS3::start(&objects, "127.0.0.1:0".parse().unwrap(), "tidings").await.unwrap();
        let blobs = BlobStore::connect(objects.config()).await.unwrap();
        let log = EventLog::embedded(EmbeddedConfig::new(folder.path().join("log"))).await.unwrap();
        let topics = Topics::default();
        control::ensure_topics(&log, &topics, Partitions::default()).await.unwrap();
        let plane = ControlPlane::open(log.clone(), &Topic::new(topics.control()).unwrap()).await.unwrap();
        let db = ViewsDb::connect(&SecretString::from(views.as_str()), ViewsRole::Reader, 4).await.unwrap();
        let projector =
            ViewsDb::connect(&SecretString::from(views.as_str()), ViewsRole::Projector, 4).await.unwrap();
        let signer = Ed25519KeyPair::from_seed_unchecked(&AUDIT_SEED).unwrap();
        let readiness = Readiness::default();
        let config = console::Config {
            settle: Duration::from_millis(200),
            audit_public_key: Some(signer.public_key().as_ref().to_vec()),
            ..console::Config::new(SecretString::from(TOKEN))
        };
        let registry = prometheus::Registry::new();
        let kept = ViewsDb::connect(&SecretString::from(views.as_str()), ViewsRole::Keeper, 4).await.unwrap();
        let keeper = Keeper::new(
            keeper::Config::default(),
            log.clone(),
            plane.clone(),
            keyring(KeyringRole::Keeper).await,
            kept,
            blobs.clone(),
            root.clone(),
            &topics,
            &registry,
            Clock::system(),
        )
        .unwrap();
        let console = console::Console::new(
            config,
            log.clone(),
            plane.clone(),
            db,
            keeper.clone(),
            &topics,
            &registry,
            &readiness,
            Clock::system(),
        )
        .unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let (serve, follow) = (console.serve(listener, stop.clone()), plane.clone().follow(stop.clone()));
        let keep = keeper.run(stop.clone());
        let tasks = vec![
            tokio::spawn(async move { keep.await.unwrap() }),
            tokio::spawn(async move { serve.await.unwrap() }),
            tokio::spawn(async move { follow.await.unwrap() }),
        ];
        tokio::time::timeout(DEADLINE, async {
            while !readiness.closed().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap();
        Self {
            log,
            projector,
            keyring: keyring(KeyringRole::Router).await,
            blobs,
            plane,
            topics,
            readiness,
            address,
            http: Client::builder(TokioExecutor::new()).build_http(),
            contract: Contract::new(),
            asked: Mutex::default(),
            stop,
            tasks,
            _objects: objects,
            _postgres: postgres,
            _folder: folder,
        }
    }

    /// Sends a request as it is.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Response<Incoming> {
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(format!("http://{}{path}", self.address));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Full::from(body.to_string())
            }
            None => Full::default(),
        };
        tokio::time::timeout(DEADLINE, self.http.request(request.body(body).unwrap())).await.unwrap().unwrap()
    }

    /// Asks with the token; the answer has to be one that the document promises.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let response = self.send(method, path, Some(TOKEN), body).await;
        let status = response.status();
        let bytes =
            tokio::time::timeout(DEADLINE, response.into_body().collect()).await.unwrap().unwrap().to_bytes();
        let text = std::str::from_utf8(&bytes).unwrap();
        let operation = self.contract.check(method, path, status, text);
        self.asked.lock().unwrap().insert(operation);
        (status, serde_json::from_str(text).unwrap_or(Value::String(text.to_owned())))
    }

    /// Like [`Rig::ask`], for what has to succeed.
    #[track_caller]
    pub(crate) fn done(&self, method: &str, path: &str, body: Option<Value>) -> impl Future<Output = Value> {
        let at = std::panic::Location::caller();
        let what = format!("{method} {path} at {at}");
        async move {
            let (status, answer) = self.ask(method, path, body).await;
            assert!(status.is_success(), "{what}: {status} {answer}");
            answer
        }
    }

    /// Operations of the document that nobody asked for yet.
    pub(crate) fn never_asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        self.contract.operations().filter(|operation| !asked.contains(operation)).collect()
    }

    /// Stops the console and waits for it.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            tokio::time::timeout(DEADLINE, task).await.unwrap().unwrap();
        }
    }
}
