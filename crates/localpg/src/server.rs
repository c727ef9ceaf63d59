//! Starting, watching and stopping the server.

use std::fs::OpenOptions;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tracing::{info, warn};

use crate::LocalPgError;
use crate::binaries::Binaries;
use crate::folder::{Account, account, prepare};

const START_SECONDS: u64 = 60;
const STOP_SECONDS: u64 = 30;
const TICK: Duration = Duration::from_millis(20);
/// The superuser of the server; reachable only through the socket in its private folder.
const SUPERUSER: &str = "tidings";

/// How to run the server.
#[derive(Debug, Clone)]
pub struct Config {
    /// The server's folder; made when missing, then private to the user that runs PostgreSQL.
    pub folder: PathBuf,
    /// Further settings, such as `("max_wal_size", "4GB")`. They win over the defaults.
    pub settings: Vec<(String, String)>,
}

impl Config {
    /// A server in this folder, with the default settings.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), settings: Vec::new() }
    }
}

/// A running server. Stops when dropped; [`Server::stop`] waits for it.
#[derive(Debug)]
pub struct Server {
    home: Arc<Home>,
    watcher: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Home {
    folder: PathBuf,
    binaries: Binaries,
    account: Option<Account>,
    settings: Vec<(String, String)>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pid: Option<i32>,
    stopping: bool,
}

impl Server {
    /// Starts a server in the folder, initialising it the first time and replacing one that a killed parent left behind.
    /// Returns when it answers.
    pub async fn start(config: Config) -> Result<Self, LocalPgError> {
        blocking(move || Self::start_blocking(config)).await
    }

    /// Makes the database unless it is there.
    pub async fn ensure_database(&self, name: &str) -> Result<(), LocalPgError> {
        let (home, name) = (self.home.clone(), name.to_owned());
        blocking(move || home.ensure_database(&name)).await
    }

    /// How `tokio-postgres` and `psql` reach a database: `host=… user=… dbname=…`. Holds no secret.
    pub fn url(&self, database: &str) -> String {
        format!("host={} user={SUPERUSER} dbname={database}", self.home.folder.display())
    }

    /// The server's process, while it runs.
    pub fn pid(&self) -> Option<i32> {
        self.home.lock().pid
    }

    /// Stops the server in order and waits for it.
    pub async fn stop(mut self) -> Result<(), LocalPgError> {
        let (home, watcher) = (self.home.clone(), self.watcher.take());
        blocking(move || home.stop(watcher)).await
    }

    fn start_blocking(config: Config) -> Result<Self, LocalPgError> {
        let account = account()?;
        let home = Arc::new(Home {
            folder: prepare(&config.folder, account)?,
            binaries: Binaries::find()?,
            account,
            settings: config.settings,
            state: Mutex::default(),
        });
        home.end_leftover()?;
        home.initialise()?;
        let watched = home.clone();
        // The child is told to stop when the *thread* that started it ends, so one thread starts it and stays with it.
        let watcher = std::thread::Builder::new()
            .name("postgres".into())
            .spawn(move || watched.watch())
            .map_err(LocalPgError::io("starting a thread"))?;
        let server = Self { home, watcher: Some(watcher) };
        server.home.wait_until_ready()?;
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(watcher) = self.watcher.take()
            && let Err(cause) = self.home.stop(Some(watcher))
        {
            warn!(error = %cause, "PostgreSQL did not stop");
        }
    }
}

impl Home {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("postgres.log")
    }

    /// A command that runs as the account, away from our terminal's signals.
    fn command(&self, program: &Path, with_parent: bool) -> Command {
        let mut command = Command::new("setpriv");
        if with_parent {
            command.args(["--pdeathsig", "INT"]);
        }
        if let Some(account) = self.account {
            command
                .arg(format!("--reuid={}", account.uid))
                .arg(format!("--regid={}", account.gid))
                .arg("--clear-groups");
        }
        command.arg("--").arg(program).current_dir(&self.folder).stdin(Stdio::null()).process_group(0);
        command
            .env_remove("PGDATA")
            .env_remove("PGHOST")
            .env_remove("PGPORT")
            .env_remove("PGUSER")
            .env("LC_ALL", "C");
        command
    }

    fn run(&self, name: &'static str, args: &[&str]) -> Result<String, LocalPgError> {
        let output = self
            .command(&self.binaries.program(name), false)
            .args(args)
            .output()
            .map_err(LocalPgError::io(format!("running {name}")))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let words = String::from_utf8_lossy(&output.stderr);
        let tail: Vec<&str> = words.trim().lines().rev().take(3).collect();
        Err(LocalPgError::Program {
            program: name,
            words: tail.into_iter().rev().collect::<Vec<_>>().join(" / "),
        })
    }

    fn initialise(&self) -> Result<(), LocalPgError> {
        if self.data().join("PG_VERSION").is_file() {
            return Ok(());
        }
        // A first start that was cut short leaves a folder without a version: begin again beside it, then rename.
        let fresh = self.folder.join("data.new");
        if fresh.exists() {
            std::fs::remove_dir_all(&fresh)
                .map_err(LocalPgError::io("clearing a half-made PostgreSQL folder"))?;
        }
        let fresh_text = fresh.display().to_string();
        info!("making a PostgreSQL database in {}", self.folder.display());
        self.run(
            "initdb",
            &[
                "-D",
                &fresh_text,
                "-U",
                SUPERUSER,
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "--data-checksums",
            ],
        )?;
        std::fs::rename(&fresh, self.data())
            .map_err(LocalPgError::io("putting the PostgreSQL folder in place"))
    }

    /// A parent that was killed leaves the server running for a moment, or for good: end it before starting our own.
    fn end_leftover(&self) -> Result<(), LocalPgError> {
        let Some(pid) = leftover(&self.data()) else { return Ok(()) };
        info!("waiting for the PostgreSQL of an earlier run to end");
        let began = Instant::now();
        for (signal, seconds) in [(Signal::SIGINT, STOP_SECONDS), (Signal::SIGQUIT, STOP_SECONDS)] {
            // It may end by itself between the look and the signal.
            let _ = kill(Pid::from_raw(pid), signal);
            let until = Instant::now() + Duration::from_secs(seconds);
            while Instant::now() < until {
                if leftover(&self.data()).is_none() {
                    return Ok(());
                }
                std::thread::sleep(TICK);
            }
        }
        Err(LocalPgError::Late { what: "end", seconds: began.elapsed().as_secs(), log: self.log() })
    }

    fn spawn(&self) -> Result<Child, LocalPgError> {
        let what = || format!("opening {}", self.log().display());
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())
            .map_err(LocalPgError::io(what()))?;
        if let Some(account) = self.account {
            chown(self.log(), Some(account.uid.as_raw()), Some(account.gid.as_raw()))
                .map_err(LocalPgError::io(what()))?;
        }
        let errors = log.try_clone().map_err(LocalPgError::io(what()))?;
        let mut command = self.command(&self.binaries.program("postgres"), true);
        command.arg("-D").arg(self.data()).arg("-k").arg(&self.folder).stdout(log).stderr(errors);
        let defaults = [
            ("listen_addresses", ""),
            ("unix_socket_permissions", "0700"),
            ("max_connections", "60"),
            ("shared_buffers", "64MB"),
            ("max_wal_size", "2GB"),
            ("wal_compression", "lz4"),
            // Rows hold what people wrote: nothing of a statement or a row goes into the log.
            ("log_min_error_statement", "panic"),
            ("log_parameter_max_length_on_error", "0"),
            ("log_error_verbosity", "terse"),
            ("log_min_messages", "warning"),
        ];
        for (name, value) in defaults {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        for (name, value) in &self.settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command.spawn().map_err(LocalPgError::io("starting postgres through setpriv (package util-linux)"))
    }

    /// Keeps the server running until told to stop.
    fn watch(&self) {
        let mut pause = Duration::from_millis(200);
        loop {
            let began = Instant::now();
            let child = {
                let mut state = self.lock();
                if state.stopping {
                    return;
                }
                match self.spawn() {
                    Ok(child) => {
                        state.pid = i32::try_from(child.id()).ok();
                        Some(child)
                    }
                    Err(cause) => {
                        warn!(error = %cause, "PostgreSQL could not be started");
                        None
                    }
                }
            };
            if let Some(mut child) = child {
                let ended = child.wait();
                let mut state = self.lock();
                state.pid = None;
                if state.stopping {
                    return;
                }
                warn!(status = ?ended.ok().and_then(|status| status.code()), "PostgreSQL ended by itself; starting it again");
            }
            if began.elapsed() > Duration::from_secs(30) {
                pause = Duration::from_millis(200);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(10));
            if let Err(cause) = self.end_leftover() {
                warn!(error = %cause, "PostgreSQL could not be started again");
            }
        }
    }

    fn wait_until_ready(&self) -> Result<(), LocalPgError> {
        let folder = self.folder.display().to_string();
        let until = Instant::now() + Duration::from_secs(START_SECONDS);
        while Instant::now() < until {
            let socket = self.folder.join(".s.PGSQL.5432");
            if socket.exists() && self.run("pg_isready", &["-q", "-h", &folder, "-U", SUPERUSER]).is_ok() {
                return Ok(());
            }
            std::thread::sleep(TICK);
        }
        Err(LocalPgError::Late { what: "answer", seconds: START_SECONDS, log: self.log() })
    }

    fn ensure_database(&self, name: &str) -> Result<(), LocalPgError> {
        let folder = self.folder.display().to_string();
        let ask = format!("SELECT count(*) FROM pg_database WHERE datname = '{}'", name.replace('\'', "''"));
        let there = self.run("psql", &["-h", &folder, "-U", SUPERUSER, "-d", "postgres", "-XtAc", &ask])?;
        if there != "1" {
            self.run("createdb", &["-h", &folder, "-U", SUPERUSER, name])?;
        }
        Ok(())
    }

    fn stop(&self, watcher: Option<JoinHandle<()>>) -> Result<(), LocalPgError> {
        let Some(watcher) = watcher else { return Ok(()) };
        self.lock().stopping = true;
        let began = Instant::now();
        let mut signals = [(0, Signal::SIGINT), (STOP_SECONDS, Signal::SIGQUIT)].into_iter().peekable();
        while !watcher.is_finished() {
            let waited = began.elapsed().as_secs();
            if let Some((_, signal)) = signals.next_if(|(at, _)| waited >= *at)
                && let Some(pid) = self.lock().pid
            {
                // It may have ended by itself.
                let _ = kill(Pid::from_raw(pid), signal);
            }
            if waited > STOP_SECONDS + 10 {
                return Err(LocalPgError::Late { what: "end", seconds: waited, log: self.log() });
            }
            std::thread::sleep(TICK);
        }
        // A panic of the watcher has been printed; the server's end is what matters here.
        let _ = watcher.join();
        Ok(())
    }
}

/// The pid in `postmaster.pid`, when that is a living PostgreSQL of this folder.
fn leftover(data: &Path) -> Option<i32> {
    let text = std::fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid: i32 = text.lines().next()?.trim().parse().ok()?;
    let running = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let running = String::from_utf8_lossy(&running);
    (running.contains("postgres") && running.contains(&*data.to_string_lossy())).then_some(pid)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LocalPgError> + Send + 'static,
) -> Result<T, LocalPgError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|cause| {
        Err(LocalPgError::Io {
            what: "a task of the local PostgreSQL".into(),
            cause: std::io::Error::other(cause),
        })
    })
}
