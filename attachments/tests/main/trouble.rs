//! Parts that are away, tokens that are missing, and an orderly stop.

use std::net::SocketAddr;

use blob::LocalS3;
use schemas::FileState;

use crate::meta::{File, TOKEN};
use crate::stage::{Stage, by_id, eventually, quick};

#[tokio::test(flavor = "multi_thread")]
async fn files_wait_for_a_token_and_for_a_good_one() {
    let stage = Stage::new().await;
    let files: Vec<File> = (0..5).map(|n| File::picture(&format!("100{n}"), 3_000)).collect();
    files.iter().for_each(|file| stage.meta.has(file));
    let running = stage.worker(quick()).await;
    let named = files.iter().map(by_id).collect();
    let sent = stage.say("acme", "whatsapp:111", "15550001", named).await;
    eventually("it asks for one", async || running.metric("attachments_retries_total", "no_token") >= 2.0)
        .await;
    stage.meta.takes("another");
    stage.set_token("acme").await;
    eventually("it is refused", async || running.metric("attachments_retries_total", "unauthorized") >= 2.0)
        .await;
    assert!(stage.outcomes().await.is_empty(), "that says nothing of the files");
    stage.meta.takes(TOKEN);
    for file in &sent.files {
        stage.stored(*file).await;
    }
    // One whose time is over before a person has acted.
    let refused = running.metric("attachments_retries_total", "unauthorized");
    stage.meta.takes("another");
    let late = stage.say("acme", "whatsapp:111", "15550001", vec![by_id(&files[0])]).await;
    eventually("it is refused", async || {
        running.metric("attachments_retries_total", "unauthorized") > refused
    })
    .await;
    stage.files_expire();
    let outcome = stage.outcome(late.files[0]).await;
    assert_eq!((outcome.state, outcome.reason.as_deref()), (FileState::Failed, Some("unauthorized")));
    running.end().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_is_waited_for() {
    let mut stage = Stage::new().await;
    stage.tenant("acme").await;
    let file = File::picture("1001", 10 << 20).gated();
    stage.meta.has(&file);
    let running = stage.worker(quick()).await;
    let sent = stage.say("acme", "whatsapp:111", "15550001", vec![by_id(&file)]).await;
    eventually("it is on its way", async || file.asked() == 1).await;
    let s3 = stage.s3.take().unwrap();
    let config = s3.config();
    let (endpoint, credentials) = (config.endpoint.unwrap(), config.credentials.unwrap());
    let listen: SocketAddr = endpoint.strip_prefix("http://").unwrap().parse().unwrap();
    s3.stop().await;
    file.gate.send_replace(true);
    eventually("it is tried again", async || {
        running.metric("attachments_retries_total", "object_store") >= 1.0
    })
    .await;
    assert!(stage.outcomes().await.is_empty());
    let folder = stage.folder.path().join("objects");
    stage.s3 = Some(LocalS3::start_with(&folder, listen, "tidings", credentials).await.unwrap());
    stage.stored(sent.files[0]).await;
    assert!(stage.opened(&sent, 0).await.unwrap() == file.bytes);
    running.end().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_postgresql_loses_no_file() {
    const FILES: usize = 30;
    let stage = Stage::alone().await;
    stage.tenant("acme").await;
    let files: Vec<File> = (0..FILES).map(|n| File::picture(&format!("{}", 1000 + n), 30_000)).collect();
    files.iter().for_each(|file| stage.meta.has(file));
    let mut sent = Vec::new();
    for (n, file) in files.iter().enumerate() {
        sent.push(stage.say("acme", "whatsapp:111", &format!("155500{n:02}"), vec![by_id(file)]).await);
    }
    let running = stage.worker(quick()).await;
    eventually("some are stored", async || stage.outcomes().await.len() >= 3).await;
    stage.server.postgres.crash();
    for one in &sent {
        stage.stored(one.files[0]).await;
    }
    eventually("the queue is empty", async || {
        stage.queue.attachment_backlog().await.is_ok_and(|backlog| backlog.files == 0)
    })
    .await;
    running.end().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_gives_back_what_it_cannot_finish() {
    let stage = Stage::new().await;
    stage.tenant("acme").await;
    let (slow, quick_one) = (File::picture("1001", 50_000).gated(), File::picture("1002", 50_000).gated());
    stage.meta.has(&slow);
    stage.meta.has(&quick_one);
    let running = stage.worker(quick()).await;
    let sent = stage.say("acme", "whatsapp:111", "15550001", vec![by_id(&slow), by_id(&quick_one)]).await;
    eventually("both are on their way", async || slow.asked() + quick_one.asked() == 2).await;
    running.stop.cancel();
    quick_one.gate.send_replace(true);
    stage.stored(sent.files[1]).await;
    running.end().await;
    assert_eq!(stage.outcomes().await.len(), 1);
    slow.gate.send_replace(true);
    // At once, although the lease is a minute long.
    let next = stage.worker(quick()).await;
    stage.stored(sent.files[0]).await;
    stage.idle().await;
    assert_eq!((slow.asked(), quick_one.asked()), (2, 1));
    next.end().await;
    stage.end().await;
}
