//! A server that keeps versions, as a bucket of AWS can: deleting has to remove every one of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use blob::{BlobError, BlobStore, Disposition, Sse};
use bytes::Bytes;
use s3s::auth::SimpleAuth;
use s3s::dto::*;
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

use crate::harness::{ACCESS_KEY, SECRET_KEY, config, keys, serve};

/// What a listing of versions gives at a time.
const PAGE: usize = 3;

/// One version of an object, or a delete marker.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kept {
    Version,
    Marker,
}

#[derive(Debug, Default)]
struct State {
    /// By key, the oldest first.
    kept: BTreeMap<String, Vec<(String, Kept)>>,
    made: usize,
    /// What was asked to be encrypted with.
    encryption: Vec<(Option<String>, Option<String>)>,
    /// Versions may not be listed.
    blind: bool,
    /// Versions may not be deleted, but the server says it did.
    stuck: bool,
}

#[derive(Debug, Clone, Default)]
struct Versioned(Arc<Mutex<State>>);

impl Versioned {
    fn left(&self) -> usize {
        self.0.lock().unwrap().kept.values().map(Vec::len).sum()
    }
}

impl State {
    fn add(&mut self, key: &str, kept: Kept) {
        self.made += 1;
        let id = format!("v{:04}", self.made);
        self.kept.entry(key.to_owned()).or_default().push((id, kept));
    }
}

#[async_trait::async_trait]
impl S3 for Versioned {
    async fn head_bucket(&self, _: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let mut state = self.0.lock().unwrap();
        state.add(&req.input.key, Kept::Version);
        let kind = req.input.server_side_encryption.map(|kind| kind.as_str().to_owned());
        state.encryption.push((kind, req.input.ssekms_key_id));
        Ok(S3Response::new(PutObjectOutput::default()))
    }

    /// Notes what it was asked for and takes nothing.
    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let kind = req.input.server_side_encryption.map(|kind| kind.as_str().to_owned());
        self.0.lock().unwrap().encryption.push((kind, req.input.ssekms_key_id));
        Err(s3_error!(AccessDenied))
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let mut state = self.0.lock().unwrap();
        match req.input.version_id {
            None => state.add(&req.input.key, Kept::Marker),
            Some(_) if state.stuck => {}
            Some(id) => {
                if let Some(kept) = state.kept.get_mut(&req.input.key) {
                    kept.retain(|(kept, _)| *kept != id);
                }
            }
        }
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let prefix = req.input.prefix.unwrap_or_default();
        let after = req.input.start_after.unwrap_or_default();
        let state = self.0.lock().unwrap();
        let visible = state.kept.iter().filter(|(key, kept)| {
            let is_visible = kept.last().is_some_and(|(_, kept)| *kept == Kept::Version);
            is_visible && key.starts_with(&prefix) && **key > after
        });
        let contents =
            visible.map(|(key, _)| Object { key: Some(key.clone()), size: Some(1), ..Default::default() });
        Ok(S3Response::new(ListObjectsV2Output { contents: Some(contents.collect()), ..Default::default() }))
    }

    async fn list_object_versions(
        &self,
        req: S3Request<ListObjectVersionsInput>,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        let prefix = req.input.prefix.unwrap_or_default();
        let state = self.0.lock().unwrap();
        if state.blind {
            return Err(s3_error!(AccessDenied));
        }
        let all = state.kept.iter().filter(|(key, _)| key.starts_with(&prefix));
        let all = all.flat_map(|(key, kept)| kept.iter().rev().map(move |(id, kept)| (key, id, *kept)));
        let (mut versions, mut markers) = (Vec::new(), Vec::new());
        for (key, id, kept) in all.take(PAGE) {
            let (key, version_id) = (Some(key.clone()), Some(id.clone()));
            match kept {
                Kept::Version => versions.push(ObjectVersion { key, version_id, ..Default::default() }),
                Kept::Marker => markers.push(DeleteMarkerEntry { key, version_id, ..Default::default() }),
            }
        }
        Ok(S3Response::new(ListObjectVersionsOutput {
            versions: Some(versions),
            delete_markers: Some(markers),
            is_truncated: Some(true),
            ..Default::default()
        }))
    }
}

async fn start(sse: Sse) -> (Versioned, BlobStore) {
    let versioned = Versioned::default();
    let mut service = S3ServiceBuilder::new(versioned.clone());
    service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
    let mut config = config(&serve(service.build()).await);
    config.sse = sse;
    (versioned, BlobStore::connect(config).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_and_marker_goes() {
    let (versioned, store) = start(Sse::None).await;
    for round in 0..5 {
        for key in ["t/1/a", "t/1/ab", "t/1/b/c", "t/2"] {
            store.put(key, Bytes::from_static(b"x")).await.unwrap();
            if round == 2 {
                // As another client would, which leaves a marker and all that was before.
                versioned.0.lock().unwrap().add(key, Kept::Marker);
            }
        }
    }
    assert_eq!(versioned.left(), 24);
    store.delete("t/1/a").await.unwrap();
    assert_eq!(versioned.left(), 18);
    // It goes on behind what an earlier attempt made invisible.
    versioned.0.lock().unwrap().add("t/1/b/c", Kept::Marker);
    assert_eq!(store.delete_prefix("t/1/").await.unwrap(), 1);
    assert_eq!(keys(&store, "").await, ["t/2"]);
    assert_eq!(versioned.left(), 6);
    store.delete("t/2").await.unwrap();
    store.delete("t/3").await.unwrap();
    assert_eq!(versioned.left(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_proven_gone_is_an_error() {
    let (versioned, store) = start(Sse::None).await;
    store.put("a", Bytes::from_static(b"x")).await.unwrap();
    versioned.0.lock().unwrap().blind = true;
    let error = store.delete("a").await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Stop);
    assert!(error.to_string().ends_with("refused to list versions: AccessDenied (403)"), "{error}");
    versioned.0.lock().unwrap().blind = false;
    versioned.0.lock().unwrap().stuck = true;
    let error = store.delete("a").await.unwrap_err();
    assert!(matches!(error, BlobError::Unavailable { .. }), "{error}");
    versioned.0.lock().unwrap().stuck = false;
    store.delete("a").await.unwrap();
    assert_eq!(versioned.left(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn encryption_is_asked_for() {
    let kms = Sse::Kms { key_id: "alias/objects".into() };
    for (sse, expected) in [
        (Sse::None, (None, None)),
        (Sse::S3, (Some("AES256"), None)),
        (kms, (Some("aws:kms"), Some("alias/objects"))),
    ] {
        let (versioned, store) = start(sse).await;
        store.put("a", Bytes::from_static(b"x")).await.unwrap();
        let large = Bytes::from(vec![0; 9 << 20]);
        let large = futures::stream::iter([Ok::<_, std::io::Error>(large)]);
        let error = store.put_stream("b", large).await.unwrap_err();
        assert!(error.to_string().ends_with("refused to begin an upload: AccessDenied (403)"), "{error}");
        let asked = versioned.0.lock().unwrap().encryption.clone();
        assert_eq!(asked.len(), 2);
        for (kind, key_id) in &asked {
            assert_eq!((kind.as_deref(), key_id.as_deref()), expected);
        }
    }
}
