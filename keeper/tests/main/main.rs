//! The keeper on real parts: PostgreSQL, the embedded log, an S3 server, a router and a projector.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod audit;
mod backup;
mod callbacks;
mod erasure;
mod holds;
mod killed;
mod people;
mod restore;
mod rig;
mod rotation;
mod sweep;
mod tenant_end;
mod waits;
