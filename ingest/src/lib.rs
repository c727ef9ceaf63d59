//! The edge: verifies what Meta delivers, keeps it, and only then answers.
//!
//! One request is followed in `handler`, a delivery in `delivery`: path, headers, body, signature, seal, append, answer
//! (`design.md` §7). A 200 means that the body is durable in `raw`, sealed; whatever is refused leaves nothing but a
//! counter. Nothing here reads a body's meaning: a valid signature is all a body needs, the router judges the rest.
//!
//! Beside deliveries it takes Meta's privacy callbacks (`callback`) into `control`, and tells how far they are (`status`).
//!
//! The edge speaks HTTP/1.1 from its own accept loop, because every limit of `reliability.md` §2.19 must hold on every
//! connection: each has one deadline at any time (`pace`), and caps bound connections, headers and bytes. It depends on
//! the log alone; apps and their secrets come to it through `control`, sealed with the edge key. That key is all it holds: it
//! can seal bodies and cannot open what it sealed an hour ago (`sealer`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod address;
mod body;
mod breaker;
mod callback;
mod config;
mod connection;
mod crowd;
mod delivery;
mod door;
mod doors;
mod edge;
mod form;
mod handler;
mod handshake;
mod listener;
mod metrics;
mod outcome;
mod pace;
mod page;
mod proxy;
mod public_url;
mod record;
mod reply;
mod route;
mod sealer;
mod signature;
mod signed_request;
mod status;
mod subject;
mod tls;

pub use address::{Network, NetworkError};
pub use config::{ClientCertificates, Config, Deadlines, Limits, ProxyConfig, TlsConfig};
pub use edge::Edge;
