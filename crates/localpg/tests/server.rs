//! The real PostgreSQL, started, crashed, left behind and stopped.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use localpg::{Config, LocalPgError, Server};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("lpg-").tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    folder
}

fn ask(url: &str, sql: &str) -> Option<String> {
    let output = Command::new("psql").args([url, "-XtAc", sql]).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_what_it_was_given_through_crash_and_restart() {
    let folder = folder();
    let config = Config::new(folder.path().join("pg"));
    let server = Server::start(config.clone()).await.unwrap();
    server.ensure_database("views").await.unwrap();
    server.ensure_database("views").await.unwrap();
    let url = server.url("views");
    assert_eq!(
        ask(&url, "create table kept(x int); insert into kept values (7); select x from kept").as_deref(),
        Some("CREATE TABLE\nINSERT 0 1\n7")
    );

    let first = server.pid().unwrap();
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while server.pid().is_none_or(|pid| pid == first) || ask(&url, "select 1").is_none() {
        assert!(Instant::now() < until, "it was not started again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(ask(&url, "select x from kept").as_deref(), Some("7"));

    server.stop().await.unwrap();
    assert_eq!(ask(&url, "select 1"), None);
    let again = Server::start(config).await.unwrap();
    assert_eq!(ask(&again.url("views"), "select x from kept").as_deref(), Some("7"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_the_server_cannot_reach_is_named() {
    if !nix::unistd::geteuid().is_root() {
        return; // Only root hands the server to another user.
    }
    let folder = folder();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let refused = Server::start(Config::new(folder.path().join("pg"))).await.unwrap_err();
    let LocalPgError::Closed { folder: named } = &refused else { panic!("{refused}") };
    assert_eq!(named, &folder.path().canonicalize().unwrap());
    assert!(refused.to_string().contains("chmod o+x"));
}
