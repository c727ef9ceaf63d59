//! Why a local PostgreSQL could not be had, in sentences that say what to do.

use std::path::PathBuf;

/// Why a local PostgreSQL could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LocalPgError {
    /// No binaries found.
    #[error(
        "PostgreSQL's `initdb` and `postgres` were not found; install them (Debian: apt-get install postgresql), \
         or name their folder in TIDINGS_PG_BIN, or use a running server with --postgres URL"
    )]
    NoBinaries,
    /// Root cannot run PostgreSQL and there is no user for it.
    #[error(
        "PostgreSQL does not run as root, and there is no user `postgres` on this machine; make one or run as another user"
    )]
    NoUser,
    /// The user that runs PostgreSQL cannot reach its folder.
    #[error(
        "the user `postgres` cannot pass the folder {folder}; run: chmod o+x {folder}, or choose another --data"
    )]
    Closed {
        /// The folder that is closed.
        folder: PathBuf,
    },
    /// The socket's path would be too long.
    #[error(
        "the path {folder} is too long for a Unix socket (at most 90 characters); choose a shorter --data"
    )]
    PathTooLong {
        /// The folder.
        folder: PathBuf,
    },
    /// A file or process operation failed.
    #[error("{what} failed")]
    Io {
        /// What was being done.
        what: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// A program of PostgreSQL's ended with an error.
    #[error("{program} ended with an error; its last words: {words}")]
    Program {
        /// Which program.
        program: &'static str,
        /// The end of its output.
        words: String,
    },
    /// It did not answer in time.
    #[error("PostgreSQL did not {what} within {seconds} s; see {log}")]
    Late {
        /// What it should have done.
        what: &'static str,
        /// How long it was given.
        seconds: u64,
        /// Its log file.
        log: PathBuf,
    },
}

impl LocalPgError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |cause| Self::Io { what, cause }
    }
}
