//! The client on a server that is not ours: `s3s-fs`, which knows no versions and no listing of uploads.

use blob::{BlobError, BlobStore, Disposition};
use futures::{StreamExt, stream};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;

use crate::harness::{ACCESS_KEY, SECRET_KEY, chunks, config, content, keys, read, serve};

#[tokio::test(flavor = "multi_thread")]
async fn it_works_on_a_foreign_server() {
    let home = tempfile::tempdir().unwrap();
    let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(home.path()).unwrap());
    service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
    let mut config = config(&serve(service.build()).await);
    let error = BlobStore::connect(config.clone()).await.unwrap_err();
    assert!(matches!(error, BlobError::NoBucket { .. }), "{error}");
    config.make_bucket = true;
    let store = BlobStore::connect(config).await.unwrap();

    for key in ["a/one-11", "a/two-100000", "b/three-20000000"] {
        store.put_stream(key, stream::iter(chunks(&content(key)))).await.unwrap();
        assert!(read(&store, key).await.unwrap() == content(key), "{key}");
        assert_eq!(store.head(key).await.unwrap().unwrap().size_bytes, content(key).len() as u64);
    }
    let sound = stream::iter(chunks(&content("b/four-20000000"))).take(150);
    let broken = sound.chain(stream::iter([Err(std::io::Error::other("cut"))]));
    assert!(store.put_stream("b/four-20000000", broken).await.is_err());
    assert_eq!(keys(&store, "").await, ["a/one-11", "a/two-100000", "b/three-20000000"]);
    let page = store.list("a/", Some("a/one-11".into()), 5).await.unwrap();
    assert_eq!(page.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), ["a/two-100000"]);
    store.delete("b/three-20000000").await.unwrap();
    store.delete("b/three-20000000").await.unwrap();
    assert_eq!(read(&store, "b/three-20000000").await, None);
    assert_eq!(store.delete_prefix("a/").await.unwrap(), 2);
    assert_eq!(keys(&store, "").await, Vec::<String>::new());
    // What it cannot do is said, not skipped.
    let error = store.abort_stale_uploads(std::time::Duration::ZERO).await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Stop);
    assert!(error.to_string().ends_with("refused to list its uploads: NotImplemented (501)"), "{error}");
}
