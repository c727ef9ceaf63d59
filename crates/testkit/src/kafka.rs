//! A real Apache Kafka for a test, through `deploy/local/kafka`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, ensure};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::OnceCell;

/// Brokers that are there for a test: started for it and stopped after it, however it ends; or, with
/// `TIDINGS_KAFKA_BROKERS` set, already running ones, which are left alone.
pub struct Kafka {
    address: String,
    /// Of brokers of our own.
    folder: Option<TempDir>,
}

static SHARED: OnceCell<Kafka> = OnceCell::const_new();

impl Kafka {
    /// One for all tests of this process that leave it alone; like [`Kafka::start`], and gone with the process.
    pub async fn shared() -> anyhow::Result<&'static Self> {
        SHARED.get_or_try_init(Self::start).await
    }

    /// The brokers named by `TIDINGS_KAFKA_BROKERS`, else one of our own.
    pub async fn start() -> anyhow::Result<Self> {
        match std::env::var("TIDINGS_KAFKA_BROKERS") {
            Ok(address) if !address.is_empty() => Ok(Self { address, folder: None }),
            _ => Self::own(1, None).await,
        }
    }

    /// Brokers of our own, which may be killed: one or three; with `USER:PASSWORD`, only for that user (SCRAM-SHA-512).
    pub async fn own(brokers: u8, sasl: Option<&str>) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("tkafka-").tempdir().context("a temporary folder")?;
        let mut kafka = Self { address: String::new(), folder: Some(folder) };
        let (brokers, ours) = (brokers.to_string(), std::process::id().to_string());
        // A test that is killed, or keeps this in a static, drops nothing.
        let mut up = vec!["up", "--brokers", &brokers, "--until-exit-of", &ours];
        if let Some(sasl) = sasl {
            up.extend(["--sasl", sasl]);
        }
        // From here on dropping it stops whatever has started.
        kafka.address = kafka.run(&up).await?;
        Ok(kafka)
    }

    /// `host:port,…`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where our own brokers live.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_ref().map(TempDir::path)
    }

    /// Kills a broker (from 1) as a crash would.
    pub async fn kill9(&self, broker: u8) -> anyhow::Result<()> {
        self.run(&["kill", "--broker", &broker.to_string()]).await.map(drop)
    }

    /// Starts a broker again; returns when it answers.
    pub async fn restart(&self, broker: u8) -> anyhow::Result<()> {
        self.run(&["restart", "--broker", &broker.to_string()]).await.map(drop)
    }

    /// Stops a broker's clock: connections stay, answers do not come.
    pub async fn pause(&self, broker: u8) -> anyhow::Result<()> {
        self.run(&["pause", "--broker", &broker.to_string()]).await.map(drop)
    }

    /// Lets it go on.
    pub async fn resume(&self, broker: u8) -> anyhow::Result<()> {
        self.run(&["resume", "--broker", &broker.to_string()]).await.map(drop)
    }

    async fn run(&self, words: &[&str]) -> anyhow::Result<String> {
        let folder = self.folder().context("the brokers of TIDINGS_KAFKA_BROKERS are not ours to touch")?;
        let mut command = Command::new(script());
        command.args(words).arg("--data").arg(folder).stdin(Stdio::null());
        let ran = command.output().await.context("deploy/local/kafka did not start")?;
        ensure!(
            ran.status.success(),
            "deploy/local/kafka {}: {}",
            words[0],
            String::from_utf8_lossy(&ran.stderr)
        );
        Ok(String::from_utf8(ran.stdout)?.trim().to_owned())
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            // Their data goes with them: no need to stop in order.
            let mut stop = std::process::Command::new(script());
            let _ = stop.args(["stop", "--now", "--data"]).arg(folder.path()).stdin(Stdio::null()).output();
        }
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/local/kafka")
}
