//! A delivery: from a request's headers and body to a durable record.

use eventlog::{AppendError, Record};
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderMap};
use hyper::http::request::Parts;
use tokio::time::Instant;
use tracing::error;

use crate::body::collect;
use crate::door::Door;
use crate::handler::Visit;
use crate::metrics::observe;
use crate::outcome::Outcome;
use crate::pace::in_time;
use crate::record;
use crate::sealer::Unsealed;
use crate::signature::{Claim, ClaimError};

/// Takes a delivery. It is durable when this says so.
pub(crate) async fn deliver(
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
    let _place = visit.place(headers)?;
    let (bytes, _held) = collect(body, &visit.pace, began, edge.limits.body_bytes, &edge.inflight).await?;
    let secret = door.keys.verify(&bytes, &claim).ok_or(Outcome::WrongSignature)?;
    let size = bytes.len() as u64;
    let partition = schemas::shallow_partition(&bytes, edge.breaker.partitions());
    let now_ms = edge.clock.now_ms();
    let sealed = edge.sealer.seal(&door.app, &bytes, now_ms).map_err(|Unsealed| Outcome::Unsealed)?;
    drop(bytes);
    let record = record::of(&door.app, now_ms, signature, secret, headers, sealed);
    append(visit, partition, record, began).await?;
    edge.metrics.secret(secret);
    edge.metrics.body_bytes.inc_by(size);
    Ok(())
}

/// Encoded bodies are not Meta's, and a signature over them would not be over what a reader sees.
pub(crate) fn check_framing(headers: &HeaderMap) -> Result<(), Outcome> {
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
        Ok(pending) => in_time(&visit.pace, pending).await,
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
