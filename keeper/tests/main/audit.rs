//! The audit forgets what is older than a year, and still shows every change to what is left.

use schemas::{Action, FeedFormat, TenantId};
use store::{AuditFault, PLATFORM_CHAIN, ViewsDb, ViewsRole, verify_chain};

use crate::rig::{DAY_MS, Rig};

/// What `audit verify` says of a chain.
async fn verdict(reader: &ViewsDb, chain: &str) -> Result<(), AuditFault> {
    let entries = reader.audit_chain(chain).await.unwrap();
    let head = reader.audit_head(chain).await.unwrap();
    verify_chain(&entries, head.as_ref(), head.as_ref().map(|head| head.public_key.as_slice()))
}

/// So many things are done to a tenant, and to the platform, so many days ago.
async fn done(rig: &Rig, tenant: &TenantId, days_ago: i64, times: usize) {
    let at_ms = rig.clock().now_ms() - days_ago * DAY_MS;
    for _ in 0..times {
        let feed = FeedFormat::Clear;
        let action = Action::TenantFeedSet { tenant: tenant.clone(), feed };
        rig.parts.plane.act(at_ms, "admin", action).await.unwrap();
        let app = "app".parse().unwrap();
        rig.parts.plane.act(at_ms, "admin", Action::AppRemoved { app }).await.unwrap();
    }
}

const OLD: &str =
    "SELECT count(*) FROM audit_entry WHERE at_ms < extract(epoch FROM now()) * 1000 - 365 * 86400000.0";

#[tokio::test(flavor = "multi_thread")]
async fn old_entries_go_and_every_tampering_with_the_rest_is_seen() {
    let rig = Rig::start().await;
    let projector = rig.project().await;
    let (acme, idle): (TenantId, TenantId) = ("acme".parse().unwrap(), "idle".parse().unwrap());
    done(&rig, &idle, 500, 3).await;
    done(&rig, &acme, 400, 20).await;
    done(&rig, &acme, 300, 5).await;
    rig.caught_up().await;
    let reader = rig.places.views(ViewsRole::Reader).await;
    let before = reader.audit_head("acme").await.unwrap();
    assert_eq!(rig.count(OLD), 46);

    let keeper = rig.keeper();
    let dry = keeper.sweep(true).await.unwrap();
    let removed = |rows: &[keeper::SweptRow]| rows.iter().find(|row| row.class == "audit").unwrap().removed;
    assert_eq!((removed(&dry), rig.count(OLD)), (46, 46));
    assert_eq!(removed(&keeper.sweep(false).await.unwrap()), 46);
    assert_eq!(removed(&keeper.sweep(false).await.unwrap()), 0, "nothing is left to do");
    rig.caught_up().await;
    let chains = ["acme", "idle", PLATFORM_CHAIN];
    for chain in chains {
        assert_eq!(verdict(&reader, chain).await, Ok(()), "{chain}");
    }
    assert_eq!(reader.audit_head("acme").await.unwrap(), before, "the head is as it was");
    assert_eq!(rig.count(OLD), 0);
    assert_eq!(reader.audit_chain("acme").await.unwrap().len(), 6, "five, and where they begin");

    // What is left goes on being a chain.
    done(&rig, &acme, 0, 2).await;
    rig.caught_up().await;
    assert_eq!(verdict(&reader, "acme").await, Ok(()));

    let mut seen = 0;
    let tampers = [
        "UPDATE audit_entry SET target = 'other' WHERE tenant_id = 'acme' AND sequence = 22",
        "UPDATE audit_entry SET at_ms = at_ms + 1 WHERE tenant_id = 'acme' AND sequence = 24",
        "DELETE FROM audit_entry WHERE tenant_id = 'acme' AND sequence = 23",
        "DELETE FROM audit_entry WHERE tenant_id = 'acme' AND sequence = 19",
        "DELETE FROM audit_entry WHERE tenant_id = 'acme' AND sequence = 26",
        "UPDATE audit_entry SET hash = sha256('x') WHERE tenant_id = 'acme' AND sequence = 19",
        // More than was swept is made to look swept.
        "WITH gone AS (DELETE FROM audit_entry WHERE tenant_id = 'acme' AND sequence < 22)
         UPDATE audit_entry SET action = 'audit_pruned', actor = 'platform', target = '' WHERE tenant_id = 'acme' AND sequence = 22",
        // And of a chain of which nothing was left.
        "UPDATE audit_entry SET hash = sha256('x') WHERE tenant_id = 'idle'",
    ];
    rig.places.ask(&rig.places.views, "CREATE TABLE audit_copy AS TABLE audit_entry");
    for tamper in tampers {
        rig.places.ask(&rig.places.views, tamper);
        let mut faults = 0;
        for chain in chains {
            faults += usize::from(verdict(&reader, chain).await.is_err());
        }
        assert_eq!(faults, 1, "{tamper}");
        seen += faults;
        rig.places.ask(&rig.places.views, "TRUNCATE audit_entry; INSERT INTO audit_entry TABLE audit_copy");
    }
    println!(
        "promise=audit-kept swept=46 old_rows={} verify=ok tampers={} seen={seen}",
        rig.count(OLD),
        tampers.len()
    );

    // Two years on: the beginning moves, and an idle chain keeps its own although what said so is swept, too.
    for half_year in 1..=4 {
        rig.set_day(half_year * 183);
        keeper.sweep(false).await.unwrap();
        rig.caught_up().await;
        for chain in chains {
            assert_eq!(verdict(&reader, chain).await, Ok(()), "{chain} after {half_year} half years");
        }
    }
    assert_eq!(reader.audit_chain("acme").await.unwrap().len(), 1);
    assert_eq!(reader.audit_chain("idle").await.unwrap().len(), 1);
    projector.stop().await;
}
