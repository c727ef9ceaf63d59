//! Cuts, stops, hand-overs, and a keyring that goes away.

use std::time::Duration;

use crate::stage::{Stage, body, entry, eventually, ids};

fn bodies(count: u32, people: u32) -> impl Iterator<Item = String> {
    (0..count).map(move |i| body(&[entry("111", &format!("1555{}", i % people), &format!("wamid.{i}"))]))
}

async fn stage_with_alpha() -> Stage {
    let stage = Stage::new().await;
    stage.tenant("alpha").await;
    stage.connect("alpha", "whatsapp:111").await;
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_cut_short_repeats_and_invents_nothing() {
    const DELIVERIES: u32 = 6_000;
    let stage = stage_with_alpha().await;
    stage.deliver_all(bodies(DELIVERIES, 50)).await;
    let mut cuts = 0;
    for round in 0..8_u64 {
        let running = stage.router();
        let before = stage.written().await;
        eventually("some progress", async || {
            stage.written().await > before || stage.committed().await == u64::from(DELIVERIES)
        })
        .await;
        // Another moment of its work each time.
        tokio::time::sleep(Duration::from_millis(round)).await;
        // Dropped in the middle of whatever it does, its workers with it: between appends, or between append and commit.
        running.task.abort();
        let _ = running.task.await;
        if stage.committed().await < u64::from(DELIVERIES) {
            cuts += 1;
        }
    }
    assert!(cuts > 0, "it was too quick to be cut");
    let running = stage.router();
    eventually("every delivery committed", async || stage.committed().await == u64::from(DELIVERIES)).await;
    running.end().await;
    assert_eq!(ids(&stage.events().await).len(), DELIVERIES as usize);
    assert_eq!(ids(&stage.feed("alpha").await).len(), DELIVERIES as usize);
    println!(
        "promise=at-least-once sent={DELIVERIES} cuts={cuts} records={} ids={DELIVERIES} lost=0",
        stage.written().await
    );
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_stopped_in_order_repeats_nothing() {
    const DELIVERIES: u32 = 6_000;
    let stage = stage_with_alpha().await;
    stage.deliver_all(bodies(DELIVERIES, 50)).await;
    let mut stops = 0;
    while stage.committed().await < u64::from(DELIVERIES) {
        let running = stage.router();
        let before = stage.written().await;
        eventually("some progress", async || stage.written().await > before).await;
        running.end().await;
        assert_eq!(stage.written().await, stage.committed().await, "what is written is committed");
        stops += 1;
    }
    assert_eq!(stage.written().await, u64::from(DELIVERIES));
    assert_eq!(ids(&stage.events().await).len(), DELIVERIES as usize);
    println!("promise=clean-stop sent={DELIVERIES} stops={stops} repeated=0");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_routers_share_the_work_and_hand_it_over() {
    const DELIVERIES: u32 = 6_000;
    let stage = stage_with_alpha().await;
    stage.deliver_all(bodies(DELIVERIES, 50)).await;
    let one = stage.member("router-1");
    eventually("one at work", async || one.readiness.closed().is_empty()).await;
    let two = stage.member("router-2");
    eventually("two at work", async || two.readiness.closed().is_empty()).await;
    one.end().await;
    eventually("every delivery committed", async || stage.committed().await == u64::from(DELIVERIES)).await;
    stage.deliver_all(bodies(DELIVERIES + 400, 50).skip(DELIVERIES as usize)).await;
    eventually("the rest too", async || stage.committed().await == u64::from(DELIVERIES) + 400).await;
    two.end().await;
    assert_eq!(ids(&stage.events().await).len(), DELIVERIES as usize + 400);
    println!("promise=hand-over sent={} records={} lost=0", DELIVERIES + 400, stage.written().await);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyring_that_goes_away_holds_the_router_up_and_loses_nothing() {
    const DELIVERIES: u32 = 2_000;
    let stage = stage_with_alpha().await;
    let running = stage.router();
    eventually("at work", async || running.readiness.closed().is_empty()).await;
    stage.postgres.crash();
    // Everybody is new: every batch needs the keyring.
    for round in 0..2 {
        let some = DELIVERIES / 2;
        stage
            .deliver_all(bodies(DELIVERIES, u32::MAX).skip((round * some) as usize).take(some as usize))
            .await;
        let before = stage.written().await;
        eventually("some progress", async || stage.written().await > before).await;
        stage.postgres.crash();
    }
    eventually("every delivery committed", async || stage.committed().await == u64::from(DELIVERIES)).await;
    assert!(!running.task.is_finished(), "it waited");
    assert_eq!(ids(&stage.events().await).len(), DELIVERIES as usize);
    assert!(stage.pointers().await.is_empty(), "nothing is set aside because a database is away");
    println!(
        "promise=keyring-away sent={DELIVERIES} retries={} lost=0",
        running.metric("router_retries_total", "")
    );
    running.end().await;
    stage.end().await;
}
