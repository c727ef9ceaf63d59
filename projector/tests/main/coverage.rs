//! The loss equation, holes, and what becomes of them.

use std::time::Duration;

use eventlog::{Delivery, Subscription, Topic};
use projector::Config;
use schemas::{Outcome, Pointer, RawPosition, RawRef, Reason};
use store::RawProgress;

use crate::history::text;
use crate::rig::{Rig, until};

fn pointer(raw: RawRef, count: u32, items: &[u32], outcome: Outcome) -> Pointer {
    Pointer { raw, count, items: items.to_vec(), outcome, attempts: 1, at_ms: 7, judged_at: 0 }
}

/// The event of one item of a delivery.
fn item(raw: RawRef, index: u32, count: u32) -> schemas::SealedEvent {
    let mut event = text(raw.offset * 10 + u64::from(index), (raw.offset % 5) as u8);
    event.raw = RawPosition { raw, index, count };
    event
}

/// Commits for the router.
async fn router_is_at(rig: &Rig, partition: u32, next: u64) {
    let topic = Topic::new(rig.topics.raw()).unwrap();
    let mut consumer = rig
        .log
        .subscribe(Subscription {
            group: "router".into(),
            member: "r".into(),
            topics: vec![topic],
            max_batch: 1,
        })
        .await
        .unwrap();
    let Delivery::Assigned(assignment) = consumer.next().await.unwrap() else { panic!("not assigned first") };
    assignment.start(Default::default());
    // The assignment takes effect with the next call.
    consumer.next().await.unwrap();
    consumer.handle().commit(&rig.at(rig.topics.raw(), partition), next).await.unwrap();
    consumer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_item_is_accounted_for_once_and_a_hole_is_rerouted() {
    let rig = Rig::start().await;
    for _ in 0..8 {
        rig.raw(0).await;
    }
    let raw = |offset| RawRef { partition: 0, offset };
    // 0: three items, two of them routed, one parked. 1: unreadable. 2: nothing in it. 3: one of two without an asset.
    rig.events(&[item(raw(0), 0, 3), item(raw(0), 2, 3), item(raw(3), 1, 2)]).await;
    rig.pointer(&pointer(raw(0), 3, &[1], Outcome::Parked { assets: Vec::new() })).await;
    rig.pointer(&pointer(raw(1), 0, &[], Outcome::Quarantined { reason: Reason::NotJson })).await;
    rig.pointer(&pointer(raw(2), 0, &[], Outcome::Empty)).await;
    rig.pointer(&pointer(raw(3), 2, &[0], Outcome::Quarantined { reason: Reason::NoAsset })).await;
    // 4: routed, and once more. 5: of two items one is nowhere. 6: of two items one is of a person who was forgotten. 7: not
    // yet routed.
    rig.events(&[item(raw(4), 0, 1), item(raw(4), 0, 1), item(raw(5), 0, 2), item(raw(6), 0, 2)]).await;
    rig.pointer(&pointer(raw(6), 2, &[1], Outcome::Forgotten)).await;
    router_is_at(&rig, 0, 7).await;

    let config = Config {
        check_every: Duration::from_millis(50),
        hole_age: Duration::from_millis(300),
        ..Config::default()
    };
    let projector = rig.project(config).await;
    rig.caught_up().await;
    let db = rig.reader().await;
    let progress = [RawProgress { partition: 0, committed: 7, end: 8 }];
    let check = async |routed, unroutable, quarantined, missing: &[RawRef]| {
        until("what was said is folded", async || db.unfolded_coverage().await.unwrap().is_none()).await;
        let coverage = db.coverage(&progress).await.unwrap();
        let got = (coverage.items, coverage.routed, coverage.unroutable, coverage.quarantined);
        // An item that is nowhere is still an item.
        assert_eq!(got, (11, routed, unroutable, quarantined));
        assert_eq!((coverage.received, coverage.projected, coverage.forgotten), (8, routed, 1));
        assert_eq!((coverage.missing_count, coverage.missing.as_slice()), (missing.len() as u64, missing));
    };
    check(6, 1, 2, &[raw(5)]).await;
    let listed: Vec<_> =
        db.quarantine().await.unwrap().into_iter().map(|row| (row.raw, row.reason)).collect();
    assert_eq!(listed, [(raw(1), Reason::NotJson), (raw(3), Reason::NoAsset)]);

    // The hole gets old and is sent through the router again.
    until("the hole is re-routed", || async {
        let entries = db.audit(None, 1000, None).await.unwrap_or_default();
        entries.iter().any(|entry| entry.action == "holes_rerouted" && entry.actor == "platform")
    })
    .await;

    // The router does so, the parked item's asset is connected, the quarantined one was redriven: all of it flows.
    rig.events(&[item(raw(5), 0, 2), item(raw(5), 1, 2), item(raw(0), 1, 3), item(raw(3), 0, 2)]).await;
    rig.caught_up().await;
    check(9, 0, 1, &[]).await;
    until("only the unreadable one is left in quarantine", || async {
        db.quarantine().await.unwrap().iter().map(|row| row.raw).eq([raw(1)])
    })
    .await;
    // Also once what is accounted for has been folded away, and after every repeat.
    rig.events(&[item(raw(5), 1, 2), item(raw(0), 1, 3), item(raw(4), 0, 1)]).await;
    rig.caught_up().await;
    check(9, 0, 1, &[]).await;
    projector.stop().await;
}
