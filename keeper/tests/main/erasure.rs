//! Forgetting many at once, with everything of theirs and nothing of anybody else's.

use tokio_util::sync::CancellationToken;

use crate::people::CANARY;
use crate::rig::{Rig, until};

#[tokio::test(flavor = "multi_thread")]
async fn fifty_people_are_forgotten_with_their_files_and_records() {
    let rig = Rig::start().await;
    let (router, projector) = (rig.route().await, rig.project().await);
    let (acme, other) = (rig.tenant("acme", "111").await, rig.tenant("other", "222").await);
    rig.write(&acme, "111", 0..60, "a").await;
    rig.write(&other, "222", 0..5, "a").await;
    let kept = rig.keep(&acme).await;
    assert_eq!(rig.opens(&kept).await, kept.len());
    assert_eq!(rig.objects("attachments/acme/").await.len(), 60);

    let keeper = rig.keeper();
    let stop = CancellationToken::new();
    let running = tokio::spawn(keeper.clone().run(stop.clone()));
    let erasures = rig.ask_to_forget(&acme, 0..50).await;
    until("all are forgotten", || async { erasures.iter().all(|(id, _)| rig.is_done(*id)) }).await;
    stop.cancel();
    running.await.unwrap().unwrap();

    let gone: Vec<_> = kept
        .iter()
        .filter(|one| erasures.iter().any(|(_, subject)| Some(*subject) == one.subject))
        .cloned()
        .collect();
    assert_eq!(gone.len(), 150, "a text, a picture and what became of it, each");
    let opened = rig.opens(&gone).await;
    let objects = rig.objects("attachments/acme/").await.len();
    let (events, feed) =
        (rig.events(&acme).await.len(), rig.records(rig.parts.topics.inbox(&acme)).await.len());
    let shown = rig.shown(&acme).await;
    println!(
        "promise=erasure people=50 opened={opened} objects={} events={events} feed={feed}",
        objects - 10
    );
    assert_eq!((opened, objects, events, feed, shown.len()), (0, 10, 30, 30, 10));
    assert!(shown.values().flatten().any(|text| text.contains(CANARY)));
    assert_eq!(rig.shown(&other).await.len(), 5);
    assert_eq!(rig.objects("attachments/other/").await.len(), 5);
    assert_eq!(rig.objects("ledger/").await.len(), 50);
    for (_, subject) in &erasures {
        assert_eq!(rig.parts.views.rows_of(&acme, *subject).await.unwrap(), 0);
    }
    router.stop().await;
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_one_person_is_forgotten_as_one_and_who_was_taken_out_is_not() {
    let rig = Rig::start().await;
    let (router, projector) = (rig.route().await, rig.project().await);
    let acme = rig.tenant("acme", "111").await;
    rig.write(&acme, "111", 0..3, "a").await;
    let mut met = Vec::new();
    for person in 0..3 {
        met.push(rig.subject(&acme, person).await.unwrap());
    }
    let (keeper, asset) = (rig.keeper(), "whatsapp:111".parse().unwrap());
    keeper.merge_people(&acme, [met[0], met[1]], &asset).await.unwrap();
    keeper.merge_people(&acme, [met[1], met[2]], &asset).await.unwrap();
    let merged = async || rig.parts.views.merged(&acme, &met[..1]).await.unwrap().len();
    until("that is shown", || async { merged().await == 2 }).await;
    // Taken out while nobody projects: the view does not know of it.
    projector.stop().await;
    assert!(keeper.split_person(&acme, met[2], &asset).await.unwrap());
    assert!(!keeper.split_person(&acme, met[2], &asset).await.unwrap());
    assert_eq!(merged().await, 2);

    let stop = CancellationToken::new();
    let running = tokio::spawn(keeper.clone().run(stop.clone()));
    let erasures = rig.ask_to_forget(&acme, 0..1).await;
    until("it is done", || async { rig.is_done(erasures[0].0) }).await;
    stop.cancel();
    running.await.unwrap().unwrap();
    let mut known = Vec::new();
    for person in 0..3 {
        known.push(rig.subject(&acme, person).await.is_some());
    }
    assert_eq!(known, [false, false, true]);
    assert_eq!(rig.parts.plane.state().people.erasures.len(), 2);
    assert_eq!(
        rig.objects("ledger/").await.len(),
        2,
        "each has its receipt when the one that was asked for is done"
    );
    router.stop().await;
}
