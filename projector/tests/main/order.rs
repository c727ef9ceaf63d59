//! The same rows and the same fold come out whatever order events arrive in, however often, in whatever batches.

use projector::fold;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use schemas::{FileState, SealedEvent};
use secrecy::SecretString;
use store::{Moved, OffsetMove, ViewsDb, ViewsRole};
use testkit::Postgres;

use crate::history::{history, shuffled};
use crate::rig::{Shown, shown, views};

proptest! {
    #[test]
    fn the_fold_knows_no_order_and_no_repeats(seed: u64, order: u64, count in 1..200_usize) {
        let events = history(seed, count);
        prop_assert!(fold(&events) == fold(&shuffled(&events, order)));
    }
}

/// Projects events in batches of random sizes.
pub(crate) async fn projected(url: &SecretString, events: &[SealedEvent], seed: u64) -> Shown {
    let db = ViewsDb::connect(url, ViewsRole::Projector, 2).await.unwrap();
    let mut random = StdRng::seed_from_u64(seed);
    let mut done = 0;
    while done < events.len() {
        let next = (done + random.random_range(1..40)).min(events.len());
        let step = OffsetMove {
            projection: "conversation",
            topic: "events",
            partition: 0,
            expected: done as u64,
            next: next as u64,
        };
        assert_eq!(db.apply_conversation(&step, &fold(&events[done..next])).await.unwrap(), Moved::Applied);
        done = next;
    }
    shown(url).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_know_no_order_no_repeats_and_no_batches() {
    let postgres = Postgres::start().await.unwrap();
    for seed in 0..3 {
        let events = history(seed, 400);
        let expected = projected(&views(&postgres).await, &events, 0).await;
        assert!(expected.iter().any(|(_, _, messages)| messages.iter().any(|message| message.deleted)));
        assert!(
            expected.iter().any(|(_, _, messages)| messages.iter().any(|message| message.edit.is_some()))
        );
        assert!(expected.iter().any(|(_, group, _)| group.subject.is_none()));
        assert!(
            expected
                .iter()
                .any(|(_, _, messages)| messages.iter().any(|message| !message.reactions.is_empty()))
        );
        let files: Vec<_> = expected
            .iter()
            .flat_map(|(_, _, messages)| messages)
            .flat_map(|message| &message.files)
            .collect();
        assert!(files.iter().any(|file| file.state == Some(FileState::Stored) && file.bytes.is_some()));
        assert!(files.iter().any(|file| file.state.is_none()), "one is still fetched");
        for order in 1..3 {
            let got = projected(&views(&postgres).await, &shuffled(&events, order), order).await;
            assert!(got == expected, "history {seed} in order {order}");
        }
    }
}
