//! One connection: HTTP/1.1 on a stream, with its deadline and its end.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use crate::handler::{Visit, answer};
use crate::pace::{Late, Paced};

/// The word to finish: connections end with the request they are at.
#[derive(Debug, Default)]
pub(crate) struct Draining {
    begun: AtomicBool,
    token: CancellationToken,
}

impl Draining {
    /// Says it.
    pub(crate) fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.token.cancel();
    }

    /// Waits for it.
    pub(crate) const fn token(&self) -> &CancellationToken {
        &self.token
    }

    fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }
}

/// Serves a connection to its end.
pub(crate) async fn serve<S>(stream: S, visit: Arc<Visit>, draining: &Draining)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (pace, edge) = (visit.pace.clone(), visit.edge.clone());
    let service = service_fn(|request| {
        let visit = visit.clone();
        async move { Ok::<_, Infallible>(answer(&visit, request).await) }
    });
    let connection = http1::Builder::new()
        // A client that has closed its sending half still gets its answer.
        .half_close(true)
        .max_buf_size(edge.limits.head_bytes)
        .max_header_size(edge.limits.head_bytes)
        // The pace has every deadline, the headers' too.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(Paced::new(stream, pace.clone())), service);
    let mut connection = pin!(connection);

    let mut stopped = pin!(draining.token().cancelled());
    let mut stopping = false;
    let mut armed = pace.due();
    let mut timer = pin!(sleep_until(armed));
    // Polled once to be woken by it; looked at through the flag from then on, which costs nothing.
    let mut registered = false;
    poll_fn(|cx| {
        loop {
            if !std::mem::replace(&mut registered, true) {
                let _ = stopped.as_mut().poll(cx);
            }
            if draining.has_begun() && !std::mem::replace(&mut stopping, true) {
                connection.as_mut().graceful_shutdown();
            }
            if let Poll::Ready(end) = connection.as_mut().poll(cx) {
                if end.is_err_and(|cause| cause.is_parse()) {
                    edge.metrics.closed_protocol();
                }
                return Poll::Ready(());
            }
            let due = pace.due();
            if due < armed {
                armed = due;
                timer.as_mut().reset(armed);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if pace.due() > armed {
                // It rang for a step that is over.
                armed = pace.due();
                timer.as_mut().reset(armed);
                continue;
            }
            match pace.expire() {
                // Polled again, the handler sees that it is late, and answers.
                Late::Told => {
                    armed = pace.due();
                    timer.as_mut().reset(armed);
                }
                Late::Close(step) => {
                    edge.metrics.closed(step);
                    return Poll::Ready(());
                }
            }
        }
    })
    .await;
}
