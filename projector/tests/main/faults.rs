//! PostgreSQL dies, projectors come and go, another one is at the same partition: nothing is lost and nothing shows twice.

use projector::{Config, fold};
use store::{Moved, OffsetMove};

use crate::history::text;
use crate::rig::{Rig, shown, until};

/// How many messages are shown, and how many different ones.
async fn messages(rig: &Rig) -> (usize, usize) {
    let all: Vec<_> = shown(&rig.url).await.into_iter().flat_map(|(_, _, messages)| messages).collect();
    let mut ids: Vec<_> = all.iter().map(|message| message.id).collect();
    ids.sort_unstable();
    ids.dedup();
    (all.len(), ids.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_crashes_again_and_again_only_delays() {
    let rig = Rig::start().await;
    let projector = rig.project(Config { max_batch: 200, ..Config::default() }).await;
    let db = rig.reader().await;
    let mut sent = 0_usize;
    for round in 0..4_u64 {
        let events: Vec<_> = (0..3000).map(|n| text(round * 3000 + n, (n % 50) as u8)).collect();
        rig.events(&events).await;
        sent += events.len();
        // In the middle of it, wherever that is.
        until("some of it is projected", || async {
            let Ok(offsets) = db.offsets().await else { return false };
            let read: u64 = offsets
                .iter()
                .filter(|offset| offset.projection == "conversation")
                .map(|offset| offset.next)
                .sum();
            read > round * 3000
        })
        .await;
        rig.postgres.crash();
    }
    rig.caught_up().await;
    assert_eq!(messages(&rig).await, (sent, sent));
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn projectors_that_come_and_go_share_the_work() {
    let rig = Rig::start().await;
    let mut sent = 0;
    let steady = rig.project(Config { member: "steady".into(), ..Config::default() }).await;
    for round in 0..4_u64 {
        let events: Vec<_> = (0..1000).map(|n| text(round * 1000 + n, (n % 50) as u8)).collect();
        sent += events.len();
        let guest = rig
            .project(Config { member: format!("guest-{round}"), max_batch: 100, ..Config::default() })
            .await;
        rig.events(&events).await;
        guest.stop().await;
    }
    rig.caught_up().await;
    assert_eq!(messages(&rig).await, (sent, sent));
    steady.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_overtaken_goes_on_where_the_other_is() {
    let rig = Rig::start().await;
    let events: Vec<_> = (0..5000).map(|n| text(n, 0)).collect();
    let partition = events[0].partition(3);
    rig.events(&events).await;
    let projector = rig.project(Config { max_batch: 20, ..Config::default() }).await;

    // Another projector takes a step of its own whenever it gets a word in, and lets the first one find its way on from there.
    let (other, topic) = (rig.writer().await, rig.topics.events());
    let mut overtaken = 0;
    loop {
        let now = other.offset("conversation", &topic, partition).await.unwrap().unwrap_or(0);
        let next = (now + 7).min(5000);
        if now == next {
            break;
        }
        let step = OffsetMove { projection: "conversation", topic: &topic, partition, expected: now, next };
        let changes = fold(&events[now as usize..next as usize]);
        if other.apply_conversation(&step, &changes).await.unwrap() == Moved::Applied {
            overtaken += 1;
            let (other, topic) = (&other, &topic);
            until("the one that was overtaken goes on", || async move {
                next == 5000 || other.offset("conversation", topic, partition).await.unwrap() > Some(next)
            })
            .await;
        }
    }
    assert!(overtaken > 0, "they never met");
    rig.caught_up().await;
    assert_eq!(messages(&rig).await, (5000, 5000));
    projector.stop().await;
}
