//! An S3 server of our own, on a folder of this machine.

mod digest;
mod files;
mod objects;
mod serve;
mod uploads;
mod walk;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use rand::TryRngCore;
use rand::rngs::OsRng;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{BlobConfig, Sse};
use files::Files;
use objects::Objects;

/// What the server's requests are signed for; it takes any.
const REGION: &str = "us-east-1";

/// An S3 server in this process: one folder, one pair of credentials, no TLS, so keep it on the loopback interface.
///
/// An object is answered for when it would survive a power cut, and visible only whole. It knows no versions, no
/// encryption and no metadata, and refuses what asks for them. Uploads in parts end with the process.
pub struct LocalS3 {
    endpoint: String,
    bucket: String,
    credentials: (String, SecretString),
    stop: CancellationToken,
    server: Option<JoinHandle<()>>,
}

/// Why a local S3 server could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LocalS3Error {
    /// A file or socket operation failed.
    #[error("{what} failed")]
    Io {
        /// What was being done.
        what: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// Another server uses the folder.
    #[error("another process keeps objects in {folder}; stop it, or choose another folder")]
    Busy {
        /// The folder.
        folder: String,
    },
    /// No bucket can have this name.
    #[error("{bucket:?} is no name for a bucket: 3 to 63 of a-z 0-9 . - are")]
    Bucket {
        /// The name.
        bucket: String,
    },
}

impl LocalS3Error {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |cause| Self::Io { what, cause }
    }
}

impl LocalS3 {
    /// Serves the folder with credentials that nobody else has; they end with the process.
    pub async fn start(folder: &Path, listen: SocketAddr, bucket: &str) -> Result<Self, LocalS3Error> {
        let mut random = [0; 48];
        OsRng
            .try_fill_bytes(&mut random)
            .map_err(|cause| LocalS3Error::io("drawing credentials")(std::io::Error::other(cause)))?;
        let (access_key, secret_key) = random.split_at(16);
        let credentials = (hex::encode(access_key), hex::encode(secret_key).into());
        Self::start_with(folder, listen, bucket, credentials).await
    }

    /// Serves the folder, made when missing and then private to this user, with this access key and secret key.
    pub async fn start_with(
        folder: &Path,
        listen: SocketAddr,
        bucket: &str,
        credentials: (String, SecretString),
    ) -> Result<Self, LocalS3Error> {
        if !s3s::path::check_bucket_name(bucket) {
            return Err(LocalS3Error::Bucket { bucket: bucket.to_owned() });
        }
        let (path, name) = (folder.to_owned(), bucket.to_owned());
        let opening = tokio::task::spawn_blocking(move || {
            let files = Files::open(&path)?;
            files.make_bucket(&name)?;
            Ok(files)
        });
        let what = format!("opening the object folder {}", folder.display());
        let files = match opening.await.unwrap_or_else(|cause| Err(std::io::Error::other(cause))) {
            Ok(files) => Arc::new(files),
            Err(cause) if cause.kind() == std::io::ErrorKind::WouldBlock => {
                return Err(LocalS3Error::Busy { folder: folder.display().to_string() });
            }
            Err(cause) => return Err(LocalS3Error::io(what)(cause)),
        };
        let what = format!("listening on {listen}");
        let listener = TcpListener::bind(listen).await.map_err(LocalS3Error::io(&what))?;
        let endpoint =
            format!("http://{}", reachable(listener.local_addr().map_err(LocalS3Error::io(&what))?));

        let mut service = S3ServiceBuilder::new(Objects::new(files));
        service.set_auth(SimpleAuth::from_single(credentials.0.as_str(), credentials.1.expose_secret()));
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve::serve(listener, service.build(), stop.clone()));
        Ok(Self { endpoint, bucket: bucket.to_owned(), credentials, stop, server: Some(server) })
    }

    /// `http://host:port`, as a client on this machine reaches it.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// How a [`crate::BlobStore`] reaches it.
    pub fn config(&self) -> BlobConfig {
        BlobConfig {
            endpoint: Some(self.endpoint.clone()),
            region: REGION.into(),
            bucket: self.bucket.clone(),
            credentials: Some(self.credentials.clone()),
            path_style: true,
            sse: Sse::None,
            make_bucket: false,
        }
    }

    /// Takes no more requests, finishes those that were begun, and ends.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(server) = self.server.take() {
            // Had it panicked, that would have been printed; what matters here is that it has ended.
            let _ = server.await;
        }
    }
}

impl Drop for LocalS3 {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for LocalS3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalS3").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Where a client on this machine finds a server that listens everywhere.
fn reachable(at: SocketAddr) -> SocketAddr {
    let ip = match at.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, at.port())
}
