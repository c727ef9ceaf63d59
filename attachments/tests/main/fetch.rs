//! What a file becomes when nothing is in its way, and when it is not what it should be.

use std::time::Duration;

use attachments::Config;
use schemas::{Attachment, Event, FileState, Kind};

use crate::meta::File;
use crate::stage::{PARTITIONS, Stage, by_id, eventually, foreign, now_ms, quick};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[tokio::test(flavor = "multi_thread")]
async fn what_people_sent_is_stored_sealed_and_said() {
    let stage = Stage::new().await;
    stage.tenant("acme").await;
    let picture = File::picture("1001", 200_000);
    let small = File::picture("1002", 300);
    let address = File::picture("2001", 70_000);
    for file in [&picture, &small, &address] {
        stage.meta.has(file);
    }
    // The defaults, poll and all: what is queued is fetched at once.
    let running = stage.worker(Config { partitions: PARTITIONS, ..Config::default() }).await;
    let said = stage.say("acme", "whatsapp:111", "15550001", vec![by_id(&picture), by_id(&small)]).await;
    let by_address =
        Attachment { kind: "image".into(), url: Some(stage.meta.address(&address)), ..Attachment::default() };
    let shown = stage.say("beta", "messenger:222", "15550002", vec![by_address]).await;

    for (sent, file, expected) in [(&said, 0, &picture), (&said, 1, &small), (&shown, 0, &address)] {
        let outcome = stage.stored(sent.files[file]).await;
        assert_eq!(outcome.bytes, Some(expected.bytes.len() as u64));
        assert_eq!(outcome.media_type.as_deref(), Some("image/jpeg"));
        assert!(stage.opened(sent, file).await.unwrap() == expected.bytes, "it is what Meta had");
        assert_eq!(expected.asked(), 1);
        // Some way into the file, where nothing is like it.
        let middle = expected.bytes.len() / 2;
        assert_eq!(stage.on_disk(&expected.bytes[middle..middle + 32]), 0, "in clear nowhere");
    }
    stage.idle().await;
    let (event, _) =
        stage.outcomes().await.into_iter().find(|(_, one)| one.attachment == shown.files[0]).unwrap();
    assert_eq!(
        (event.kind, event.message, event.subject, event.conversation, event.raw),
        (
            Kind::AttachmentStored,
            Some(shown.message),
            Some(shown.subject),
            shown.event.conversation,
            shown.event.raw
        )
    );
    let feed = stage.records(&stage.topics.inbox(&shown.tenant), PARTITIONS.inbox).await;
    let last = &feed.last().unwrap().record;
    let told = Event::decode(|name| last.header_str(name), last.value.as_deref().unwrap()).unwrap();
    assert_eq!((told.id, told.kind, told.source.as_str()), (event.id, Kind::AttachmentStored, "null"));
    assert!(running.readiness.closed().is_empty());
    assert_eq!(running.metric("attachments_outcomes_total", "stored"), 3.0);
    assert_eq!(running.metric("attachments_stored_bytes_total", ""), 270_300.0);
    eventually("nothing is in flight", async || running.metric("attachments_in_flight", "") == 0.0).await;
    running.end().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_of_metas_is_waited_out() {
    let stage = Stage::new().await;
    stage.tenant("acme").await;
    let file = File::picture("1001", 5_000).failing(4);
    stage.meta.has(&file);
    let running = stage.worker(quick()).await;
    let sent = stage.say("acme", "whatsapp:111", "15550001", vec![by_id(&file)]).await;
    stage.stored(sent.files[0]).await;
    assert!(running.metric("attachments_retries_total", "server_trouble") >= 4.0);
    running.end().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_what_was_said_of_it_is_refused_and_kept_nowhere() {
    let stage = Stage::new().await;
    stage.tenant("acme").await;
    // Larger than a part of an upload: some of it is in the store before the end is known.
    let (forged, other) = (File::picture("1001", 17 << 20), File::picture("1002", 17 << 20));
    stage.meta.has(&forged);
    let running = stage.worker(quick()).await;
    let wrong = Attachment { sha256: Some(other.sha256()), ..by_id(&forged) };
    let sent = stage.say("acme", "whatsapp:111", "15550001", vec![wrong]).await;
    let outcome = stage.outcome(sent.files[0]).await;
    assert_eq!((outcome.state, outcome.reason.as_deref()), (FileState::Refused, Some("sha256_mismatch")));
    assert_eq!(stage.objects().await, 0);
    assert_eq!(stage.blobs.abort_stale_uploads(Duration::ZERO).await.unwrap(), 0, "nor in parts");
    stage.idle().await;

    // A name that leads nowhere, and one that leads inside.
    let address =
        |url: &str| Attachment { kind: "image".into(), url: Some(url.into()), ..Attachment::default() };
    let hostile = vec![address("http://169.254.169.254/latest/meta-data"), address("file:///etc/passwd")];
    let sent = stage.say("acme", "messenger:222", "15550001", hostile).await;
    for file in sent.files {
        let outcome = stage.outcome(file).await;
        assert_eq!(outcome.state, FileState::Refused);
        assert!(outcome.reason.is_some());
    }
    running.end().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_meta_has_no_longer_is_expired_and_what_never_comes_has_failed() {
    let stage = Stage::new().await;
    stage.tenant("acme").await;
    let (gone, broken) = (File::picture("1001", 500), File::picture("1002", 500).failing(u32::MAX));
    stage.meta.has(&broken);
    let running = stage.worker(quick()).await;
    let sent = stage.say("acme", "whatsapp:111", "15550001", vec![by_id(&gone)]).await;
    let late = stage.say("acme", "whatsapp:111", "15550001", vec![by_id(&broken)]).await;
    // Graph says the same of what is gone and of what its token may not see: somebody may see to that yet.
    let hidden = File::picture("1003", 500);
    let seen_later = stage.say("acme", "whatsapp:111", "15550001", vec![by_id(&hidden)]).await;
    eventually("it is tried again and again", async || broken.asked() > 2 && stage.meta.unseen() > 5).await;
    assert_eq!(stage.outcomes().await.len(), 0, "nothing is said until its time is over");
    stage.meta.has(&hidden);
    // Now the token sees it.
    stage.stored(seen_later.files[0]).await;
    stage.files_expire();
    let outcome = stage.outcome(sent.files[0]).await;
    assert_eq!((outcome.state, outcome.reason.as_deref()), (FileState::Expired, Some("not_visible")));
    let outcome = stage.outcome(late.files[0]).await;
    assert_eq!((outcome.state, outcome.reason.as_deref()), (FileState::Failed, Some("server_trouble")));
    stage.idle().await;
    assert_eq!(running.metric("attachments_outcomes_total", "expired"), 1.0);
    assert_eq!(running.metric("attachments_outcomes_total", "failed"), 1.0);
    running.end().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_of_an_old_event_finds_what_is_stored_although_meta_has_it_no_longer() {
    let stage = Stage::new().await;
    stage.tenant("acme").await;
    let file = File::picture("1001", 150_000);
    stage.meta.has(&file);
    let running = stage.worker(quick()).await;
    let old_ms = now_ms() - 2 * DAY_MS;
    let sent = stage.message("acme", "whatsapp:111", "15550001", old_ms, vec![by_id(&file)]).await;
    stage.deliver(&sent.event).await;
    let first = stage.stored(sent.files[0]).await;
    stage.idle().await;
    stage.meta.has_no_longer(&file);
    stage.deliver(&sent.event).await;
    eventually("it is said again", async || stage.outcomes().await.len() == 2).await;
    let outcomes = stage.outcomes().await;
    assert_eq!(outcomes[0].0.id, outcomes[1].0.id);
    assert!(outcomes.iter().all(|(_, outcome)| *outcome == first), "the same of the same");
    assert_eq!(file.asked(), 1);
    running.end().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_history_import_brings_is_fetched_too_and_what_cannot_be_read_is_counted() {
    let stage = Stage::new().await;
    stage.tenant("acme").await;
    let file = File::picture("1001", 5_000);
    stage.meta.has(&file);
    let running = stage.worker(quick()).await;
    let events = eventlog::Topic::new(stage.topics.events()).unwrap();
    let at = eventlog::TopicPartition::new(&events, 0);
    stage.log.append(&at, foreign()).unwrap().await.unwrap();
    let ago_ms = now_ms() - 180 * DAY_MS;
    let mut sent = stage.message("acme", "whatsapp:111", "15550001", ago_ms, vec![by_id(&file)]).await;
    sent.event.imported = true;
    stage.deliver(&sent.event).await;
    stage.stored(sent.files[0]).await;
    assert!(stage.outcomes().await[0].0.imported);
    eventually("counted", async || running.metric("attachments_unreadable_records_total", "") == 1.0).await;
    running.end().await;
    stage.end().await;
}
