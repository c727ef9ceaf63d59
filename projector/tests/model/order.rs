//! Any course of delivery comes to what the plain model says.

use projector::{fold, fold_into};
use proptest::prelude::*;
use store::ConversationChanges;

use crate::deliveries;
use crate::model::View;

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
