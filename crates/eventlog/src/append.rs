//! The answer to an append. *Accepted* is not *durable*: only awaiting a [`Pending`] says that a record is kept.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::AppendError;

/// An accepted append. Resolves to the record's offset once it is durable. Dropping it does not take the record back.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<u64, AppendError>>);

/// The log's end of a [`Pending`].
pub(crate) type Confirm = oneshot::Sender<Result<u64, AppendError>>;

impl Pending {
    pub(crate) fn new() -> (Confirm, Self) {
        let (confirm, pending) = oneshot::channel();
        (confirm, Self(pending))
    }
}

impl Future for Pending {
    type Output = Result<u64, AppendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|answer| {
            answer.unwrap_or_else(|_| {
                Err(AppendError::Closed { cause: "the log ended before it answered".into() })
            })
        })
    }
}
