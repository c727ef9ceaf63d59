//! The operations of S3 that the server knows. Every other one is answered with `NotImplemented`.

use std::io;
use std::sync::Arc;

use futures::TryStreamExt;
use s3s::dto::*;
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, TrailingHeaders, s3_error};
use tokio::io::AsyncWriteExt;
use tokio_util::io::ReaderStream;
use tracing::warn;

use super::digest::Digest;
use super::files::{Files, Staged, random_name, tag};
use super::uploads::{Part, Uploads, join};
use super::walk::Query;
use crate::key::{check_key, check_prefix};

/// S3's own limit of a listing.
const PAGE: i32 = 1000;
/// Of a file that is read for an answer.
const CHUNK_BYTES: usize = 128 << 10;

/// Objects of one folder.
#[derive(Debug)]
pub(super) struct Objects {
    files: Arc<Files>,
    uploads: Arc<Uploads>,
}

impl Objects {
    pub(super) fn new(files: Arc<Files>) -> Self {
        Self { files, uploads: Arc::default() }
    }

    fn check(&self, bucket: &str, key: &str) -> S3Result<()> {
        self.check_bucket(bucket)?;
        check_key(key).map_err(|why| s3_error!(InvalidArgument, "this is no key for an object: {why}"))
    }

    fn check_bucket(&self, bucket: &str) -> S3Result<()> {
        if self.files.has_bucket(bucket) { Ok(()) } else { Err(s3_error!(NoSuchBucket)) }
    }

    /// Writes a body to a file that is not visible. `durable` when it is to be published as it is.
    async fn receive(
        &self,
        body: Option<StreamingBlob>,
        mut digest: Digest,
        trailers: Option<TrailingHeaders>,
        durable: bool,
    ) -> S3Result<(Staged, u64, Checksum)> {
        let mut body = body.ok_or_else(|| s3_error!(IncompleteBody))?;
        let files = self.files.clone();
        let (staged, file) = blocking(move || files.stage()).await?;
        let mut file = tokio::fs::File::from_std(file);
        let mut size_bytes = 0;
        // The stream itself fails when it is cut short or is not what was signed.
        while let Some(chunk) = body.try_next().await.map_err(|_| s3_error!(IncompleteBody))? {
            digest.update(&chunk);
            size_bytes += chunk.len() as u64;
            file.write_all(&chunk).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        let sums = digest.finish(trailers)?;
        if durable {
            file.sync_all().await.map_err(failed)?;
        }
        Ok((staged, size_bytes, sums))
    }
}

#[async_trait::async_trait]
impl S3 for Objects {
    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.check_bucket(&req.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn create_bucket(
        &self,
        req: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        let files = self.files.clone();
        match blocking(move || files.make_bucket(&req.input.bucket)).await? {
            true => Ok(S3Response::new(CreateBucketOutput::default())),
            false => Err(s3_error!(BucketAlreadyOwnedByYou)),
        }
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = req.input;
        self.check(&input.bucket, &input.key)?;
        let conditions = input.if_match.is_some() || input.if_none_match.is_some();
        let unknown = conditions || input.content_md5.is_some() || input.write_offset_bytes.is_some();
        let extras = input.metadata.is_some_and(|metadata| !metadata.is_empty()) || input.tagging.is_some();
        let encrypted = input.server_side_encryption.is_some() || input.sse_customer_algorithm.is_some();
        refuse(unknown || extras || encrypted)?;
        let expected = Checksum {
            checksum_crc32: input.checksum_crc32,
            checksum_crc32c: input.checksum_crc32c,
            checksum_crc64nvme: input.checksum_crc64nvme,
            checksum_sha1: input.checksum_sha1,
            checksum_sha256: input.checksum_sha256,
            checksum_type: None,
        };
        let digest = Digest::new(expected, input.checksum_algorithm.as_ref())?;
        let (staged, _, sums) = self.receive(input.body, digest, req.trailing_headers, true).await?;
        let files = self.files.clone();
        let metadata = blocking(move || files.publish(&staged, &input.bucket, &input.key)).await?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(ETag::Strong(tag(&metadata))),
            checksum_crc32: sums.checksum_crc32,
            checksum_crc32c: sums.checksum_crc32c,
            checksum_crc64nvme: sums.checksum_crc64nvme,
            checksum_sha1: sums.checksum_sha1,
            checksum_sha256: sums.checksum_sha256,
            ..Default::default()
        }))
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = req.input;
        self.check(&input.bucket, &input.key)?;
        // The whole object would be a lawful answer to a range, but not one that was asked for.
        refuse(input.range.is_some() || input.part_number.is_some())?;
        let files = self.files.clone();
        let opened = blocking(move || files.read(&input.bucket, &input.key)).await?;
        let (file, metadata) = opened.ok_or_else(|| s3_error!(NoSuchKey))?;
        // A file in its place never changes; what is put or deleted meanwhile is another one.
        let body = ReaderStream::with_capacity(tokio::fs::File::from_std(file), CHUNK_BYTES);
        Ok(S3Response::new(GetObjectOutput {
            body: Some(StreamingBlob::wrap(body)),
            content_length: Some(length(metadata.len())),
            e_tag: Some(ETag::Strong(tag(&metadata))),
            last_modified: Some(metadata.modified().map_err(failed)?.into()),
            ..Default::default()
        }))
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = req.input;
        self.check(&input.bucket, &input.key)?;
        let files = self.files.clone();
        let opened = blocking(move || files.read(&input.bucket, &input.key)).await?;
        let (_, metadata) = opened.ok_or_else(|| s3_error!(NoSuchKey))?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(length(metadata.len())),
            e_tag: Some(ETag::Strong(tag(&metadata))),
            last_modified: Some(metadata.modified().map_err(failed)?.into()),
            ..Default::default()
        }))
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = req.input;
        self.check(&input.bucket, &input.key)?;
        refuse(input.version_id.is_some() || input.if_match.is_some())?;
        let files = self.files.clone();
        blocking(move || files.remove(&input.bucket, &input.key)).await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = req.input;
        self.check_bucket(&input.bucket)?;
        refuse(input.delimiter.is_some())?;
        let prefix = input.prefix.clone().unwrap_or_default();
        check_prefix(&prefix)
            .map_err(|why| s3_error!(InvalidArgument, "this is no prefix of a key: {why}"))?;
        // A token is the last key of the page before.
        let after = input.continuation_token.clone().max(input.start_after.clone()).unwrap_or_default();
        let max_keys = input.max_keys.unwrap_or(PAGE).clamp(0, PAGE);
        let limit = usize::try_from(max_keys).unwrap_or_default();
        let (files, bucket) = (self.files.clone(), input.bucket.clone());
        let query = Query { prefix, after, limit };
        let mut found = blocking(move || files.list(&bucket, &query)).await?;
        let is_truncated = limit > 0 && found.len() > limit;
        found.truncate(limit);
        let next = is_truncated.then(|| found.last().map(|last| last.key.clone())).flatten();
        let key_count = i32::try_from(found.len()).unwrap_or(PAGE);
        let contents = found.into_iter().map(|object| Object {
            key: Some(object.key),
            size: Some(length(object.size_bytes)),
            last_modified: Some(object.modified.into()),
            e_tag: Some(ETag::Strong(object.tag)),
            ..Default::default()
        });
        Ok(S3Response::new(ListObjectsV2Output {
            contents: Some(contents.collect()),
            name: Some(input.bucket),
            prefix: input.prefix,
            max_keys: Some(max_keys),
            key_count: Some(key_count),
            is_truncated: Some(is_truncated),
            continuation_token: input.continuation_token,
            next_continuation_token: next,
            start_after: input.start_after,
            ..Default::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = req.input;
        self.check(&input.bucket, &input.key)?;
        let extras = input.metadata.is_some_and(|metadata| !metadata.is_empty()) || input.tagging.is_some();
        let encrypted = input.server_side_encryption.is_some() || input.sse_customer_algorithm.is_some();
        refuse(extras || encrypted)?;
        let id = self.uploads.begin(&input.bucket, &input.key).map_err(failed)?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            ..Default::default()
        }))
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let input = req.input;
        self.uploads.expect(&input.bucket, &input.key, &input.upload_id, input.part_number)?;
        refuse(input.content_md5.is_some() || input.sse_customer_algorithm.is_some())?;
        let expected = Checksum {
            checksum_crc32: input.checksum_crc32,
            checksum_crc32c: input.checksum_crc32c,
            checksum_crc64nvme: input.checksum_crc64nvme,
            checksum_sha1: input.checksum_sha1,
            checksum_sha256: input.checksum_sha256,
            checksum_type: None,
        };
        let digest = Digest::new(expected, input.checksum_algorithm.as_ref())?;
        let (file, size_bytes, sums) = self.receive(input.body, digest, req.trailing_headers, false).await?;
        let tag = random_name().map_err(failed)?;
        let part = Part { file, tag: tag.clone(), size_bytes };
        self.uploads.add(&input.bucket, &input.key, &input.upload_id, input.part_number, part)?;
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(ETag::Strong(tag)),
            checksum_crc32: sums.checksum_crc32,
            checksum_crc32c: sums.checksum_crc32c,
            checksum_crc64nvme: sums.checksum_crc64nvme,
            checksum_sha1: sums.checksum_sha1,
            checksum_sha256: sums.checksum_sha256,
            ..Default::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = req.input;
        refuse(input.if_match.is_some() || input.if_none_match.is_some())?;
        let named = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let parts = self.uploads.chosen(&input.bucket, &input.key, &input.upload_id, &named)?;
        let (files, bucket, key) = (self.files.clone(), input.bucket.clone(), input.key.clone());
        let metadata = blocking(move || files.publish(&join(&files, &parts)?, &bucket, &key)).await?;
        let (uploads, bucket, key) = (self.uploads.clone(), input.bucket.clone(), input.key.clone());
        // It may have been aborted meanwhile, too late.
        blocking(move || Ok(uploads.end(&bucket, &key, &input.upload_id).ok())).await?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(tag(&metadata))),
            ..Default::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let (uploads, input) = (self.uploads.clone(), req.input);
        blocking(move || Ok(uploads.end(&input.bucket, &input.key, &input.upload_id))).await??;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = req.input;
        self.check_bucket(&input.bucket)?;
        refuse(input.delimiter.is_some())?;
        let max_uploads = input.max_uploads.unwrap_or(PAGE).clamp(1, PAGE);
        let limit = usize::try_from(max_uploads).unwrap_or_default();
        let mut begun = self.uploads.begun(&input.bucket, input.prefix.as_deref().unwrap_or_default());
        let marker = (input.key_marker.as_deref().unwrap_or_default(), input.upload_id_marker.as_deref());
        begun.retain(|upload| match marker {
            (key, Some(id)) => (upload.key.as_str(), upload.id.as_str()) > (key, id),
            (key, None) => upload.key.as_str() > key,
        });
        let is_truncated = begun.len() > limit;
        begun.truncate(limit);
        let next = begun.last().filter(|_| is_truncated);
        Ok(S3Response::new(ListMultipartUploadsOutput {
            is_truncated: Some(is_truncated),
            next_key_marker: next.map(|last| last.key.clone()),
            next_upload_id_marker: next.map(|last| last.id.clone()),
            max_uploads: Some(max_uploads),
            bucket: Some(input.bucket),
            prefix: input.prefix,
            uploads: Some(
                begun
                    .into_iter()
                    .map(|upload| MultipartUpload {
                        key: Some(upload.key),
                        upload_id: Some(upload.id),
                        initiated: Some(upload.began.into()),
                        ..Default::default()
                    })
                    .collect(),
            ),
            ..Default::default()
        }))
    }
}

/// What the server would silently not do.
fn refuse(unknown: bool) -> S3Result<()> {
    if unknown { Err(s3_error!(NotImplemented, "this server does not know that")) } else { Ok(()) }
}

fn length(size_bytes: u64) -> i64 {
    i64::try_from(size_bytes).unwrap_or(i64::MAX)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> S3Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|cause| Err(io::Error::other(cause))).map_err(failed)
}

/// The client learns that it failed, and the log why.
fn failed(cause: io::Error) -> S3Error {
    warn!(error = %cause, "the local object store could not use its disk");
    S3Error::new(S3ErrorCode::InternalError)
}
