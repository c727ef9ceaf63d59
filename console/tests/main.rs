//! The console over real sockets, on a real embedded log and a real PostgreSQL.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "main/affected.rs"]
mod affected;
#[path = "main/api.rs"]
mod api;
#[path = "main/contract.rs"]
mod contract;
#[path = "main/feed.rs"]
mod feed;
#[path = "main/people.rs"]
mod people;
#[path = "main/rig.rs"]
mod rig;
#[path = "main/views.rs"]
mod views;
