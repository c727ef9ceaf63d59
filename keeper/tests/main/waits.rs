//! What an erasure waits for, and what has to be true before anybody is served.

use std::time::Duration;

use bytes::Bytes;
use keeper::Config;
use schemas::{ErasureId, ErasureState};
use service::Clock;
use tokio_util::sync::CancellationToken;

use crate::rig::{Rig, until};

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_said_to_be_forgotten_while_a_process_still_uses_their_key() {
    let rig = Rig::start().await;
    let (router, projector) = (rig.route().await, rig.project().await);
    let acme = rig.tenant("acme", "111").await;
    rig.write(&acme, "111", 0..2, "a").await;
    // A process that is there, says so, and does not let go.
    let (holding, db) = (CancellationToken::new(), rig.parts.ring.db().clone());
    let holds = tokio::spawn(holding.clone().run_until_cancelled_owned(async move {
        loop {
            db.hold("hangs/1", Clock::system().now_ms(), 0).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }));
    let within = Duration::from_secs(1);
    let (keeper, registry) = rig.keeper_and_registry(Config { evict_within: within, ..Config::default() });
    let stop = CancellationToken::new();
    let running = tokio::spawn(keeper.run(stop.clone()));
    let erasures = rig.ask_to_forget(&acme, 0..1).await;
    let failures = || {
        let families = registry.gather();
        let family = families.iter().find(|family| family.name() == "keeper_failures_total").unwrap();
        family.get_metric()[0].get_counter().get_value() as u64
    };
    until("it was waited for again and again", || async { failures() >= 3 }).await;
    let state = rig.parts.plane.state().people.erasures[&erasures[0].0].state;
    assert_eq!(state, ErasureState::Shredded, "the key is gone, and nothing is verified");
    // Once it is not heard of any more, nobody waits for it.
    holding.cancel();
    holds.await.unwrap();
    until("they are forgotten", || async { rig.is_done(erasures[0].0) }).await;
    stop.cancel();
    running.await.unwrap().unwrap();
    router.stop().await;
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_persons_trouble_is_not_anothers() {
    let rig = Rig::start().await;
    let (router, projector) = (rig.route().await, rig.project().await);
    let (acme, other) = (rig.tenant("acme", "111").await, rig.tenant("other", "222").await);
    rig.write(&acme, "111", 0..2, "a").await;
    rig.write(&other, "222", 0..2, "a").await;
    // The database refuses to let go of acme's rows, whoever asks.
    let ask = |sql: &str| rig.places.ask(&rig.places.views, sql);
    ask("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$");
    ask(
        "CREATE TRIGGER refuse BEFORE DELETE ON message FOR EACH ROW WHEN (OLD.tenant_id = 'acme') EXECUTE FUNCTION refuse()",
    );
    let stop = CancellationToken::new();
    let stuck = rig.ask_to_forget(&acme, 0..1).await;
    let running = tokio::spawn(rig.keeper().run(stop.clone()));
    let erasures = rig.ask_to_forget(&other, 0..1).await;
    until("the other's person is forgotten", || async { rig.is_done(erasures[0].0) }).await;
    assert!(!rig.is_done(stuck[0].0) && !running.is_finished(), "and the keeper goes on");
    ask("DROP TRIGGER refuse ON message");
    until("it is tried again", || async { rig.is_done(stuck[0].0) }).await;
    stop.cancel();
    running.await.unwrap().unwrap();
    router.stop().await;
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_ledger_knows_is_forgotten_before_anybody_is_served() {
    let rig = Rig::start().await;
    let (router, projector) = (rig.route().await, rig.project().await);
    let acme = rig.tenant("acme", "111").await;
    rig.write(&acme, "111", 0..3, "a").await;
    let kept = rig.keep(&acme).await;
    let (keeper, _) = rig.keeper_and_registry(Config::default());
    assert_eq!(keeper::barrier(&keeper).await.unwrap(), 0, "nobody was forgotten");
    // An entry of somebody whom control does not know to be forgotten: it is from before.
    let subject = kept.iter().find_map(|one| one.subject).unwrap();
    let erasure = ErasureId::from_bytes([7; 16]);
    let entry = serde_json::json!({ "erasure": erasure, "tenant": acme, "subject": subject, "at_ms": Clock::system().now_ms() });
    rig.parts.blobs.put(&format!("ledger/{erasure}.json"), Bytes::from(entry.to_string())).await.unwrap();
    assert_eq!(keeper::barrier(&keeper).await.unwrap(), 1);
    // Although no keeper runs: keys and rows are gone when it returns.
    let gone: Vec<_> = kept.iter().filter(|one| one.subject == Some(subject)).cloned().collect();
    assert_eq!((gone.len(), rig.opens(&gone).await), (3, 0));
    assert_eq!(rig.parts.views.rows_of(&acme, subject).await.unwrap(), 0);
    assert_eq!(rig.shown(&acme).await.len(), 2);
    assert_eq!(keeper::barrier(&keeper).await.unwrap(), 0, "once");
    // The rest goes as with every erasure.
    let stop = CancellationToken::new();
    let running = tokio::spawn(keeper.run(stop.clone()));
    until("files and records are gone too", || async { rig.is_done(erasure) }).await;
    assert_eq!(rig.objects("attachments/acme/").await.len(), 2);
    stop.cancel();
    running.await.unwrap().unwrap();
    router.stop().await;
    projector.stop().await;
}
