//! One real Apache Kafka, started and killed through `deploy/local/kafka`.

use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Command;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/local/kafka");

/// A broker in a folder of its own. Killed when dropped.
pub(crate) struct Broker {
    pub(crate) address: String,
    folder: TempDir,
}

impl Broker {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("tka-").tempdir().unwrap();
        let address = script(&["up", "--data", folder.path().to_str().unwrap()]).await;
        Self { address, folder }
    }

    /// Where it keeps its logs.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Kills it as a crash would and starts it again.
    pub(crate) async fn crash(&self) {
        let data = self.folder.path().to_str().unwrap();
        script(&["kill", "--broker", "1", "--data", data]).await;
        script(&["restart", "--broker", "1", "--data", data]).await;
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let data = self.folder.path().to_str().unwrap();
        // It may be dead already.
        let _ = std::process::Command::new(SCRIPT)
            .args(["kill", "--broker", "1", "--data", data])
            .stderr(Stdio::null())
            .status();
    }
}

async fn script(args: &[&str]) -> String {
    let output = Command::new(SCRIPT).args(args).stderr(Stdio::inherit()).output().await.unwrap();
    assert!(output.status.success(), "deploy/local/kafka {args:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
