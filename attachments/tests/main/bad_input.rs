//! Files that are not what they are said to be, and names that are more than names: classes 86–93 of `docs/bad-input.md`.

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use graph::{Graph, GraphConfig, OPAQUE};
use schemas::{Attachment, FileState};
use store::KeyringRole;

use crate::meta::File;
use crate::stage::{Stage, by_id, quick};

fn file(id: &str, mime: &'static str, bytes: impl Into<Bytes>) -> File {
    File { bytes: bytes.into(), mime, ..File::picture(id, 1) }
}

/// A zip file with one member of this name.
fn zip(name: &str, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(name.len()).unwrap().to_le_bytes();
    [b"PK\x03\x04".as_slice(), &[0; 22], &length, &[0; 2], name.as_bytes(), content].concat()
}

/// 92: kept as bytes of no kind; what has no bytes, or too many, is refused.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_what_it_is_said_to_be_is_kept_as_bytes_of_no_kind() {
    let stage = Stage::new().await;
    stage.tenant("acme").await;
    let svg = "<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>";
    let html = "<!doctype html><script>alert(1)</script>";
    let huge = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\xc3\x50\0\0\xc3\x50\x08\x02\0\0\0";
    let opaque = [
        file("1001", "image/jpeg", svg),
        file("1002", "image/svg+xml", svg),
        file("1003", "text/html", html),
        file("1004", "image/png", [b"\xff\xd8\xff\xe0\0\x10JFIF\0".as_slice(), html.as_bytes()].concat()),
        file("1005", "image/jpeg", [b"\xff\xd8\xff\xe0\0\x10JFIF\0".as_slice(), html.as_bytes()].concat()),
        file("1006", "image/png", huge.as_slice()),
        file("1007", "application/zip", zip("inner.zip", &zip("inner.zip", b"PK\x03\x04"))),
        file("1008", "application/pdf", b"MZ\x90\0\x03\0\0\0".as_slice()),
        file("1009", "audio/ogg", File::picture("x", 500).bytes),
    ];
    let refused = [(file("2001", "image/jpeg", ""), "empty"), (File::picture("2002", 100_001), "too_large")];
    let config = GraphConfig {
        base: Some(stage.meta.base().to_owned()),
        max_bytes: 100_000,
        ..GraphConfig::default()
    };
    let keyring = stage.keyring(KeyringRole::Opener).await;
    let running = stage.worker_with(quick(), keyring, Graph::new(config).unwrap()).await;
    let all = || opaque.iter().chain(refused.iter().map(|(file, _)| file));
    all().for_each(|file| stage.meta.has(file));
    let sent = stage.say("acme", "whatsapp:111", "15550001", all().map(by_id).collect()).await;
    for (number, expected) in opaque.iter().enumerate() {
        let outcome = stage.stored(sent.files[number]).await;
        assert_eq!(outcome.media_type.as_deref(), Some(OPAQUE), "{} {}", expected.id, expected.mime);
        assert!(stage.opened(&sent, number).await.unwrap() == expected.bytes, "{}", expected.id);
    }
    for (number, (file, reason)) in (opaque.len()..).zip(&refused) {
        let outcome = stage.outcome(sent.files[number]).await;
        assert_eq!(
            (outcome.state, outcome.reason.as_deref()),
            (FileState::Refused, Some(*reason)),
            "{}",
            file.id
        );
    }
    assert_eq!(stage.objects().await, opaque.len());
    running.end().await;
    stage.end().await;
}

/// 86–91: said with its reason, whatever stands beside it; nobody is asked for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_leads_elsewhere_is_refused_and_what_stands_beside_it_is_fetched() {
    let stage = Stage::new().await;
    stage.tenant("acme").await;
    let good = File::picture("1001", 5_000);
    stage.meta.has(&good);
    // As it is in production: Meta's hosts and nothing else.
    let keyring = stage.keyring(KeyringRole::Opener).await;
    let metas = Graph::new(GraphConfig::default()).unwrap();
    let strict = stage.worker_with(quick(), keyring, metas).await;
    let cases = [
        ("file:///etc/passwd", "scheme_not_allowed"),
        ("data:text/html,x", "scheme_not_allowed"),
        ("http://scontent.fbcdn.net/a", "scheme_not_allowed"),
        ("https://scontent.fbcdn.net@127.0.0.1/", "userinfo"),
        ("https://scontent.fbcdn.net.evil.example/", "host_not_allowed"),
        ("https://scontent.fbcdn.net\\@127.0.0.1/", "bad_url"),
        ("https://2130706433/", "ip_literal"),
        ("https://[::ffff:127.0.0.1]/", "ip_literal"),
        ("https://scontent.fbcdn.net:8443/", "port_not_allowed"),
    ];
    let address =
        |url: &str| Attachment { kind: "image".into(), url: Some(url.into()), ..Attachment::default() };
    let sent = stage
        .say("acme", "messenger:222", "15550001", cases.iter().map(|(url, _)| address(url)).collect())
        .await;
    for ((url, reason), id) in cases.iter().zip(&sent.files) {
        let outcome = stage.outcome(*id).await;
        assert_eq!((outcome.state, outcome.reason.as_deref()), (FileState::Refused, Some(*reason)), "{url}");
    }
    strict.end().await;
    let running = stage.worker(quick()).await;
    let mixed = vec![address("https://127.0.0.1/"), address(&stage.meta.address(&good))];
    let sent = stage.say("acme", "messenger:222", "15550001", mixed).await;
    assert_eq!(stage.outcome(sent.files[0]).await.state, FileState::Refused);
    stage.stored(sent.files[1]).await;
    assert_eq!(stage.objects().await, 1);
    running.end().await;
    stage.end().await;
}

/// Every name of a file or folder below this one.
fn names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        names.push(entry.file_name().to_string_lossy().into_owned());
        names.extend(self::names(&entry.path()));
    }
    names
}

/// 93: a file's place is made of ids; its name is kept with what was said, and leads nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_files_name_names_no_place() {
    let stage = Stage::new().await;
    stage.tenant("acme").await;
    let long = "x".repeat(1000);
    let given = [
        "../../CANARY-up",
        "/CANARY-root",
        "..\\..\\CANARY-back",
        "C:\\CANARY.exe",
        "CANARY\0.txt",
        "CANARY\u{202e}gnp.exe",
        "CANARY.pdf.exe",
        "CANARY\r\n.txt",
        "%2e%2e%2fCANARY",
        ".",
        "..",
        "",
        &long,
    ];
    let running = stage.worker(quick()).await;
    let mut files = Vec::new();
    for (number, name) in given.iter().enumerate() {
        let file = File::picture(&format!("{}", 1001 + number), 2_000);
        stage.meta.has(&file);
        files.push(Attachment { filename: Some((*name).to_owned()), ..by_id(&file) });
    }
    let sent = stage.say("acme", "whatsapp:111", "15550001", files).await;
    for file in &sent.files {
        stage.stored(*file).await;
    }
    let objects = stage.blobs.list("", None, 1_000).await.unwrap();
    let places: BTreeSet<String> = objects.into_iter().map(|object| object.key).collect();
    assert_eq!(places, (0..given.len()).map(|number| sent.object(number)).collect());
    let made = names(stage.folder.path());
    assert!(
        !made.is_empty() && !made.iter().any(|name| name.contains("CANARY") || name.contains(&long)),
        "{made:?}"
    );
    // What became of a file does not say what it was called.
    for (event, _) in stage.outcomes().await {
        let encoded = event.encode();
        let shown = format!("{:?} {}", encoded.headers, String::from_utf8_lossy(&encoded.value));
        assert!(!shown.contains("CANARY") && !shown.contains(&long), "{shown}");
    }
    running.end().await;
    stage.end().await;
}
