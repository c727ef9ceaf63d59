//! How long records are kept: by age, and by key.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use eventlog::{ConsumeError, Delivery, EventLog, ReadError, Record, Retention, TopicPartition};

use crate::stage::{Stage, append, batch, on_both, read_from, record, soon, subscription, text, until};

on_both!(
    age_removes_the_oldest_and_says_so,
    what_a_partition_holds_is_removed_at_once,
    keys_are_compacted_wherever_they_were_put,
    a_topic_stays_as_it_was_made
);

/// What makes Kafka as quick about it as a test needs.
fn quick() -> Vec<(String, String)> {
    let settings = [
        ("segment.ms", "500"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", "100"),
        ("max.compaction.lag.ms", "1000"),
        ("file.delete.delay.ms", "100"),
    ];
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

async fn age_removes_the_oldest_and_says_so(mut stage: Stage) {
    stage.topic_settings = quick();
    let log = stage.open().await;
    let topic = stage.topic(&log, 1, Retention::Age(Duration::from_secs(3))).await;
    let at = TopicPartition::new(&topic, 0);
    for number in 0..50 {
        append(&log, &at, record(number.to_string())).await;
    }
    let mut member = log.subscribe(subscription("g", "a", &topic)).await.unwrap();
    batch(&mut member).await;
    member.handle().commit(&at, 5).await.unwrap();
    member.close().await;
    assert_eq!(log.bounds(&at).await.unwrap().earliest, 0, "young records stay");
    until("the oldest records are gone", || async {
        // Kafka closes a segment only when something comes after it.
        append(&log, &at, record("more")).await;
        log.bounds(&at).await.unwrap().earliest > 40
    })
    .await;
    let bounds = log.bounds(&at).await.unwrap();
    let mut reader = log.reader(&at, 7).await.unwrap();
    let refused = soon("an error", reader.next(1, Duration::from_secs(30))).await.unwrap_err();
    assert!(matches!(&refused, ReadError::Gone { at: named, offset: 7 } if *named == at), "{refused}");
    assert!(
        read_from(&log, &at, bounds.earliest).await.iter().all(|stored| stored.offset >= bounds.earliest)
    );
    // The group's position went with them: that has to be said, not skipped.
    let mut member = log.subscribe(subscription("g", "a", &topic)).await.unwrap();
    let refused = soon("an error", async {
        loop {
            match member.next().await {
                Ok(Delivery::Assigned(assignment)) => drop(assignment),
                Ok(other) => panic!("{other:?}"),
                Err(refused) => return refused,
            }
        }
    })
    .await;
    assert!(matches!(&refused, ConsumeError::PositionGone { at: named } if *named == at), "{refused}");
    // Everything may go: the next record's offset never goes back.
    let end = log.bounds(&at).await.unwrap().end;
    drop((member, reader));
    log.close(Duration::from_secs(5)).await;
    drop(log);
    let log = stage.open().await;
    assert!(append(&log, &at, record("after")).await >= end);
}

fn keyed(key: &str, value: Option<String>) -> Record {
    Record { key: Some(Bytes::from(key.to_owned())), value: value.map(Bytes::from), headers: vec![] }
}

async fn values(log: &EventLog, at: &TopicPartition) -> BTreeMap<String, Vec<Option<String>>> {
    let mut found: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
    let from = log.bounds(at).await.unwrap().earliest;
    for stored in read_from(log, at, from).await {
        let Some(key) = &stored.record.key else { continue };
        let key = String::from_utf8(key.to_vec()).unwrap();
        found.entry(key).or_default().push(stored.record.value.as_ref().map(|_| text(&stored)));
    }
    found
}

async fn what_a_partition_holds_is_removed_at_once(mut stage: Stage) {
    stage.topic_settings = quick();
    let log = stage.open().await;
    let topic = stage.topic(&log, 2, Retention::CompactedAge(Duration::from_secs(3600))).await;
    let (one, other) = (TopicPartition::new(&topic, 0), TopicPartition::new(&topic, 1));
    for key in ["a", "b", "c"] {
        append(&log, &one, keyed(key, Some(key.into()))).await;
        append(&log, &other, keyed(key, Some(key.into()))).await;
    }
    log.truncate(&one).await.unwrap();
    assert!(values(&log, &one).await.is_empty());
    assert_eq!(values(&log, &other).await.len(), 3, "of that partition only");
    let bounds = log.bounds(&one).await.unwrap();
    assert_eq!((bounds.earliest, bounds.end), (3, 3), "offsets go on where they were");
    append(&log, &one, keyed("d", Some("d".into()))).await;
    assert_eq!(values(&log, &one).await.len(), 1);
    log.truncate(&one).await.unwrap();
    log.truncate(&one).await.unwrap();
}

async fn keys_are_compacted_wherever_they_were_put(mut stage: Stage) {
    stage.topic_settings = quick();
    let log = stage.open().await;
    let topic = stage.topic(&log, 2, Retention::Compacted).await;
    let (one, other) = (TopicPartition::new(&topic, 0), TopicPartition::new(&topic, 1));
    for round in 0..20 {
        for key in ["a", "b", "c"] {
            append(&log, &one, keyed(key, Some(format!("{key}{round}")))).await;
        }
    }
    // The same key elsewhere is another record's business: the caller chose the partition.
    append(&log, &other, keyed("a", Some("elsewhere".into()))).await;
    append(&log, &one, keyed("b", None)).await;
    let wanted = BTreeMap::from([
        ("a".to_owned(), vec![Some("a19".to_owned())]),
        ("c".to_owned(), vec![Some("c19".to_owned())]),
    ]);
    until("only the newest of each key is left, and nothing of a deleted one", || async {
        append(&log, &one, keyed("tick", Some("tick".into()))).await;
        let mut found = values(&log, &one).await;
        found.remove("tick");
        found == wanted
    })
    .await;
    assert_eq!(values(&log, &other).await["a"], vec![Some("elsewhere".to_owned())]);
    let found = read_from(&log, &one, 0).await;
    assert!(found.windows(2).all(|pair| pair[0].offset < pair[1].offset), "offsets stay, with gaps");
    // A group reads over the gaps.
    let mut member = log.subscribe(subscription("g", "a", &topic)).await.unwrap();
    let end = log.bounds(&one).await.unwrap().end;
    soon("the end of the compacted partition", async {
        loop {
            let batch = batch(&mut member).await;
            if batch.source == one && batch.next_offset() >= end {
                return;
            }
        }
    })
    .await;
}

async fn a_topic_stays_as_it_was_made(stage: Stage) {
    let log = stage.open().await;
    let topic = stage.topic(&log, 3, Retention::Forever).await;
    append(&log, &TopicPartition::new(&topic, 2), record("kept")).await;
    let mut spec =
        eventlog::TopicSpec { topic: topic.clone(), partitions: 5, retention: Retention::Compacted };
    log.ensure(&spec).await.unwrap();
    spec.partitions = 1;
    log.ensure(&spec).await.unwrap();
    assert_eq!(log.partitions(&topic).await.unwrap(), Some(3));
    log.close(Duration::from_secs(5)).await;
    drop(log);
    let log = stage.open().await;
    assert_eq!(log.partitions(&topic).await.unwrap(), Some(3));
    assert_eq!(read_from(&log, &TopicPartition::new(&topic, 2), 0).await.len(), 1);
}
