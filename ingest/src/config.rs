//! What the edge can be told. Every number's default is that of `reliability.md` §2.19.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;

use crate::Network;

/// Everything about the edge that can be set.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// How many threads of its own the edge serves on, each with a runtime and an accept loop. 0: on the caller's runtime.
    pub threads: usize,
    /// How much at once.
    pub limits: Limits,
    /// How long each step may take.
    pub deadlines: Deadlines,
    /// Serve TLS with these files. `None`: plain HTTP, for behind a proxy.
    pub tls: Option<TlsConfig>,
    /// The proxies in front, if any.
    pub proxy: Option<ProxyConfig>,
    /// Where people reach the edge, such as `https://inbox.example.org`: the beginning of the status page's address that
    /// Meta is told after a data deletion callback. `None`: the host that the callback was sent to.
    pub public_url: Option<String>,
}

/// How much the edge takes at once.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections; one more is closed at once. 2000 by default.
    pub connections: usize,
    /// Open connections from one address (an IPv6 /64 counts as one); 0 is no limit. 100 by default.
    /// Connections from a trusted proxy are not counted.
    pub connections_per_address: usize,
    /// Bytes of one body; more is a 413. 4 MiB by default (Meta documents 3 MB, `meta-platform.md` §1.4).
    pub body_bytes: usize,
    /// Bytes of all bodies being read or waiting for the log; more is a 503. 256 MiB by default.
    pub inflight_bytes: usize,
    /// Headers of one request; more is a 431. 64 by default, 100 at most.
    pub headers: usize,
    /// Bytes of request line and headers together; more is a 431. 32 KiB by default, 8 KiB at least.
    pub head_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 2000,
            connections_per_address: 100,
            body_bytes: 4 * 1024 * 1024,
            inflight_bytes: 256 * 1024 * 1024,
            headers: 64,
            head_bytes: 32 * 1024,
        }
    }
}

/// A record holds the body, sealed, and headers that take less than 64 KiB.
const LARGEST_BODY_BYTES: usize = eventlog::MAX_RECORD_BYTES - 64 * 1024 - seal::OVERHEAD_BYTES;

/// How long each step of a connection may take.
#[derive(Debug, Clone)]
pub struct Deadlines {
    /// The TLS handshake. 5 s by default.
    pub tls_handshake: Duration,
    /// From connecting, or from a later request's first byte, to the end of its headers. 5 s by default.
    pub head: Duration,
    /// Between two pieces of a body. 3 s by default.
    pub body_idle: Duration,
    /// A whole body. 8 s by default.
    pub body_total: Duration,
    /// From the headers to the answer; when it passes, the answer is 503. 4 s by default: Meta waits 5 s.
    /// A body that took most of it still gets a second for its append.
    pub answer: Duration,
    /// From the headers to the answer in any case. 10 s by default.
    pub request: Duration,
    /// Until the peer takes its answer. 5 s by default.
    pub write: Duration,
    /// Between two requests of one connection. 60 s by default.
    pub keep_alive: Duration,
    /// From the stop to the end of the last request. 10 s by default.
    pub drain: Duration,
    /// Between two looks whether a log that was away is back. 250 ms by default.
    pub probe: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            tls_handshake: Duration::from_secs(5),
            head: Duration::from_secs(5),
            body_idle: Duration::from_secs(3),
            body_total: Duration::from_secs(8),
            answer: Duration::from_secs(4),
            request: Duration::from_secs(10),
            write: Duration::from_secs(5),
            keep_alive: Duration::from_secs(60),
            drain: Duration::from_secs(10),
            probe: Duration::from_millis(250),
        }
    }
}

/// Serving TLS 1.2 and 1.3. The files are read again when they change.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// The certificate chain, PEM, the edge's own certificate first.
    pub certificates: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Ask for client certificates and refuse everybody without the right one.
    pub clients: Option<ClientCertificates>,
    /// How often the files are looked at. 10 s is a good value.
    pub check_every: Duration,
}

/// Which client certificates are Meta's (`meta-platform.md` §1.3). Nobody without one connects, so people do not reach the
/// status page of a data deletion: where they are to, a proxy asks for the certificate, and vouches for webhooks alone.
#[derive(Debug, Clone)]
pub struct ClientCertificates {
    /// The authorities, PEM: Meta's own.
    pub authorities: PathBuf,
    /// The common name; [`ClientCertificates::META_COMMON_NAME`] unless testing.
    pub common_name: String,
}

impl ClientCertificates {
    /// The common name of the certificate that Meta presents.
    pub const META_COMMON_NAME: &'static str = "client.webhooks.fbclientcerts.com";
}

/// The proxies whose headers are believed. Everybody else's are ignored.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// Where the proxies connect from.
    pub trusted: Vec<Network>,
    /// The header they add the client's address to, such as `x-forwarded-for`.
    pub address_header: String,
    /// How many requests of one forwarded address may be in progress; more is a 503. 0 is no limit.
    pub requests_per_address: usize,
    /// The header in which they pass on the client certificate's common name, and the name it must be.
    /// With it, a request is served only when a trusted proxy vouches for it so.
    pub common_name: Option<(String, String)>,
}

impl Config {
    /// Refuses settings that could not work.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let limits = &self.limits;
        ensure!(limits.connections > 0, "the edge needs room for at least one connection");
        ensure!(limits.head_bytes >= 8 * 1024, "the edge needs room for at least 8 KiB of headers");
        ensure!((1..=100).contains(&limits.headers), "the edge takes between 1 and 100 headers");
        let room = LARGEST_BODY_BYTES;
        ensure!(limits.body_bytes <= room, "the log takes bodies of at most {room} bytes");
        ensure!(limits.inflight_bytes >= limits.body_bytes, "bytes in flight must leave room for one body");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_leaves_room_for_what_sealing_adds() {
        let takes = |body_bytes| {
            Config { limits: Limits { body_bytes, ..Limits::default() }, ..Config::default() }.check().is_ok()
        };
        assert!(takes(LARGEST_BODY_BYTES));
        assert!(!takes(LARGEST_BODY_BYTES + 1));
    }
}
