//! Processes of the built binary: started, watched, told to stop, killed.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_tidings");
const PATIENCE: Duration = Duration::from_secs(120);

/// A running process. Killed when dropped.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `tidings ARGS…` in the folder of `log`, to which its standard error is appended.
    pub(crate) fn start(args: &[String], log: &Path) -> Self {
        Self::start_with(args, log, &[])
    }

    /// The same, with these variables set.
    pub(crate) fn start_with(args: &[String], log: &Path, variables: &[(&str, &str)]) -> Self {
        let stderr = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let child = Command::new(BINARY)
            .args(args)
            .current_dir(log.parent().unwrap())
            // A test's own settings must not reach the process.
            .env_remove("TIDINGS_ADMIN")
            .env_remove("TIDINGS_TOKEN_FILE")
            .env_remove("TIDINGS_KAFKA_BROKERS")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .expect("starting the binary");
        Self { child, log: log.to_owned() }
    }

    /// Waits for the first line of standard output that `wanted` takes.
    pub(crate) async fn line<T>(&mut self, wanted: impl Fn(&str) -> Option<T>) -> T {
        let mut lines = BufReader::new(self.child.stdout.take().expect("read once")).lines();
        let found = timeout(PATIENCE, async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(found) = wanted(&line) {
                    return Some(found);
                }
            }
            None
        });
        let Some(found) = found.await.ok().flatten() else {
            panic!("the awaited line did not come:\n{}", self.tail())
        };
        // What it prints from here on is of no interest, but has to go somewhere.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        found
    }

    /// As `kill -9`: no handler runs.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("killing");
    }

    /// Sends a signal and waits for the exit code; `None` when a signal ended it.
    pub(crate) async fn stop(&mut self, signal: nix::sys::signal::Signal) -> Option<i32> {
        let pid = self.child.id().expect("still running");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), signal).unwrap();
        let status = timeout(PATIENCE, self.child.wait()).await;
        status.unwrap_or_else(|_| panic!("it did not stop:\n{}", self.tail())).unwrap().code()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// The end of its log.
    pub(crate) fn tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let from = log.char_indices().rev().nth(4000).map_or(0, |(at, _)| at);
        log[from..].to_owned()
    }
}

/// Runs `tidings ARGS…` to its end.
pub(crate) async fn run(args: &[&str]) -> Output {
    let run = Command::new(BINARY).args(args).stdin(Stdio::null()).kill_on_drop(true).output();
    timeout(PATIENCE, run)
        .await
        .unwrap_or_else(|_| panic!("tidings {args:?} did not end"))
        .expect("running the binary")
}

/// Looks again and again until `look` finds something.
pub(crate) async fn until<T>(what: &str, seconds: u64, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {seconds} s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A port nobody listens on.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// An HTTP client for addresses on this machine.
pub(crate) fn http() -> reqwest::Client {
    // The client wants a TLS provider even where it speaks plain HTTP; a second call finds it in place.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().tls_certs_only([]).build().unwrap()
}
