//! Smoke.
use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use eventlog::*;

#[tokio::test(flavor = "multi_thread")]
async fn smoke() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = EmbeddedConfig::new(dir.path().join("log"));
    config.sweep_every = Duration::from_millis(200);
    let log = EventLog::embedded(config.clone()).await.unwrap();
    assert!(matches!(EventLog::embedded(config.clone()).await, Err(LogError::InUse { .. })));
    let topic = Topic::new("raw").unwrap();
    log.ensure(&TopicSpec { topic: topic.clone(), partitions: 4, retention: Retention::Forever }).await.unwrap();
    let began = std::time::Instant::now();
    let mut pending = Vec::new();
    for i in 0..10_000u32 {
        let record = Record { value: Some(Bytes::from(i.to_string())), ..Record::default() };
        pending.push(log.append(&TopicPartition::new(&topic, i % 4), record).unwrap());
    }
    for p in pending {
        p.await.unwrap();
    }
    println!("10k in {:?}", began.elapsed());
    let one = log.append(&TopicPartition::new(&topic, 0), Record::default()).unwrap();
    let began = std::time::Instant::now();
    one.await.unwrap();
    println!("one in {:?}", began.elapsed());
    let sub = |m: &str| Subscription { group: "g".into(), member: m.into(), topics: vec![topic.clone()], max_batch: 500 };
    let mut a = log.subscribe(sub("a")).await.unwrap();
    let mut seen = HashMap::new();
    let mut count = 0;
    while count < 10_001 {
        match tokio::time::timeout(Duration::from_secs(5), a.next()).await.unwrap().unwrap() {
            Delivery::Assigned(x) => x.start(HashMap::new()),
            Delivery::Revoked(_) => panic!(),
            Delivery::Batch(b) => {
                count += b.records.len();
                a.handle().commit(&b.source, b.next_offset()).await.unwrap();
                *seen.entry(b.source.partition).or_insert(0) += b.records.len();
            }
        }
    }
    println!("{seen:?}");
    let mut b = log.subscribe(sub("b")).await.unwrap();
    let Delivery::Revoked(r) = tokio::time::timeout(Duration::from_secs(5), a.next()).await.unwrap().unwrap() else { panic!() };
    println!("{:?}", r.partitions);
    drop(r);
    let Delivery::Assigned(x) = tokio::time::timeout(Duration::from_secs(5), b.next()).await.unwrap().unwrap() else { panic!() };
    assert_eq!(x.partitions.len(), 2);
    drop(x);
    drop((a, b));
    log.close(Duration::from_secs(1)).await;
    drop(log);
    let log = EventLog::embedded(config).await.unwrap();
    assert_eq!(log.bounds(&TopicPartition::new(&topic, 0)).await.unwrap(), Bounds { earliest: 0, end: 2501 });
    assert_eq!(log.committed("g", &TopicPartition::new(&topic, 0)).await.unwrap(), Some(2501));
}
