//! What a large file costs: the worker in a process of its own, so that its memory is its alone.

use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::Duration;

use blob::{BlobConfig, Sse};
use schemas::{Attachment, FileState};
use tokio::process::Command;

use crate::meta::graph;
use crate::stage::{Stage, quick};

const LARGE: u64 = 100 * 1024 * 1024;
/// What tells the child where things are.
const META: &str = "TIDINGS_TEST_META";
const S3: &str = "TIDINGS_TEST_S3";
const MIB: u64 = 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_video_passes_in_little_memory() {
    let stage = Stage::new().await;
    stage.meta.large.store(LARGE, Ordering::SeqCst);
    let config = stage.s3.as_ref().unwrap().config();
    let (access, secret) = config.credentials.unwrap();
    let s3 = [config.endpoint.unwrap(), access, secrecy::ExposeSecret::expose_secret(&secret).to_owned()]
        .join(" ");
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["memory::child_that_is_the_worker_alone", "--exact", "--nocapture"])
        .env(META, stage.meta.base())
        .env(S3, s3)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let output =
        tokio::time::timeout(Duration::from_secs(120), child.wait_with_output()).await.unwrap().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let line = said.lines().find(|line| line.contains("extra_kib=")).unwrap();
    let extra_kib: u64 = line.split("extra_kib=").nth(1).unwrap().trim().parse().unwrap();
    let objects = stage.blobs.list("attachments/", None, 10).await.unwrap();
    // The small one before it, and the large one.
    assert_eq!(objects.iter().map(|object| object.size_bytes).max(), Some(seal::stream_bytes(LARGE)));
    let extra_mib = extra_kib.div_ceil(1024);
    println!("promise=attachment-memory bytes={LARGE} extra_rss_mib={extra_mib}");
    assert!(extra_mib < 64, "{extra_mib} MiB more for a file of {} MiB", LARGE / MIB);
    stage.end().await;
}

/// The worker, its log and its database; Meta and the store of objects are elsewhere. It is only one when its parent says so,
/// who fails without what it prints.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_is_the_worker_alone() {
    let (Ok(meta), Ok(s3)) = (std::env::var(META), std::env::var(S3)) else { return };
    let mut words = s3.split(' ').map(str::to_owned);
    let mut word = || words.next().unwrap();
    let config = BlobConfig {
        endpoint: Some(word()),
        region: "us-east-1".into(),
        bucket: "tidings".into(),
        credentials: Some((word(), word().into())),
        path_style: true,
        sse: Sse::None,
        make_bucket: false,
    };
    let mut stage = Stage::new().await;
    stage.blobs = blob::BlobStore::connect(config).await.unwrap();
    let keyring = stage.keyring(store::KeyringRole::Opener).await;
    let running = stage.worker_with(quick(), keyring, graph(&meta)).await;
    let address = |path: &str| Attachment {
        kind: "video".into(),
        url: Some(format!("{meta}{path}")),
        ..Attachment::default()
    };
    // Something small first: connections, pools and code are there then.
    let warm = stage.say("acme", "messenger:222", "15550001", vec![address("/cdn/none")]).await;
    assert_eq!(stage.outcome(warm.files[0]).await.state, FileState::Expired);
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS:");
    let sent = stage.say("acme", "messenger:222", "15550001", vec![address("/large")]).await;
    let outcome = stage.stored(sent.files[0]).await;
    assert_eq!((outcome.bytes, outcome.media_type.as_deref()), (Some(LARGE), Some("video/mp4")));
    println!("extra_kib={}", status("VmHWM:").saturating_sub(before));
    running.end().await;
    stage.end().await;
}

/// A line of this process's status, in KiB.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
