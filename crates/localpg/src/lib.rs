//! A PostgreSQL of our own as a child process: for `tidings up` and for tests.
//!
//! It listens on a Unix socket in its folder only, so nothing but the owner of the folder (and root) can reach it. It runs
//! as the `postgres` user when root starts it, is started again when it dies, and is told to stop when its parent dies.
//! It deliberately knows nothing of what is stored: schemas and SQL are the `store` crate's.

mod binaries;
mod error;
mod folder;
mod server;

pub use error::LocalPgError;
pub use server::{Config, Server};
