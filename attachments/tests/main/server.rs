//! Databases for tests: made once, copied for each.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use secrecy::SecretString;
use testkit::Postgres;
use tokio::sync::Mutex;

/// One server for all tests that run at the same time, and two migrated databases there that others are copied from.
static SHARED: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());

/// A server, and what is copied there.
pub(crate) struct Server {
    pub(crate) postgres: Postgres,
    views: String,
    keyring: String,
    copies: AtomicU64,
}

impl Server {
    async fn start() -> Arc<Self> {
        let postgres = Postgres::start().await.unwrap();
        let views = postgres.database().await.unwrap();
        // It is killed at most, and the machine is not.
        psql(&views, "ALTER SYSTEM SET fsync = off");
        psql(&views, "SELECT pg_reload_conf()");
        let keyring = postgres.database().await.unwrap();
        store::migrate_views(&views.clone().into()).await.unwrap();
        store::migrate_keyring(&keyring.clone().into()).await.unwrap();
        Arc::new(Self { postgres, views, keyring, copies: AtomicU64::new(0) })
    }

    /// A database like this one.
    fn copy(&self, url: &str) -> SecretString {
        let (place, name) = url.rsplit_once("dbname=").unwrap();
        let copy = format!("copy_{}", self.copies.fetch_add(1, Ordering::SeqCst));
        psql(&format!("{place}dbname=postgres"), &format!("CREATE DATABASE {copy} TEMPLATE {name}"));
        SecretString::from(format!("{place}dbname={copy}"))
    }
}

pub(crate) fn psql(url: &str, statement: &str) -> String {
    let output = std::process::Command::new("psql").args([url, "-XqtAc", statement]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Two fresh databases, for views and keyring.
pub(crate) async fn databases(own: bool) -> (Arc<Server>, SecretString, SecretString) {
    // Held: a database is copied by one at a time.
    let mut shared = SHARED.lock().await;
    let server = match shared.upgrade().filter(|_| !own) {
        Some(server) => server,
        None => Server::start().await,
    };
    if !own {
        *shared = Arc::downgrade(&server);
    }
    let (views, keyring) = (server.copy(&server.views), server.copy(&server.keyring));
    (server, views, keyring)
}
