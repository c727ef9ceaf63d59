//! kill -9 of the server, between and during puts.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use blob::{BlobError, BlobStore, Disposition, PutError};
use futures::stream;
use tokio::task::JoinSet;

use crate::harness::{Server, chunks, content, files, keys, read, until};

const ROUNDS: usize = 6;
const WRITERS: usize = 4;

#[derive(Default)]
struct Tally {
    answered: Mutex<Vec<String>>,
    count: AtomicUsize,
    failed: AtomicUsize,
    end: AtomicBool,
}

/// Puts until it is told to end, whatever happens to the server.
async fn write(store: BlobStore, writer: usize, tally: Arc<Tally>) {
    for at in 0.. {
        if tally.end.load(Ordering::SeqCst) {
            return;
        }
        // The fourth writer uploads in parts.
        let length = if writer == 3 { (9 << 20) + at } else { 1 + at * 7919 % 300_000 };
        let key = format!("w/{writer}/{at}-{length}");
        let put: Result<(), BlobError> = if writer == 3 {
            match store.put_stream(&key, stream::iter(chunks(&content(&key)))).await {
                Ok(_) => Ok(()),
                Err(PutError::Blob(error)) => Err(error),
                Err(PutError::Source(error)) => panic!("{error}"),
            }
        } else {
            store.put(&key, content(&key)).await
        };
        match put {
            Ok(()) => {
                tally.answered.lock().unwrap().push(key);
                tally.count.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) => {
                assert_eq!(error.disposition(), Disposition::Retry, "{error}");
                tally.failed.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_there_whole_and_nothing_is_there_half() {
    let mut server = Server::start().await;
    let store = server.store().await;
    let tally = Arc::new(Tally::default());
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write(store.clone(), writer, tally.clone()));
    }
    let (mut torn, mut leftovers) = (0, 0);
    let mut round = 0;
    // On, if need be, until a kill has hit a put.
    while round < ROUNDS || (leftovers == 0 && round < 10 * ROUNDS) {
        round += 1;
        let wanted = tally.count.load(Ordering::SeqCst) + 5 * round.min(ROUNDS);
        until("more puts are answered", async || tally.count.load(Ordering::SeqCst) >= wanted).await;
        until("a part is on its way", async || !files(&server.folder().join("staging")).is_empty()).await;
        server.kill().await;
        leftovers += files(&server.folder().join("staging")).len();
        // What is visible on the disk at this moment.
        for name in files(&server.folder().join("objects/attachments")) {
            let key = name.strip_suffix('@').unwrap();
            let bytes = std::fs::read(server.folder().join("objects/attachments").join(&name)).unwrap();
            torn += usize::from(bytes != content(key));
        }
        server.start_again().await;
    }
    tally.end.store(true, Ordering::SeqCst);
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    let answered = std::mem::take(&mut *tally.answered.lock().unwrap());
    let visible = keys(&store, "").await;
    let mut missing = 0;
    for key in &answered {
        missing += usize::from(read(&store, key).await.as_ref() != Some(&content(key)));
    }
    for key in visible.iter().filter(|key| !answered.contains(key)) {
        torn += usize::from(read(&store, key).await.as_ref() != Some(&content(key)));
    }
    println!(
        "kill -9: {round}, answered {}, failed {}, staged files at the kills {leftovers}; missing {missing}, torn {torn}",
        answered.len(),
        tally.failed.load(Ordering::SeqCst),
    );
    assert_eq!((missing, torn), (0, 0));
    assert!(leftovers > 0, "no kill hit a put");
    assert_eq!(files(&server.folder().join("staging")), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_was_answered_stays() {
    let mut server = Server::start().await;
    let store = server.store().await;
    for at in 0..20 {
        let key = format!("d/{at}/x-1000");
        store.put(&key, content(&key)).await.unwrap();
    }
    for at in 0..10 {
        store.delete(&format!("d/{at}/x-1000")).await.unwrap();
    }
    server.kill().await;
    server.start_again().await;
    let left = keys(&store, "d/").await;
    assert_eq!(left.len(), 10);
    for at in 0..10 {
        assert_eq!(read(&store, &format!("d/{at}/x-1000")).await, None);
    }
    assert_eq!(store.delete_prefix("d/").await.unwrap(), 10);
    assert_eq!(files(&server.folder()), ["lock"]);
}
