//! One request, from its headers to its answer.

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use eventlog::{AppendError, Record};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};
use tokio::time::Instant;
use tracing::error;

use crate::body::{collect, discard};
use crate::door::{Behind, Door};
use crate::edge::Shared;
use crate::handshake::Handshake;
use crate::metrics::{Metrics, observe};
use crate::outcome::{Greeting, Outcome};
use crate::pace::Pace;
use crate::record;
use crate::signature::{Claim, ClaimError};

/// What the edge answers with.
pub(crate) type Reply = Response<Full<Bytes>>;

/// One connection, as its requests see it.
pub(crate) struct Visit {
    pub(crate) edge: Arc<Shared>,
    pub(crate) pace: Arc<Pace>,
    /// Whoever connected: the client, or a proxy.
    pub(crate) peer: IpAddr,
}

/// The longest path and query of ours, in bytes.
const LONGEST_TARGET: usize = 8 * 1024;
/// Whoever sends more than this many times the limit does not get to see the answer.
const DISCARDED_LIMITS: usize = 4;

/// Answers a request. A panic is a 500 and a counter, and does not take the process along.
pub(crate) async fn answer(visit: &Visit, request: Request<Incoming>) -> Reply {
    let began = Instant::now();
    visit.pace.begin(began);
    let tally = Tally::new(&visit.edge.metrics);
    let answer = caught(handle(visit, request, began)).await.unwrap_or(Answer::Delivery(Outcome::Panicked));
    let ended = Instant::now();
    visit.pace.answered(ended);
    match answer {
        Answer::Delivery(outcome) => {
            tally.end(outcome);
            if outcome.is_timed() {
                observe(&visit.edge.metrics.answer_seconds, ended.duration_since(began));
            }
            refusal(outcome)
        }
        Answer::Handshake(greeting, challenge) => {
            tally.pass();
            visit.edge.metrics.handshake(greeting);
            echo(greeting, challenge)
        }
    }
}

enum Answer {
    Delivery(Outcome),
    Handshake(Greeting, Bytes),
}

async fn handle(visit: &Visit, request: Request<Incoming>, began: Instant) -> Answer {
    let (head, mut body) = request.into_parts();
    let outcome = match admit(visit, &head) {
        Ok(door) if head.method == Method::GET => {
            let (greeting, challenge) = greet(&door, &head);
            return Answer::Handshake(greeting, challenge);
        }
        Ok(door) => match deliver(visit, &door, &head, &mut body, began).await {
            Ok(()) => Outcome::Accepted,
            Err(outcome) => outcome,
        },
        Err(outcome) => outcome,
    };
    // Whoever waits to be asked for the body is not; whoever is in the middle of sending it gets to the answer.
    let unread = !matches!(outcome, Outcome::Accepted | Outcome::BrokenBody | Outcome::TooSlow);
    if unread && !head.headers.contains_key(header::EXPECT) {
        let most = visit.edge.limits.body_bytes.saturating_mul(DISCARDED_LIMITS);
        discard(&mut body, &visit.pace, began, most).await;
    }
    Answer::Delivery(outcome)
}

/// What can be said of any request by its headers alone.
fn admit(visit: &Visit, head: &Parts) -> Result<Arc<Door>, Outcome> {
    let edge = &visit.edge;
    if head.headers.len() > edge.limits.headers {
        return Err(Outcome::TooManyHeaders);
    }
    if head.uri.path_and_query().is_some_and(|target| target.as_str().len() > LONGEST_TARGET) {
        return Err(Outcome::TooLongTarget);
    }
    // Exactly this path: nothing is decoded, folded or trimmed on its way here.
    let app = head.uri.path().strip_prefix("/webhooks/").ok_or(Outcome::UnknownPath)?;
    if app.is_empty() || app.contains('/') {
        return Err(Outcome::UnknownPath);
    }
    if head.method != Method::POST && head.method != Method::GET {
        return Err(Outcome::WrongMethod);
    }
    let door = match edge.doors.find(app) {
        Some(Behind::Door(door)) => door,
        Some(Behind::Broken) => return Err(Outcome::AppBroken),
        None => return Err(Outcome::UnknownApp),
    };
    match &edge.proxy {
        Some(proxy) if !proxy.vouches(visit.peer, &head.headers) => Err(Outcome::NotVouched),
        _ => Ok(door),
    }
}

fn greet(door: &Door, head: &Parts) -> (Greeting, Bytes) {
    match Handshake::parse(head.uri.query().unwrap_or_default()) {
        None => (Greeting::Malformed, Bytes::new()),
        Some(handshake) if !door.knows(&handshake.token) => (Greeting::WrongToken, Bytes::new()),
        Some(handshake) => (Greeting::Accepted, Bytes::from(handshake.challenge.into_owned())),
    }
}

async fn deliver(
    visit: &Visit,
    door: &Door,
    head: &Parts,
    body: &mut Incoming,
    began: Instant,
) -> Result<(), Outcome> {
    let edge = &*visit.edge;
    let headers = &head.headers;
    check_framing(headers)?;
    // Before a byte of the body is read.
    if body.size_hint().lower() > edge.limits.body_bytes as u64 {
        return Err(Outcome::TooLarge);
    }
    let (claim, signature) = Claim::of(headers).map_err(|error| match error {
        ClaimError::Missing => Outcome::Unsigned,
        ClaimError::Malformed => Outcome::MalformedSignature,
    })?;
    let _place = match &edge.proxy {
        Some(proxy) => proxy.place(visit.peer, headers)?,
        None => None,
    };
    let (bytes, _held) = collect(body, &visit.pace, began, edge.limits.body_bytes, &edge.inflight).await?;
    let secret = door.keys.verify(&bytes, &claim).ok_or(Outcome::WrongSignature)?;
    let size = bytes.len() as u64;
    let partition = schemas::shallow_partition(&bytes, edge.breaker.partitions());
    let record = record::of(&door.app, edge.clock.now_ms(), signature, secret, headers, bytes);
    append(visit, partition, record, began).await?;
    edge.metrics.secret(secret);
    edge.metrics.body_bytes.inc_by(size);
    Ok(())
}

/// Encoded bodies are not Meta's, and a signature over them would not be over what a reader sees.
fn check_framing(headers: &HeaderMap) -> Result<(), Outcome> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Outcome::Encoded);
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Outcome::WrongTransfer),
    }
}

/// Hands the record to the log and waits until it is durable.
///
/// Once handed over it is appended whatever happens here: when the client leaves, this future is dropped with the
/// connection, and dropping a [`eventlog::Pending`] takes nothing back. Meta repeats what it saw no answer to, and the
/// repeat becomes the same event.
async fn append(visit: &Visit, partition: u32, record: Record, began: Instant) -> Result<(), Outcome> {
    let edge = &*visit.edge;
    let attempt = edge.breaker.attempt(partition).ok_or(Outcome::LogAway)?;
    let at = edge.raw.get(partition as usize).ok_or(Outcome::LogAway)?;
    let handed = Instant::now();
    visit.pace.append(began, handed);
    let answer = match edge.log.append(at, record) {
        Err(cause) => Some(Err(cause)),
        Ok(mut pending) => {
            poll_fn(|cx| match Pin::new(&mut pending).poll(cx) {
                Poll::Ready(answer) => Poll::Ready(Some(answer)),
                Poll::Pending if visit.pace.is_late() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            })
            .await
        }
    };
    observe(&edge.metrics.append_seconds, handed.elapsed());
    match answer {
        Some(Ok(_)) => {
            attempt.confirm();
            Ok(())
        }
        // The queue drains by itself; the breaker opens when what is in it fails.
        Some(Err(AppendError::Full)) => Err(Outcome::LogFull),
        Some(Err(cause @ AppendError::TooLarge { .. })) => {
            error!(error = %cause, "the log takes less than a delivery may hold; raise its limit to 5 MiB");
            Err(Outcome::LogRefused)
        }
        Some(Err(
            cause @ (AppendError::Unconfirmed { .. }
            | AppendError::NoSuchTopic { .. }
            | AppendError::Denied { .. }
            | AppendError::Closed { .. }),
        )) => {
            attempt.fail(&cause);
            Err(Outcome::Unconfirmed)
        }
        None => {
            attempt.fail(&"no confirmation before the answer was due");
            Err(Outcome::Unconfirmed)
        }
    }
}

fn refusal(outcome: Outcome) -> Reply {
    let mut reply = Reply::default();
    *reply.status_mut() = outcome.status();
    if outcome.closes() {
        reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if outcome == Outcome::WrongMethod {
        reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
    }
    reply
}

fn echo(greeting: Greeting, challenge: Bytes) -> Reply {
    let mut reply = Reply::new(Full::new(challenge));
    *reply.status_mut() = greeting.status();
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

/// `None` when the future panicked. The panic's own text goes through the panic hook.
async fn caught<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Ready(output)) => Poll::Ready(Some(output)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// Counts a request once, as abandoned when it is dropped without an end.
struct Tally<'a> {
    metrics: &'a Metrics,
    ended: bool,
}

impl<'a> Tally<'a> {
    const fn new(metrics: &'a Metrics) -> Self {
        Self { metrics, ended: false }
    }

    fn end(mut self, outcome: Outcome) {
        self.ended = true;
        self.metrics.delivery(outcome);
    }

    /// Not a delivery after all.
    fn pass(mut self) {
        self.ended = true;
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.metrics.delivery(Outcome::Abandoned);
        }
    }
}
