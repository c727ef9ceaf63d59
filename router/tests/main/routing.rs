//! What a delivery becomes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use eventlog::Record;
use schemas::{Action, Outcome, RawRef, Reason};

use crate::stage::{Stage, body, entry, entry_of, eventually, ids};

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_three_tenants_is_split_whole_and_the_unknown_one_follows_its_connect() {
    split_whole(Stage::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_three_tenants_is_split_whole_on_kafka() {
    split_whole(Stage::kafka().await).await;
}

async fn split_whole(stage: Stage) {
    for tenant in ["alpha", "beta", "gamma"] {
        stage.tenant(tenant).await;
    }
    stage.connect("alpha", "whatsapp:111").await;
    stage.connect("beta", "whatsapp:222").await;
    let running = stage.router();
    let entries: Vec<String> = (0..999)
        .map(|i| {
            entry(["111", "222", "333"][i % 3], &format!("1555000{:04}", i % 100), &format!("wamid.{i}"))
        })
        .collect();
    let raw = stage.deliver(1, &body(&entries)).await;
    eventually("666 events", async || stage.written().await == 666).await;
    eventually("one pointer", async || stage.pointers().await.len() == 1).await;
    let pointer = stage.pointers().await.remove(0);
    assert_eq!((pointer.raw, pointer.count, pointer.items.len()), (raw, 999, 333));
    assert!(matches!(pointer.outcome, Outcome::Parked { ref assets } if assets[0].id() == "333"));
    assert!(running.readiness.closed().is_empty(), "it has partitions, so it is ready");

    stage.connect("gamma", "whatsapp:333").await;
    eventually("999 events", async || ids(&stage.events().await).len() == 999).await;
    let events = stage.events().await;
    // Every item once, each with its own place; a conversation in one partition; feeds hold their own tenant only.
    let places: BTreeSet<u32> = events.iter().map(|(_, event)| event.raw.index).collect();
    assert_eq!(places, (0..999).collect());
    assert!(events.iter().all(|(_, event)| event.raw.raw == raw && event.raw.count == 999));
    let mut homes: BTreeMap<_, BTreeSet<u32>> = BTreeMap::new();
    for (partition, event) in &events {
        homes.entry(event.conversation.unwrap()).or_default().insert(*partition);
    }
    assert_eq!(homes.len(), 300, "a hundred people in three conversations each");
    assert!(homes.values().all(|partitions| partitions.len() == 1));
    for tenant in ["alpha", "beta", "gamma"] {
        let feed = stage.feed(tenant).await;
        assert!(feed.iter().all(|(_, event)| event.tenant.as_str() == tenant));
        assert_eq!(ids(&feed).len(), 333, "{tenant}");
    }
    eventually("the re-route is counted", async || {
        running.metric("router_rerouted_items_total", "connect") > 0.0
    })
    .await;
    assert_eq!(running.metric("router_deliveries_total", "parked"), 1.0);
    assert_eq!(running.metric("router_items_total", "parked"), 333.0);
    assert!(running.metric("router_items_total", "routed") >= 999.0);
    assert!(
        running.metric("router_lag_seconds", "") > 1_000_000.0,
        "the deliveries say that they are years old"
    );
    running.end().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_in_quarantine_and_can_be_redriven() {
    let stage = Stage::new().await;
    stage.tenant("alpha").await;
    let running = stage.router();
    let broken = stage.deliver(0, "{\"object\":").await;
    stage.deliver(0, r#"{"object":"page","entry":[]}"#).await;
    let foreign = Record { value: Some(Bytes::from_static(b"{}")), ..Record::default() };
    stage.log.append(&stage.raw(0), foreign).unwrap().await.unwrap();
    eventually("three pointers", async || stage.pointers().await.len() == 3).await;
    let outcomes: Vec<Outcome> = stage.pointers().await.into_iter().map(|pointer| pointer.outcome).collect();
    assert_eq!(
        outcomes,
        [
            Outcome::Quarantined { reason: Reason::NotJson },
            Outcome::Empty,
            Outcome::Quarantined { reason: Reason::NotOurs },
        ]
    );
    for attempts in 2..=3 {
        stage.act(Action::QuarantineRedriven { raw: vec![broken] }).await;
        let count = attempts as usize + 2;
        eventually("another attempt", async || stage.pointers().await.len() == count).await;
        assert_eq!(stage.pointers().await[count - 1].attempts, attempts);
    }
    assert_eq!(running.metric("router_quarantined_total", "not_json"), 3.0);
    running.end().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_larger_than_the_log_takes_is_set_aside_and_its_neighbours_are_not() {
    let stage = Stage::new().await;
    stage.tenant("alpha").await;
    stage.connect("alpha", "whatsapp:111").await;
    let running = stage.router();
    // Kept twice, as text and as the exact slice, it is over 5 MiB; the delivery is under 4.
    let text = "x".repeat(3 * 1024 * 1024);
    let raw = stage
        .deliver(
            3,
            &body(&[
                entry("111", "15550001", "wamid.a"),
                entry_of("111", "15550001", "wamid.b", &text),
                entry("111", "15550001", "wamid.c"),
            ]),
        )
        .await;
    eventually("a pointer", async || !stage.pointers().await.is_empty()).await;
    let pointer = stage.pointers().await.remove(0);
    assert_eq!(pointer.outcome, Outcome::Quarantined { reason: Reason::TooLarge });
    assert_eq!((pointer.raw, pointer.count, pointer.items, pointer.attempts), (raw, 3, vec![1], 1));
    let places: Vec<u32> = stage.events().await.iter().map(|(_, event)| event.raw.index).collect();
    assert_eq!(places, [0, 2]);
    eventually("committed", async || stage.committed().await == 1).await;
    running.end().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_of_what_never_was_is_counted_and_harms_nothing() {
    let stage = Stage::new().await;
    stage.tenant("alpha").await;
    stage.connect("alpha", "whatsapp:111").await;
    let running = stage.router();
    let nowhere = [(99, 0), (0, 1_000_000)].map(|(partition, offset)| RawRef { partition, offset });
    stage.act(Action::QuarantineRedriven { raw: nowhere.to_vec() }).await;
    eventually("both counted", async || running.metric("router_reroute_gone_total", "") == 2.0).await;
    let raw = stage.deliver(0, &body(&[entry("111", "15550001", "wamid.a")])).await;
    eventually("routed", async || stage.written().await == 1).await;
    // A hole goes the same way: again, with the same id.
    stage.act(Action::HolesRerouted { raw: vec![raw] }).await;
    eventually("routed again", async || stage.written().await == 2).await;
    assert_eq!(ids(&stage.events().await).len(), 1);
    eventually("counted", async || running.metric("router_rerouted_items_total", "hole") == 1.0).await;
    running.end().await;
    stage.end().await;
}
