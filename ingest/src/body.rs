//! Reading a body: its exact bytes, within its deadlines and everybody's share of memory.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, Incoming};
use prometheus::IntGauge;
use tokio::time::Instant;

use crate::outcome::Outcome;
use crate::pace::Pace;

/// How many bytes of bodies are held at the moment. They are counted as they come and not as they are announced: an
/// announcement costs nothing, so it must not be able to use the room up.
pub(crate) struct Inflight {
    limit: usize,
    held: AtomicUsize,
    gauge: IntGauge,
}

/// Bytes held for one request; given back when dropped.
pub(crate) struct Held<'a> {
    all: &'a Inflight,
    bytes: usize,
}

impl Inflight {
    pub(crate) const fn new(limit: usize, gauge: IntGauge) -> Self {
        Self { limit, held: AtomicUsize::new(0), gauge }
    }

    fn hold(&self) -> Held<'_> {
        Held { all: self, bytes: 0 }
    }
}

impl Held<'_> {
    fn add(&mut self, bytes: usize) -> bool {
        let before = self.all.held.fetch_add(bytes, Ordering::Relaxed);
        self.all.gauge.add(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.bytes += bytes;
        before.saturating_add(bytes) <= self.all.limit
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.all.held.fetch_sub(self.bytes, Ordering::Relaxed);
        self.all.gauge.sub(i64::try_from(self.bytes).unwrap_or(i64::MAX));
    }
}

/// The first allocation for a body in several pieces, whatever length was announced.
const FIRST_ROOM: usize = 256 * 1024;

/// The whole body of the request that began then. One piece, the usual case, is not copied.
pub(crate) async fn collect<'a>(
    body: &mut Incoming,
    pace: &Pace,
    began: Instant,
    limit: usize,
    inflight: &'a Inflight,
) -> Result<(Bytes, Held<'a>), Outcome> {
    let mut held = inflight.hold();
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while !body.is_end_stream() {
        let Some(frame) = next(body, pace).await? else { break };
        let Ok(piece) = frame.into_data() else { continue };
        if held.bytes + piece.len() > limit {
            return Err(Outcome::TooLarge);
        }
        if !held.add(piece.len()) {
            return Err(Outcome::Overloaded);
        }
        if first.is_empty() && whole.is_empty() {
            first = piece;
        } else {
            if whole.is_empty() {
                let announced = usize::try_from(body.size_hint().lower()).unwrap_or(limit);
                whole.reserve((held.bytes + announced).min(limit).min(FIRST_ROOM));
                whole.extend_from_slice(&std::mem::take(&mut first));
            }
            whole.extend_from_slice(&piece);
        }
        // The last piece is followed by another step at once.
        if !body.is_end_stream() {
            pace.piece(began);
        }
    }
    Ok((if whole.is_empty() { first } else { whole.freeze() }, held))
}

/// Reads on and forgets, so that whoever is still sending gets to see the answer. Gives up after `limit` bytes.
pub(crate) async fn discard(body: &mut Incoming, pace: &Pace, began: Instant, limit: usize) {
    let mut seen = 0;
    while seen <= limit && !body.is_end_stream() {
        let Ok(Some(frame)) = next(body, pace).await else { return };
        seen += frame.data_ref().map_or(0, Bytes::len);
        pace.piece(began);
    }
}

async fn next(body: &mut Incoming, pace: &Pace) -> Result<Option<Frame<Bytes>>, Outcome> {
    poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
        Poll::Ready(None) => Poll::Ready(Ok(None)),
        Poll::Ready(Some(Ok(frame))) => Poll::Ready(Ok(Some(frame))),
        Poll::Ready(Some(Err(_))) => Poll::Ready(Err(Outcome::BrokenBody)),
        Poll::Pending if pace.is_late() => Poll::Ready(Err(Outcome::TooSlow)),
        Poll::Pending => Poll::Pending,
    })
    .await
}
