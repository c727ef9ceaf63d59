//! The edge: verifies what Meta delivers, keeps it, and only then answers.
//!
//! One request is followed in `handler`: path, headers, body, signature, append, answer (`design.md` §7). A 200 means that the
//! body is durable in `raw`; whatever is refused leaves nothing but a counter. Nothing here reads a body's meaning:
//! a valid signature is all a body needs, the router judges the rest.
//!
//! The edge speaks HTTP/1.1 from its own accept loop, because every limit of `reliability.md` §2.19 must hold on every
//! connection: each has one deadline at any time (`pace`), and caps bound connections, headers and bytes. It depends on
//! the log alone; apps and their secrets come to it through `control`, sealed with the root key.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod address;
mod body;
mod breaker;
mod config;
mod connection;
mod crowd;
mod door;
mod edge;
mod handler;
mod handshake;
mod listener;
mod metrics;
mod outcome;
mod pace;
mod proxy;
mod record;
mod signature;
mod subject;
mod tls;

pub use address::{Network, NetworkError};
pub use config::{ClientCertificates, Config, Deadlines, Limits, ProxyConfig, TlsConfig};
pub use edge::Edge;
