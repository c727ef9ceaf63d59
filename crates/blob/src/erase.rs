//! Deleting so that nothing is left: every version, every delete marker, every part of an upload that never ended.

use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
use futures::{StreamExt, TryStreamExt, stream};

use crate::error::{BlobError, is_unknown};
use crate::key::{check_folder, check_key};
use crate::store::BlobStore;

/// Requests at a time.
const AT_ONCE: usize = 8;
const PAGE: usize = 1000;

/// Which versions are to go.
#[derive(Debug, Clone, Copy)]
enum Scope<'a> {
    Key(&'a str),
    Folder(&'a str),
}

impl BlobStore {
    /// Removes the object with all its versions and delete markers. One that is not there is removed already.
    pub async fn delete(&self, key: &str) -> Result<(), BlobError> {
        check_key(key).map_err(BlobError::key)?;
        self.remove(key, None).await?;
        self.purge(Scope::Key(key)).await
    }

    /// Removes everything whose key begins with `prefix`, which has to end with a slash, with all versions and delete
    /// markers. Returns how many objects were visible. Done again after an error, it goes on where it stopped.
    pub async fn delete_prefix(&self, prefix: &str) -> Result<u64, BlobError> {
        check_folder(prefix).map_err(BlobError::key)?;
        let mut removed = 0;
        let mut after = None;
        loop {
            let page = self.list(prefix, after, PAGE).await?;
            let found = page.len();
            removed += found as u64;
            after = page.last().map(|object| object.key.clone());
            self.remove_all(page.into_iter().map(|object| (object.key, None)).collect()).await?;
            if found < PAGE {
                break;
            }
        }
        self.purge(Scope::Folder(prefix)).await?;
        Ok(removed)
    }

    /// Removes the parts of uploads that began longer ago than `older_than` and returns how many uploads that were.
    pub async fn abort_stale_uploads(&self, older_than: Duration) -> Result<u64, BlobError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let before_ms = i64::try_from(now.saturating_sub(older_than).as_millis()).unwrap_or(i64::MAX);
        let mut aborted = 0;
        let (mut key_marker, mut id_marker) = (None, None);
        loop {
            let page = self
                .client()
                .list_multipart_uploads()
                .bucket(self.bucket())
                .set_key_marker(key_marker)
                .set_upload_id_marker(id_marker)
                .send()
                .await
                .map_err(|error| self.place().failed("list its uploads", &error))?;
            for upload in page.uploads() {
                let began_ms = upload.initiated().and_then(|at| at.to_millis().ok());
                let (Some(key), Some(id), Some(began_ms)) = (upload.key(), upload.upload_id(), began_ms)
                else {
                    continue;
                };
                if began_ms <= before_ms {
                    self.abort_upload(key, id).await?;
                    aborted += 1;
                }
            }
            (key_marker, id_marker) = (page.next_key_marker, page.next_upload_id_marker);
            if page.is_truncated != Some(true) || key_marker.is_none() {
                return Ok(aborted);
            }
        }
    }

    /// Removes what is visible or, with a version, that one for good.
    async fn remove(&self, key: &str, version: Option<&str>) -> Result<(), BlobError> {
        let request = self.client().delete_object().bucket(self.bucket()).key(key);
        match request.set_version_id(version.map(str::to_owned)).send().await {
            Ok(_) => Ok(()),
            // S3 says nothing of an object that was not there; some servers do.
            Err(error) if aws_sdk_s3::error::ProvideErrorMetadata::code(&error) == Some("NoSuchKey") => {
                Ok(())
            }
            Err(error) => Err(self.place().failed("delete", &error)),
        }
    }

    /// One by one: the request for many at once insists on a checksum that not every server takes.
    async fn remove_all(&self, doomed: Vec<(String, Option<String>)>) -> Result<(), BlobError> {
        stream::iter(doomed)
            .map(|(key, version)| async move { self.remove(&key, version.as_deref()).await })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Removes every version and delete marker, until a listing shows none. The visible object goes first, by a plain
    /// delete: a server that takes a listing of versions for something else has then lost it all the same.
    async fn purge(&self, scope: Scope<'_>) -> Result<(), BlobError> {
        let mut last_first = None;
        while let Some(page) = self.versions(scope).await? {
            let found = within(&page, scope);
            let Some(first) = found.first().cloned() else { return Ok(()) };
            if last_first.as_ref() == Some(&first) {
                return Err(self.place().unavailable("it lists a version that was deleted"));
            }
            last_first = Some(first);
            self.remove_all(found.into_iter().map(|(key, version)| (key, Some(version))).collect()).await?;
        }
        Ok(())
    }

    /// The first versions that are left, or `None` when the server does not know versions.
    async fn versions(&self, scope: Scope<'_>) -> Result<Option<ListObjectVersionsOutput>, BlobError> {
        if self.inner.no_versions.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let (Scope::Key(prefix) | Scope::Folder(prefix)) = scope;
        match self.client().list_object_versions().bucket(self.bucket()).prefix(prefix).send().await {
            Ok(page) => Ok(Some(page)),
            Err(error) if is_unknown(&error) => {
                self.inner.no_versions.store(true, Ordering::Relaxed);
                Ok(None)
            }
            // Not being allowed to look is no proof that nothing is left.
            Err(error) => Err(self.place().failed("list versions", &error)),
        }
    }
}

/// Key and version of everything in scope. A key comes before all others that begin with it, so the first page will do.
fn within(page: &ListObjectVersionsOutput, scope: Scope<'_>) -> Vec<(String, String)> {
    let versions = page.versions().iter().map(|version| (version.key(), version.version_id()));
    let markers = page.delete_markers().iter().map(|marker| (marker.key(), marker.version_id()));
    versions
        .chain(markers)
        .filter_map(|(key, version)| Some((key?, version?)))
        .filter(|(key, _)| match scope {
            Scope::Key(wanted) => *key == wanted,
            Scope::Folder(prefix) => key.starts_with(prefix),
        })
        .map(|(key, version)| (key.to_owned(), version.to_owned()))
        .collect()
}
