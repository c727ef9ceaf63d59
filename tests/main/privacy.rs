//! What people write is readable by their client alone, and gone when they ask: through repeats, replay, rebuild and restore.
//!
//! `TIDINGS_PRIVACY_PEOPLE` sets how many people there are (1000; a tenth of that on Kafka), a tenth of whom is forgotten.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use sandbox::{Channel, Media, World, WorldConfig};
use serde_json::{Value, json};

use crate::broker::Broker;
use crate::canary::canaries;
use crate::meta::{Meta, TOKEN};
use crate::process::{http, until};
use crate::rig::{SECRET, Up, VERIFY_TOKEN, delivery, whatsapp};

const AT_A_TIME: usize = 4;

/// The world whose files the simulated Graph API serves, and the number that people write to.
async fn meta() -> (Meta, String) {
    let world = Arc::new(World::new(WorldConfig { seed: 1, organisations: 1, people: 1 }));
    let tenant = &world.organisations()[0].tenant;
    let number = world.account(tenant, Channel::Whatsapp).unwrap().id.clone();
    let mut meta = Meta::listen().await;
    meta.serve(world);
    (meta, number)
}

fn people() -> usize {
    std::env::var("TIDINGS_PRIVACY_PEOPLE").ok().and_then(|count| count.parse().ok()).unwrap_or(1000)
}

fn phone(person: usize) -> String {
    format!("1555{person:07}")
}

fn word(person: usize) -> String {
    format!("CANARYWORD{person:05}X")
}

/// A text and a file of this person.
fn bodies(number: &str, person: usize) -> [String; 2] {
    let id = |kind: &str| format!("wamid.{}", STANDARD.encode(format!("{kind}{}", phone(person))));
    let text = whatsapp(number, &phone(person), &id("T"), &format!("{} please pray for us", word(person)));
    let mut file = whatsapp(number, &phone(person), &id("F"), "");
    let media = media(person);
    let message = &mut file["changes"][0]["value"]["messages"][0];
    message.as_object_mut().unwrap().remove("text");
    message["type"] = "image".into();
    message["image"] = json!({ "id": media.id, "mime_type": media.mime_type, "sha256": media.sha256_base64(),
        "caption": format!("CANARYCAPTION{person:05}X") });
    [delivery(vec![text]), delivery(vec![file])]
}

fn media(person: usize) -> Media {
    // The numbers divide by the count of types, so each is a JPEG.
    Media::of(&(7_000_000_000_000_002_usize + person * 6).to_string()).unwrap()
}

/// Everything that every conversation of the tenant shows.
async fn shown(up: &Up) -> Vec<Value> {
    let http = http();
    let mut listed: Vec<String> = Vec::new();
    let mut path = "tenants/alpha/conversations?limit=1000".to_owned();
    loop {
        let page: Value = serde_json::from_slice(&up.admin.get(&http, &path).await.unwrap()).unwrap();
        let ids = page["items"].as_array().unwrap().iter();
        listed.extend(ids.map(|one| one["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("tenants/alpha/conversations?limit=1000&after={next}");
    }
    let show = async |id: String| -> Vec<Value> {
        let path = format!("tenants/alpha/conversations/{id}/messages?limit=1000");
        // Whoever was forgotten between the list and the look is not found.
        let Some(page) = up.admin.get(&http, &path).await else { return Vec::new() };
        let page: Value = serde_json::from_slice(&page).unwrap();
        page["items"].as_array().unwrap().clone()
    };
    let all: Vec<Vec<Value>> = futures::stream::iter(listed).map(show).buffered(AT_A_TIME).collect().await;
    all.into_iter().flatten().collect()
}

/// How many of these people's words or files are readable anywhere.
async fn recovered(up: &Up, people: &[usize], files: &[String]) -> usize {
    let http = http();
    let text: Vec<String> = shown(up).await.iter().map(ToString::to_string).collect();
    let marks = people.iter().flat_map(|person| [word(*person), format!("CANARYCAPTION{person:05}X")]);
    let marks = aho_corasick::AhoCorasick::new(marks).unwrap();
    let mut found = text.iter().filter(|text| marks.is_match(text.as_str())).count();
    for file in files {
        found +=
            usize::from(up.admin.get(&http, &format!("tenants/alpha/attachments/{file}")).await.is_some());
    }
    found
}

async fn forgotten(count: usize, broker: Option<Broker>) {
    let gone: Vec<usize> = (0..count).step_by(10).collect();
    let (meta, number) = meta().await;
    // Whoever looks for a fault lets everything be logged.
    let mut args = vec!["--graph-url", &meta.url, "--log", "trace"];
    if let Some(broker) = &broker {
        args.extend(["--kafka", &broker.address]);
    }
    let mut up = Up::start(&args).await;
    up.admin.app(up.folder()).await;
    up.admin.cli(&["tenant", "add", "alpha", "--name", "Alpha"]).await;
    let key = josekit::jwk::alg::ec::EcKeyPair::generate(josekit::jwk::alg::ec::EcCurve::P256).unwrap();
    let jwk = up.folder().join("feed.jwk");
    std::fs::write(&jwk, key.to_jwk_public_key().to_string()).unwrap();
    let jwk = jwk.display().to_string();
    up.admin.cli(&["tenant", "feed", "alpha", "--format", "jwe", "--public-jwk", &jwk]).await;
    let token = up.folder().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let token = token.display().to_string();
    up.admin.cli(&["asset", "connect", "alpha", "whatsapp", &number, "--access-token-file", &token]).await;

    let all: Vec<String> = (0..count).flat_map(|person| bodies(&number, person)).collect();
    for body in &all {
        assert_eq!(up.post(body.clone()).await, 200);
    }
    up.admin.settled(120).await;
    let stored = until("every file is stored", 240, async || {
        let messages = shown(&up).await;
        let stored = |message: &&Value| message["attachments"][0]["state"] == "stored";
        let all = messages.iter().filter(stored).count() == count && messages.len() == 2 * count;
        if !all {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        all.then_some(messages)
    })
    .await;
    let file_of = |person: usize| {
        let caption = format!("CANARYCAPTION{person:05}X");
        let message = stored.iter().find(|message| message["text"] == caption.as_str()).unwrap();
        message["attachments"][0]["id"].as_str().unwrap().to_owned()
    };
    let files: Vec<String> = gone.iter().map(|person| file_of(*person)).collect();
    let out = up.folder().join("kept");
    up.admin.cli(&["attachment", "get", "alpha", &file_of(1), "--out", out.to_str().unwrap()]).await;
    assert_eq!(std::fs::read(&out).unwrap(), media(1).bytes);

    // At rest before anybody is forgotten: nothing readable, in no form.
    let some = [0, 1, count / 2, count - 1];
    let of = |person: &usize| {
        let file = media(*person).bytes;
        let id = STANDARD.encode(format!("T{}", phone(*person)));
        [
            word(*person).into_bytes(),
            phone(*person).into_bytes(),
            id.into_bytes(),
            file[file.len() / 2..][..32].to_vec(),
        ]
    };
    let mut words: Vec<Vec<u8>> = some.iter().flat_map(of).collect();
    words.extend([TOKEN, "CANARYCAPTION", SECRET, VERIFY_TOKEN].map(|word| word.as_bytes().to_vec()));
    let data = up.data();
    let at_rest = || {
        let mut hits = canaries(&data, &words);
        hits.extend(broker.iter().flat_map(|broker| canaries(broker.folder(), &words)));
        hits
    };
    let before = at_rest();
    assert!(before.is_empty(), "{before:?}");

    let backup = up.admin.lines(&["backup", "create"]).await.remove(0)["backup"].as_str().unwrap().to_owned();

    // Forgotten under traffic of others.
    let stop = AtomicBool::new(false);
    let sent = AtomicU64::new(0);
    let traffic = async {
        while !stop.load(Ordering::Relaxed) {
            let nth = sent.fetch_add(1, Ordering::Relaxed);
            let from = format!("1777{:07}", nth % 500);
            let entry = whatsapp(&number, &from, &format!("wamid.LIVE{nth}"), "live");
            assert_eq!(up.post(delivery(vec![entry])).await, 200);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let forget = async {
        let mut erasures = HashSet::new();
        for person in &gone {
            let found = up.admin.lines(&["person", "find", "alpha", &phone(*person)]).await.remove(0);
            let subject = found["subject"].as_str().unwrap().to_owned();
            let erasure =
                up.admin.lines(&["person", "erase", "alpha", &subject, "--no-wait"]).await.remove(0);
            erasures.insert(erasure["erasure"].as_str().unwrap().to_owned());
        }
        let receipts = until("every erasure is done", 240, async || {
            let all = up.admin.lines(&["erasure", "list"]).await;
            let done = |one: &Value| one["state"] == "done" && one["verified"] == true;
            (all.len() == gone.len() && all.iter().all(done)).then_some(all)
        })
        .await;
        stop.store(true, Ordering::Relaxed);
        receipts
    };
    let (receipts, ()) = tokio::join!(forget, traffic);
    let total = |name: &str| receipts.iter().map(|one| one[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!(total("objects"), gone.len() as u64, "one file each");
    assert!(total("rows") >= 3 * gone.len() as u64 && total("records") >= 4 * gone.len() as u64);
    let live = sent.load(Ordering::Relaxed);

    let mut steps = Vec::new();
    let mut step = async |name: &'static str, up: &Up| {
        up.admin.settled(120).await;
        let found = recovered(up, &gone, &files).await;
        assert_eq!(found, 0, "after {name}");
        steps.push(format!("{name}=0"));
    };
    step("erasure", &up).await;
    for body in &all {
        assert_eq!(up.post(body.clone()).await, 200);
    }
    step("repeats", &up).await;
    up.admin.cli(&["replay", "--all"]).await;
    step("replay", &up).await;
    up.crash().await;
    step("kill-9", &up).await;
    up.admin.cli(&["view", "rebuild", "conversation"]).await;
    step("rebuild", &up).await;
    up.admin.cli(&["backup", "restore", &backup]).await;
    step("restore", &up).await;
    let after = at_rest();
    assert!(after.is_empty(), "{after:?}");
    let log = std::fs::read(up.folder().join("up.log")).unwrap();
    let opened =
        String::from_utf8_lossy(&log).lines().filter(|line| line.contains("console::access")).count();
    assert!(opened >= files.len(), "whoever opens something is told of: {opened}");
    let metrics =
        http().get(format!("{}/metrics", up.admin.url)).send().await.unwrap().bytes().await.unwrap();
    assert!(metrics.windows(5).any(|window| window == b"alpha"), "metrics know tenants");
    for word in &words {
        for (place, bytes) in [("log", &log[..]), ("metrics", &metrics[..])] {
            let is_there = bytes.windows(word.len()).any(|window| window == word);
            assert!(!is_there, "{} in the {place}", String::from_utf8_lossy(word));
        }
    }

    // Nobody else was touched, and whoever writes again is somebody new.
    let left = shown(&up).await;
    let words_left = left.iter().filter(|message| message.to_string().contains("CANARYWORD")).count();
    assert_eq!(words_left, count - gone.len());
    let lives = left.iter().filter(|message| message["text"] == "live").count() as u64;
    assert_eq!(lives, live, "messages that came meanwhile");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let again = whatsapp(&number, &phone(gone[0]), "wamid.AGAIN", "hello again");
    assert_eq!(up.post(delivery(vec![again])).await, 200);
    until("who writes again is shown", 30, async || {
        shown(&up).await.iter().any(|message| message["text"] == "hello again").then_some(())
    })
    .await;
    let equation = up.admin.settled(60).await;
    assert_eq!(equation["holes"], 0, "{equation}");
    println!(
        "promise=forgotten log={} people={count} erased={} live_meanwhile={live} rows={} objects={} records={} tried={} recovered: {} canary_hits_before=0 after=0 forgotten_repeats={}",
        if broker.is_some() { "kafka" } else { "embedded" },
        gone.len(),
        total("rows"),
        total("objects"),
        total("records"),
        total("tried"),
        steps.join(" "),
        equation["forgotten"],
    );
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_forgotten_stay_forgotten() {
    forgotten(people(), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_forgotten_stay_forgotten_on_kafka() {
    forgotten(people() / 10, Some(Broker::start().await)).await;
}

/// The steps of an erasure at which the process can end; after each it goes on where it was.
const STEPS: [&str; 9] =
    ["shredded", "told", "evicted", "rows", "objects", "records", "verified", "ledger", "none"];

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_is_killed_at_any_step_goes_on() {
    let (meta, number) = meta().await;
    let mut up = Up::start(&["--graph-url", &meta.url]).await;
    up.admin.app(up.folder()).await;
    up.admin.cli(&["tenant", "add", "alpha", "--name", "Alpha"]).await;
    let token = up.folder().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let token = token.display().to_string();
    up.admin.cli(&["asset", "connect", "alpha", "whatsapp", &number, "--access-token-file", &token]).await;
    for body in (0..STEPS.len()).flat_map(|person| bodies(&number, person)) {
        assert_eq!(up.post(body).await, 200);
    }
    until("every file is stored", 120, async || {
        let messages = shown(&up).await;
        let stored = |message: &&Value| message["attachments"][0]["state"] == "stored";
        (messages.iter().filter(stored).count() == STEPS.len()).then_some(())
    })
    .await;
    let mut died = 0;
    for (person, step) in STEPS.iter().enumerate() {
        up.crash_with("TIDINGS_KEEPER_DIES_AFTER", step).await;
        let found = up.admin.lines(&["person", "find", "alpha", &phone(person)]).await.remove(0);
        let subject = found["subject"].as_str().unwrap().to_owned();
        // It may die before it answers.
        up.admin.ask(&["person", "erase", "alpha", &subject, "--no-wait"]).await;
        if *step != "none" {
            until(&format!("it died after {step}"), 60, async || up.process.has_ended().then_some(())).await;
            died += 1;
            up.crash().await;
        }
        until(&format!("the erasure that was killed after {step} is done"), 90, async || {
            let all = up.admin.lines(&["erasure", "list"]).await;
            all.iter()
                .any(|one| {
                    one["subject"] == subject.as_str() && one["state"] == "done" && one["verified"] == true
                })
                .then_some(())
        })
        .await;
        assert_eq!(recovered(&up, &[person], &[]).await, 0, "{step}");
    }
    assert_eq!(died, STEPS.len() - 1);
    println!("promise=erasure-resumes killed_at={} recovered=0", STEPS[..died].join(","));
    up.stop().await;
}
