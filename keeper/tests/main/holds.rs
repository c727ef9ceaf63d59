//! Whoever is held is not forgotten until they are released, and their tenant does not end before.

use schemas::{Action, ErasureState, TenantState};
use tokio_util::sync::CancellationToken;

use crate::rig::{DAY_MS, Rig, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_keeps_a_person_and_their_tenant_until_the_release() {
    let rig = Rig::start().await;
    let (router, projector) = (rig.route().await, rig.project().await);
    let acme = rig.tenant("acme", "111").await;
    rig.write(&acme, "111", 0..3, "a").await;
    let kept = rig.keep(&acme).await;
    let held = rig.subject(&acme, 0).await.unwrap();
    let hold = |until_ms| Action::SubjectHeld { tenant: acme.clone(), subject: held, until_ms };
    rig.act(hold(Some(rig.clock().now_ms() + 90 * DAY_MS))).await;

    // Both are to be forgotten: one is, the one that is held is not.
    let erasures = rig.ask_to_forget(&acme, 0..2).await;
    let (of_held, of_other) = (erasures[0].0, erasures[1].0);
    let keeper = rig.keeper();
    let stop = CancellationToken::new();
    let running = tokio::spawn(keeper.clone().run(stop.clone()));
    until("the other one is forgotten", || async { rig.is_done(of_other) }).await;
    let state = rig.parts.plane.state();
    assert_eq!(state.people.erasures[&of_held].state, ErasureState::Requested);
    let of: Vec<_> = kept.iter().filter(|one| one.subject == Some(held)).cloned().collect();
    assert_eq!(rig.opens(&of).await, 3, "everything of theirs opens");

    // Nor does a backup that comes back lose them.
    let purge_at_ms = rig.clock().now_ms();
    rig.act(Action::TenantTerminated { tenant: acme.clone(), purge_at_ms }).await;
    rig.set_day(1);
    assert_eq!(keeper.purge_due().await.unwrap(), 0);
    let erased_while_held = 3 - rig.opens(&of).await;
    assert_eq!(erased_while_held, 0);
    assert_eq!(rig.shown(&acme).await.len(), 2);

    rig.act(hold(None)).await;
    until("they are forgotten", || async { rig.is_done(of_held) }).await;
    until("their tenant has ended", || async {
        rig.parts.plane.state().tenants[&acme].state == TenantState::Purged
    })
    .await;
    println!(
        "promise=hold erased_while_held={erased_while_held} released_later=1 opened={}",
        rig.opens(&kept).await
    );
    assert_eq!(rig.opens(&kept).await, 0);
    stop.cancel();
    running.await.unwrap().unwrap();
    router.stop().await;
    projector.stop().await;
}
