//! Several at one queue: workers that share it, tenants and assets that may not be in one another's way.

use std::collections::BTreeSet;

use attachments::Config;

use crate::meta::File;
use crate::stage::{Stage, by_id, eventually, quick};

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_do_every_job_once() {
    const FILES: usize = 60;
    let stage = Stage::new().await;
    stage.tenant("acme").await;
    let files: Vec<File> = (0..FILES).map(|n| File::picture(&format!("{}", 1000 + n), 20_000)).collect();
    let mut sent = Vec::new();
    for (n, file) in files.iter().enumerate() {
        stage.meta.has(file);
        let asset = format!("whatsapp:11{}", n % 5);
        sent.push(stage.say("acme", &asset, &format!("155500{n:02}"), vec![by_id(file)]).await);
    }
    let member = |name: &str| Config { member: name.into(), ..quick() };
    let one = stage.worker(member("one")).await;
    let two = stage.worker(member("two")).await;
    eventually("all are stored", async || stage.outcomes().await.len() >= FILES).await;
    stage.idle().await;
    let ids: BTreeSet<_> = stage.outcomes().await.iter().map(|(event, _)| event.id).collect();
    assert_eq!((stage.outcomes().await.len(), ids.len()), (FILES, FILES));
    assert!(files.iter().all(|file| file.asked() == 1), "each was fetched once");
    let done = [&one, &two].map(|worker| worker.metric("attachments_outcomes_total", "stored"));
    assert_eq!(done[0] + done[1], FILES as f64);
    println!("promise=once files={FILES} workers=2 by_one={} by_two={} repeated=0", done[0], done[1]);
    one.end().await;
    two.end().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_assets_thousands_delay_nobody() {
    const NOISE: usize = 1_000;
    let stage = Stage::new().await;
    for tenant in ["noisy", "quiet"] {
        stage.tenant(tenant).await;
    }
    let hanging = File::picture("1001", 100_000).gated();
    let failing = File::picture("1002", 1_000).failing(u32::MAX);
    let (neighbour, other) = (File::picture("1003", 5_000), File::picture("1004", 5_000));
    for file in [&hanging, &failing, &neighbour, &other] {
        stage.meta.has(file);
    }
    let running = stage.worker(Config { at_once: 4, per_asset: 2, ..quick() }).await;
    let many = |file: &File| vec![by_id(file); 50];
    for n in 0..NOISE / 50 {
        let (asset, file) = if n % 2 == 0 { ("whatsapp:111", &hanging) } else { ("whatsapp:112", &failing) };
        stage.say("noisy", asset, &format!("155500{n:02}"), many(file)).await;
    }
    eventually("the noise is being made", async || {
        let queued = stage.queue.attachment_backlog().await.unwrap().files;
        queued == NOISE as u64 && hanging.asked() == 2 && failing.asked() > 0
    })
    .await;
    let sent = stage.say("noisy", "whatsapp:113", "15550111", vec![by_id(&neighbour)]).await;
    let quiet = stage.say("quiet", "whatsapp:222", "15550112", vec![by_id(&other)]).await;
    // While both assets' files are in the way, and stay there.
    stage.stored(quiet.files[0]).await;
    stage.stored(sent.files[0]).await;
    assert_eq!(hanging.asked(), 2, "its budget");
    let waiting = async || stage.queue.attachment_backlog().await.unwrap().files;
    eventually("the noise is all that is left", async || waiting().await == NOISE as u64).await;
    println!("promise=noisy-asset waiting={NOISE} others_stored=2");
    running.end().await;
    stage.end().await;
}
