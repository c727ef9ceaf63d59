//! Bodies are sealed before they reach the log, with a key that changes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use eventlog::{MAX_RECORD_BYTES, Record, Topic, TopicPartition};
use ingest::Config;
use memchr::memmem;
use schemas::{Action, KeyLevel, Topics, raw_header};
use seal::RootKey;
use service::Clock;

use crate::callbacks::{callback, signed_request};
use crate::client::{delivery, status};
use crate::stage::{BODY, INSTAGRAM, NEXT, SECRET, Stage};

/// In how many files of a folder each of these stands.
fn hits(folder: &Path, wanted: &[&str]) -> Vec<usize> {
    let mut hits = vec![0; wanted.len()];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            hits.iter_mut().zip(self::hits(&path, wanted)).for_each(|(hits, more)| *hits += more);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            for (hits, wanted) in hits.iter_mut().zip(wanted) {
                *hits += usize::from(memmem::find(&bytes, wanted.as_bytes()).is_some());
            }
        }
    }
    hits
}

#[tokio::test]
async fn what_is_kept_opens_with_the_root_key_only_and_as_what_it_was() {
    let stage = Stage::new().await;
    assert_eq!(status(stage.address, &delivery(SECRET, BODY)).await, 200);
    let mut record = stage.raw().await.remove(0);
    assert_eq!(record.value.as_deref().unwrap().len(), BODY.len() + seal::OVERHEAD_BYTES);
    assert_eq!(stage.open(&record).unwrap(), BODY);
    let wrapped = record.header_str(raw_header::KEY).unwrap();
    assert!(RootKey::generate().unwrap().data_key(wrapped).is_err());
    assert!(stage.key.open("raw", wrapped).is_err(), "the edge cannot open it again");
    // As another app's it does not open.
    record.headers.iter_mut().find(|header| &*header.name == raw_header::APP).unwrap().value = "other".into();
    assert!(stage.open(&record).is_err());
}

#[tokio::test]
async fn nothing_of_a_body_a_secret_or_a_user_is_on_the_disk() {
    let stage = Stage::new().await;
    let body = br#"{"object":"page","entry":[{"id":"1","text":"CANARY-4711 says hello"}]}"#;
    for _ in 0..20 {
        assert_eq!(status(stage.address, &delivery(SECRET, body)).await, 200);
    }
    let request =
        signed_request(SECRET, r#"{"algorithm":"HMAC-SHA256","user_id":"10159999888877776","issued_at":7}"#);
    assert_eq!(status(stage.address, &callback("acme/data-deletion", &request)).await, 200);
    // What is written in clear is found, so this would find a body.
    let topic = Topic::new(Topics::default().quarantine()).unwrap();
    let clear = Record { key: None, value: Some("CLEAR-4711".into()), headers: Vec::new() };
    stage.log.append(&TopicPartition::new(&topic, 0), clear).unwrap().await.unwrap();
    let canaries = ["CANARY-4711", "10159999888877776", &request, SECRET, NEXT, INSTAGRAM, "a token&"];
    let check = |when: &str| {
        assert!(hits(stage.folder(), &["CLEAR-4711"])[0] > 0, "{when}");
        assert_eq!(hits(stage.folder(), &canaries), [0; 7], "{when}");
    };
    check("while it runs");
    assert_eq!(stage.bodies().await, vec![body.to_vec(); 20]);
    stage.log.close(Duration::from_secs(5)).await;
    check("when it is closed");
}

#[tokio::test]
async fn the_key_changes_every_hour_and_when_fresh_ones_are_asked_for() {
    let now_ms = Arc::new(AtomicI64::new(1_780_000_000_000));
    let clock = Clock::from_fn({
        let now_ms = now_ms.clone();
        move || now_ms.load(Ordering::Relaxed)
    });
    let stage = Stage::built(Config::default(), clock, None).await;
    let mut sent = 0;
    let mut key = async || {
        sent += 1;
        let body = format!(r#"{{"sent":{sent}}}"#);
        assert_eq!(status(stage.address, &delivery(SECRET, body.as_bytes())).await, 200);
        let raw = stage.raw().await;
        let record = raw.iter().find(|record| stage.open(record).unwrap() == body.as_bytes()).unwrap();
        record.header_str(raw_header::KEY).unwrap().to_owned()
    };
    let hour_ms = 60 * 60 * 1000;
    let first = key().await;
    now_ms.fetch_add(hour_ms - 1, Ordering::Relaxed);
    assert_eq!(key().await, first);
    now_ms.fetch_add(1, Ordering::Relaxed);
    let second = key().await;
    assert_ne!(second, first);
    assert_eq!(key().await, second);
    stage.act(Action::KeysRotated { level: KeyLevel::Data, tenant: None }).await;
    let third = key().await;
    assert!(third != second && third != first);
    assert_eq!(key().await, third);
    assert_eq!(stage.metric("ingest_data_keys_total", None), 3.0);
    assert_eq!(stage.metric("ingest_data_key_failures_total", None), 0.0);
    assert_eq!(stage.bodies().await.len(), 6, "each opens with its own");
}

#[tokio::test]
async fn the_largest_body_that_may_be_set_fits_the_log() {
    let mut config = Config::default();
    config.limits.body_bytes = MAX_RECORD_BYTES - 64 * 1024 - seal::OVERHEAD_BYTES;
    let largest = vec![b'x'; config.limits.body_bytes];
    let stage = Stage::with(config).await;
    assert_eq!(status(stage.address, &delivery(SECRET, &largest)).await, 200);
    assert!(stage.bodies().await == [largest]);
}
