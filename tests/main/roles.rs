//! Each role as a process of its own on Kafka, started again when it ends, as any supervisor would.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use blob::LocalS3;
use nix::sys::signal::Signal;
use secrecy::ExposeSecret;
use tempfile::TempDir;
use testkit::Postgres;
use tokio::sync::Mutex;

use crate::process::{Process, free_port, http, run, until};
use crate::rig::Admin;

pub(crate) const ROLES: [&str; 5] = ["ingest", "router", "projector", "attachments", "console"];

/// Every role.
pub(crate) struct Roles {
    pub(crate) admin: Admin,
    pub(crate) webhooks: String,
    slots: [Slot; 5],
    ended: AtomicUsize,
    folder: TempDir,
    _objects: LocalS3,
    // Last: what uses it goes first.
    postgres: Postgres,
}

struct Slot {
    args: Vec<String>,
    monitor: String,
    log: PathBuf,
    process: Mutex<Process>,
}

impl Roles {
    /// Makes databases, keys, tokens and a bucket, starts all of them and waits until they are ready.
    pub(crate) async fn start(brokers: &str, graph: &str) -> Self {
        let postgres = Postgres::start().await.expect("PostgreSQL");
        let (views, keyring) = (postgres.database().await.unwrap(), postgres.database().await.unwrap());
        let output = run(&["migrate", "--postgres", &views, "--keyring", &keyring]).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

        let folder = tempfile::Builder::new().prefix("tro-").tempdir().unwrap();
        let root_key = folder.path().join("root-key");
        seal::RootKey::load_or_create(&root_key).unwrap();
        // Ingest gets no more than it needs, the projector nothing.
        let edge_key = folder.path().join("edge-key").display().to_string();
        let root_key = root_key.display().to_string();
        let output = run(&["key", "edge", "--root-key", &root_key, "--out", &edge_key]).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let objects = folder.path().join("objects");
        let objects = LocalS3::start(&objects, "127.0.0.1:0".parse().unwrap(), "tidings").await.unwrap();
        let (access_key, secret_key) = objects.config().credentials.expect("it makes its own");
        let secret_key_file = folder.path().join("s3-secret-key");
        std::fs::write(&secret_key_file, secret_key.expose_secret()).unwrap();
        let secret_key_file = secret_key_file.display().to_string();
        let bucket = [
            "--s3-bucket",
            "tidings",
            "--s3-endpoint",
            objects.endpoint(),
            "--s3-access-key",
            &access_key,
            "--s3-secret-key-file",
            &secret_key_file,
        ];
        let root = ["--root-key", &root_key];
        let token_file = folder.path().join("admin-token");
        std::fs::write(&token_file, "0123456789abcdef".repeat(4)).unwrap();
        let (webhooks, admin) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
        let token = token_file.display().to_string();
        let audit_key = folder.path().join("audit-key").display().to_string();
        let slots = [
            slot(0, brokers, folder.path(), &["--listen", &webhooks, "--edge-key", &edge_key]),
            slot(1, brokers, folder.path(), &[&root[..], &["--keyring", &keyring]].concat()),
            slot(2, brokers, folder.path(), &["--postgres", &views, "--audit-key", &audit_key]),
            slot(
                3,
                brokers,
                folder.path(),
                &[
                    &root[..],
                    &bucket[..],
                    &["--postgres", &views, "--keyring", &keyring, "--graph-url", graph],
                ]
                .concat(),
            ),
            slot(
                4,
                brokers,
                folder.path(),
                &[
                    &root[..],
                    &bucket[..],
                    &["--postgres", &views, "--keyring", &keyring],
                    &["--listen", &admin, "--token-file", &token],
                ]
                .concat(),
            ),
        ];
        let roles = Self {
            admin: Admin { url: format!("http://{admin}"), token_file },
            webhooks: format!("http://{webhooks}"),
            slots,
            ended: AtomicUsize::new(0),
            folder,
            _objects: objects,
            postgres,
        };
        roles.ready().await;
        roles
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kills a role as a crash would and starts it again.
    pub(crate) async fn crash(&self, nth: usize) {
        let slot = &self.slots[nth];
        let mut process = slot.process.lock().await;
        process.kill().await;
        *process = Process::start(&slot.args, &slot.log);
        drop(process);
        self.slot_ready(nth).await;
    }

    /// Kills PostgreSQL as a crash would; it starts again by itself.
    pub(crate) fn crash_postgres(&self) {
        self.postgres.crash();
    }

    /// Waits until every role is ready, starting again what has ended.
    pub(crate) async fn ready(&self) {
        for nth in 0..ROLES.len() {
            self.slot_ready(nth).await;
        }
    }

    async fn slot_ready(&self, nth: usize) {
        let slot = &self.slots[nth];
        until(&format!("{} is ready; its log is {}", ROLES[nth], slot.log.display()), 120, async || {
            let mut process = slot.process.lock().await;
            if process.has_ended() {
                self.ended.fetch_add(1, Ordering::Relaxed);
                eprintln!("{} ended by itself:\n{}", ROLES[nth], process.tail());
                *process = Process::start(&slot.args, &slot.log);
            }
            drop(process);
            let answer = http().get(format!("http://{}/readyz", slot.monitor)).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    /// How often a role ended without being killed.
    pub(crate) fn ended(&self) -> usize {
        self.ended.load(Ordering::Relaxed)
    }

    /// Runs a client command again until it succeeds.
    pub(crate) async fn insist(&self, args: &[&str]) {
        until(&format!("tidings {args:?} succeeds"), 120, async || {
            let done = self.admin.ask(args).await.0 == 0;
            if !done {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            done.then_some(())
        })
        .await;
    }

    /// SIGTERM to each; all must end with exit code 0.
    pub(crate) async fn stop(self) {
        for (slot, role) in self.slots.iter().zip(ROLES) {
            let mut process = slot.process.lock().await;
            assert_eq!(process.stop(Signal::SIGTERM).await, Some(0), "{role}:\n{}", process.tail());
        }
    }
}

fn slot(nth: usize, brokers: &str, folder: &Path, more: &[&str]) -> Slot {
    let role = ROLES[nth];
    let monitor = format!("127.0.0.1:{}", free_port());
    let common = [role, "--kafka", brokers, "--monitor-listen", &monitor, "--member", "one"];
    let args: Vec<String> = common.iter().chain(more).map(|arg| (*arg).to_owned()).collect();
    let log = folder.join(format!("{role}.log"));
    let process = Mutex::new(Process::start(&args, &log));
    Slot { args, monitor, log, process }
}
