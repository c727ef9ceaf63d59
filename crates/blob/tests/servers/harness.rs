//! A server process, a server in this process, and objects whose bytes follow from their keys.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use blob::{BlobConfig, BlobStore, Sse};
use bytes::Bytes;
use futures::TryStreamExt;
use hyper_util::rt::TokioIo;
use s3s::service::S3Service;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

pub(crate) const ACCESS_KEY: &str = "the-access-key";
pub(crate) const SECRET_KEY: &str = "the-secret-key-that-nobody-may-see";
pub(crate) const BUCKET: &str = "attachments";
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// `blob-server`, killed when dropped.
pub(crate) struct Server {
    child: Child,
    home: TempDir,
    pub(crate) endpoint: String,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("secret"), SECRET_KEY).unwrap();
        let (child, endpoint) = spawn(home.path(), "127.0.0.1:0").await.unwrap();
        Self { child, home, endpoint }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.home.path().join("s3")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// On the same address, as soon as that is free.
    pub(crate) async fn start_again(&mut self) {
        let until = Instant::now() + DEADLINE;
        let listen = self.endpoint.strip_prefix("http://").unwrap().to_owned();
        self.child = loop {
            match spawn(self.home.path(), &listen).await {
                Some((child, _)) => break child,
                None => assert!(Instant::now() < until, "the server does not start again"),
            }
        };
    }

    pub(crate) fn config(&self) -> BlobConfig {
        config(&self.endpoint)
    }

    pub(crate) async fn store(&self) -> BlobStore {
        BlobStore::connect(self.config()).await.unwrap()
    }
}

/// `None` when it ended instead of getting ready.
async fn spawn(home: &Path, listen: &str) -> Option<(Child, String)> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_blob-server"))
        .arg("--folder")
        .arg(home.join("s3"))
        .args(["--listen", listen, "--access-key", ACCESS_KEY, "--bucket", BUCKET])
        .arg("--secret-key-file")
        .arg(home.join("secret"))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    timeout(DEADLINE, output.read_line(&mut line)).await.unwrap().unwrap();
    let endpoint = line.strip_prefix(r#"{"ready":true,"endpoint":""#)?.trim_end().strip_suffix(r#""}"#)?;
    Some((child, endpoint.to_owned()))
}

pub(crate) fn config(endpoint: &str) -> BlobConfig {
    BlobConfig {
        endpoint: Some(endpoint.to_owned()),
        region: "us-west-2".into(),
        bucket: BUCKET.into(),
        credentials: Some((ACCESS_KEY.into(), SECRET_KEY.into())),
        path_style: true,
        sse: Sse::None,
        make_bucket: false,
    }
}

/// Serves in this process until the runtime ends.
pub(crate) async fn serve(service: S3Service) -> String {
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service.clone());
            tokio::spawn(connection);
        }
    });
    endpoint
}

/// As many bytes as the key says after its last dash, other ones for every key.
pub(crate) fn content(key: &str) -> Bytes {
    let length: usize = key.rsplit('-').next().unwrap().parse().unwrap();
    let mut state = key.bytes().fold(0x9e37_79b9_7f4a_7c15_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&state.rotate_left(29).to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

/// The content in chunks that divide nothing evenly.
pub(crate) fn chunks(content: &Bytes) -> Vec<Result<Bytes, std::io::Error>> {
    const CHUNK: usize = 99_991;
    (0..content.len()).step_by(CHUNK).map(|at| Ok(content.slice(at..content.len().min(at + CHUNK)))).collect()
}

pub(crate) async fn read(store: &BlobStore, key: &str) -> Option<Bytes> {
    let stream = store.get(key).await.unwrap()?;
    let size_bytes = stream.size_bytes();
    let whole: Vec<u8> = stream
        .try_fold(Vec::new(), |mut whole, chunk| async move {
            whole.extend_from_slice(&chunk);
            Ok(whole)
        })
        .await
        .unwrap();
    assert_eq!(whole.len() as u64, size_bytes);
    Some(whole.into())
}

pub(crate) async fn keys(store: &BlobStore, prefix: &str) -> Vec<String> {
    store.list(prefix, None, usize::MAX).await.unwrap().into_iter().map(|object| object.key).collect()
}

/// Every file below the folder, by its path from there.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        // What vanishes while we look is not there.
        for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}: still not after {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
