//! A tenant's thirty days: all of it is there on the last of them, and nothing afterwards.

use std::time::Duration;

use schemas::{Action, Asset, Receipt, TenantId, TenantState};
use secrecy::SecretString;

use crate::people::Kept;
use crate::rig::{DAY_MS, Rig, until};

/// Everything that could be left of a tenant.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    rows: i64,
    objects: usize,
    keys: i64,
    events: usize,
    feed: usize,
    opened: usize,
}

const NOTHING: Left = Left { rows: 0, objects: 0, keys: 0, events: 0, feed: 0, opened: 0 };

async fn left(rig: &Rig, tenant: &TenantId, kept: &[Kept]) -> Left {
    let sum = |tables: &[&str]| {
        let counts: Vec<String> = tables
            .iter()
            .map(|table| format!("(SELECT count(*) FROM {table} WHERE tenant_id = '{tenant}')"))
            .collect();
        format!("SELECT {}", counts.join(" + "))
    };
    let views = [
        "conversation",
        "contact",
        "message",
        "message_edit",
        "message_deletion",
        "reaction",
        "status",
        "watermark",
        "attachment",
        "attachment_job",
        "attachment_unsent",
        "coverage_tenant",
    ];
    let keyring = [
        "tenant_key",
        "tenant_key_generation",
        "subject",
        "subject_key",
        "lookup",
        "hint",
        "merged",
        "kept_apart",
        "tombstone",
        "asset_token",
    ];
    Left {
        rows: rig.count(&sum(&views)),
        objects: rig.objects(&format!("attachments/{tenant}/")).await.len(),
        keys: rig.count_keys(&sum(&keyring)),
        events: rig.events(tenant).await.len(),
        feed: rig.records(rig.parts.topics.inbox(tenant)).await.len(),
        opened: rig.opens(kept).await,
    }
}

async fn terminated(rig: &Rig, tenant: &TenantId) {
    let purge_at_ms = rig.clock().now_ms() + 30 * DAY_MS;
    rig.act(Action::TenantTerminated { tenant: tenant.clone(), purge_at_ms }).await;
}

fn receipt(rig: &Rig, tenant: &TenantId) -> Option<Receipt> {
    let target = rig.places.ask(
        &rig.places.views,
        &format!("SELECT target FROM audit_entry WHERE tenant_id = '{tenant}' AND action = 'tenant_purged'"),
    );
    let numbers: Vec<u64> =
        target.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
    let [rows, objects, records] = numbers[..] else { return None };
    Some(Receipt { rows, objects, records, tried: 0, verified: target.ends_with(", verified") })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_whole_on_day_29_and_nothing_of_it_is_left_on_day_31() {
    let rig = Rig::start().await;
    let (router, projector) = (rig.route().await, rig.project().await);
    let (acme, other) = (rig.tenant("acme", "111").await, rig.tenant("other", "222").await);
    rig.write(&acme, "111", 0..6, "a").await;
    rig.write(&other, "222", 0..3, "a").await;
    let asset: Asset = "whatsapp:111".parse().unwrap();
    let token = SecretString::from("EAAG-token");
    rig.parts.ring.set_token(&acme, &asset, &token, 1).await.unwrap();
    let kept = rig.keep(&acme).await;
    // The loss equation's row of a tenant comes a moment after everything was read.
    let summed = "SELECT count(*) FROM coverage_tenant WHERE tenant_id = 'acme'";
    until("its deliveries are summed up", || async { rig.count(summed) > 0 }).await;
    let whole = left(&rig, &acme, &kept).await;
    assert!(whole.rows > 0 && whole.objects == 6 && whole.keys > 0 && whole.events == 18 && whole.feed == 18);
    assert_eq!(whole.opened, 18);
    terminated(&rig, &acme).await;

    let keeper = rig.keeper();
    rig.set_day(29);
    assert_eq!(keeper.purge_due().await.unwrap(), 0);
    keeper.sweep(false).await.unwrap();
    assert_eq!(left(&rig, &acme, &kept).await, whole, "on day 29 all of it is there");
    let readable = rig.shown(&acme).await.len();
    assert_eq!(readable, 6);

    rig.set_day(31);
    let plan = keeper.plan().await.unwrap();
    assert_eq!(plan.iter().find(|row| row.class == "tenant").unwrap().due, 1);
    assert_eq!(keeper.purge_due().await.unwrap(), 1);
    assert_eq!(keeper.purge_due().await.unwrap(), 0, "once");
    rig.caught_up().await;
    let after = left(&rig, &acme, &kept).await;
    let receipt = receipt(&rig, &acme).unwrap();
    println!(
        "promise=tenant-end day29_people={readable} day31_rows={} day31_objects={} day31_keys={} day31_records={} day31_opened={} certificate={receipt:?}",
        after.rows,
        after.objects,
        after.keys,
        after.events + after.feed,
        after.opened
    );
    assert_eq!(after, NOTHING);
    assert!(receipt.verified && receipt.rows > 0 && receipt.objects == 6 && receipt.records == 36);
    assert_eq!(rig.parts.plane.state().tenants[&acme].state, TenantState::Purged);
    assert_eq!(rig.shown(&other).await.len(), 3, "the other tenant has everything");
    assert_eq!(rig.objects("attachments/other/").await.len(), 3);
    assert_eq!(keeper::barrier(&keeper).await.unwrap(), 0);
    assert_eq!(left(&rig, &acme, &kept).await, NOTHING);
    router.stop().await;
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_is_broken_off_anywhere_is_gone_through_again() {
    let rig = Rig::start().await;
    let (router, projector) = (rig.route().await, rig.project().await);
    let acme = rig.tenant("acme", "111").await;
    rig.write(&acme, "111", 0..20, "a").await;
    let kept = rig.keep(&acme).await;
    terminated(&rig, &acme).await;
    rig.set_day(31);
    let mut broken = 0;
    for wait_ms in (0..).map(|round| 1 + round * 4) {
        // A keeper each time: what the one before knew is gone with it.
        let keeper = rig.keeper();
        match tokio::time::timeout(Duration::from_millis(wait_ms), keeper.purge_due()).await {
            Err(_) => broken += 1,
            Ok(done) => {
                assert!(done.unwrap() <= 1);
                // The one before may have been broken off after it had said that it is over: then none ended now.
                if rig.parts.plane.state().tenants[&acme].state == TenantState::Purged {
                    break;
                }
            }
        }
    }
    println!("promise=tenant-end broken_off={broken}");
    assert!(broken > 0);
    assert_eq!(left(&rig, &acme, &kept).await, NOTHING);
    router.stop().await;
    projector.stop().await;
}
