//! Reading by position.

use std::time::{Duration, Instant};

use eventlog::{ReadError, Retention, TopicPartition};

use crate::stage::{Stage, append, on_both, read_from, record, soon, text};

on_both!(
    any_kept_position_can_be_read_again,
    a_reader_waits_for_what_comes,
    a_dropped_wait_loses_nothing,
    beyond_the_end_is_an_error
);

async fn any_kept_position_can_be_read_again(stage: Stage) {
    let log = stage.open().await;
    let topic = stage.topic(&log, 1, Retention::Forever).await;
    let at = TopicPartition::new(&topic, 0);
    for number in 0..100 {
        append(&log, &at, record(number.to_string())).await;
    }
    for from in [0, 1, 50, 99, 3] {
        let mut reader = log.reader(&at, from).await.unwrap();
        let found = soon("a record", reader.next(1, Duration::from_secs(30))).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].offset, text(&found[0])), (from, from.to_string()));
    }
    assert_eq!(read_from(&log, &at, 90).await.len(), 10);
}

async fn a_reader_waits_for_what_comes(stage: Stage) {
    let log = stage.open().await;
    let topic = stage.topic(&log, 1, Retention::Forever).await;
    let at = TopicPartition::new(&topic, 0);
    let mut reader = log.reader(&at, 0).await.unwrap();
    let began = Instant::now();
    assert_eq!(reader.next(10, Duration::from_millis(300)).await.unwrap(), vec![]);
    assert!(began.elapsed() >= Duration::from_millis(300), "it has to wait before it says that nothing came");
    let waiting = tokio::spawn(async move { reader.next(10, Duration::from_secs(60)).await.unwrap() });
    append(&log, &at, record("new")).await;
    let found = soon("the new record", waiting).await.unwrap();
    assert_eq!(found.iter().map(text).collect::<Vec<_>>(), vec!["new"]);
}

async fn a_dropped_wait_loses_nothing(stage: Stage) {
    let log = stage.open().await;
    let topic = stage.topic(&log, 1, Retention::Forever).await;
    let at = TopicPartition::new(&topic, 0);
    let mut reader = log.reader(&at, 0).await.unwrap();
    let mut found = Vec::new();
    for number in 0..200 {
        log.append(&at, record(number.to_string())).unwrap();
    }
    soon("all records in spite of the dropped waits", async {
        while found.len() < 200 {
            let next = reader.next(7, Duration::from_secs(1));
            if let Ok(records) = tokio::time::timeout(Duration::from_micros(300), next).await {
                found.extend(records.unwrap().iter().map(text));
            }
        }
    })
    .await;
    assert_eq!(found, (0..200).map(|number| number.to_string()).collect::<Vec<_>>());
}

async fn beyond_the_end_is_an_error(stage: Stage) {
    let log = stage.open().await;
    let topic = stage.topic(&log, 1, Retention::Forever).await;
    let at = TopicPartition::new(&topic, 0);
    append(&log, &at, record("only")).await;
    let mut reader = log.reader(&at, 7).await.unwrap();
    let refused = soon("an error", reader.next(1, Duration::from_secs(30))).await.unwrap_err();
    assert!(matches!(refused, ReadError::Fatal { .. }), "{refused}");
    let mut reader = log.reader(&at, 1).await.unwrap();
    assert_eq!(
        reader.next(1, Duration::from_millis(50)).await.unwrap(),
        vec![],
        "the end itself is a position"
    );
}
