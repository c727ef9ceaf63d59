//! Storing a stream of unknown length in flat memory, whole or not at all.

use std::pin::{Pin, pin};

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use bytes::{Bytes, BytesMut};
use futures::future::{Either, select};
use futures::{Stream, StreamExt};
use tracing::warn;

use crate::error::{BlobError, PutError};
use crate::key::check_key;
use crate::store::BlobStore;

/// What is in memory twice at most: one part being sent, one being filled.
const PART_BYTES: usize = 8 << 20;
/// S3's limit.
const PARTS: u64 = 10_000;
const LIMIT_BYTES: u64 = PARTS * PART_BYTES as u64;

impl BlobStore {
    /// Stores what the stream yields under the key and returns how many bytes that were.
    ///
    /// The object becomes visible whole, after the last byte. After an error nothing of it is there; when the future is
    /// dropped, its parts are removed in the background, and [`BlobStore::abort_stale_uploads`] finds those of a process
    /// that was killed.
    pub async fn put_stream<E: Send>(
        &self,
        key: &str,
        source: impl Stream<Item = Result<Bytes, E>> + Send,
    ) -> Result<u64, PutError<E>> {
        check_key(key).map_err(BlobError::key)?;
        let mut parts = Parts { source: pin!(source), spare: Bytes::new() };
        let first = parts.next().await?;
        if first.len() < PART_BYTES {
            return Ok(self.put_whole(key, first).await?);
        }
        let second = parts.next().await?;
        if second.is_empty() {
            return Ok(self.put_whole(key, first).await?);
        }
        let mut upload = Upload::begin(self, key).await?;
        match upload.fill(first, second, parts).await {
            Ok(size_bytes) => Ok(size_bytes),
            Err(error) => {
                upload.abort().await;
                Err(error)
            }
        }
    }

    async fn put_whole(&self, key: &str, body: Bytes) -> Result<u64, BlobError> {
        let size_bytes = body.len() as u64;
        self.put(key, body).await?;
        Ok(size_bytes)
    }

    pub(crate) async fn abort_upload(&self, key: &str, id: &str) -> Result<(), BlobError> {
        let request = self.client().abort_multipart_upload().bucket(self.bucket()).key(key).upload_id(id);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_upload()) => Ok(()),
            Err(error) => Err(self.place().failed("abort an upload", &error)),
        }
    }
}

/// A stream cut into parts of one size; the last is shorter, perhaps empty.
struct Parts<'a, S> {
    source: Pin<&'a mut S>,
    /// What a chunk held beyond the part that it completed.
    spare: Bytes,
}

impl<E, S: Stream<Item = Result<Bytes, E>>> Parts<'_, S> {
    async fn next(&mut self) -> Result<Bytes, PutError<E>> {
        let mut part = BytesMut::with_capacity(PART_BYTES);
        loop {
            let room = PART_BYTES - part.len();
            part.extend_from_slice(&self.spare.split_to(room.min(self.spare.len())));
            if part.len() == PART_BYTES {
                return Ok(part.freeze());
            }
            match self.source.next().await {
                Some(Ok(chunk)) => self.spare = chunk,
                Some(Err(error)) => return Err(PutError::Source(error)),
                None => return Ok(part.freeze()),
            }
        }
    }
}

/// Parts that are not visible yet. Dropped before its end, it removes them.
struct Upload<'a> {
    store: &'a BlobStore,
    key: &'a str,
    id: String,
    sent: Vec<CompletedPart>,
    open: bool,
}

impl<'a> Upload<'a> {
    async fn begin(store: &'a BlobStore, key: &'a str) -> Result<Self, BlobError> {
        let (kind, key_id) = store.encryption();
        let with_bucket_key = key_id.is_some().then_some(true);
        let output = store
            .client()
            .create_multipart_upload()
            .bucket(store.bucket())
            .key(key)
            .checksum_algorithm(ChecksumAlgorithm::Crc32C)
            .set_server_side_encryption(kind)
            .set_ssekms_key_id(key_id)
            .set_bucket_key_enabled(with_bucket_key)
            .send()
            .await
            .map_err(|error| store.place().failed("begin an upload", &error))?;
        let id = output.upload_id.ok_or_else(|| store.place().unavailable("it gave an upload no id"))?;
        Ok(Self { store, key, id, sent: Vec::new(), open: true })
    }

    /// Sends every part, filling the next one meanwhile, and makes the object visible.
    async fn fill<E, S: Stream<Item = Result<Bytes, E>>>(
        &mut self,
        first: Bytes,
        second: Bytes,
        mut parts: Parts<'_, S>,
    ) -> Result<u64, PutError<E>> {
        let mut size_bytes = (first.len() + second.len()) as u64;
        self.send(first).await?;
        let mut part = second;
        while part.len() == PART_BYTES {
            let next = match select(pin!(self.send(part)), pin!(parts.next())).await {
                Either::Left((sent, next)) => {
                    sent?;
                    next.await?
                }
                Either::Right((next, sending)) => {
                    // Even when the source failed: a part that arrives after the upload was aborted may stay for good.
                    let sent = sending.await;
                    let next = next?;
                    sent?;
                    next
                }
            };
            size_bytes += next.len() as u64;
            part = next;
        }
        if !part.is_empty() {
            self.send(part).await?;
        }
        self.complete().await?;
        Ok(size_bytes)
    }

    async fn send(&mut self, part: Bytes) -> Result<(), BlobError> {
        if self.sent.len() as u64 == PARTS {
            return Err(BlobError::TooLarge { limit_bytes: LIMIT_BYTES });
        }
        let number = i32::try_from(self.sent.len() + 1).unwrap_or(i32::MAX);
        let output = self
            .store
            .client()
            .upload_part()
            .bucket(self.store.bucket())
            .key(self.key)
            .upload_id(&self.id)
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Crc32C)
            .body(ByteStream::from(part))
            .send()
            .await
            .map_err(|error| self.store.place().failed("write a part", &error))?;
        // A server that checked the sum says so, and then wants to hear it again.
        let sent = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(output.e_tag)
            .set_checksum_crc32_c(output.checksum_crc32_c);
        self.sent.push(sent.build());
        Ok(())
    }

    async fn complete(&mut self) -> Result<(), BlobError> {
        let parts =
            CompletedMultipartUpload::builder().set_parts(Some(std::mem::take(&mut self.sent))).build();
        self.store
            .client()
            .complete_multipart_upload()
            .bucket(self.store.bucket())
            .key(self.key)
            .upload_id(&self.id)
            .multipart_upload(parts)
            .send()
            .await
            .map_err(|error| self.store.place().failed("complete an upload", &error))?;
        self.open = false;
        Ok(())
    }

    async fn abort(&mut self) {
        if let Err(error) = self.store.abort_upload(self.key, &self.id).await {
            warn!(error = %error, "an upload could not be aborted; its parts stay until stale uploads are swept");
        }
        self.open = false;
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let (store, key, id) = (self.store.clone(), self.key.to_owned(), std::mem::take(&mut self.id));
        // Outside of a runtime nobody can send it; the sweep of stale uploads will.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = store.abort_upload(&key, &id).await {
                    warn!(error = %error, "a dropped upload could not be aborted; its parts stay until stale uploads are swept");
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    /// Cuts `total` bytes that come in chunks of `chunk` and compares the lengths of the parts.
    async fn check(total: usize, chunk: usize, expected: &[usize]) {
        let bytes: Bytes = (0..total).map(|at| (at % 251) as u8).collect::<Vec<_>>().into();
        let chunks: Vec<Result<Bytes, ()>> =
            (0..total).step_by(chunk).map(|at| Ok(bytes.slice(at..total.min(at + chunk)))).collect();
        let mut source = stream::iter(chunks);
        let mut parts = Parts { source: Pin::new(&mut source), spare: Bytes::new() };
        let (mut lengths, mut joined) = (Vec::new(), BytesMut::new());
        while lengths.last().is_none_or(|length| *length == PART_BYTES) {
            let Ok(part) = parts.next().await else { panic!("the source does not fail") };
            lengths.push(part.len());
            joined.extend_from_slice(&part);
        }
        assert_eq!(lengths, expected, "{total} bytes in chunks of {chunk}");
        assert!(joined == bytes, "{total} bytes in chunks of {chunk} came out changed");
    }

    #[tokio::test]
    async fn a_stream_is_cut_into_equal_parts() {
        check(0, 1, &[0]).await;
        check(10, 3, &[10]).await;
        check(PART_BYTES, 65_536, &[PART_BYTES, 0]).await;
        check(PART_BYTES + 1, 100_000, &[PART_BYTES, 1]).await;
        // A chunk that is longer than two parts.
        check(3 * PART_BYTES + 5, 2 * PART_BYTES + 7, &[PART_BYTES, PART_BYTES, PART_BYTES, 5]).await;
    }
}
