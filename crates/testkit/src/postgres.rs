//! A throw-away PostgreSQL: fresh databases on a child server that goes when the test does.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;
use localpg::{Config, Server};
use tempfile::TempDir;

/// A child server with databases of its own. Start one per test, or share one and take a database each.
pub struct Postgres {
    server: Server,
    made: AtomicU32,
    // After the server: dropped last.
    folder: TempDir,
}

impl Postgres {
    /// Starts a server in a temporary folder.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("tpg-").tempdir().context("a temporary folder")?;
        // PostgreSQL runs as its own user, which has to get to its folder inside.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711))?;
        let mut config = Config::new(folder.path().join("pg"));
        config.settings.push(("max_connections".into(), "200".into()));
        let server = Server::start(config).await?;
        Ok(Self { server, made: AtomicU32::new(0), folder })
    }

    /// Makes an empty database and tells how to reach it.
    pub async fn database(&self) -> anyhow::Result<String> {
        let name = format!("test_{}", self.made.fetch_add(1, Ordering::Relaxed));
        self.server.ensure_database(&name).await?;
        Ok(self.server.url(&name))
    }

    /// Kills the server as a crash would. It is started again by itself.
    pub fn crash(&self) {
        if let Some(pid) = self.server.pid() {
            // It may be starting again at this moment.
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
    }

    /// The server's folder.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}
