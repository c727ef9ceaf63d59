//! The three views from one log; and the same again for a projector that begins anew.

use projector::Config;
use schemas::Action;
use store::{PLATFORM_CHAIN, verify_chain};

use crate::history::{history, tenants};
use crate::rig::{Rig, shown, views};

#[tokio::test(flavor = "multi_thread")]
async fn views_are_built_and_rebuilt_the_same() {
    let mut rig = Rig::start().await;
    let projector = rig.project(Config::default()).await;
    let [acme, other] = tenants();
    for tenant in [&acme, &other] {
        let action = Action::TenantAdded { tenant: tenant.clone(), name: "Made Up".into() };
        rig.plane.act(1, "admin", action).await.unwrap();
    }
    let app = "app".parse().unwrap();
    rig.plane.act(2, "admin", Action::AppRemoved { app }).await.unwrap();
    let asset = "whatsapp:1".parse().unwrap();
    rig.plane.act(3, "admin", Action::AssetConnected { tenant: acme.clone(), asset }).await.unwrap();
    rig.events(&history(1, 500)).await;
    rig.caught_up().await;

    let first = shown(&rig.url).await;
    assert!(!first.is_empty());
    let mut chains = Vec::new();
    let db = rig.reader().await;
    for (chain, length) in [(acme.as_str(), 2), (other.as_str(), 1), (PLATFORM_CHAIN, 1)] {
        let (entries, head) = (db.audit_chain(chain).await.unwrap(), db.audit_head(chain).await.unwrap());
        assert_eq!(entries.len(), length);
        assert_eq!(verify_chain(&entries, head.as_ref(), None), Ok(()));
        chains.push((chain, entries, head));
    }
    projector.stop().await;

    // A new database: everything again, whatever the group's position says.
    rig.url = views(&rig.postgres).await;
    let projector = rig.project(Config::default()).await;
    rig.caught_up().await;
    assert!(shown(&rig.url).await == first);
    let db = rig.reader().await;
    for (chain, entries, head) in chains {
        assert_eq!(db.audit_chain(chain).await.unwrap(), entries);
        assert_eq!(db.audit_head(chain).await.unwrap(), head);
    }
    projector.stop().await;
}
