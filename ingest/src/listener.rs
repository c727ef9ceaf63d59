//! Accepting connections, as many as there is room for, until the stop; then the drain.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::connection::{Draining, serve};
use crate::crowd::{Crowd, Place};
use crate::edge::Shared;
use crate::handler::Visit;
use crate::metrics::{Arrival, Metrics};
use crate::pace::Pace;
use crate::tls::Tls;

/// What all accept loops of an edge share.
pub(crate) struct Entrance {
    pub(crate) edge: Arc<Shared>,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) crowd: Option<Arc<Crowd>>,
    pub(crate) open: Arc<AtomicUsize>,
    pub(crate) draining: Draining,
}

/// How long to leave the system alone when it cannot hand over connections.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl Entrance {
    /// Accepts until the drain begins, then waits for the connections to end.
    pub(crate) async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = self.draining.token().cancelled() => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        if let Some(guest) = self.admit(peer.ip().to_canonical()) {
                            connections.spawn(self.clone().serve(stream, guest));
                        }
                    }
                    Err(cause) => {
                        self.edge.metrics.accept_failures.inc();
                        warn!(error = %cause, "the system could not hand over a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
        drop(listener);
        self.drain(connections).await;
    }

    /// Requests end by themselves within their deadlines, and idle connections at once; whatever is left then is cut.
    async fn drain(&self, mut connections: JoinSet<()>) {
        let all = async { while connections.join_next().await.is_some() {} };
        if timeout(self.edge.deadlines.drain, all).await.is_err() {
            info!(left = connections.len(), "closing the connections that did not end in time");
            connections.shutdown().await;
        }
    }

    fn admit(&self, peer: std::net::IpAddr) -> Option<Guest> {
        let metrics = &self.edge.metrics;
        let seat = Seat::take(&self.open, self.edge.limits.connections, metrics);
        let Some(seat) = seat else {
            metrics.arrival(Arrival::Full);
            return None;
        };
        let proxied = self.edge.proxy.as_ref().is_some_and(|proxy| proxy.is_trusted(peer));
        let place = match &self.crowd {
            Some(crowd) if !proxied => match crowd.enter(peer) {
                Some(place) => Some(place),
                None => {
                    metrics.arrival(Arrival::AddressFull);
                    return None;
                }
            },
            _ => None,
        };
        Some(Guest { peer, _seat: seat, _place: place })
    }

    async fn serve(self: Arc<Self>, stream: TcpStream, guest: Guest) {
        // An answer is one small segment: waiting to fill it would only delay it.
        let _ = stream.set_nodelay(true);
        let edge = &self.edge;
        let visit = || {
            edge.metrics.arrival(Arrival::Served);
            let pace = Pace::new(edge.deadlines.clone());
            Arc::new(Visit { edge: edge.clone(), pace, peer: guest.peer })
        };
        let Some(tls) = &self.tls else {
            return serve(stream, visit(), &self.draining).await;
        };
        let handshake = timeout(edge.deadlines.tls_handshake, tls.acceptor().accept(stream));
        match self.draining.token().run_until_cancelled(handshake).await {
            Some(Ok(Ok(stream))) => serve(stream, visit(), &self.draining).await,
            Some(Ok(Err(_)) | Err(_)) => edge.metrics.arrival(Arrival::TlsRefused),
            None => {}
        }
    }
}

/// A connection that there is room for.
struct Guest {
    peer: std::net::IpAddr,
    _seat: Seat,
    _place: Option<Place>,
}

/// One connection of all; free again when dropped.
struct Seat {
    open: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

impl Seat {
    fn take(open: &Arc<AtomicUsize>, limit: usize, metrics: &Arc<Metrics>) -> Option<Self> {
        let one_more = |taken: usize| (taken < limit).then_some(taken + 1);
        open.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        metrics.connections.inc();
        Some(Self { open: open.clone(), metrics: metrics.clone() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::AcqRel);
        self.metrics.connections.dec();
    }
}
