//! The sweep: what is due goes, what is not stays, and it does not matter when it is broken off or what a clock says.

use std::time::Duration;

use bytes::Bytes;
use keeper::{BackupKind, Config, SweptRow};
use schemas::{Action, FeedFormat};

use crate::rig::{DAY_MS, Rig};

const HEX: &str = "00112233445566778899aabbccddeeff";

/// Something of every class that a sweep removes by itself.
async fn fill(rig: &Rig, tombstones: usize, unsent: usize, orphans: usize) {
    let tenant = "acme".parse().unwrap();
    rig.act(Action::TenantFeedSet { tenant, feed: FeedFormat::Clear }).await;
    let now_ms = rig.clock().now_ms();
    rig.places.ask(
        &rig.places.keyring,
        &format!("INSERT INTO tombstone SELECT 'acme', sha256(n::text::bytea), {now_ms} FROM generate_series(1, {tombstones}) n"),
    );
    rig.places.ask(
        &rig.places.views,
        &format!("INSERT INTO attachment_unsent SELECT 'acme', sha256(n::text::bytea), {now_ms} FROM generate_series(1, {unsent}) n"),
    );
    for number in 0..orphans {
        let object = format!("attachments/acme/{HEX}/{HEX}/{number:032x}");
        rig.parts.blobs.put(&object, Bytes::from_static(b"x")).await.unwrap();
    }
    rig.parts.blobs.put(&format!("ledger/{HEX}.json"), Bytes::from_static(b"{}")).await.unwrap();
}

/// Everything that a sweep could remove.
async fn there(rig: &Rig) -> Vec<usize> {
    let rows = |count: i64| usize::try_from(count).unwrap();
    vec![
        rows(rig.count_keys("SELECT count(*) FROM tombstone")),
        rows(rig.count("SELECT count(*) FROM attachment_unsent")),
        rows(
            rig.count(
                "SELECT count(*) FROM audit_entry WHERE tenant_id = 'acme' AND action <> 'audit_pruned'",
            ),
        ),
        rig.objects("attachments/").await.len(),
        rig.objects("ledger/").await.len(),
        rig.objects("backups/").await.len(),
    ]
}

fn removed(rows: &[SweptRow]) -> Vec<(&'static str, u64)> {
    rows.iter().filter(|row| row.removed > 0).map(|row| (row.class, row.removed)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_removes_nothing_and_a_sweep_that_is_broken_off_ends_later() {
    let rig = Rig::start().await;
    let projector = rig.project().await;
    fill(&rig, 3, 2_500, 40).await;
    rig.caught_up().await;
    let keeper = rig.keeper();
    keeper.backup_create(BackupKind::Daily).await.unwrap();
    let before = there(&rig).await;
    assert_eq!(before, [3, 2_500, 1, 40, 1, 4]);

    // Nothing is due yet, and a dry run of the time when everything is changes nothing.
    assert_eq!(removed(&keeper.sweep(false).await.unwrap()), []);
    rig.set_day(400);
    let plan = keeper.plan().await.unwrap();
    let dry = keeper.sweep(true).await.unwrap();
    let due: Vec<_> = plan.iter().filter(|row| row.due > 0).map(|row| (row.class, row.due)).collect();
    assert_eq!(removed(&dry), due);
    let expected = [
        ("identity_tombstone", 3),
        // The tenant's and the platform's: the backup.
        ("audit", 2),
        ("attachment_orphan", 40),
        ("attachment_unsent", 2_500),
        ("ledger", 1),
        ("backup_daily", 1),
    ];
    assert_eq!(due, expected);
    for row in plan.iter().filter(|row| row.due > 0) {
        assert!(row.oldest_age_seconds.unwrap() > row.keep_days * 86_400, "{row:?}");
    }
    assert_eq!(there(&rig).await, before);

    // Broken off again and again, each time a little later, by a keeper that has just started.
    let mut broken = 0;
    let mut wait_ms = 1;
    loop {
        let keeper = rig.keeper();
        match tokio::time::timeout(Duration::from_millis(wait_ms), keeper.sweep(false)).await {
            Err(_) => broken += 1,
            Ok(done) => {
                done.unwrap();
                break;
            }
        }
        wait_ms += 5;
    }
    println!("promise=sweep due={} broken_off={broken} left={:?}", due.len(), there(&rig).await);
    assert!(broken > 0);
    assert_eq!(there(&rig).await, [0, 0, 0, 0, 0, 0]);
    assert_eq!(removed(&rig.keeper().sweep(true).await.unwrap()), []);
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_two_days_removes_nothing_too_early() {
    let rig = Rig::start().await;
    let projector = rig.project().await;
    fill(&rig, 1, 1, 5).await;
    rig.caught_up().await;
    let before = there(&rig).await;
    // It has run for a while when the clock jumps.
    let keeper = rig.parts.keeper(Config::default(), rig.clock());
    for day in [2, -2, 0, 2] {
        rig.set_day(day);
        assert_eq!(removed(&keeper.sweep(false).await.unwrap()), [], "{day} days off");
        assert_eq!(there(&rig).await, before);
    }
    // Files of a message that the view does not know yet are not orphans.
    projector.stop().await;
    let believes = rig.keeper();
    let key = Bytes::from_static(b"k");
    let at = eventlog::TopicPartition::new(&eventlog::Topic::new(rig.parts.topics.events()).unwrap(), 0);
    let tombstone = eventlog::Record { key: Some(key), value: None, headers: Vec::new() };
    rig.parts.log.append(&at, tombstone).unwrap().await.unwrap();
    assert_eq!(removed(&believes.sweep(false).await.unwrap()), []);
    let projector = rig.project().await;
    rig.caught_up().await;
    // It was no jump after all.
    assert_eq!(removed(&believes.sweep(false).await.unwrap()), [("attachment_orphan", 5)]);
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_looked_for_on_both_sides() {
    let rig = Rig::start().await;
    let (router, projector) = (rig.route().await, rig.project().await);
    let (acme, other) = (rig.tenant("acme", "111").await, rig.tenant("other", "222").await);
    rig.write(&acme, "111", 0..4, "a").await;
    rig.write(&other, "222", 0..2, "a").await;
    let (keeper, registry) = rig.keeper_and_registry(Config::default());
    let missing = || {
        let families = registry.gather();
        let family = families.iter().find(|family| family.name() == "keeper_attachments_missing").unwrap();
        family.get_metric()[0].get_gauge().get_value() as i64
    };
    rig.set_day(3);
    assert_eq!(removed(&keeper.sweep(false).await.unwrap()), []);
    assert_eq!(missing(), 0);
    // One is lost here, all are lost there, and one is nobody's.
    let lost = rig.objects("attachments/acme/").await.remove(1);
    rig.parts.blobs.delete(&lost).await.unwrap();
    rig.parts.blobs.delete_prefix("attachments/other/").await.unwrap();
    rig.parts
        .blobs
        .put(&format!("attachments/acme/{HEX}/{HEX}/{HEX}"), Bytes::from_static(b"x"))
        .await
        .unwrap();
    assert_eq!(removed(&keeper.sweep(false).await.unwrap()), [("attachment_orphan", 1)]);
    assert_eq!(missing(), 3);
    assert_eq!(rig.objects("attachments/").await.len(), 3);
    // A class's age is a metric, too.
    let families = registry.gather();
    let ages = families.iter().find(|family| family.name() == "keeper_oldest_age_seconds").unwrap();
    assert_eq!(ages.get_metric().len(), keeper::RETENTION.len());
    let raw = ages.get_metric().iter().find(|metric| metric.get_label()[0].value() == "raw").unwrap();
    assert!(raw.get_gauge().get_value() >= 3.0 * (DAY_MS / 1000) as f64);
    router.stop().await;
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_sweeps_by_itself() {
    let rig = Rig::start().await;
    let projector = rig.project().await;
    fill(&rig, 1, 1, 1).await;
    rig.caught_up().await;
    rig.set_day(35);
    let keeper = rig.keeper_with(Config { sweep_every: Duration::from_millis(100), ..Config::default() });
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(keeper.run(stop.clone()));
    crate::rig::until("all of it is gone", || async { there(&rig).await == [0, 0, 1, 0, 1, 0] }).await;
    stop.cancel();
    running.await.unwrap().unwrap();
    rig.caught_up().await;
    let said = rig.places.ask(
        &rig.places.views,
        "SELECT string_agg(target, ', ' ORDER BY target) FROM audit_entry WHERE action = 'retention_swept'",
    );
    assert_eq!(said, "1 of attachment_orphan, 1 of attachment_unsent, 1 of identity_tombstone");
    projector.stop().await;
}
