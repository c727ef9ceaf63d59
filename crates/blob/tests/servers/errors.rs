//! What a caller learns when it does not work.

use blob::{BlobConfig, BlobError, BlobStore, Disposition};
use bytes::Bytes;
use futures::StreamExt;

use crate::harness::{SECRET_KEY, Server, config, content};

/// The sentence and what to do about it; neither it nor its details show the secret key.
#[track_caller]
fn check(error: &BlobError, disposition: Disposition, words: &str) {
    assert_eq!(error.disposition(), disposition, "{error}");
    assert!(error.to_string().contains(words), "{error}");
    let everything = format!("{error} {error:?}");
    assert!(!everything.contains(SECRET_KEY) && !everything.contains("wrong-secret"), "{everything}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_settings_stop_at_the_start() {
    let server = Server::start().await;
    let right = server.config();
    let shown = format!("{right:?}");
    assert!(!shown.contains(SECRET_KEY), "{shown}");
    let refused = async |change: fn(&mut BlobConfig)| {
        let mut wrong = right.clone();
        change(&mut wrong);
        BlobStore::connect(wrong).await.unwrap_err()
    };
    let error =
        refused(|config| config.credentials = Some(("the-access-key".into(), "wrong-secret".into()))).await;
    check(&error, Disposition::Stop, "refused to show its bucket: status 403");
    let error = refused(|config| config.credentials = Some(("nobody".into(), SECRET_KEY.into()))).await;
    check(&error, Disposition::Stop, "refused to show its bucket: status 403");
    let error = refused(|config| config.bucket = "another".into()).await;
    check(&error, Disposition::Stop, "has no bucket another");
    let error = refused(|config| config.endpoint = Some("127.0.0.1:9000".into())).await;
    check(&error, Disposition::Stop, "the endpoint is not of the form");
    let error =
        refused(|config| config.endpoint = Some("http://me:wrong-secret@127.0.0.1:9000".into())).await;
    check(&error, Disposition::Stop, "the endpoint is not of the form");
    let error = refused(|config| config.region = String::new()).await;
    check(&error, Disposition::Stop, "the region is empty");
    let error = refused(|config| config.bucket = String::new()).await;
    check(&error, Disposition::Stop, "the bucket is empty");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_made_only_when_asked_for() {
    let server = Server::start().await;
    let mut config = server.config();
    config.bucket = "second".into();
    config.make_bucket = true;
    let second = BlobStore::connect(config.clone()).await.unwrap();
    second.put("a", Bytes::from_static(b"second")).await.unwrap();
    config.make_bucket = false;
    let again = BlobStore::connect(config).await.unwrap();
    assert_eq!(crate::harness::read(&again, "a").await.unwrap(), "second");
    assert_eq!(crate::harness::read(&server.store().await, "a").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_asked_again_later() {
    // An address that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = BlobStore::connect(config(&format!("http://{free}"))).await.unwrap_err();
    check(&error, Disposition::Retry, &format!("the object store at http://{free} is away or busy: "));
    let error = BlobStore::connect(config("http://no-such-host.invalid:9000")).await.unwrap_err();
    check(
        &error,
        Disposition::Retry,
        "the object store at http://no-such-host.invalid:9000 is away or busy: ",
    );

    let mut server = Server::start().await;
    let store = server.store().await;
    let shown = format!("{store:?}");
    assert!(!shown.contains(SECRET_KEY), "{shown}");
    store.put("a/x-5000000", content("a/x-5000000")).await.unwrap();
    let mut stream = store.get("a/x-5000000").await.unwrap().unwrap();
    stream.next().await.unwrap().unwrap();
    server.kill().await;
    // Cut off in the middle: an error and then the end, never a short object.
    let mut last = None;
    while let Some(item) = stream.next().await {
        last = Some(item);
    }
    check(&last.unwrap().unwrap_err(), Disposition::Retry, "an object broke off");
    let (put, get, list, delete) = tokio::join!(
        store.put("a/y", Bytes::from_static(b"y")),
        store.get("a/x-5000000"),
        store.list("", None, 10),
        store.delete("a/x-5000000"),
    );
    for error in [put.unwrap_err(), get.unwrap_err(), list.unwrap_err(), delete.unwrap_err()] {
        check(&error, Disposition::Retry, "is away or busy");
    }
    server.start_again().await;
    assert_eq!(crate::harness::keys(&store, "").await, ["a/x-5000000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_vanished_is_no_missing_object() {
    let server = Server::start().await;
    let store = server.store().await;
    std::fs::remove_dir(server.folder().join("objects/attachments")).unwrap();
    for error in [
        store.get("a").await.unwrap_err(),
        store.head("a").await.unwrap_err(),
        store.put("a", Bytes::new()).await.unwrap_err(),
        store.list("", None, 1).await.unwrap_err(),
        store.delete("a").await.unwrap_err(),
    ] {
        check(&error, Disposition::Stop, "has no bucket attachments");
    }
}
