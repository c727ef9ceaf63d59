//! The same rows and the same fold come out whatever order events arrive in, however often, in whatever batches.

use projector::{fold, fold_into};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use schemas::{FileState, SealedEvent};
use secrecy::SecretString;
use store::{ConversationChanges, Moved, OffsetMove, ViewsDb, ViewsRole};
use testkit::Postgres;

use crate::deliveries;
use crate::history::{history, shuffled};
use crate::model::View;
use crate::rig::{Shown, shown, views};

proptest! {
    #[test]
    fn the_fold_knows_no_order_and_no_repeats(seed: u64, order: u64, count in 1..200_usize) {
        let events = history(seed, count);
        prop_assert!(fold(&events) == fold(&shuffled(&events, order)));
    }
}

/// Table by table, so that a difference is found.
fn hash(changes: &ConversationChanges) -> Vec<String> {
    let tables = [
        format!("{:?}", changes.conversations),
        format!("{:?}", changes.contacts),
        format!("{:?}", changes.messages),
        format!("{:?}", changes.edits),
        format!("{:?}", changes.deletions),
        format!("{:?}", changes.reactions),
        format!("{:?}", changes.statuses),
        format!("{:?}", changes.watermarks),
        format!("{:?}", changes.attachments),
        format!("{:?}", changes.standing),
    ];
    tables
        .into_iter()
        .map(|table| hex::encode(ring::digest::digest(&ring::digest::SHA256, table.as_bytes())))
        .collect()
}

/// How many histories are tried: `make properties CASES=N` tries more.
fn cases() -> u32 {
    std::env::var("TIDINGS_CASES").ok().map_or(10_000, |cases| cases.parse().expect("a number of cases"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// The plain model says what should be seen; two courses of delivery — other orders, repeats, other packing, other ends
    /// of deliveries and of batches — have to come to it.
    #[test]
    fn any_course_of_delivery_comes_to_what_the_plain_model_says(
        deeds in deliveries::history(40), one in deliveries::course(), other in deliveries::course(), at: prop::sample::Index,
    ) {
        let expected = View::of(&deeds);
        let (one, other) = (one.events(&deeds), other.events(&deeds));
        let mut whole = fold(&one);
        prop_assert_eq!(&View::folded(&whole, &deeds), &expected);
        // Cut anywhere, and gone on with what was applied already.
        let mut parts = fold(&other[..at.index(other.len() + 1)]);
        for event in &other {
            fold_into(&mut parts, event);
        }
        prop_assert_eq!(&View::folded(&parts, &deeds), &expected);
        // The view itself is the same to the last bit, which items brought it aside.
        whole.applied = parts.applied.clone();
        prop_assert_eq!(hash(&whole), hash(&parts));
    }
}

#[test]
fn the_model_sees_everything_that_can_happen() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let deeds = deliveries::history(40).new_tree(&mut runner).unwrap().current();
        seen.extend(
            deeds.iter().map(|deed| format!("{} {:?}", deed.channel, std::mem::discriminant(&deed.what))),
        );
        let course = deliveries::course().new_tree(&mut runner).unwrap().current();
        let read = course.events(&deeds);
        assert!(read.len() >= deeds.len(), "nothing is lost on the way");
        let known = read.iter().filter(|event| event.kind != schemas::Kind::Unrecognized).count();
        assert!(known > 0 || deeds.iter().all(|deed| deed.what == deliveries::What::NotKnown));
    }
    assert_eq!(seen.len(), 31, "{} of what can happen: {seen:?}", seen.len());
}

/// Projects events in batches of random sizes.
async fn projected(url: &SecretString, events: &[SealedEvent], seed: u64) -> Shown {
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
