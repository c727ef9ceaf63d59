//! Groups: positions, sharing, handing over, seeking, pausing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use eventlog::{
    ConsumeError, Consumer, Delivery, EventLog, LogError, Retention, Start, Topic, TopicPartition,
};
use tokio::sync::watch;

use crate::stage::{PATIENCE, Stage, append, batch, group, on_both, record, soon, subscription, text, until};

on_both!(
    a_group_goes_on_at_its_committed_position,
    a_member_may_begin_where_its_own_store_says,
    a_position_that_is_not_there_is_never_skipped,
    two_members_share_and_hand_over_without_loss,
    a_new_member_of_the_same_name_takes_over,
    only_the_owner_commits,
    a_seek_discards_what_was_fetched,
    a_paused_partition_is_silent_and_loses_nothing,
    a_dropped_wait_loses_nothing,
    a_group_needs_its_topics,
    a_slow_member_gets_everything_in_the_end,
);

async fn fill(log: &EventLog, topic: &Topic, partitions: u32, count: u32) {
    let waiting: Vec<_> = (0..count)
        .map(|number| {
            log.append(&TopicPartition::new(topic, number % partitions), record(number.to_string())).unwrap()
        })
        .collect();
    for pending in waiting {
        pending.await.unwrap();
    }
}

async fn a_group_goes_on_at_its_committed_position(stage: Stage) {
    let log = stage.open().await;
    let topic = stage.topic(&log, 1, Retention::Forever).await;
    let at = TopicPartition::new(&topic, 0);
    fill(&log, &topic, 1, 100).await;
    assert_eq!(log.committed(&group("g", &topic), &at).await.unwrap(), None);
    let mut member = log.subscribe(subscription("g", "a", &topic)).await.unwrap();
    let first = batch(&mut member).await;
    assert_eq!(first.records[0].offset, 0, "without a position it is the oldest record");
    member.handle().commit(&at, 40).await.unwrap();
    member.close().await;
    assert_eq!(log.committed(&group("g", &topic), &at).await.unwrap(), Some(40));
    log.close(Duration::from_secs(5)).await;
    drop(log);

    let log = stage.open().await;
    let mut member = log.subscribe(subscription("g", "a", &topic)).await.unwrap();
    let again = batch(&mut member).await;
    assert_eq!((again.records[0].offset, text(&again.records[0])), (40, "40".to_owned()));
    let mut other = log.subscribe(subscription("other", "a", &topic)).await.unwrap();
    assert_eq!(batch(&mut other).await.records[0].offset, 0, "another group has its own position");
}

async fn a_member_may_begin_where_its_own_store_says(stage: Stage) {
    let log = stage.open().await;
    let topic = stage.topic(&log, 2, Retention::Forever).await;
    fill(&log, &topic, 2, 100).await;
    let mut member = log.subscribe(subscription("g", "a", &topic)).await.unwrap();
    let mut begun = BTreeMap::new();
    soon("both partitions", async {
        while begun.len() < 2 {
            match member.next().await.unwrap() {
                Delivery::Assigned(assignment) => {
                    let starts = assignment
                        .partitions
                        .iter()
                        .map(|at| (at.clone(), Start::Offset(u64::from(at.partition) + 10)));
                    let starts: HashMap<_, _> = starts.collect();
                    assignment.start(starts);
                }
                Delivery::Revoked(_) => {}
                Delivery::Batch(batch) => {
                    begun.entry(batch.source.partition).or_insert(batch.records[0].offset);
                }
            }
        }
    })
    .await;
    assert_eq!(begun, BTreeMap::from([(0, 10), (1, 11)]));
}

async fn a_position_that_is_not_there_is_never_skipped(stage: Stage) {
    let log = stage.open().await;
    let topic = stage.topic(&log, 1, Retention::Forever).await;
    let at = TopicPartition::new(&topic, 0);
    fill(&log, &topic, 1, 10).await;
    let mut member = log.subscribe(subscription("g", "a", &topic)).await.unwrap();
    let refused = soon("an error", async {
        loop {
            match member.next().await {
                Ok(Delivery::Assigned(assignment)) => {
                    assignment.start(HashMap::from([(at.clone(), Start::Offset(11))]))
                }
                Ok(other) => panic!("{other:?}"),
                Err(refused) => return refused,
            }
        }
    })
    .await;
    assert!(matches!(&refused, ConsumeError::PositionGone { at: named } if *named == at), "{refused}");
}

/// A member that commits every batch, and what it saw.
struct Worker {
    stop: watch::Sender<bool>,
    owned: Arc<Mutex<BTreeSet<u32>>>,
    done: tokio::task::JoinHandle<()>,
}

/// How often each record was seen by anybody.
type Seen = Arc<Mutex<BTreeMap<(u32, u64), u32>>>;

fn work(mut member: Consumer, seen: Seen) -> Worker {
    let (stop, mut stopping) = watch::channel(false);
    let owned = Arc::new(Mutex::new(BTreeSet::new()));
    let mine = owned.clone();
    let done = tokio::spawn(async move {
        loop {
            let delivery = tokio::select! {
                delivery = member.next() => delivery.unwrap(),
                _ = stopping.changed() => return member.close().await,
            };
            match delivery {
                Delivery::Assigned(assignment) => {
                    mine.lock().unwrap().extend(assignment.partitions.iter().map(|at| at.partition));
                    assignment.start(HashMap::new());
                }
                Delivery::Revoked(revocation) => {
                    let mut mine = mine.lock().unwrap();
                    for at in &revocation.partitions {
                        mine.remove(&at.partition);
                    }
                }
                Delivery::Batch(batch) => {
                    for stored in &batch.records {
                        *seen.lock().unwrap().entry((batch.source.partition, stored.offset)).or_insert(0) +=
                            1;
                    }
                    match member.handle().commit(&batch.source, batch.next_offset()).await {
                        Ok(()) | Err(ConsumeError::NotOurs { .. }) => {}
                        Err(cause) => panic!("{cause}"),
                    }
                }
            }
        }
    });
    Worker { stop, owned, done }
}

impl Worker {
    fn owns(&self) -> BTreeSet<u32> {
        self.owned.lock().unwrap().clone()
    }

    async fn leave(self) {
        self.stop.send(true).unwrap();
        self.done.await.unwrap();
    }
}

async fn two_members_share_and_hand_over_without_loss(stage: Stage) {
    const PARTITIONS: u32 = 6;
    let log = stage.open().await;
    let topic = stage.topic(&log, PARTITIONS, Retention::Forever).await;
    let seen: Seen = Arc::default();
    let (stop, stopped) = watch::channel(false);
    let appending = tokio::spawn({
        let (log, topic) = (log.clone(), topic.clone());
        async move {
            let mut number = 0;
            while !*stopped.borrow() {
                append(&log, &TopicPartition::new(&topic, number % PARTITIONS), record(number.to_string()))
                    .await;
                number += 1;
            }
        }
    });
    let all: BTreeSet<u32> = (0..PARTITIONS).collect();
    let a = work(log.subscribe(subscription("g", "a", &topic)).await.unwrap(), seen.clone());
    until("a has all partitions", || async { a.owns() == all }).await;
    let b = work(log.subscribe(subscription("g", "b", &topic)).await.unwrap(), seen.clone());
    until("each has half of the partitions", || async {
        a.owns().len() == 3
            && b.owns().len() == 3
            && a.owns().union(&b.owns()).copied().collect::<BTreeSet<_>>() == all
    })
    .await;
    a.leave().await;
    until("b has all partitions", || async { b.owns() == all }).await;
    stop.send(true).unwrap();
    appending.await.unwrap();
    let mut appended = 0;
    for partition in 0..PARTITIONS {
        appended += log.bounds(&TopicPartition::new(&topic, partition)).await.unwrap().end;
    }
    until("everything was seen", || async { seen.lock().unwrap().len() as u64 == appended }).await;
    for partition in 0..PARTITIONS {
        let at = TopicPartition::new(&topic, partition);
        until("everything is committed", || async {
            log.committed(&group("g", &topic), &at).await.unwrap() == Some(log.bounds(&at).await.unwrap().end)
        })
        .await;
    }
    b.leave().await;
    // At least once, and nearly always once: a hand-over in order repeats nothing.
    let repeats = seen.lock().unwrap().values().filter(|times| **times > 1).count();
    assert!(repeats < 500, "{repeats} of {appended} records came twice");
}

async fn a_new_member_of_the_same_name_takes_over(stage: Stage) {
    let log = stage.open().await;
    let topic = stage.topic(&log, 1, Retention::Forever).await;
    fill(&log, &topic, 1, 10).await;
    let mut former = log.subscribe(subscription("g", "same", &topic)).await.unwrap();
    batch(&mut former).await;
    let mut later = log.subscribe(subscription("g", "same", &topic)).await.unwrap();
    assert_eq!(batch(&mut later).await.records.len(), 10);
    let (at, handle) = (TopicPartition::new(&topic, 0), later.handle());
    // A former member on Kafka may come back once: it was the broker's error, as far as it can know.
    let going_on = async {
        loop {
            drop(later.next().await.unwrap());
        }
    };
    let told = async {
        let cause = soon("the former member is told", async {
            loop {
                if let Err(cause) = former.next().await {
                    return cause;
                }
            }
        })
        .await;
        assert!(matches!(cause, ConsumeError::Fatal { .. }), "{cause}");
        until("the later one commits", || async { handle.commit(&at, 10).await.is_ok() }).await;
    };
    tokio::select! {
        () = told => {}
        () = going_on => {}
    }
}

async fn only_the_owner_commits(stage: Stage) {
    let log = stage.open().await;
    let topic = stage.topic(&log, 1, Retention::Forever).await;
    fill(&log, &topic, 1, 10).await;
    let mut member = log.subscribe(subscription("g", "a", &topic)).await.unwrap();
    let handle = member.handle();
    let at = TopicPartition::new(&topic, 0);
    assert!(
        matches!(handle.seek(&at, 0).await, Err(ConsumeError::NotOurs { .. })),
        "not before it is assigned"
    );
    batch(&mut member).await;
    let elsewhere = TopicPartition::new(&topic, 7);
    assert!(matches!(handle.commit(&elsewhere, 1).await, Err(ConsumeError::NotOurs { .. })));
    assert!(matches!(handle.pause(&elsewhere).await, Err(ConsumeError::NotOurs { .. })));
    handle.commit(&at, 3).await.unwrap();
    handle.commit(&at, 2).await.unwrap();
    assert_eq!(log.committed(&group("g", &topic), &at).await.unwrap(), Some(2), "a position may go back");
}

async fn a_seek_discards_what_was_fetched(stage: Stage) {
    let log = stage.open().await;
    let topic = stage.topic(&log, 1, Retention::Forever).await;
    let at = TopicPartition::new(&topic, 0);
    fill(&log, &topic, 1, 5_000).await;
    let mut subscription = subscription("g", "a", &topic);
    subscription.max_batch = 10;
    let mut member = log.subscribe(subscription).await.unwrap();
    let handle = member.handle();
    batch(&mut member).await;
    for to in [4_000, 17, 17, 4_999, 0] {
        handle.seek(&at, to).await.unwrap();
        let next = batch(&mut member).await;
        assert_eq!((next.records[0].offset, text(&next.records[0])), (to, to.to_string()));
    }
    handle.pause(&at).await.unwrap();
    handle.seek(&at, 100).await.unwrap();
    handle.resume(&at).await.unwrap();
    assert_eq!(batch(&mut member).await.records[0].offset, 100, "a seek while paused counts");
    for nowhere in [5_001, u64::from(u32::MAX)] {
        let refused = handle.seek(&at, nowhere).await.unwrap_err();
        assert!(matches!(&refused, ConsumeError::PositionGone { at: named } if *named == at), "{refused}");
    }
    handle.seek(&at, 5_000).await.unwrap();
    append(&log, &at, record("new")).await;
    assert_eq!(text(&batch(&mut member).await.records[0]), "new", "the end is a position too");
}

async fn a_paused_partition_is_silent_and_loses_nothing(stage: Stage) {
    let log = stage.open().await;
    let topic = stage.topic(&log, 2, Retention::Forever).await;
    fill(&log, &topic, 2, 2_000).await;
    let mut subscription = subscription("g", "a", &topic);
    subscription.max_batch = 50;
    let mut member = log.subscribe(subscription).await.unwrap();
    let handle = member.handle();
    let first = batch(&mut member).await;
    let (paused, going) = (first.source.clone(), TopicPartition::new(&topic, 1 - first.source.partition));
    handle.pause(&paused).await.unwrap();
    let mut next = 0;
    while next < 1_000 {
        let batch = batch(&mut member).await;
        assert_eq!(batch.source, going, "nothing of a paused partition");
        assert_eq!(batch.records[0].offset, next);
        next = batch.next_offset();
    }
    append(&log, &paused, record("late")).await;
    let silence = tokio::time::timeout(Duration::from_millis(500), member.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    handle.resume(&paused).await.unwrap();
    let mut next = first.next_offset();
    while next < 1_001 {
        let batch = batch(&mut member).await;
        assert_eq!(
            (batch.source.clone(), batch.records[0].offset),
            (paused.clone(), next),
            "no gap, no repeat"
        );
        next = batch.next_offset();
    }
}

async fn a_dropped_wait_loses_nothing(stage: Stage) {
    let log = stage.open().await;
    let topic = stage.topic(&log, 1, Retention::Forever).await;
    fill(&log, &topic, 1, 2_000).await;
    let mut subscription = subscription("g", "a", &topic);
    subscription.max_batch = 20;
    let mut member = log.subscribe(subscription).await.unwrap();
    let mut next = 0;
    soon("all records in spite of the dropped waits", async {
        while next < 2_000 {
            match tokio::time::timeout(Duration::from_micros(200), member.next()).await {
                Ok(Ok(Delivery::Batch(batch))) => {
                    assert_eq!(batch.records[0].offset, next);
                    next = batch.next_offset();
                }
                Ok(Ok(_)) | Err(_) => {}
                Ok(Err(cause)) => panic!("{cause}"),
            }
        }
    })
    .await;
}

async fn a_group_needs_its_topics(stage: Stage) {
    let log = stage.open().await;
    let refused = log.subscribe(subscription("g", "a", &stage.name("missing"))).await;
    assert!(matches!(refused.err(), Some(LogError::Fatal { .. })));
}

async fn a_slow_member_gets_everything_in_the_end(stage: Stage) {
    let log = stage.open().await;
    let topic = stage.topic(&log, 2, Retention::Forever).await;
    // More than may wait for a member: the reading has to stop and go on.
    let body = vec![b'x'; 100_000];
    for number in 0..600_u32 {
        append(&log, &TopicPartition::new(&topic, number % 2), record(body.clone())).await;
    }
    let mut member = log.subscribe(subscription("g", "a", &topic)).await.unwrap();
    let mut next = [0, 0];
    let first = batch(&mut member).await;
    next[first.source.partition as usize] = first.next_offset();
    // Long enough for somebody else to get all of it: the reading for this one has had to stop.
    let mut quick = log.subscribe(subscription("quick", "a", &topic)).await.unwrap();
    let mut got = 0;
    while got < 600 {
        got += self::batch(&mut quick).await.records.len();
    }
    let began = std::time::Instant::now();
    while next != [300, 300] {
        let batch = batch(&mut member).await;
        let partition = batch.source.partition as usize;
        assert_eq!(batch.records[0].offset, next[partition]);
        next[partition] = batch.next_offset();
        assert!(began.elapsed() < PATIENCE);
    }
}
