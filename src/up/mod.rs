//! Everything in one process: the log, PostgreSQL, ingest, router, projector and console on one folder.
//!
//! A library for the `up` command and for the demo: [`start`] gives a [`Running`] that says when it is ready, where it
//! listens, and that stops its parts in order.

mod database;
mod folder;
mod running;

pub(crate) use database::Postgres;
pub(crate) use running::{Options, start};
