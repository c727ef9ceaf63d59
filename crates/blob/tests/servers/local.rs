//! The server in this process.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use blob::{BlobStore, LocalS3, LocalS3Error};
use bytes::Bytes;

use crate::harness::{files, read};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_objects_from_run_to_run_in_a_private_folder() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("deep/s3");
    let server = LocalS3::start(&folder, ANY, "attachments").await.unwrap();
    let config = server.config();
    let (_, secret) = config.credentials.clone().unwrap();
    let secret = secrecy::ExposeSecret::expose_secret(&secret).to_owned();
    assert!(!format!("{server:?} {config:?}").contains(&secret));
    let store = BlobStore::connect(config.clone()).await.unwrap();
    store.put("a/b", Bytes::from_static(b"kept")).await.unwrap();
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);

    // One folder, one server.
    let busy = LocalS3::start(&folder, ANY, "attachments").await.unwrap_err();
    assert!(matches!(busy, LocalS3Error::Busy { .. }), "{busy}");

    server.stop().await;
    assert!(store.get("a/b").await.is_err(), "it still answers");
    // What a killed process left is not an object and does not stay.
    std::fs::write(folder.join("staging/torn"), "half").unwrap();
    let again = LocalS3::start(&folder, ANY, "attachments").await.unwrap();
    let store = BlobStore::connect(again.config()).await.unwrap();
    assert_eq!(read(&store, "a/b").await.unwrap(), "kept");
    assert_eq!(files(&folder), ["lock", "objects/attachments/a/b@"]);
    // The credentials of the run before are worth nothing now.
    let mut old = config;
    old.endpoint = Some(again.endpoint().to_owned());
    assert!(BlobStore::connect(old).await.is_err());
    // Neither secret is in any file.
    assert!(!std::fs::read_to_string(folder.join("lock")).unwrap().contains(&secret));

    drop(again);
    crate::harness::until("the folder is free again", async || {
        LocalS3::start(&folder, ANY, "attachments").await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_cannot_work_says_why() {
    let home = tempfile::tempdir().unwrap();
    let error = LocalS3::start(home.path(), ANY, "../x").await.unwrap_err();
    assert!(error.to_string().contains("is no name for a bucket"), "{error}");
    let taken = std::net::TcpListener::bind(ANY).unwrap();
    let address = taken.local_addr().unwrap();
    let error = LocalS3::start(&home.path().join("a"), address, "attachments").await.unwrap_err();
    assert_eq!(error.to_string(), format!("listening on {address} failed"));
    std::fs::write(home.path().join("file"), "").unwrap();
    let error = LocalS3::start(&home.path().join("file"), ANY, "attachments").await.unwrap_err();
    assert!(error.to_string().starts_with("opening the object folder"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn puts_and_deletes_of_neighbours_do_not_meet() {
    let home = tempfile::tempdir().unwrap();
    let server = LocalS3::start(home.path(), ANY, "attachments").await.unwrap();
    let store = BlobStore::connect(server.config()).await.unwrap();
    // Folders appear and vanish under each other's puts.
    let mut lanes = tokio::task::JoinSet::new();
    for lane in 0..6 {
        let store = store.clone();
        lanes.spawn(async move {
            let key = format!("x/y/{lane}");
            for _ in 0..40 {
                store.put(&key, Bytes::from_static(b"x")).await.unwrap();
                store.list("x/", None, 100).await.unwrap();
                assert_eq!(read(&store, &key).await.unwrap(), "x");
                store.delete(&key).await.unwrap();
                assert_eq!(store.head(&key).await.unwrap(), None);
            }
        });
    }
    lanes.join_all().await;
    assert_eq!(files(home.path()), ["lock"]);
    server.stop().await;
}
