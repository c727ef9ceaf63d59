//! Histories as Meta would deliver them, folded and held to a plain model. By itself, because it keeps a processor busy.

#![allow(clippy::unwrap_used, reason = "tests")]

mod deliveries;
mod model;
mod order;
