//! Streams in parts, and what becomes of those that do not end.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Region};
use aws_sdk_s3::error::ProvideErrorMetadata;
use blob::PutError;
use bytes::Bytes;
use futures::{StreamExt, stream};

use crate::harness::{ACCESS_KEY, BUCKET, SECRET_KEY, Server, chunks, content, files, keys, read, until};

const MIB: usize = 1 << 20;

/// The SDK without our manners.
pub(crate) fn raw_client(endpoint: &str) -> Client {
    let credentials = aws_credential_types::Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test");
    Client::from_conf(
        Builder::new()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-west-2"))
            .endpoint_url(endpoint)
            .force_path_style(true)
            .credentials_provider(credentials)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_any_length_reads_back_equal() {
    let server = Server::start().await;
    let store = server.store().await;
    for length in [0, 1, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 16 * MIB, 20 * MIB + 3] {
        let key = format!("s/x-{length}");
        let whole = content(&key);
        let stored = store.put_stream(&key, stream::iter(chunks(&whole))).await.unwrap();
        assert_eq!(stored, length as u64);
        assert!(read(&store, &key).await.unwrap() == whole, "{length} bytes came back changed");
        assert_eq!(store.head(&key).await.unwrap().unwrap().size_bytes, length as u64);
    }
    assert_eq!(files(&server.folder().join("staging")), Vec::<String>::new());
    assert_eq!(store.abort_stale_uploads(Duration::ZERO).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_mebibytes_pass_through_the_server_in_flat_memory() {
    let server = Server::start().await;
    let store = server.store().await;
    store.put("warm-100000", content("warm-100000")).await.unwrap();
    let before = peak_kib(server.pid());
    let chunk = content("chunk-262144");
    let source = stream::iter(0..400).map(|_| Ok::<_, std::io::Error>(chunk.clone()));
    assert_eq!(store.put_stream("video", source).await.unwrap(), 100 << 20);
    let stored = peak_kib(server.pid());
    let mut stream = store.get("video").await.unwrap().unwrap();
    let (mut at, mut wrong) = (0, 0);
    while let Some(bytes) = stream.next().await {
        for byte in bytes.unwrap() {
            wrong += usize::from(byte != chunk[at % chunk.len()]);
            at += 1;
        }
    }
    assert_eq!((at, wrong), (100 << 20, 0));
    let read = peak_kib(server.pid());
    println!("server's peak: {before} KiB idle, {stored} KiB after the put, {read} KiB after the get");
    assert!(read - before < 32 * 1024, "the server took {} KiB for one object", read - before);
}

/// The most that the process ever had in memory.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_fails_leaves_no_object_and_no_part() {
    let server = Server::start().await;
    let store = server.store().await;
    store.put("s/old", Bytes::from_static(b"old")).await.unwrap();
    let whole = content("s-19922944");
    for (key, sound) in [("s/short", 3), ("s/long", 150), ("s/longer", 199), ("s/old", 170)] {
        let broken =
            stream::iter(chunks(&whole)).take(sound).chain(stream::iter([Err(std::io::Error::other("cut"))]));
        let error = store.put_stream(key, broken).await.unwrap_err();
        let PutError::Source(cause) = &error else { panic!("{error}") };
        assert_eq!(cause.to_string(), "cut");
    }
    assert_eq!(keys(&store, "").await, ["s/old"]);
    assert_eq!(read(&store, "s/old").await.unwrap(), "old");
    assert_eq!(store.abort_stale_uploads(Duration::ZERO).await.unwrap(), 0);
    assert_eq!(files(&server.folder()), ["lock", "objects/attachments/s/old@"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_is_dropped_takes_its_parts_along() {
    let server = Server::start().await;
    let store = server.store().await;
    let raw = raw_client(&server.endpoint);
    let whole = content("s-17825792");
    // The source never ends, so only dropping it ends the put.
    let endless = stream::iter(chunks(&whole)).chain(stream::pending());
    let put = tokio::spawn({
        let store = store.clone();
        async move { store.put_stream("s/dropped", endless).await }
    });
    let begun = async || {
        let listed = raw.list_multipart_uploads().bucket(BUCKET).send().await.unwrap();
        listed.uploads().len()
    };
    until("two parts have arrived", async || files(&server.folder().join("staging")).len() == 2).await;
    assert_eq!(begun().await, 1);
    assert_eq!(store.abort_stale_uploads(Duration::from_secs(3600)).await.unwrap(), 0);
    put.abort();
    assert!(put.await.unwrap_err().is_cancelled());
    until("the upload is gone", async || begun().await == 0).await;
    until("its parts are gone", async || files(&server.folder().join("staging")).is_empty()).await;
    assert_eq!(keys(&store, "").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_nobody_ends_are_swept() {
    let server = Server::start().await;
    let store = server.store().await;
    let raw = raw_client(&server.endpoint);
    let mut ids = Vec::new();
    for key in ["s/a", "s/a", "s/b"] {
        let begun = raw.create_multipart_upload().bucket(BUCKET).key(key).send().await.unwrap();
        let id = begun.upload_id.unwrap();
        let part = raw.upload_part().bucket(BUCKET).key(key).upload_id(&id).part_number(1);
        part.body(content("p-6000000").into()).send().await.unwrap();
        ids.push(id);
    }
    // Paged, and in the order of keys.
    let page = raw.list_multipart_uploads().bucket(BUCKET).max_uploads(2).send().await.unwrap();
    assert_eq!((page.uploads().len(), page.is_truncated()), (2, Some(true)));
    let next = raw.list_multipart_uploads().bucket(BUCKET).set_key_marker(page.next_key_marker);
    let next = next.set_upload_id_marker(page.next_upload_id_marker).send().await.unwrap();
    assert_eq!(next.uploads().iter().map(|upload| upload.key().unwrap()).collect::<Vec<_>>(), ["s/b"]);

    assert_eq!(store.abort_stale_uploads(Duration::from_secs(60)).await.unwrap(), 0);
    assert_eq!(files(&server.folder().join("staging")).len(), 3);
    let swept = tokio::spawn(async move { store.abort_stale_uploads(Duration::ZERO).await });
    assert_eq!(swept.await.unwrap().unwrap(), 3);
    assert_eq!(files(&server.folder()), ["lock"]);
    let late = raw.upload_part().bucket(BUCKET).key("s/b").upload_id(&ids[2]).part_number(2);
    let error = late.body(Bytes::from_static(b"x").into()).send().await.unwrap_err();
    assert_eq!(error.code(), Some("NoSuchUpload"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_damaged_on_the_way_is_never_visible() {
    let server = Server::start().await;
    let store = server.store().await;
    let raw = raw_client(&server.endpoint);
    store.put("s/kept", Bytes::from_static(b"kept")).await.unwrap();
    for key in ["s/kept", "s/new"] {
        let put = raw.put_object().bucket(BUCKET).key(key).body(Bytes::from_static(b"other").into());
        let error = put.checksum_crc32_c("AAAAAA==").send().await.unwrap_err();
        assert_eq!(error.code(), Some("BadDigest"));
    }
    let begun = raw.create_multipart_upload().bucket(BUCKET).key("s/new").send().await.unwrap();
    let id = begun.upload_id.unwrap();
    let part = raw.upload_part().bucket(BUCKET).key("s/new").upload_id(&id).part_number(1);
    let part = part.body(Bytes::from_static(b"other").into()).checksum_crc32_c("AAAAAA==");
    assert_eq!(part.send().await.unwrap_err().code(), Some("BadDigest"));
    raw.abort_multipart_upload().bucket(BUCKET).key("s/new").upload_id(&id).send().await.unwrap();
    // What the server cannot do, it does not pretend to do.
    let put = raw.put_object().bucket(BUCKET).key("s/new").body(Bytes::from_static(b"x").into());
    let error = put.metadata("name", "value").send().await.unwrap_err();
    assert_eq!(error.code(), Some("NotImplemented"));
    assert_eq!(read(&store, "s/kept").await.unwrap(), "kept");
    assert_eq!(files(&server.folder()), ["lock", "objects/attachments/s/kept@"]);
}
