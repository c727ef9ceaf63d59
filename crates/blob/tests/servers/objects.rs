//! Put, get, head, list and delete.

use blob::{BlobError, BlobMeta, Disposition};
use bytes::Bytes;

use crate::harness::{Server, content, files, keys, read};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_is_read_and_what_is_deleted_is_gone() {
    let server = Server::start().await;
    let store = server.store().await;
    assert_eq!(read(&store, "a/none").await, None);
    assert_eq!(store.head("a/none").await.unwrap(), None);
    store.delete("a/none").await.unwrap();

    for key in ["a/one-11", "a/empty-0", "a/b/two-100000", "a/large-8388608"] {
        store.put(key, content(key)).await.unwrap();
        assert_eq!(read(&store, key).await, Some(content(key)), "{key}");
        let BlobMeta { key: named, size_bytes, modified_ms } = store.head(key).await.unwrap().unwrap();
        assert_eq!((named.as_str(), size_bytes as usize), (key, content(key).len()));
        let age_ms = i128::from(modified_ms) - unix_ms();
        assert!((-3_600_000..3_600_000).contains(&age_ms), "modified at {modified_ms}");
    }
    // In place of what was there, and beside an object that is the beginning of its key.
    store.put("a/one-11", Bytes::from_static(b"other")).await.unwrap();
    store.put("a/b", Bytes::from_static(b"short")).await.unwrap();
    assert_eq!(read(&store, "a/one-11").await.unwrap(), "other");
    assert_eq!(read(&store, "a/b").await.unwrap(), "short");
    assert_eq!(read(&store, "a/b/two-100000").await, Some(content("a/b/two-100000")));

    // Nothing but the objects, each as it was sent.
    let found = files(&server.folder());
    assert_eq!(
        found,
        [
            "lock",
            "objects/attachments/a/b/two-100000@",
            "objects/attachments/a/b@",
            "objects/attachments/a/empty-0@",
            "objects/attachments/a/large-8388608@",
            "objects/attachments/a/one-11@",
        ]
    );
    for key in keys(&store, "").await {
        store.delete(&key).await.unwrap();
        assert_eq!(read(&store, &key).await, None);
    }
    // Not a byte, name or folder is left.
    assert_eq!(files(&server.folder()), ["lock"]);
    assert_eq!(std::fs::read_dir(server.folder().join("objects/attachments")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_is_in_the_order_of_keys_however_it_is_paged() {
    let server = Server::start().await;
    let store = server.store().await;
    // A slash sorts between a dot and a zero, so folders and objects interleave.
    let mut all: Vec<String> =
        ["a", "a-b", "a.b", "a/-", "a/a/a", "a/a0", "a/b", "a0", "ab/c", "ab/c/d", "b", "b/a.b/c", "b/a/b"]
            .map(str::to_owned)
            .to_vec();
    all.sort();
    for key in &all {
        store.put(key, Bytes::from_static(b"x")).await.unwrap();
    }
    let mut checked = 0;
    for prefix in ["", "a", "a/", "a/a", "a.", "ab/c/", "b/a", "c", "b/a.b/c"] {
        let matching: Vec<&String> = all.iter().filter(|key| key.starts_with(prefix)).collect();
        for limit in [1, 2, 5, 1000, 2000] {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let page = store.list(prefix, after, limit).await.unwrap();
                assert!(page.len() <= limit);
                let Some(last) = page.last() else { break };
                after = Some(last.key.clone());
                found.extend(page);
            }
            assert!(found.iter().all(|object| object.size_bytes == 1 && object.modified_ms > 0));
            assert_eq!(
                found.iter().map(|object| &object.key).collect::<Vec<_>>(),
                matching,
                "{prefix} by {limit}"
            );
            checked += 1;
        }
    }
    // Between keys as well as on one.
    for after in ["a-", "a/a/", "a/zzz", "aa", "zz"].map(str::to_owned) {
        let matching: Vec<&String> = all.iter().filter(|key| **key > after).collect();
        let found = store.list("", Some(after.clone()), 100).await.unwrap();
        assert_eq!(found.iter().map(|object| &object.key).collect::<Vec<_>>(), matching, "after {after}");
        checked += 1;
    }
    println!("listings compared: {checked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_is_deleted_and_counted_over_more_than_one_page() {
    let server = Server::start().await;
    let store = server.store().await;
    let mut puts = tokio::task::JoinSet::new();
    for lane in 0..4 {
        let store = store.clone();
        puts.spawn(async move {
            for at in 0..300 {
                store.put(&format!("t/1/{lane}/{at}"), Bytes::from_static(b"x")).await.unwrap();
            }
        });
    }
    puts.join_all().await;
    for kept in ["t/10/a", "t/1", "t/1-", "u"] {
        store.put(kept, Bytes::from_static(b"kept")).await.unwrap();
    }
    let refused = store.delete_prefix("t/1").await.unwrap_err();
    assert!(matches!(refused, BlobError::Key { .. }), "{refused}");
    assert_eq!(keys(&store, "t/1/").await.len(), 1200);
    // From a task, as a service does it.
    let task = store.clone();
    let removed = tokio::spawn(async move { task.delete_prefix("t/1/").await });
    assert_eq!(removed.await.unwrap().unwrap(), 1200);
    assert_eq!(store.delete_prefix("t/1/").await.unwrap(), 0);
    assert_eq!(keys(&store, "").await, ["t/1", "t/1-", "t/10/a", "u"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_keys_are_refused_by_the_client_and_by_the_server() {
    let server = Server::start().await;
    let store = server.store().await;
    let raw = crate::uploads::raw_client(&server.endpoint);
    let outside = server.folder().join("outside");
    std::fs::write(&outside, "outside").unwrap();
    let long = "x".repeat(2000);
    let hostile = [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        "../outside",
        "../../outside",
        "a/../../../outside",
        "a\0b",
        "ä",
        "a b",
        "a@",
        &long,
    ];
    for key in hostile {
        let stream = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"x"))]);
        let errors = [
            store.put(key, Bytes::from_static(b"x")).await.unwrap_err(),
            store.get(key).await.unwrap_err(),
            store.head(key).await.unwrap_err(),
            store.delete(key).await.unwrap_err(),
            match store.put_stream(key, stream).await.unwrap_err() {
                blob::PutError::Blob(error) => error,
                blob::PutError::Source(error) => panic!("{error}"),
            },
        ];
        for error in errors {
            assert!(matches!(error, BlobError::Key { .. }), "{key:?}: {error}");
            assert_eq!(error.disposition(), Disposition::Stop);
            assert!(key.len() < 2 || !format!("{error} {error:?}").contains(key), "the error shows the key");
        }
        // Whoever has the credentials and another client.
        let put = raw.put_object().bucket("attachments").key(key).body(Bytes::from_static(b"x").into());
        assert!(put.send().await.is_err(), "{key:?} was taken");
        let get = raw.get_object().bucket("attachments").key(key).send().await;
        assert!(get.is_err(), "{key:?} was given");
    }
    assert!(store.delete_prefix("").await.is_err());
    assert!(store.delete_prefix("/").await.is_err());
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "outside");
    assert_eq!(files(&server.folder()), ["lock", "outside"]);
}

fn unix_ms() -> i128 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i128::try_from(now.as_millis()).unwrap()
}
