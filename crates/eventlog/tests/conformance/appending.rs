//! Appending: order, exactness, limits.

use bytes::Bytes;
use eventlog::{
    AppendError, Disposition, Header, MAX_RECORD_BYTES, Record, Retention, Topic, TopicPartition,
};
use std::time::Duration;

use crate::stage::{Stage, append, on_both, read_from, record, soon, text};

on_both!(
    records_come_back_in_order_and_exact,
    a_partition_keeps_the_order_of_many_appends,
    an_oversized_record_is_refused_and_the_largest_is_kept,
    a_full_queue_is_said_and_everything_taken_is_kept,
    a_missing_topic_is_said,
    warming_up_leaves_the_topic_empty,
    closing_keeps_what_was_taken,
);

async fn records_come_back_in_order_and_exact(stage: Stage) {
    let log = stage.open().await;
    let topic = stage.topic(&log, 2, Retention::Forever).await;
    let at = TopicPartition::new(&topic, 1);
    let every_byte: Vec<u8> = (0..=255).collect();
    let records = vec![
        Record {
            key: Some(Bytes::from_static(b"key")),
            value: Some(every_byte.clone().into()),
            headers: vec![Header::new("a", "1"), Header::new("empty", ""), Header::new("a", every_byte)],
        },
        Record { key: Some(Bytes::new()), value: Some(Bytes::new()), headers: vec![] },
        Record { key: Some(Bytes::from_static(b"tombstone")), value: None, headers: vec![] },
        Record::default(),
    ];
    for (offset, record) in (0..).zip(&records) {
        assert_eq!(append(&log, &at, record.clone()).await, offset);
    }
    let found = read_from(&log, &at, 0).await;
    assert_eq!(found.iter().map(|stored| stored.offset).collect::<Vec<_>>(), vec![0, 1, 2, 3]);
    assert!(found.iter().all(|stored| stored.timestamp_ms > 1_600_000_000_000));
    assert_eq!(found.into_iter().map(|stored| stored.record).collect::<Vec<_>>(), records);
    assert_eq!(
        log.bounds(&TopicPartition::new(&topic, 0)).await.unwrap().end,
        0,
        "the other partition is empty"
    );
}

async fn a_partition_keeps_the_order_of_many_appends(stage: Stage) {
    let log = stage.open().await;
    let topic = stage.topic(&log, 4, Retention::Forever).await;
    let mut waiting = Vec::new();
    for number in 0..8_000_u32 {
        let at = TopicPartition::new(&topic, number % 4);
        waiting.push((number, log.append(&at, record(number.to_string())).unwrap()));
    }
    for (number, pending) in waiting {
        assert_eq!(pending.await.unwrap(), u64::from(number / 4));
    }
    for partition in 0..4 {
        let found = read_from(&log, &TopicPartition::new(&topic, partition), 0).await;
        let numbers: Vec<String> = found.iter().map(text).collect();
        assert_eq!(numbers, (0..2_000).map(|i| (i * 4 + partition).to_string()).collect::<Vec<_>>());
    }
}

async fn an_oversized_record_is_refused_and_the_largest_is_kept(stage: Stage) {
    let log = stage.open().await;
    let topic = stage.topic(&log, 1, Retention::Forever).await;
    let at = TopicPartition::new(&topic, 0);
    let refused = log.append(&at, record(vec![b'x'; MAX_RECORD_BYTES + 1])).unwrap_err();
    assert!(
        matches!(refused, AppendError::TooLarge { size_bytes } if size_bytes == MAX_RECORD_BYTES + 1),
        "{refused}"
    );
    assert_eq!(refused.disposition(), Disposition::Park);
    let mut largest = Record {
        key: Some(Bytes::from_static(b"k")),
        value: None,
        headers: (0..10).map(|i| Header::new(format!("name-{i}"), "value")).collect(),
    };
    largest.value = Some(vec![b'x'; MAX_RECORD_BYTES - largest.size_bytes()].into());
    append(&log, &at, largest.clone()).await;
    append(&log, &at, record("after")).await;
    let found = read_from(&log, &at, 0).await;
    assert_eq!(found.len(), 2);
    assert!(found[0].record == largest, "the largest record came back changed");
    assert_eq!(text(&found[1]), "after");
}

async fn a_full_queue_is_said_and_everything_taken_is_kept(mut stage: Stage) {
    stage.queue_records = 50;
    let log = stage.open().await;
    let topic = stage.topic(&log, 1, Retention::Forever).await;
    let at = TopicPartition::new(&topic, 0);
    append(&log, &at, record("first")).await;
    let mut taken = Vec::new();
    let refused = loop {
        match log.append(&at, record(taken.len().to_string())) {
            Ok(pending) => taken.push(pending),
            Err(refused) => break refused,
        }
        assert!(taken.len() < 1_000_000, "the queue never filled");
    };
    assert!(matches!(refused, AppendError::Full), "{refused}");
    assert_eq!(refused.disposition(), Disposition::Retry);
    let count = taken.len() as u64;
    for (offset, pending) in (1..).zip(taken) {
        assert_eq!(soon("a confirmation", pending).await.unwrap(), offset);
    }
    // A confirmation may come a moment before its place in the queue is free.
    let after = soon("room again", async {
        loop {
            match log.append(&at, record("after")) {
                Ok(pending) => return pending.await.unwrap(),
                Err(AppendError::Full) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(cause) => panic!("{cause}"),
            }
        }
    })
    .await;
    assert_eq!(after, count + 1);
}

async fn a_missing_topic_is_said(stage: Stage) {
    let log = stage.open().await;
    let topic = stage.topic(&log, 1, Retention::Forever).await;
    let missing = Topic::new("no-such-topic").unwrap();
    assert_eq!(log.partitions(&missing).await.unwrap(), None);
    assert_eq!(log.partitions(&topic).await.unwrap(), Some(1));
    for at in [TopicPartition::new(&missing, 0), TopicPartition::new(&topic, 1)] {
        assert!(log.bounds(&at).await.is_err());
        // At once or by its confirmation.
        let refused = match log.append(&at, record("x")) {
            Ok(pending) => soon("a refusal", pending).await.unwrap_err(),
            Err(refused) => refused,
        };
        assert!(matches!(&refused, AppendError::NoSuchTopic { at: named } if *named == at), "{refused}");
    }
}

async fn warming_up_leaves_the_topic_empty(stage: Stage) {
    let log = stage.open().await;
    let topic = stage.topic(&log, 3, Retention::Forever).await;
    log.warm(&topic, Duration::from_secs(30)).await.unwrap();
    log.warm(&topic, Duration::from_secs(30)).await.unwrap();
    log.ping().await.unwrap();
    for partition in 0..3 {
        assert_eq!(log.bounds(&TopicPartition::new(&topic, partition)).await.unwrap().end, 0);
    }
}

async fn closing_keeps_what_was_taken(stage: Stage) {
    let log = stage.open().await;
    let topic = stage.topic(&log, 1, Retention::Forever).await;
    let at = TopicPartition::new(&topic, 0);
    let taken: Vec<_> = (0..500).map(|number| log.append(&at, record(number.to_string())).unwrap()).collect();
    log.close(Duration::from_secs(10)).await;
    for (offset, pending) in (0..).zip(taken) {
        assert_eq!(pending.await.unwrap(), offset);
    }
    let refused = log.append(&at, record("late")).unwrap_err();
    assert!(matches!(refused, AppendError::Closed { .. }), "{refused}");
    drop(log);
    let log = stage.open().await;
    assert_eq!(read_from(&log, &at, 0).await.len(), 500);
}
