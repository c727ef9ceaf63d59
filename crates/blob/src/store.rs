//! The client: put, get, head and list.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLocationConstraint, ChecksumAlgorithm, CreateBucketConfiguration, Object, ServerSideEncryption,
};
use bytes::Bytes;
use tracing::info;

use crate::config::{BlobConfig, Sse};
use crate::error::{BlobError, Place, status};
use crate::key::{check_key, check_prefix};
use crate::stream::BlobStream;

/// What S3 gives at most in one listing.
const PAGE: usize = 1000;

/// One bucket. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct BlobStore {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) client: Client,
    pub(crate) place: Arc<Place>,
    pub(crate) sse: Sse,
    /// Set once the server said that it does not know versions.
    pub(crate) no_versions: AtomicBool,
}

impl fmt::Debug for BlobStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobStore").field("place", &self.inner.place).finish_non_exhaustive()
    }
}

/// What is known of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobMeta {
    /// Its key.
    pub key: String,
    /// Its length.
    pub size_bytes: u64,
    /// When it was stored, in milliseconds since 1970, by the store's clock. A head is exact to the second only.
    pub modified_ms: i64,
}

impl BlobStore {
    /// Checks that the store answers and has the bucket, or makes it when the configuration says so.
    pub async fn connect(config: BlobConfig) -> Result<Self, BlobError> {
        let (client, place) = crate::client::build(&config).await?;
        let inner =
            Inner { client, place: Arc::new(place), sse: config.sse, no_versions: AtomicBool::new(false) };
        let store = Self { inner: Arc::new(inner) };
        if !store.has_bucket().await? {
            if !config.make_bucket {
                return Err(store.place().no_bucket());
            }
            store.make_bucket(&config.region).await?;
        }
        Ok(store)
    }

    /// Stores the bytes under the key, in place of what was there. When this returns they are stored.
    pub async fn put(&self, key: &str, body: Bytes) -> Result<(), BlobError> {
        check_key(key).map_err(BlobError::key)?;
        // A body in memory: the SDK can send it again, and its checksum is a header.
        let request = self.client().put_object().bucket(self.bucket()).key(key).body(ByteStream::from(body));
        let request = request.checksum_algorithm(ChecksumAlgorithm::Crc32C);
        self.encrypted(request).send().await.map_err(|error| self.place().failed("write", &error))?;
        Ok(())
    }

    /// The object's bytes as they come, or `None` when there is no such object.
    pub async fn get(&self, key: &str) -> Result<Option<BlobStream>, BlobError> {
        check_key(key).map_err(BlobError::key)?;
        let answer = self.client().get_object().bucket(self.bucket()).key(key).send().await;
        match answer {
            Ok(output) => {
                let size_bytes = self.size(output.content_length)?;
                Ok(Some(BlobStream::new(output.body, size_bytes, self.inner.place.clone())))
            }
            Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_key()) => Ok(None),
            Err(error) => Err(self.place().failed("read", &error)),
        }
    }

    /// What is known of the object, or `None` when there is no such object.
    pub async fn head(&self, key: &str) -> Result<Option<BlobMeta>, BlobError> {
        check_key(key).map_err(BlobError::key)?;
        match self.client().head_object().bucket(self.bucket()).key(key).send().await {
            Ok(output) => Ok(Some(BlobMeta {
                key: key.to_owned(),
                size_bytes: self.size(output.content_length)?,
                modified_ms: millis(output.last_modified.as_ref()),
            })),
            Err(error) if status(&error) == Some(404) => {
                // A head has no body to say which of the two is missing, and an object of a missing bucket is not gone.
                if self.has_bucket().await? { Ok(None) } else { Err(self.place().no_bucket()) }
            }
            Err(error) => Err(self.place().failed("read", &error)),
        }
    }

    /// The objects whose keys begin with `prefix` and come after `after`, in the order of their bytes, `limit` at most.
    pub async fn list(
        &self,
        prefix: &str,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<BlobMeta>, BlobError> {
        check_prefix(prefix).map_err(BlobError::key)?;
        let mut after = after.filter(|key| !key.is_empty());
        if let Some(after) = &after {
            check_prefix(after).map_err(BlobError::key)?;
        }
        let mut found: Vec<BlobMeta> = Vec::new();
        while found.len() < limit {
            let wanted = (limit - found.len()).min(PAGE);
            let page = self
                .client()
                .list_objects_v2()
                .bucket(self.bucket())
                .prefix(prefix)
                .set_start_after(after.clone())
                .max_keys(i32::try_from(wanted).unwrap_or(i32::MAX))
                .send()
                .await
                .map_err(|error| self.place().failed("list", &error))?;
            let more = page.is_truncated == Some(true);
            for object in page.contents.unwrap_or_default() {
                let object = self.listed(object)?;
                if after.as_ref().is_some_and(|after| *after >= object.key) {
                    return Err(self.place().unavailable("its listing is not in order"));
                }
                after = Some(object.key.clone());
                found.push(object);
            }
            if !more {
                break;
            }
        }
        Ok(found)
    }

    pub(crate) fn client(&self) -> &Client {
        &self.inner.client
    }

    pub(crate) fn bucket(&self) -> &str {
        &self.inner.place.bucket
    }

    pub(crate) fn place(&self) -> &Place {
        &self.inner.place
    }

    /// The two fields of encryption, for whoever stores.
    pub(crate) fn encryption(&self) -> (Option<ServerSideEncryption>, Option<String>) {
        match &self.inner.sse {
            Sse::None => (None, None),
            Sse::S3 => (Some(ServerSideEncryption::Aes256), None),
            Sse::Kms { key_id } => (Some(ServerSideEncryption::AwsKms), Some(key_id.clone())),
        }
    }

    fn encrypted(&self, request: PutObjectFluentBuilder) -> PutObjectFluentBuilder {
        let (kind, key_id) = self.encryption();
        let with_bucket_key = key_id.is_some().then_some(true);
        request
            .set_server_side_encryption(kind)
            .set_ssekms_key_id(key_id)
            .set_bucket_key_enabled(with_bucket_key)
    }

    async fn has_bucket(&self) -> Result<bool, BlobError> {
        match self.client().head_bucket().bucket(self.bucket()).send().await {
            Ok(_) => Ok(true),
            Err(error) if status(&error) == Some(404) => Ok(false),
            Err(error) => Err(self.place().failed("show its bucket", &error)),
        }
    }

    async fn make_bucket(&self, region: &str) -> Result<(), BlobError> {
        info!("making the bucket {} at {}", self.bucket(), self.place().address);
        // The one region that must not be named.
        let location = (region != "us-east-1").then(|| {
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(region))
                .build()
        });
        let request = self.client().create_bucket().bucket(self.bucket());
        match request.set_create_bucket_configuration(location).send().await {
            Ok(_) => Ok(()),
            // Another process was faster.
            Err(error)
                if error.as_service_error().is_some_and(|error| error.is_bucket_already_owned_by_you()) =>
            {
                Ok(())
            }
            Err(error) => Err(self.place().failed("make its bucket", &error)),
        }
    }

    fn listed(&self, object: Object) -> Result<BlobMeta, BlobError> {
        let modified_ms = millis(object.last_modified.as_ref());
        let key =
            object.key.ok_or_else(|| self.place().unavailable("its listing has an object without a key"))?;
        Ok(BlobMeta { key, size_bytes: self.size(object.size)?, modified_ms })
    }

    fn size(&self, size: Option<i64>) -> Result<u64, BlobError> {
        size.and_then(|size| u64::try_from(size).ok())
            .ok_or_else(|| self.place().unavailable("it does not say how long an object is"))
    }
}

fn millis(at: Option<&aws_sdk_s3::primitives::DateTime>) -> i64 {
    at.and_then(|at| at.to_millis().ok()).unwrap_or_default()
}
