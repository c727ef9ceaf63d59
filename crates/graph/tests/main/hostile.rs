//! Addresses, names and redirects that try to reach inside. A listener on loopback stands for everything inside: whatever
//! is tried, nobody may connect to it.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use graph::{Graph, GraphConfig, MediaDisposition, MediaError, Resolve, Resolving};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use crate::servers::{by_id, by_url, client, fetch, impatient, serve};

/// Counts who connects.
struct Inside {
    address: SocketAddr,
    connects: Arc<AtomicUsize>,
}

impl Inside {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connects = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connects);
        tokio::spawn(async move {
            loop {
                let _ = listener.accept().await.unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { address, connects }
    }

    /// How many connections there were so far. One of our own comes after all of them.
    async fn connects(&self) -> usize {
        let before = self.connects.load(Ordering::SeqCst);
        let _own = TcpStream::connect(self.address).await.unwrap();
        let counted = async {
            while self.connects.load(Ordering::SeqCst) == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), counted).await.expect("the listener counts");
        self.connects.fetch_sub(1, Ordering::SeqCst) - 1
    }
}

/// Answers every name with the next of these answers, the last one ever after.
struct Answers {
    answers: Mutex<Vec<Vec<SocketAddr>>>,
    asked: AtomicUsize,
}

impl Answers {
    fn new(mut answers: Vec<Vec<SocketAddr>>) -> Arc<Self> {
        answers.reverse();
        Arc::new(Self { answers: Mutex::new(answers), asked: AtomicUsize::new(0) })
    }
}

impl Resolve for Answers {
    fn resolve(&self, _host: &str) -> Resolving {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop() } else { answers.last().cloned() };
        Box::pin(async move { answer.ok_or_else(|| io::ErrorKind::NotFound.into()) })
    }
}

fn metas(resolver: Arc<Answers>) -> Graph {
    Graph::with_resolver(impatient(), resolver).unwrap()
}

/// Global unicast space that nobody has: connecting to it leads nowhere.
const PUBLIC: &str = "[3000::1]:9";

/// Addresses that no name of Meta's may have.
const INSIDE: &[&str] = &[
    "127.0.0.1:0",
    "0.0.0.0:0",
    "10.0.0.1:0",
    "100.64.0.1:0",
    "100.100.100.200:0",
    "168.63.129.16:0",
    "169.254.169.254:0",
    "172.16.0.1:0",
    "192.0.0.192:0",
    "192.168.1.1:0",
    "198.18.0.1:0",
    "203.0.113.7:0",
    "224.0.0.1:0",
    "255.255.255.255:0",
    "[::]:0",
    "[::1]:0",
    "[::ffff:127.0.0.1]:0",
    "[::ffff:169.254.169.254]:0",
    "[64:ff9b::7f00:1]:0",
    "[64:ff9b::a9fe:a9fe]:0",
    "[2001:0:4136:e378:8000:63bf:3fff:fdd2]:0",
    "[2001:db8::1]:0",
    "[2002:7f00:1::]:0",
    "[fd00:ec2::254]:0",
    "[fe80::1]:0",
    "[ff02::1]:0",
];

/// Addresses of files, and why they are not asked.
fn addresses(port: u16) -> Vec<(String, &'static str)> {
    let addresses: &[(&str, &[&str])] = &[
        (
            "scheme_not_allowed",
            &[
                "file:///etc/passwd",
                "ftp://scontent.fbcdn.net/a",
                "gopher://scontent.fbcdn.net:70/_a",
                "data:text/html,<script>alert(1)</script>",
                "javascript:alert(1)",
                "jar:https://scontent.fbcdn.net!/a",
                "ws://scontent.fbcdn.net/a",
                "http://scontent.fbcdn.net/a",
                "http://127.0.0.1:PORT/",
                "HTTP://localhost:PORT/",
            ],
        ),
        (
            "userinfo",
            &[
                "https://scontent.fbcdn.net@127.0.0.1:PORT/",
                "https://scontent.fbcdn.net:443@127.0.0.1/",
                "https://user:password@scontent.fbcdn.net/",
                "https://@scontent.fbcdn.net/",
                "https://scontent.fbcdn.net%40127.0.0.1@127.0.0.1/",
            ],
        ),
        (
            "bad_url",
            &[
                "",
                "scontent.fbcdn.net/a",
                "//scontent.fbcdn.net/a",
                "https:scontent.fbcdn.net",
                "https:/scontent.fbcdn.net",
                "https:\\\\scontent.fbcdn.net",
                "https://",
                "https:///scontent.fbcdn.net",
                "https://127.0.0.1:PORT\\@scontent.fbcdn.net/",
                "https://127.0.0.1:PORT#@scontent.fbcdn.net/",
                "https://scontent.fbcdn.net/#a",
                "https://scontent.fbcdn.net/a\tb",
                "https://127.0.0.1\t.fbcdn.net/",
                "https://scontent.fbcdn.net/a\r\nHost: localhost",
                "https://scontent.fbcdn.net/a b",
                " https://scontent.fbcdn.net/",
                "https://scontent.fbcdn.net/\0",
                "https://scontent.fbcdn.net./a",
                "https://.fbcdn.net/a",
                "https://scontent..fbcdn.net/a",
                "https://127%2e0.fbcdn.net/",
                "https://localhost%00.fbcdn.net/",
                "https://scontent.fbcd\u{f1}.net/",
                "https://scontent.\u{ff46}bcdn.net/",
                "https://scontent.fbcdn\u{3002}net/",
                "https://\u{2460}\u{2461}\u{2466}.0.0.1/",
                "https://scontent.fb\u{ad}cdn.net/",
                "https://127.0.0.1_.fbcdn.net/",
                "https://-a.fbcdn.net/",
                "https://xn--fbcdn-abc.net/",
            ],
        ),
        (
            "ip_literal",
            &[
                "https://127.0.0.1/",
                "https://169.254.169.254/latest/meta-data/",
                "https://157.240.1.35/",
                "https://2130706433/",
                "https://0x7f000001/",
                "https://0x7f.0.0.1/",
                "https://0177.0.0.1/",
                "https://017700000001/",
                "https://127.1/",
                "https://127.0.1/",
                "https://127.0.0.1./",
                "https://0/",
                "https://1.1.1.1.1/",
                "https://4294967296/",
                "https://scontent.fbcdn.net.127.0.0.1/",
                "https://[::1]/",
                "https://[::ffff:127.0.0.1]/",
                "https://[::ffff:7f00:1]/",
                "https://[64:ff9b::127.0.0.1]/",
                "https://[fe80::1%25eth0]/",
                "https://[fd00:ec2::254]/",
                "https://[::]/",
                "https://[scontent.fbcdn.net]/",
                "https://[::1/",
            ],
        ),
        (
            "port_not_allowed",
            &[
                "https://scontent.fbcdn.net:80/",
                "https://scontent.fbcdn.net:22/",
                "https://scontent.fbcdn.net:PORT/",
                "https://scontent.fbcdn.net:0/",
                "https://scontent.fbcdn.net:/",
                "https://scontent.fbcdn.net:0443/",
                "https://scontent.fbcdn.net:+443/",
                "https://scontent.fbcdn.net:65979/",
                "https://127.0.0.1:PORT/",
                "https://[::1]:PORT/",
            ],
        ),
        (
            "host_not_allowed",
            &[
                "https://localhost/",
                "https://fbcdn.net.evil.example/",
                "https://scontent.fbcdn.net.evil.example/",
                "https://evilfbcdn.net/",
                "https://fbcdn.net/",
                "https://fbsbx.com/",
                "https://evil.graph.facebook.com/",
                "https://graph.facebook.com.evil.example/",
                "https://facebook.com/",
                "https://l.facebook.com/l.php?u=http%3A%2F%2F127.0.0.1",
                "https://127.0.0.1.nip.io/",
                "https://metadata.google.internal/computeMetadata/v1/",
                "https://scontent.xn--fbdn-m6d.net/",
                "https://evil.example/?scontent.fbcdn.net",
                "https://evil.example/.fbcdn.net",
            ],
        ),
    ];
    let mut all: Vec<_> = addresses
        .iter()
        .flat_map(|(reason, addresses)| {
            addresses.iter().map(|address| (address.replace("PORT", &port.to_string()), *reason))
        })
        .collect();
    all.push((format!("https://scontent.fbcdn.net/{}", "a".repeat(10_000)), "bad_url"));
    all.push((format!("https://{}.fbcdn.net/", "a".repeat(64)), "bad_url"));
    all.push((format!("https://{}fbcdn.net/", "a.".repeat(200)), "bad_url"));
    all
}

#[track_caller]
fn refused(error: &MediaError, reason: &'static str, what: &str) {
    let expected = (reason, MediaDisposition::Refused(reason));
    assert_eq!((error.reason(), error.disposition()), expected, "{what}");
}

#[tokio::test]
async fn nothing_reaches_inside() {
    let inside = Inside::new().await;
    let mut hostile = 0;

    // Every name leads inside: what is let through by its text would be seen.
    let leads_inside = Answers::new(vec![vec![inside.address]]);
    let graph = metas(Arc::clone(&leads_inside));
    for (address, reason) in addresses(inside.address.port()) {
        refused(&fetch(&graph, &by_url(address.as_str())).await.unwrap_err(), reason, &address);
        hostile += 1;
    }
    assert_eq!(leads_inside.asked.load(Ordering::SeqCst), 0, "a name was looked up for a refused address");

    // Where one place is named instead of Meta's hosts, nothing beside it is asked.
    let graph = client("http://127.0.0.1:1/");
    for (address, _) in addresses(inside.address.port()) {
        let error = fetch(&graph, &by_url(address.as_str())).await.unwrap_err();
        assert!(matches!(error, MediaError::Url(_)), "{address}: {error}");
    }

    // Meta's own names with answers that lead inside, alone and behind a public one.
    let answers = INSIDE.iter().map(|address| address.parse().unwrap());
    for address in answers.chain([inside.address]) {
        let public = PUBLIC.parse().unwrap();
        for answer in [vec![address], vec![public, address], vec![address, public]] {
            let graph = metas(Answers::new(vec![answer.clone()]));
            let error = fetch(&graph, &by_url("https://scontent.xx.fbcdn.net/a")).await.unwrap_err();
            refused(&error, "not_public_address", &format!("{answer:?}"));
            let error = fetch(&graph, &by_id()).await.unwrap_err();
            refused(&error, "not_public_address", &format!("{answer:?}"));
            hostile += 1;
        }
    }

    // Rebinding: a public answer at the first look, an inner one at the second. Each fetch looks once.
    let rebinding = Answers::new(vec![vec![PUBLIC.parse().unwrap()], vec![inside.address]]);
    let graph = metas(Arc::clone(&rebinding));
    let error = fetch(&graph, &by_url("https://scontent.xx.fbcdn.net/a")).await.unwrap_err();
    assert_eq!(error.disposition(), MediaDisposition::Retry { after: None }, "{error}");
    assert_eq!(rebinding.asked.load(Ordering::SeqCst), 1);
    let error = fetch(&graph, &by_url("https://scontent.xx.fbcdn.net/a")).await.unwrap_err();
    refused(&error, "not_public_address", "rebinding");
    assert_eq!(rebinding.asked.load(Ordering::SeqCst), 2);
    hostile += 1;

    hostile += redirects_and_descriptions(&inside).await;

    let connects = inside.connects().await;
    println!("promise=ssrf hostile={hostile} inside_connects={connects}");
    assert_eq!(connects, 0);

    // The trap works: named as the one place, it is reached through the same kind of answer.
    let config = GraphConfig { base: Some("http://inside.test".into()), ..impatient() };
    let graph = Graph::with_resolver(config, Answers::new(vec![vec![inside.address]])).unwrap();
    assert!(fetch(&graph, &by_url("http://inside.test/a")).await.is_err());
    assert!(inside.connects().await >= 1);
}

/// The allowed place itself turns hostile.
async fn redirects_and_descriptions(inside: &Inside) -> usize {
    let locations: Vec<String> = [
        "http://127.0.0.1:PORT/",
        "https://127.0.0.1:PORT/",
        "//127.0.0.1:PORT/",
        "http://localhost:PORT/",
        "http://2130706433:PORT/",
        "http://0x7f.1:PORT/",
        "http://[::ffff:127.0.0.1]:PORT/",
        "http://user@127.0.0.1:PORT/",
        "/\\127.0.0.1:PORT/",
        "http://169.254.169.254/latest/meta-data/",
        "https://scontent.fbcdn.net/a",
        "file:///etc/passwd",
    ]
    .map(|location| location.replace("PORT", &inside.address.port().to_string()))
    .to_vec();
    let given = locations.clone();
    let redirect = async move |Path(nth): Path<usize>| {
        (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, given[nth].clone())])
    };
    let given = locations.clone();
    // Of a file by its id: a description with a hostile address, or one whose address redirects.
    let describe = async move |headers: HeaderMap, Path(nth): Path<usize>| {
        assert!(headers.contains_key(header::AUTHORIZATION));
        let url = match given.get(nth) {
            Some(url) => url.clone(),
            None => format!("http://{}/to/{}", headers[header::HOST].to_str().unwrap(), nth - given.len()),
        };
        json!({ "url": url }).to_string()
    };
    let base =
        serve(Router::new().route("/to/{nth}", get(redirect)).route("/v25.0/{nth}", get(describe))).await;
    let graph = client(&base);
    for (nth, location) in locations.iter().enumerate() {
        let error = fetch(&graph, &by_url(format!("{base}/to/{nth}"))).await.unwrap_err();
        refused(&error, "redirect", location);
        for (id, is_redirect) in [(nth, false), (nth + locations.len(), true)] {
            let mut request = by_id();
            request.source =
                graph::MediaSource::WhatsappId { media_id: id.to_string(), phone_number_id: None };
            let error = fetch(&graph, &request).await.unwrap_err();
            assert_eq!(error.reason() == "redirect", is_redirect, "{location}: {error}");
            assert!(matches!(error, MediaError::Redirect(_) | MediaError::Url(_)), "{location}: {error}");
        }
    }
    locations.len() * 3
}
