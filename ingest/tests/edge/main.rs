//! The real edge on real sockets and a real log: `reliability.md` §4b, `meta-platform.md` §1.1–1.4, `design.md` §7.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod bad_input;
mod callbacks;
mod client;
mod framing;
mod handshake;
mod outage;
mod proxy;
mod room;
mod sealing;
mod secrets;
mod signature;
mod slow;
mod stage;
mod status;
mod stop;
mod tls;
