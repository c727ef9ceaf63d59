//! The keyring on a real PostgreSQL: who is who, whose key it is, and what is gone when somebody is forgotten.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod forgetting;
mod holders;
mod people;
mod roles;
mod rotation;
mod same;
mod stage;
mod swapped;
