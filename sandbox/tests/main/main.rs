//! The simulated Meta over real sockets.
#![allow(clippy::unwrap_used)]

mod graph;
mod sender;
