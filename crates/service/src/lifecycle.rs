//! Start, stop, exit code. SIGTERM or SIGINT asks every task to finish; a deadline or a second signal ends the process.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// The tasks of one process. A task that ends by itself stops the others, and the exit code says so.
pub struct Lifecycle {
    grace: Duration,
    soft: CancellationToken,
    tasks: JoinSet<(&'static str, anyhow::Result<()>)>,
    terminate: Signal,
    interrupt: Signal,
}

impl Lifecycle {
    /// Listens for signals from now on. `grace` bounds the time from the first signal to the exit.
    pub fn new(grace: Duration) -> anyhow::Result<Self> {
        Ok(Self {
            grace,
            soft: CancellationToken::new(),
            tasks: JoinSet::new(),
            terminate: signal(SignalKind::terminate()).context("listening for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("listening for SIGINT")?,
        })
    }

    /// Cancelled when the process should finish: take no more work, finish what was taken, return.
    pub fn soft(&self) -> CancellationToken {
        self.soft.clone()
    }

    /// Runs a task under a name.
    pub fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.tasks.spawn(async move { (name, task.await) });
    }

    /// Runs until every task has ended. Failure if one failed, ended unasked, or outlived the grace.
    pub async fn run(mut self) -> ExitCode {
        let (mut failed, mut signalled) = (false, false);
        tokio::select! {
            _ = self.terminate.recv() => {
                signalled = true;
                info!("SIGTERM: finishing what was taken");
            }
            _ = self.interrupt.recv() => {
                signalled = true;
                info!("interrupted: finishing what was taken");
            }
            () = self.soft.cancelled() => {}
            ended = self.tasks.join_next() => match ended {
                None => return ExitCode::SUCCESS,
                Some(ended) => report(ended, &mut failed, !self.soft.is_cancelled()),
            },
        }
        self.soft.cancel();
        let deadline = tokio::time::sleep(self.grace);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                ended = self.tasks.join_next() => match ended {
                    None => return if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS },
                    Some(ended) => report(ended, &mut failed, false),
                },
                // The first one may be what somebody else cancelled us for.
                _ = self.terminate.recv() => if std::mem::replace(&mut signalled, true) { return hard("a second signal") },
                _ = self.interrupt.recv() => if std::mem::replace(&mut signalled, true) { return hard("a second signal") },
                () = &mut deadline => return hard("the deadline"),
            }
        }
    }
}

fn report(
    ended: Result<(&'static str, anyhow::Result<()>), tokio::task::JoinError>,
    failed: &mut bool,
    unasked: bool,
) {
    match ended {
        Ok((name, Ok(()))) if unasked => {
            error!("task {name} ended by itself; stopping");
            *failed = true;
        }
        Ok((_, Ok(()))) => {}
        Ok((name, Err(cause))) => {
            error!(error = format!("{cause:#}"), "task {name} failed; stopping");
            *failed = true;
        }
        Err(cause) => {
            // The panic's own text went to standard error through the panic hook.
            error!(panicked = cause.is_panic(), "a task broke; stopping");
            *failed = true;
        }
    }
}

fn hard(why: &str) -> ExitCode {
    warn!("{why} ended the process before every task had finished");
    ExitCode::FAILURE
}
