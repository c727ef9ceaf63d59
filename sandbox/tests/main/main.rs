//! The simulated Meta over real sockets.
#![allow(clippy::unwrap_used)]

mod contract;
mod graph;
mod sender;
