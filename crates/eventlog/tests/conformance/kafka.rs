//! What only Kafka can show: brokers that are killed, away, or ask for a password.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::mpsc::TryRecvError;
use std::time::{Duration, Instant};

use eventlog::{
    AppendError, Delivery, Disposition, EventLog, KafkaConfig, LogError, Retention, Start, TopicPartition,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use testkit::Kafka;

use crate::stage::{
    PATIENCE, Stage, append, batch, group, read_from, record, soon, subscription, text, until,
};

/// Appends numbered records until told to stop, going on whatever happens; what was confirmed, by number.
fn keep_appending(
    log: EventLog,
    at: TopicPartition,
    stop: tokio::sync::watch::Receiver<bool>,
) -> tokio::task::JoinHandle<(u64, BTreeMap<u64, u64>)> {
    tokio::spawn(async move {
        let mut waiting = Vec::new();
        let mut number = 0;
        while !*stop.borrow() {
            match log.append(&at, record(number.to_string())) {
                Ok(pending) => waiting.push((number, pending)),
                Err(AppendError::Full) => {}
                Err(cause) => panic!("{cause}"),
            }
            number += 1;
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        let mut confirmed = BTreeMap::new();
        for (number, pending) in waiting {
            match pending.await {
                Ok(offset) => drop(confirmed.insert(number, offset)),
                Err(cause) => assert_eq!(cause.disposition(), Disposition::Retry, "{cause}"),
            }
        }
        (number, confirmed)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_loses_and_invents_nothing() {
    let kafka = Kafka::own(1, None).await.unwrap();
    let stage = Stage::kafka_at(kafka.address());
    let log = stage.open().await;
    let topic = stage.topic(&log, 1, Retention::Forever).await;
    let at = TopicPartition::new(&topic, 0);
    let mut member = log.subscribe(subscription("g", "a", &topic)).await.unwrap();
    append(&log, &at, record("first")).await;
    assert_eq!(text(&batch(&mut member).await.records[0]), "first");
    member.handle().commit(&at, 1).await.unwrap();

    let (stop, stopped) = tokio::sync::watch::channel(false);
    let appending = keep_appending(log.clone(), at.clone(), stopped);
    for _ in 0..2 {
        let before = log.bounds(&at).await.unwrap().end;
        until("records go in", || async {
            log.bounds(&at).await.is_ok_and(|bounds| bounds.end > before + 200)
        })
        .await;
        kafka.kill9(1).await.unwrap();
        until("the log says that it is away", || async {
            matches!(log.ping().await, Err(cause) if cause.disposition() == Disposition::Retry)
        })
        .await;
        kafka.restart(1).await.unwrap();
        until("the log is back", || async { log.ping().await.is_ok() }).await;
    }
    until("an append is confirmed again", || async {
        match log.append(&at, record("back")) {
            Ok(pending) => pending.await.is_ok(),
            Err(_) => false,
        }
    })
    .await;
    stop.send(true).unwrap();
    let (numbers, confirmed) = soon("all answers", appending).await.unwrap();
    assert!(confirmed.len() > 400, "only {} of {numbers} were confirmed", confirmed.len());

    let found = read_from(&log, &at, 0).await;
    let by_offset: HashMap<u64, String> = found.iter().map(|stored| (stored.offset, text(stored))).collect();
    for (number, offset) in &confirmed {
        assert_eq!(by_offset.get(offset), Some(&number.to_string()), "lost: {number} at {offset}");
    }
    // What was in flight when its time was over is sent again by the client, and may then be there twice: whoever reads goes
    // by content-derived ids. But each record first comes in the order in which it was appended.
    let mut seen = BTreeSet::new();
    for stored in &found {
        let body = text(stored);
        if !matches!(body.as_str(), "first" | "back") {
            let number: u64 = body.parse().unwrap();
            assert!(number < numbers, "invented: {body}");
            let last = seen.last().copied();
            assert!(
                !seen.insert(number) || last < Some(number),
                "out of order: {number} first after {last:?}"
            );
        }
    }

    // The member comes back by itself and reads on to the end. Its group may have forgotten it meanwhile; then it begins at
    // the committed position again, and what it had fetched is not delivered.
    let end = found.last().unwrap().offset + 1;
    let mut next = 1;
    while next < end {
        let batch = batch(&mut member).await;
        assert_eq!(batch.records[0].offset, next, "neither gap nor repeat");
        next = batch.next_offset();
    }
    member.handle().commit(&at, next).await.unwrap();
    assert_eq!(log.committed(&group("g", &topic), &at).await.unwrap(), Some(next));
}

/// A second client of a member's own name shuts it out: as brokers do to a member whose answer they could not deliver.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_shut_out_comes_back() {
    let stage = Stage::kafka().await;
    let log = stage.open().await;
    let topic = stage.topic(&log, 2, Retention::Forever).await;
    let [one, two] = [0, 1].map(|partition| TopicPartition::new(&topic, partition));
    let mut member = log.subscribe(subscription("g", "a", &topic)).await.unwrap();
    append(&log, &one, record("first")).await;
    assert_eq!(text(&batch(&mut member).await.records[0]), "first");
    let handle = member.handle();
    handle.commit(&one, 1).await.unwrap();

    let mut settings = rdkafka::ClientConfig::new();
    settings.set("bootstrap.servers", Kafka::shared().await.unwrap().address());
    settings.set("group.id", group("g", &topic)).set("group.instance.id", "a");
    settings.set("partition.assignment.strategy", "cooperative-sticky").set("session.timeout.ms", "6000");
    let name = topic.as_str().to_owned();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let intruder = std::thread::spawn(move || {
        let intruder: BaseConsumer = settings.create().unwrap();
        intruder.subscribe(&[&name]).unwrap();
        while ended.try_recv() == Err(TryRecvError::Empty) {
            let _ = intruder.poll(Duration::from_millis(50));
        }
    });
    let lost = soon("the partitions are lost and assigned again", async {
        let mut lost = 0;
        loop {
            match member.next().await.unwrap() {
                Delivery::Revoked(revocation) => {
                    assert!(revocation.lost, "nobody else may commit for what it says");
                    lost += revocation.partitions.len();
                }
                Delivery::Assigned(assignment) if lost > 0 => {
                    assignment.start(HashMap::new());
                    return lost;
                }
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
    assert_eq!(lost, 2);
    drop(end);
    intruder.join().unwrap();
    for at in [&one, &two] {
        for number in 0..100 {
            append(&log, at, record(number.to_string())).await;
        }
    }
    let mut next = [1, 0];
    while next != [101, 100] {
        let batch = batch(&mut member).await;
        let partition = batch.source.partition as usize;
        assert_eq!(batch.records[0].offset, next[partition], "neither gap nor repeat");
        next[partition] = batch.next_offset();
    }
    handle.commit(&two, 100).await.unwrap();
    assert_eq!(log.committed(&group("g", &topic), &two).await.unwrap(), Some(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_with_one_name_one_gives_up_and_says_why() {
    let stage = Stage::kafka().await;
    let log = stage.open().await;
    let topic = stage.topic(&log, 1, Retention::Forever).await;
    let at = TopicPartition::new(&topic, 0);
    let mut both = Vec::new();
    for _ in 0..2 {
        both.push(log.subscribe(subscription("g", "a", &topic)).await.unwrap());
    }
    let mut second = both.pop().unwrap();
    let mut first = both.pop().unwrap();
    let answer = |delivery| match delivery {
        Delivery::Assigned(assignment) => assignment.start(HashMap::new()),
        Delivery::Revoked(revocation) => drop(revocation),
        Delivery::Batch(batch) => panic!("{batch:?}"),
    };
    let (cause, mut other) = soon("one gives up", async {
        loop {
            tokio::select! {
                got = first.next() => match got { Ok(delivery) => answer(delivery), Err(cause) => return (cause, second) },
                got = second.next() => match got { Ok(delivery) => answer(delivery), Err(cause) => return (cause, first) },
            }
        }
    })
    .await;
    assert!(cause.to_string().contains("a name of its own"), "{cause}");
    append(&log, &at, record("read by the other")).await;
    assert_eq!(text(&batch(&mut other).await.records[0]), "read by the other");
}

/// As long as no append's time is over, the idempotent producer keeps its promise: each record once.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_repeats_nothing_while_appends_may_wait() {
    const COUNT: u64 = 10_000;
    let kafka = Kafka::own(1, None).await.unwrap();
    let stage = Stage::kafka_at(kafka.address());
    let mut config = stage.kafka_config(kafka.address());
    config.append_timeout = 2 * PATIENCE;
    let log = EventLog::kafka(config).await.unwrap();
    let topic = stage.topic(&log, 1, Retention::Forever).await;
    let at = TopicPartition::new(&topic, 0);
    append(&log, &at, record("first")).await;
    let sending = async {
        let mut waiting = Vec::new();
        for number in 0..COUNT {
            waiting.push(log.append(&at, record(number.to_string())).unwrap());
            if number % 10 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        waiting
    };
    let killing = async {
        until("some are in", || async { log.bounds(&at).await.is_ok_and(|bounds| bounds.end > 500) }).await;
        kafka.kill9(1).await.unwrap();
    };
    let (waiting, ()) = tokio::join!(sending, killing);
    kafka.restart(1).await.unwrap();
    for (offset, pending) in (1..).zip(waiting) {
        assert_eq!(soon("a confirmation", pending).await.unwrap(), offset);
    }
    let bodies: Vec<String> = read_from(&log, &at, 1).await.iter().map(text).collect();
    assert_eq!(bodies.len() as u64, COUNT);
    assert!((0..COUNT).zip(&bodies).all(|(number, body)| number.to_string() == *body), "out of order");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_has_its_answer_in_time_while_the_broker_is_away() {
    let kafka = Kafka::own(1, None).await.unwrap();
    let stage = Stage::kafka_at(kafka.address());
    let log = stage.open().await;
    let topic = stage.topic(&log, 1, Retention::Forever).await;
    let at = TopicPartition::new(&topic, 0);
    append(&log, &at, record("before")).await;
    // Connections stay open, and nothing answers: the hardest kind of away.
    kafka.pause(1).await.unwrap();
    let began = Instant::now();
    let refused = soon("an answer", log.append(&at, record("away")).unwrap()).await.unwrap_err();
    assert!(matches!(refused, AppendError::Unconfirmed { .. }), "{refused}");
    println!("measured=append-while-away timeout_ms=3500 answered_after_ms={}", began.elapsed().as_millis());
    kafka.resume(1).await.unwrap();
    until("appends are confirmed again", || async {
        match log.append(&at, record("after")) {
            Ok(pending) => pending.await.is_ok(),
            Err(_) => false,
        }
    })
    .await;
    let bodies: Vec<String> = read_from(&log, &at, 0).await.iter().map(text).collect();
    assert_eq!(bodies.first().map(String::as_str), Some("before"));
    assert!(
        bodies.iter().filter(|body| *body == "away").count() <= 1,
        "an unconfirmed record is there once or not at all"
    );
    // Closing while the broker is away ends at its deadline.
    kafka.pause(1).await.unwrap();
    // An answer that was on its way may still let one in.
    until("joining is refused", || async {
        match log.subscribe(subscription("g", "a", &topic)).await {
            Ok(member) => {
                member.close().await;
                false
            }
            Err(LogError::Unavailable { .. }) => true,
            Err(cause) => panic!("{cause}"),
        }
    })
    .await;
    let pending = log.append(&at, record("closing")).unwrap();
    soon("the close", log.close(Duration::from_secs(1))).await;
    assert!(soon("its answer", pending).await.is_err());
    kafka.resume(1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_closes_in_time_while_the_broker_is_away() {
    let kafka = Kafka::own(1, None).await.unwrap();
    let stage = Stage::kafka_at(kafka.address());
    let log = stage.open().await;
    let topic = stage.topic(&log, 1, Retention::Forever).await;
    append(&log, &TopicPartition::new(&topic, 0), record("x")).await;
    let mut member = log.subscribe(subscription("g", "a", &topic)).await.unwrap();
    batch(&mut member).await;
    kafka.kill9(1).await.unwrap();
    soon("the close", member.close()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_asks_for_a_password_gets_it() {
    let kafka = Kafka::own(1, Some("tidings:correct-horse")).await.unwrap();
    let stage = Stage::kafka_at(kafka.address());
    let with = |password: &str| {
        let mut config: KafkaConfig = stage.kafka_config(kafka.address());
        config.security_protocol = Some("SASL_PLAINTEXT".into());
        config.sasl_mechanism = Some("SCRAM-SHA-512".into());
        config.sasl_username = Some("tidings".into());
        config.sasl_password = Some(password.to_owned().into());
        config
    };
    let log = EventLog::kafka(with("correct-horse")).await.unwrap();
    let topic = stage.topic(&log, 1, Retention::Forever).await;
    let at = TopicPartition::new(&topic, 0);
    append(&log, &at, record("secret")).await;
    let mut member = log.subscribe(subscription("g", "a", &topic)).await.unwrap();
    assert_eq!(text(&batch(&mut member).await.records[0]), "secret");
    member.handle().commit(&at, 1).await.unwrap();
    assert_eq!(read_from(&log, &at, 0).await.len(), 1);

    let refused = EventLog::kafka(with("wrong")).await.err().unwrap();
    assert!(matches!(refused, LogError::Fatal { .. }), "{refused}");
    assert!(!refused.to_string().contains("wrong") && !refused.to_string().contains("horse"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_address_is_said_at_once() {
    let refused = EventLog::kafka(KafkaConfig::new("127.0.0.1:1")).await.err().unwrap();
    assert!(matches!(refused, LogError::Unavailable { .. }), "{refused}");
}

/// Three brokers, two of which have to confirm: one may go at any time.
#[tokio::test(flavor = "multi_thread")]
async fn one_of_three_brokers_may_be_killed() {
    let kafka = Kafka::own(3, None).await.unwrap();
    let stage = Stage::kafka_at(kafka.address());
    let mut config = stage.kafka_config(kafka.address());
    config.replication = 3;
    let log = EventLog::kafka(config).await.unwrap();
    let topic = stage.topic(&log, 3, Retention::Forever).await;
    let mut member = log.subscribe(subscription("g", "a", &topic)).await.unwrap();
    let mut expected = 0;
    for killed in 1..=3_u8 {
        kafka.kill9(killed).await.unwrap();
        for partition in 0..3 {
            let at = TopicPartition::new(&topic, partition);
            until("an append in spite of a dead broker", || async {
                match log.append(&at, record("x")) {
                    Ok(pending) => pending.await.is_ok(),
                    Err(_) => false,
                }
            })
            .await;
        }
        expected += 3;
        kafka.restart(killed).await.unwrap();
    }
    let mut seen = 0;
    soon("all records", async {
        while seen < expected {
            match member.next().await.unwrap() {
                Delivery::Assigned(assignment) => assignment.start(HashMap::new()),
                Delivery::Revoked(_) => {}
                Delivery::Batch(batch) => seen += batch.records.len(),
            }
        }
    })
    .await;
}

/// A member's own store was away for longer than the group waits: it goes on at the committed position, and the member learns of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_is_said_to_be_late() {
    let stage = Stage::kafka().await;
    let log = stage.open().await;
    let topic = stage.topic(&log, 1, Retention::Forever).await;
    let at = TopicPartition::new(&topic, 0);
    for number in 0..100 {
        append(&log, &at, record(number.to_string())).await;
    }
    let mut member = log.subscribe(subscription("g", "a", &topic)).await.unwrap();
    let Delivery::Assigned(assignment) = soon("an assignment", member.next()).await.unwrap() else {
        panic!("nothing was delivered yet")
    };
    let began = batch(&mut member).await;
    assert_eq!(began.records[0].offset, 0, "without an answer");
    assert!(!assignment.try_start(HashMap::from([(at.clone(), Start::Offset(40))])));
    member.handle().seek(&at, 40).await.unwrap();
    assert_eq!(batch(&mut member).await.records[0].offset, 40);
}
