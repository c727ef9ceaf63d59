//! People who are forgotten, and that forgetting one does not wait for another's file.

use schemas::{Action, ErasureId, FileState};
use service::Clock;
use store::{KeyringRole, ViewsDb, ViewsRole};
use tokio_util::sync::CancellationToken;

use crate::meta::File;
use crate::stage::{Sent, Stage, by_id, eventually, now_ms, quick};

impl Stage {
    /// The first steps of an erasure, as the keeper does them. The offset behind what it told everybody.
    async fn shred(&self, sent: &Sent) -> u64 {
        let keeper = self.keyring(KeyringRole::Keeper).await;
        assert_eq!(keeper.shred(&sent.tenant, sent.subject, now_ms()).await.unwrap(), 1);
        let action = Action::SubjectShredded {
            erasure: ErasureId::from_bytes([9; 16]),
            tenant: sent.tenant.clone(),
            subject: sent.subject,
        };
        let (_, offset) = self.plane.act(now_ms(), "platform", action).await.unwrap();
        offset + 1
    }

    /// The last ones.
    async fn remove(&self, sent: &Sent) {
        let views = ViewsDb::connect(&self.views, ViewsRole::Keeper, 1).await.unwrap();
        views.forget(&sent.tenant, sent.subject).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_person_is_let_go_at_once_and_nobody_else_is() {
    let stage = Stage::new().await;
    stage.tenant("acme").await;
    let (lost, kept) = (File::picture("1001", 300_000).gated(), File::picture("1002", 9 << 20).gated());
    stage.meta.has(&lost);
    stage.meta.has(&kept);
    let keyring = stage.keyring(KeyringRole::Opener).await;
    // As a process does: it says what it has forgotten.
    let (stop, state) = (CancellationToken::new(), stage.plane.watch());
    let attending =
        tokio::spawn(keyring.clone().attend("worker".into(), state, Clock::system(), stop.clone()));
    let running = stage.worker_with(quick(), keyring, stage.meta.graph()).await;
    let gone = stage.say("acme", "whatsapp:111", "15550001", vec![by_id(&lost)]).await;
    let other = stage.say("acme", "whatsapp:111", "15550002", vec![by_id(&kept)]).await;
    eventually("both are on their way", async || lost.asked() + kept.asked() == 2).await;

    let keeper = stage.keyring(KeyringRole::Keeper).await;
    eventually("it attends", async || keeper.db().holders_behind(1, 0).await.unwrap() == 1).await;
    let told = stage.shred(&gone).await;
    // Although neither file has come: nothing is waited for.
    eventually("it has forgotten", async || keeper.db().holders_behind(told, 0).await.unwrap() == 0).await;
    eventually("dropped", async || running.metric("attachments_dropped_total", "forgotten") == 1.0).await;
    stage.remove(&gone).await;
    lost.gate.send_replace(true);
    kept.gate.send_replace(true);
    stage.stored(other.files[0]).await;
    assert!(stage.opened(&other, 0).await.unwrap() == kept.bytes, "the key it was begun with");
    assert_eq!(kept.asked(), 1, "in one go");
    stage.idle().await;
    assert_eq!(stage.blobs.list(&gone.folder(), None, 1).await.unwrap(), []);
    assert!(stage.outcomes().await.iter().all(|(event, _)| event.subject == Some(other.subject)));
    running.end().await;
    stop.cancel();
    attending.await.unwrap().unwrap();
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_of_somebody_who_was_forgotten_is_not_queued() {
    let stage = Stage::new().await;
    stage.tenant("acme").await;
    let (lost, kept) = (File::picture("1001", 5_000), File::picture("1002", 5_000));
    stage.meta.has(&lost);
    stage.meta.has(&kept);
    // Both are in the log before a worker looks.
    let gone = stage.say("acme", "whatsapp:111", "15550001", vec![by_id(&lost)]).await;
    let other = stage.say("acme", "whatsapp:111", "15550002", vec![by_id(&kept)]).await;
    stage.shred(&gone).await;
    stage.remove(&gone).await;
    let running = stage.worker(quick()).await;
    assert_eq!(stage.stored(other.files[0]).await.state, FileState::Stored);
    // Every event has been read.
    eventually("all is read", async || {
        let events = eventlog::Topic::new(stage.topics.events()).unwrap();
        let mut left = 0;
        for partition in 0..crate::stage::PARTITIONS.main {
            let at = eventlog::TopicPartition::new(&events, partition);
            let end = stage.log.bounds(&at).await.unwrap().end;
            left += end - stage.log.committed("attachments", &at).await.unwrap().unwrap_or(0);
        }
        left == 0
    })
    .await;
    stage.idle().await;
    assert_eq!((lost.asked(), stage.objects().await, stage.outcomes().await.len()), (0, 1, 1));
    running.end().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_gone_end_a_job_although_nobody_told_this_process() {
    let stage = Stage::new().await;
    let file = File::picture("1001", 5_000);
    stage.meta.has(&file);
    let sent = stage.say("acme", "whatsapp:111", "15550001", vec![by_id(&file)]).await;
    let keeper = stage.keyring(KeyringRole::Keeper).await;
    assert_eq!(keeper.shred(&sent.tenant, sent.subject, now_ms()).await.unwrap(), 1);
    let running = stage.worker(quick()).await;
    eventually("dropped", async || running.metric("attachments_dropped_total", "forgotten") == 1.0).await;
    stage.idle().await;
    assert_eq!((file.asked(), stage.objects().await), (0, 0));
    running.end().await;
    stage.end().await;
}
