//! The one deadline a connection has at any time.
//!
//! What is being waited for changes with every step of a request; a timer for each would be made and dropped millions of
//! times for nothing. So the steps only write down when they are due, and the connection's task keeps one timer that is
//! moved when it rings, or when something is due earlier. When a body or an append is late the handler is told and
//! answers; when anything else is late the connection is closed.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::Deadlines;

/// What a connection is waiting for. The `reason` label of `ingest_connections_closed_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Step {
    /// The first byte of the first request.
    First,
    /// The rest of a request's headers.
    Head,
    /// A body.
    Body,
    /// The log.
    Append,
    /// The next request.
    Idle,
    /// The peer taking its answer.
    Write,
    /// The answer of a handler that was told it is late.
    Leave,
}

impl Step {
    /// Every step; a variant's place here is its number.
    pub(crate) const ALL: [Self; 7] =
        [Self::First, Self::Head, Self::Body, Self::Append, Self::Idle, Self::Write, Self::Leave];

    /// The step as its one word.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::First => "no_request",
            Self::Head => "slow_head",
            Self::Body => "slow_body",
            Self::Append => "slow_append",
            Self::Idle => "idle",
            Self::Write => "answer_not_taken",
            Self::Leave => "late",
        }
    }
}

/// What to do when a deadline passed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// The handler has been told; let it answer.
    Told,
    /// Close the connection.
    Close(Step),
}

/// A connection's step and its deadline. Only its own task touches it.
#[derive(Debug)]
pub(crate) struct Pace {
    deadlines: Deadlines,
    opened: Instant,
    step: AtomicU8,
    /// Milliseconds after `opened`.
    due: AtomicU64,
}

const LEAVING: Duration = Duration::from_secs(1);

impl Pace {
    /// A connection that opened now.
    pub(crate) fn new(deadlines: Deadlines) -> Arc<Self> {
        let pace = Self {
            deadlines,
            opened: Instant::now(),
            step: AtomicU8::new(Step::First as u8),
            due: AtomicU64::new(0),
        };
        pace.set(Step::First, pace.opened + pace.deadlines.head);
        Arc::new(pace)
    }

    /// When the present step has to be over.
    pub(crate) fn due(&self) -> Instant {
        self.opened + Duration::from_millis(self.due.load(Ordering::Relaxed))
    }

    /// A request's headers are here; its body is next.
    pub(crate) fn begin(&self, now: Instant) {
        self.set(Step::Body, now + self.deadlines.body_idle.min(self.deadlines.body_total));
    }

    /// A piece of the body of the request that began then is here.
    pub(crate) fn piece(&self, began: Instant) {
        if self.step() == Step::Body {
            let due = (Instant::now() + self.deadlines.body_idle).min(began + self.deadlines.body_total);
            self.set(Step::Body, due);
        }
    }

    /// The log has the record, from now on, of the request that began then.
    pub(crate) fn append(&self, began: Instant, now: Instant) {
        let whole = began + self.deadlines.answer;
        let least = now + Duration::from_secs(1).min(self.deadlines.answer);
        self.set(Step::Append, whole.max(least).min(began + self.deadlines.request));
    }

    /// The answer is made; the next request may come.
    pub(crate) fn answered(&self, now: Instant) {
        self.set(Step::Idle, now + self.deadlines.keep_alive);
    }

    /// Whether the present body or append is late.
    pub(crate) fn is_late(&self) -> bool {
        self.step() == Step::Leave
    }

    /// The deadline passed.
    pub(crate) fn expire(&self) -> Late {
        match self.step() {
            Step::Body | Step::Append => {
                self.set(Step::Leave, Instant::now() + LEAVING);
                Late::Told
            }
            step => Late::Close(step),
        }
    }

    fn received(&self) {
        match self.step() {
            Step::First => self.step.store(Step::Head as u8, Ordering::Relaxed),
            Step::Idle => self.set(Step::Head, Instant::now() + self.deadlines.head),
            _ => {}
        }
    }

    fn written(&self, stalled: bool) {
        match (self.step(), stalled) {
            (Step::Idle, true) => self.set(Step::Write, Instant::now() + self.deadlines.write),
            (Step::Write, false) => self.set(Step::Idle, Instant::now() + self.deadlines.keep_alive),
            _ => {}
        }
    }

    fn step(&self) -> Step {
        Step::ALL.get(usize::from(self.step.load(Ordering::Relaxed))).copied().unwrap_or(Step::Leave)
    }

    fn set(&self, step: Step, due: Instant) {
        let due = due.saturating_duration_since(self.opened).as_millis();
        self.due.store(u64::try_from(due).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.step.store(step as u8, Ordering::Relaxed);
    }
}

/// What comes of it, unless the pace says that it is late.
pub(crate) async fn in_time<T>(pace: &Pace, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if pace.is_late() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// A stream that tells the pace what comes and goes.
pub(crate) struct Paced<S> {
    stream: S,
    pace: Arc<Pace>,
}

impl<S> Paced<S> {
    pub(crate) const fn new(stream: S, pace: Arc<Pace>) -> Self {
        Self { stream, pace }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.pace.received();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.pace.written(written.is_pending());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.pace.written(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_pending() {
            self.pace.written(true);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        if shut.is_pending() {
            self.pace.written(true);
        }
        shut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steps_place_is_its_number() {
        for (number, step) in Step::ALL.into_iter().enumerate() {
            assert_eq!(step as usize, number, "{step:?}");
        }
    }

    /// Seconds until the deadline, to the nearest.
    #[track_caller]
    fn check(pace: &Pace, step: Step, seconds: u64) {
        let left = pace.due().saturating_duration_since(Instant::now()).as_millis() + 500;
        assert_eq!((pace.step(), left / 1000), (step, u128::from(seconds)));
    }

    #[tokio::test]
    async fn each_step_has_its_own_deadline() {
        let ago = |seconds| Instant::now() - Duration::from_secs(seconds);
        let pace = Pace::new(Deadlines::default());
        check(&pace, Step::First, 5);
        pace.received();
        check(&pace, Step::Head, 5);
        pace.begin(Instant::now());
        check(&pace, Step::Body, 3);
        pace.piece(ago(2));
        check(&pace, Step::Body, 3);
        pace.piece(ago(6));
        check(&pace, Step::Body, 2);
        pace.append(ago(1), Instant::now());
        check(&pace, Step::Append, 3);
        pace.append(ago(7), Instant::now());
        check(&pace, Step::Append, 1);
        pace.answered(Instant::now());
        check(&pace, Step::Idle, 60);
        pace.written(true);
        check(&pace, Step::Write, 5);
        assert_eq!(pace.expire(), Late::Close(Step::Write));
        pace.written(false);
        check(&pace, Step::Idle, 60);
        pace.received();
        check(&pace, Step::Head, 5);
        assert_eq!(pace.expire(), Late::Close(Step::Head));
    }

    #[tokio::test]
    async fn a_late_handler_is_told_before_the_connection_closes() {
        let pace = Pace::new(Deadlines::default());
        pace.begin(Instant::now());
        assert!(!pace.is_late());
        assert_eq!(pace.expire(), Late::Told);
        assert!(pace.is_late());
        pace.piece(Instant::now());
        check(&pace, Step::Leave, 1);
        assert_eq!(pace.expire(), Late::Close(Step::Leave));
        pace.answered(Instant::now());
        check(&pace, Step::Idle, 60);
    }
}
