//! A tenant's feed as the API streams it.

use std::time::Duration;

use bytes::Bytes;
use eventlog::{Header, Record, Topic, TopicPartition};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::rig::{Rig, TOKEN};

const DEADLINE: Duration = Duration::from_secs(30);

async fn append(rig: &Rig, partition: u32, id: &str) {
    let at = TopicPartition::new(&Topic::new("inbox.acme").unwrap(), partition);
    let headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", id),
        ("ce_type", "org.tidings.message.received.v1"),
        ("ce_source", "urn:tidings:messenger:1"),
        ("ce_time", "2025-01-01T00:00:00.000Z"),
        ("ce_tenant", "acme"),
        ("content-type", "application/json"),
    ];
    let record = Record {
        key: Some(Bytes::copy_from_slice(id.as_bytes())),
        value: Some(Bytes::from(format!("{{\"n\": \"{id}\"}}"))),
        headers: headers.map(|(name, value)| Header::new(name, value.to_owned())).to_vec(),
    };
    rig.log.append(&at, record).unwrap().await.unwrap();
}

async fn line(body: &mut Incoming, rest: &mut Vec<u8>) -> Option<Value> {
    loop {
        if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            return Some(serde_json::from_slice(&line).unwrap());
        }
        let frame = tokio::time::timeout(DEADLINE, body.frame()).await.unwrap()?;
        rest.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_is_listed_whole_and_followed_as_it_grows() {
    let rig = Rig::start().await;
    rig.done("POST", "/v1/tenants", Some(json!({"id": "acme", "name": "Acme"}))).await;
    for n in 0..300 {
        append(&rig, n % 3, &format!("e{n}")).await;
    }
    // A tombstone is no event.
    let at = TopicPartition::new(&Topic::new("inbox.acme").unwrap(), 0);
    rig.log.append(&at, Record { key: Some(Bytes::from("e0")), ..Record::default() }).unwrap().await.unwrap();

    let listed = rig.done("GET", "/v1/tenants/acme/events", None).await;
    let events: Vec<Value> =
        listed.as_str().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 300);
    assert_eq!(events[0]["specversion"], "1.0");
    let numbers = |events: &[Value]| -> Vec<u32> {
        events.iter().map(|event| event["id"].as_str().unwrap()[1..].parse().unwrap()).collect()
    };
    for partition in 0..3 {
        let of_partition: Vec<u32> = numbers(&events).into_iter().filter(|n| n % 3 == partition).collect();
        assert!(of_partition.is_sorted(), "partition {partition} is out of order");
    }

    let response = rig.send("GET", "/v1/tenants/acme/events/follow?new_only=true", Some(TOKEN), None).await;
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let (mut body, mut rest) = (response.into_body(), Vec::new());
    append(&rig, 1, "later").await;
    assert_eq!(line(&mut body, &mut rest).await.unwrap()["id"], "later");

    let response = rig.send("GET", "/v1/tenants/acme/events/follow", Some(TOKEN), None).await;
    let (mut whole, mut whole_rest) = (response.into_body(), Vec::new());
    for _ in 0..301 {
        line(&mut whole, &mut whole_rest).await.unwrap();
    }
    append(&rig, 2, "latest").await;
    assert_eq!(line(&mut whole, &mut whole_rest).await.unwrap()["id"], "latest");
    assert_eq!(line(&mut body, &mut rest).await.unwrap()["id"], "latest");

    // A stop ends the streams in order, and the console with them.
    rig.stop().await;
    assert!(line(&mut body, &mut rest).await.is_none());
    assert!(line(&mut whole, &mut whole_rest).await.is_none());
}
