//! What waits for an asset or a tenant, and that nothing waits for ever.

use std::time::{Duration, Instant};

use eventlog::{Retention, Topic, TopicSpec};
use schemas::{Action, Topics};

use crate::stage::{Stage, body, entry, eventually, ids};

#[tokio::test(flavor = "multi_thread")]
async fn no_race_leaves_a_message_parked() {
    race(Stage::new().await, 300).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_race_leaves_a_message_parked_on_kafka() {
    race(Stage::kafka().await, 60).await;
}

async fn race(stage: Stage, rounds: u32) {
    stage.tenant("alpha").await;
    let running = stage.router();
    eventually("at work", async || running.readiness.closed().is_empty()).await;
    for round in 0..rounds {
        let number = format!("5{round:04}");
        let text = body(&[entry(&number, "15550001", &format!("wamid.{round}"))]);
        let deliver = stage.deliver(round % 4, &text);
        let connect = async {
            // From well before to well after the router's look at the delivery.
            for _ in 0..round % 20 {
                tokio::task::yield_now().await;
            }
            stage.connect("alpha", &format!("whatsapp:{number}")).await;
        };
        tokio::join!(deliver, connect);
    }
    eventually("every message routed", async || ids(&stage.events().await).len() == rounds as usize).await;
    println!("promise=unparked rounds={rounds} parked_first={} lost=0", stage.pointers().await.len());
    running.end().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_parked_deliveries_follow_one_connect() {
    const PARKED: usize = 4_000;
    let stage = Stage::new().await;
    stage.tenant("alpha").await;
    stage.tenant("beta").await;
    stage.connect("beta", "whatsapp:222").await;
    let running = stage.router();
    // Every third is another tenant's and is not read in vain.
    let bodies = (0..PARKED / 2 * 3).map(|i| {
        let number = if i % 3 == 0 { "222" } else { "111" };
        body(&[entry(number, &format!("1555{}", i % 40), &format!("wamid.{i}"))])
    });
    stage.deliver_all(bodies).await;
    eventually("all judged", async || stage.committed().await == PARKED as u64 / 2 * 3).await;
    assert_eq!(stage.written().await, PARKED as u64 / 2);
    let began = Instant::now();
    stage.connect("alpha", "whatsapp:111").await;
    eventually("all routed", async || stage.written().await >= PARKED as u64 / 2 * 3).await;
    println!("rerouted={PARKED} ms={}", began.elapsed().as_millis());
    assert_eq!(ids(&stage.feed("alpha").await).len(), PARKED);
    assert_eq!(ids(&stage.feed("beta").await).len(), PARKED / 2);
    running.end().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_tenants_messages_wait_for_it() {
    let stage = Stage::new().await;
    stage.tenant("alpha").await;
    stage.connect("alpha", "whatsapp:111").await;
    stage.act(Action::TenantSuspended { tenant: "alpha".parse().unwrap() }).await;
    let running = stage.router();
    stage.deliver(2, &body(&[entry("111", "15550001", "wamid.S")])).await;
    eventually("parked", async || stage.pointers().await.len() == 1).await;
    assert_eq!(stage.written().await, 0);
    stage.act(Action::TenantResumed { tenant: "alpha".parse().unwrap() }).await;
    eventually("routed", async || stage.written().await == 1).await;
    running.end().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_while_no_router_runs_is_not_missed() {
    let stage = Stage::new().await;
    stage.tenant("alpha").await;
    let running = stage.router();
    stage.deliver(0, &body(&[entry("111", "15550001", "wamid.a")])).await;
    eventually("parked", async || stage.pointers().await.len() == 1).await;
    running.end().await;
    stage.connect("alpha", "whatsapp:111").await;
    let running = stage.router();
    eventually("routed", async || stage.written().await >= 1).await;
    running.end().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_raw_no_longer_keeps_is_counted_and_its_pointer_stays() {
    let stage = Stage::new().await;
    let short = Topics::new("short.");
    let raw = Topic::new(short.raw()).unwrap();
    // As `ensure_topics` finds it: an existing topic keeps its settings.
    let retention = Retention::Age(Duration::from_secs(5));
    stage.log.ensure(&TopicSpec { topic: raw, partitions: 4, retention }).await.unwrap();
    let stage = stage.named(short).await;
    stage.tenant("alpha").await;
    let running = stage.router();
    stage.deliver(0, &body(&[entry("111", "15550001", "wamid.a")])).await;
    eventually("parked and committed", async || {
        stage.pointers().await.len() == 1 && stage.committed().await == 1
    })
    .await;
    eventually("gone", async || stage.log.bounds(&stage.raw(0)).await.unwrap().earliest == 1).await;
    stage.connect("alpha", "whatsapp:111").await;
    eventually("counted", async || running.metric("router_reroute_gone_total", "") >= 1.0).await;
    stage.deliver(0, &body(&[entry("111", "15550001", "wamid.b")])).await;
    eventually("the next is routed", async || stage.written().await == 1).await;
    assert_eq!(stage.pointers().await.len(), 1);
    running.end().await;
    stage.end().await;
}
