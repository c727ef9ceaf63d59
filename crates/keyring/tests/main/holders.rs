//! Who remembers keys says when it has forgotten them, and not before nothing of them is in use.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use keyring::{Keyring, Lease, Whom};
use schemas::ControlState;
use service::Clock;
use store::KeyringRole::{Keeper, Router};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, key, person, phone, subject, tenant, until, who};

fn evicted(evictions: u64) -> Arc<ControlState> {
    let mut state = ControlState::default();
    state.people.evictions = evictions;
    Arc::new(state)
}

/// A lease, if there is one without waiting.
fn lease_now(ring: &Keyring) -> Option<Lease> {
    let asked = pin!(ring.lease());
    match asked.poll(&mut Context::from_waker(Waker::noop())) {
        std::task::Poll::Ready(lease) => Some(lease),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_confirms_once_nothing_it_remembers_is_in_use() {
    let stage = Stage::start().await;
    let (router, keeper) = (stage.ring(Router).await, stage.ring(Keeper).await);
    let old = subject(&router, person("a", vec![phone(1)], 1)).await;
    assert!(key(&router, old).await.is_some());
    // What was looked up is remembered.
    assert_eq!(subject(&router, person("a", vec![phone(1)], 1)).await, old);
    let (say, hear) = watch::channel(evicted(0));
    let stop = CancellationToken::new();
    let clock = Clock::from_fn(|| 5_000);
    let attending = tokio::spawn(router.clone().attend("router-1".into(), hear, clock, stop.clone()));
    // Whoever was seen since then and has not forgotten what it had to.
    let behind = async |offset| keeper.db().holders_behind(offset, 1_000).await.unwrap();
    until("it is there", async || behind(1).await == 1).await;
    assert_eq!(behind(0).await, 0);

    let lease = router.lease().await;
    assert!(lease_now(&router).is_some(), "many may use keys at once");
    keeper.shred(&tenant("a"), old, 1_000).await.unwrap();
    // Within the lease what it remembers is still believed.
    assert_eq!(who(&router, person("a", vec![phone(1)], 1)).await, Whom::Subject(old));
    say.send_replace(evicted(7));
    until("it waits for the keys in use", async || lease_now(&router).is_none()).await;
    assert_eq!(behind(7).await, 1, "it says nothing while they are");
    // It looked again, and remembers anew: that has to go too.
    let _ = key(&router, old).await;
    drop(lease);
    until("it has forgotten", async || behind(7).await == 0).await;
    assert_eq!(who(&router, person("a", vec![phone(1)], 1)).await, Whom::Forgotten);
    assert!(key(&router, old).await.is_none());
    assert!(lease_now(&router).is_some());

    // Another one is told of before it has done so.
    assert_eq!(behind(8).await, 1);
    say.send_replace(evicted(8));
    until("again", async || behind(8).await == 0).await;
    // Who stops remembers nothing; who was not seen for long is believed to be gone.
    stop.cancel();
    attending.await.unwrap().unwrap();
    assert_eq!(behind(u64::MAX).await, 0);
    keeper.db().hold("crashed", 999, 0).await.unwrap();
    assert_eq!(behind(9).await, 0);
    keeper.db().hold("alive", 1_001, 0).await.unwrap();
    assert_eq!(behind(9).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_begins_late_knows_nothing_from_before() {
    let stage = Stage::start().await;
    let (router, keeper) = (stage.ring(Router).await, stage.ring(Keeper).await);
    let (say, hear) = watch::channel(evicted(7));
    let stop = CancellationToken::new();
    let attending = tokio::spawn(router.attend("late".into(), hear, Clock::from_fn(|| 5_000), stop.clone()));
    until("it is there", async || keeper.db().holders_behind(8, 0).await.unwrap() == 1).await;
    assert_eq!(keeper.db().holders_behind(7, 0).await.unwrap(), 0);
    // Nobody follows control any more: it stays until it is told to stop.
    drop(say);
    stop.cancel();
    attending.await.unwrap().unwrap();
}
