//! The coverage view: the loss equation, and folding what batches left behind.

use schemas::{RawRef, Reason, TenantId};
use store::{
    ConversationChanges, CoverageChange, Moved, OffsetMove, QuarantineChange, RawProgress, TenantCoverage,
    Whole,
};

use crate::stage::{stage, step, tenant};

#[tokio::test(flavor = "multi_thread")]
async fn the_loss_equation_adds_up() {
    let stage = stage().await;
    let raw = |offset| RawRef { partition: 0, offset };
    let (one, other) = (tenant("one"), tenant("other"));
    let mut at = 0;
    let mut cover = async |change: CoverageChange, quarantine: &[QuarantineChange]| {
        let step =
            OffsetMove { projection: "coverage", topic: "events", partition: 0, expected: at, next: at + 1 };
        assert_eq!(stage.writer.apply_coverage(&step, &change, quarantine).await.unwrap(), Moved::Applied);
        at += 1;
    };
    // 0: two items, routed in two batches. 1: three items, one parked. 2: not readable. 3: empty. 4: nothing known. 5: routed.
    let mut change = CoverageChange::default();
    change.routed(&one, raw(0), 0, 2);
    change.routed(&one, raw(1), 0, 3);
    change.routed(&other, raw(1), 2, 3);
    change.routed(&one, raw(5), 0, 1);
    cover(change, &[]).await;
    let mut change = CoverageChange::default();
    change.routed(&one, raw(0), 1, 2);
    change.parked(raw(1), 1, 3);
    change.whole(raw(2), Whole::Quarantined);
    change.whole(raw(3), Whole::Empty);
    let pointer = QuarantineChange { raw: raw(2), reason: Reason::NotJson, attempts: 1, at_ms: 7 };
    cover(change, std::slice::from_ref(&pointer)).await;

    let progress = [RawProgress { partition: 0, committed: 6, end: 7 }];
    for round in 0..2 {
        while stage.writer.fold_coverage().await.unwrap().is_some() {}
        let coverage = stage.reader.coverage(&progress).await.unwrap();
        assert_eq!(
            (coverage.received, coverage.items, coverage.routed),
            (7, 7, 5),
            "round {round}: {coverage:?}"
        );
        assert_eq!((coverage.unroutable, coverage.quarantined), (1, 1));
        assert_eq!(coverage.items, coverage.routed + coverage.unroutable + coverage.quarantined);
        assert_eq!((coverage.missing_count, coverage.missing.as_slice()), (1, &[raw(4)][..]));
    }
    assert_eq!(stage.reader.unfolded_coverage().await.unwrap(), None);
    assert_eq!(stage.reader.quarantine().await.unwrap().len(), 1);

    // The hole is filled, the parked item and the unreadable delivery are routed; a repeat of what is folded is nothing new.
    let mut change = CoverageChange::default();
    change.routed(&one, raw(4), 0, 1);
    change.routed(&one, raw(1), 1, 3);
    change.routed(&one, raw(2), 0, 1);
    change.routed(&one, raw(0), 0, 2);
    cover(change, &[]).await;
    for round in 0..2 {
        while stage.writer.fold_coverage().await.unwrap().is_some() {}
        let coverage = stage.reader.coverage(&progress).await.unwrap();
        assert_eq!((coverage.items, coverage.routed), (8, 8), "round {round}: {coverage:?}");
        assert_eq!((coverage.unroutable, coverage.quarantined, coverage.missing_count), (0, 0, 0));
    }
    assert_eq!(stage.reader.quarantine().await.unwrap(), []);
    // Nothing leaves before it was applied; a parked delivery that came late does not hold up the others. Five are left.
    assert_eq!(stage.reader.coverage(&progress).await.unwrap().projected, 0);
    assert_eq!(stage.rows().await, "5");
    let mut changes = ConversationChanges::default();
    for (offset, index, count) in [(0, 0, 2), (0, 1, 2), (4, 0, 1), (5, 0, 1), (1, 0, 3)] {
        changes.applied.routed(&one, raw(offset), index, count);
    }
    stage.writer.apply_conversation(&step(0, 1), &changes).await.unwrap();
    for _ in 0..2 {
        while stage.writer.fold_coverage().await.unwrap().is_some() {}
        assert_eq!(stage.reader.coverage(&progress).await.unwrap().projected, 5);
    }
    // What is left: two of three items of the second delivery, and the third delivery.
    assert_eq!(stage.rows().await, "2");
    let mut changes = ConversationChanges::default();
    for (offset, index, count) in [(1, 1, 3), (1, 2, 3), (2, 0, 1), (0, 0, 2), (5, 0, 1)] {
        let whose = if (offset, index) == (1, 2) { &other } else { &one };
        changes.applied.routed(whose, raw(offset), index, count);
    }
    stage.writer.apply_conversation(&step(1, 2), &changes).await.unwrap();
    let mut change = CoverageChange::default();
    change.parked(raw(1), 1, 3);
    change.routed(&one, raw(5), 0, 1);
    cover(change, &[]).await;
    for _ in 0..2 {
        while stage.writer.fold_coverage().await.unwrap().is_some() {}
        let coverage = stage.reader.coverage(&progress).await.unwrap();
        assert_eq!((coverage.items, coverage.routed, coverage.projected), (8, 8, 8));
        // Each item once, however often it came and in whichever of its batches.
        let of = |tenant: &TenantId, items| TenantCoverage {
            tenant: tenant.clone(),
            routed: items,
            projected: items,
        };
        assert_eq!(coverage.tenants, [of(&one, 7), of(&other, 1)]);
    }
    assert_eq!(stage.rows().await, "0");
}

/// Repeats of what is leaving, or has left, come while others fold: nothing is counted twice.
#[tokio::test(flavor = "multi_thread")]
async fn folding_while_batches_come_counts_everything_once() {
    const DELIVERIES: u64 = 400;
    const MARKERS: u64 = 4;
    const ROUNDS: u64 = 5;
    let stage = std::sync::Arc::new(stage().await);
    let raw = |offset| RawRef { partition: 0, offset };
    // Each marker reads a partition of its own; all of them bring all deliveries again and again, some far behind others.
    let mut markers = tokio::task::JoinSet::new();
    for marker in 0..MARKERS {
        let stage = stage.clone();
        markers.spawn(async move {
            let partition = u32::try_from(marker).unwrap();
            let at = |projection, expected| OffsetMove {
                projection,
                topic: "events",
                partition,
                expected,
                next: expected + 1,
            };
            let mut number = 0;
            for round in 0..ROUNDS {
                for first in (0..DELIVERIES).step_by(10) {
                    let mut change = CoverageChange::default();
                    for offset in first..first + 10 {
                        // Of three items one is this marker's own; the last marker repeats everybody's.
                        let whole = marker + 1 == MARKERS && round > 0;
                        for index in (0..3).filter(|index| whole || u64::from(*index) == marker % 3) {
                            change.routed(&tenant("one"), raw(offset), index, 3);
                        }
                    }
                    let changes = ConversationChanges { applied: change.clone(), ..Default::default() };
                    let moved = stage.writer.apply_conversation(&at("conversation", number), &changes).await;
                    assert_eq!(moved.unwrap(), Moved::Applied);
                    let moved = stage.writer.apply_coverage(&at("coverage", number), &change, &[]).await;
                    assert_eq!(moved.unwrap(), Moved::Applied);
                    number += 1;
                }
            }
        });
    }
    let folding = async {
        while !markers.is_empty() || stage.reader.unfolded_coverage().await.unwrap().is_some() {
            // Two at once: one of them has nothing to do.
            let both = tokio::join!(stage.writer.fold_coverage(), stage.writer.fold_coverage());
            both.0.and(both.1).unwrap();
            while let Some(ended) = markers.try_join_next() {
                ended.unwrap();
            }
        }
    };
    let limit = std::time::Duration::from_secs(120);
    tokio::time::timeout(limit, folding).await.expect("everything is folded in the end");
    assert_eq!(stage.rows().await, "0", "everything has left");
    let progress = [RawProgress { partition: 0, committed: DELIVERIES, end: DELIVERIES }];
    let coverage = stage.reader.coverage(&progress).await.unwrap();
    let items = 3 * DELIVERIES;
    assert_eq!((coverage.items, coverage.routed, coverage.projected), (items, items, items));
    assert_eq!(coverage.missing_count, 0);
    let counted = TenantCoverage { tenant: tenant("one"), routed: items, projected: items };
    assert_eq!(coverage.tenants, [counted]);
}
