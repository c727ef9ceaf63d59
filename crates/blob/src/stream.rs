//! An object on its way to us.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures::Stream;

use crate::error::{BlobError, Place, last_words};

/// The bytes of one object as they arrive. It ends without an error only after all of them.
pub struct BlobStream {
    body: ByteStream,
    place: Arc<Place>,
    size_bytes: u64,
    left: u64,
    ended: bool,
}

impl BlobStream {
    pub(crate) fn new(body: ByteStream, size_bytes: u64, place: Arc<Place>) -> Self {
        Self { body, place, size_bytes, left: size_bytes, ended: false }
    }

    /// How long the object is.
    pub const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn end(&mut self, cause: Option<String>) -> Poll<Option<Result<Bytes, BlobError>>> {
        self.ended = true;
        Poll::Ready(cause.map(|cause| Err(self.place.unavailable(cause))))
    }
}

impl fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobStream").field("size_bytes", &self.size_bytes).finish_non_exhaustive()
    }
}

impl Stream for BlobStream {
    type Item = Result<Bytes, BlobError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.body).poll_next(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(bytes))) => match self.left.checked_sub(bytes.len() as u64) {
                Some(left) => {
                    self.left = left;
                    Poll::Ready(Some(Ok(bytes)))
                }
                None => self.end(Some("an object is longer than it was said to be".into())),
            },
            Poll::Ready(Some(Err(cause))) => {
                let words = format!("an object broke off: {}", last_words(&cause));
                self.end(Some(words))
            }
            Poll::Ready(None) => {
                let early = (self.left > 0).then(|| "an object ended early".to_owned());
                self.end(early)
            }
        }
    }
}
