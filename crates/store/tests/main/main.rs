//! The views on a real PostgreSQL: who may read what, exactly-once offsets, order-free rows, the loss equation.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod audit;
mod conversation;
mod coverage;
mod migration;
mod rebuild;
mod stage;
