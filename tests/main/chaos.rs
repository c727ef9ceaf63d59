//! Traffic with repeats and disorder while what receives it is killed; the simulated Meta's ledger is the judge.

use std::sync::Arc;

use sandbox::{Channel, Ledger, Sender, Traffic, World, WorldConfig};
use tokio_util::sync::CancellationToken;

use crate::broker::Broker;
use crate::judge::judge;
use crate::meta::Meta;
use crate::plan::{Plan, acknowledged};
use crate::rig::Up;
use crate::roles::{ROLES, Roles};

/// A world whose files are at this Graph API, which serves them from now on.
fn world(plan: Plan, meta: &mut Meta) -> Arc<World> {
    let world = World::new(WorldConfig { seed: plan.seed, organisations: 3, people: 150 });
    let world = Arc::new(world.with_media_at(&meta.url));
    meta.serve(world.clone());
    world
}

/// The number that is connected only in the middle of it.
fn late(world: &World) -> (String, String) {
    let account = world.account(&world.organisations()[2].tenant, Channel::Whatsapp).unwrap();
    (world.tenant(account).to_owned(), account.id.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn chaos_embedded() {
    let plan = Plan::from_environment();
    let mut meta = Meta::listen().await;
    let world = world(plan, &mut meta);
    let ledger = Arc::new(Ledger::new(world.clone()));
    let (tenant, number) = late(&world);
    let mut up = Up::start(&["--graph-url", &meta.url]).await;
    up.admin.connect_world(up.folder(), &world, &[&number]).await;

    let sender = Sender::new(Plan::sender(&up.webhooks), ledger.clone());
    let traffic = Traffic::new(world.clone(), ledger.clone(), plan.traffic());
    let sending = tokio::spawn(sender.run(traffic, CancellationToken::new(), CancellationToken::new()));
    for (nth, moment) in plan.moments(plan.kills, 1).into_iter().enumerate() {
        acknowledged(&ledger, moment).await;
        up.crash().await;
        if nth == 0 {
            up.admin.cli(&["asset", "connect", &tenant, "whatsapp", &number]).await;
        }
    }
    if plan.kills == 0 {
        up.admin.cli(&["asset", "connect", &tenant, "whatsapp", &number]).await;
    }
    sending.await.unwrap().unwrap();
    judge("chaos-embedded", plan, &up.admin, &ledger, &world, &format!("kills=up:{}", plan.kills)).await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chaos_kafka() {
    let plan = Plan::from_environment();
    let broker_kills = plan.kills.div_ceil(4);
    let mut meta = Meta::listen().await;
    let world = world(plan, &mut meta);
    let ledger = Arc::new(Ledger::new(world.clone()));
    let (tenant, number) = late(&world);
    let broker = Broker::start().await;
    let roles = Roles::start(&broker.address, &meta.url).await;
    roles.admin.connect_world(roles.folder(), &world, &[&number]).await;

    let sender = Sender::new(Plan::sender(&roles.webhooks), ledger.clone());
    let traffic = Traffic::new(world.clone(), ledger.clone(), plan.traffic());
    let sending = tokio::spawn(sender.run(traffic, CancellationToken::new(), CancellationToken::new()));
    // Each role is killed on its own schedule, the broker on another.
    let kill_role = async |nth: usize| {
        for moment in plan.moments(plan.kills, 10 + nth as u64) {
            acknowledged(&ledger, moment).await;
            roles.crash(nth).await;
        }
    };
    let kill_broker = async {
        for moment in plan.moments(broker_kills, 20) {
            acknowledged(&ledger, moment).await;
            broker.crash().await;
        }
    };
    let kill_postgres = async {
        for moment in plan.moments(broker_kills, 30) {
            acknowledged(&ledger, moment).await;
            roles.crash_postgres();
        }
    };
    let connect = async {
        acknowledged(&ledger, plan.events / 3).await;
        // The console, or the broker it writes to, may be away just now.
        roles.insist(&["asset", "connect", &tenant, "whatsapp", &number]).await;
    };
    tokio::join!(
        kill_role(0),
        kill_role(1),
        kill_role(2),
        kill_role(3),
        kill_role(4),
        kill_broker,
        kill_postgres,
        connect
    );
    sending.await.unwrap().unwrap();
    roles.ready().await;
    let kills = ROLES.map(|role| format!("{role}:{}", plan.kills)).join(",");
    let kills = format!(
        "kills={kills},broker:{broker_kills},postgres:{broker_kills} ended_by_themselves={}",
        roles.ended()
    );
    judge("chaos-kafka", plan, &roles.admin, &ledger, &world, &kills).await;
    roles.stop().await;
}
