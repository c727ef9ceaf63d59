//! Messages that are taken back: nothing of theirs stays, whatever comes first.

use bytes::Bytes;

use crate::meta::File;
use crate::stage::{Stage, by_id, eventually, quick};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_back_before_is_not_fetched() {
    let stage = Stage::new().await;
    stage.tenant("acme").await;
    let (file, other) = (File::picture("1001", 5_000), File::picture("1002", 5_000));
    stage.meta.has(&file);
    stage.meta.has(&other);
    let running = stage.worker(quick()).await;
    let sent =
        stage.message("acme", "whatsapp:111", "15550001", crate::stage::now_ms(), vec![by_id(&file)]).await;
    stage.unsend(&sent).await;
    stage.deliver(&sent.event).await;
    // Of the same person, hence read after it.
    let next = stage.say("acme", "whatsapp:111", "15550001", vec![by_id(&other)]).await;
    stage.stored(next.files[0]).await;
    stage.idle().await;
    assert_eq!((file.asked(), stage.objects().await, stage.outcomes().await.len()), (0, 1, 1));
    running.end().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_afterwards_is_removed_and_so_is_what_comes_late() {
    let stage = Stage::new().await;
    stage.tenant("acme").await;
    let (file, other) = (File::picture("1001", 5_000), File::picture("1002", 5_000));
    stage.meta.has(&file);
    stage.meta.has(&other);
    let running = stage.worker(quick()).await;
    let sent = stage.say("acme", "whatsapp:111", "15550001", vec![by_id(&file)]).await;
    let kept = stage.say("acme", "whatsapp:111", "15550001", vec![by_id(&other)]).await;
    stage.stored(sent.files[0]).await;
    stage.stored(kept.files[0]).await;
    stage.unsend(&sent).await;
    eventually("it is gone", async || stage.opened(&sent, 0).await.is_none()).await;
    // As if a fetch had been on its way.
    stage.blobs.put(&sent.object(0), Bytes::from_static(b"late")).await.unwrap();
    stage.sql("UPDATE attachment_job SET queued_ms = 0");
    stage.leases_end();
    eventually("that is gone too", async || {
        stage.blobs.list(&sent.folder(), None, 1).await.unwrap().is_empty()
    })
    .await;
    eventually("nothing is left to do", async || stage.sql("SELECT count(*) FROM attachment_job") == "0")
        .await;
    assert!(stage.opened(&kept, 0).await.is_some(), "what stands beside it stays");
    assert_eq!(running.metric("attachments_removed_objects_total", ""), 2.0);
    running.end().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_while_it_comes_is_dropped() {
    let stage = Stage::new().await;
    stage.tenant("acme").await;
    let file = File::picture("1001", 300_000).gated();
    stage.meta.has(&file);
    let running = stage.worker(quick()).await;
    let sent = stage.say("acme", "whatsapp:111", "15550001", vec![by_id(&file)]).await;
    eventually("it is on its way", async || file.asked() == 1).await;
    stage.unsend(&sent).await;
    eventually("that is known", async || stage.sql("SELECT count(*) FROM attachment_unsent") == "1").await;
    file.gate.send_replace(true);
    eventually("dropped", async || running.metric("attachments_dropped_total", "unsent") == 1.0).await;
    assert_eq!((stage.objects().await, stage.outcomes().await.len()), (0, 0));
    running.end().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_under_another_subject_of_theirs_is_removed_too() {
    let stage = Stage::new().await;
    stage.tenant("acme").await;
    let file = File::picture("1001", 5_000);
    stage.meta.has(&file);
    let running = stage.worker(quick()).await;
    let sent = stage.say("acme", "whatsapp:111", "15550001", vec![by_id(&file)]).await;
    stage.stored(sent.files[0]).await;
    // They turn out to be somebody else as well, and it is as that one that they take it back.
    let other = stage.message("acme", "whatsapp:111", "15550002", crate::stage::now_ms(), Vec::new()).await;
    let both = [sent.subject, other.subject];
    assert!(stage.keyring(store::KeyringRole::Router).await.merge(&sent.tenant, &both).await.unwrap());
    let mut taken_back = sent.clone();
    taken_back.event.subject = Some(other.subject);
    taken_back.event.conversation = other.event.conversation;
    stage.unsend(&taken_back).await;
    eventually("it is gone", async || stage.objects().await == 0).await;
    running.end().await;
    stage.end().await;
}
