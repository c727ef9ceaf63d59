//! Caps: connections, connections of one address, bytes; and a panic.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ingest::Config;
use service::Clock;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{delivery, next, sign, status, until_closed};
use crate::stage::{BODY, SECRET, Stage, until};

#[tokio::test]
async fn one_connection_too_many_is_closed_at_once() {
    for (label, set) in [("full", (2, 0)), ("address_full", (2000, 2))] {
        let mut config = Config::default();
        (config.limits.connections, config.limits.connections_per_address) = set;
        let stage = Stage::with(config).await;
        let mut first = TcpStream::connect(stage.address).await.unwrap();
        let _second = TcpStream::connect(stage.address).await.unwrap();
        until("two are here", || stage.metric("ingest_connections", None) == 2.0).await;
        let mut third = TcpStream::connect(stage.address).await.unwrap();
        assert!(until_closed(&mut third).await.is_empty());
        assert_eq!(stage.metric("ingest_connections_total", Some(label)), 1.0);
        first.write_all(&delivery(SECRET, BODY)).await.unwrap();
        assert_eq!(next(&mut first).await.status, 200);
        drop(first);
        until("one has left", || stage.metric("ingest_connections", None) == 1.0).await;
        assert_eq!(status(stage.address, &delivery(SECRET, BODY)).await, 200);
    }
}

#[tokio::test]
async fn bytes_in_flight_are_bounded() {
    let mut config = Config::default();
    config.limits.body_bytes = 64 * 1024;
    config.limits.inflight_bytes = 64 * 1024;
    let stage = Stage::with(config).await;
    let body = vec![b'x'; 60 * 1024];
    let bytes = delivery(SECRET, &body);
    let mut holding = TcpStream::connect(stage.address).await.unwrap();
    holding.write_all(&bytes[..bytes.len() - 1]).await.unwrap();
    until("its bytes are held", || stage.metric("ingest_inflight_bytes", None) >= 60.0 * 1024.0 - 1.0).await;
    // An announcement alone holds nothing.
    let mut announcing = TcpStream::connect(stage.address).await.unwrap();
    let head = format!(
        "POST /webhooks/acme HTTP/1.1\r\nX-Hub-Signature-256: {}\r\nContent-Length: 65000\r\n\r\n",
        sign(SECRET, BODY)
    );
    announcing.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(status(stage.address, &delivery(SECRET, BODY)).await, 200);
    assert_eq!(status(stage.address, &delivery(SECRET, &vec![b'x'; 10 * 1024])).await, 503);
    assert_eq!(stage.outcome("overloaded"), 1.0);
    holding.write_all(&bytes[bytes.len() - 1..]).await.unwrap();
    assert_eq!(next(&mut holding).await.status, 200);
    drop(announcing);
    until("all is given back", || stage.metric("ingest_inflight_bytes", None) == 0.0).await;
    assert_eq!(status(stage.address, &delivery(SECRET, &vec![b'x'; 10 * 1024])).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_large_bodies_at_once_are_taken_or_refused() {
    let mut config = Config::default();
    config.limits.inflight_bytes = 16 * 1024 * 1024;
    let stage = Arc::new(Stage::with(config).await);
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..32u8 {
        let stage = stage.clone();
        clients.spawn(async move { status(stage.address, &delivery(SECRET, &vec![number; 3 << 20])).await });
    }
    let statuses = clients.join_all().await;
    let accepted = statuses.iter().filter(|status| **status == 200).count();
    assert!(statuses.iter().all(|status| matches!(status, 200 | 503)), "{statuses:?}");
    assert_eq!(stage.raw().await.len(), accepted);
    until("all is given back", || stage.metric("ingest_inflight_bytes", None) == 0.0).await;
}

#[tokio::test]
async fn a_panic_is_a_500_and_a_counter() {
    let broken = Arc::new(AtomicBool::new(false));
    let clock = Clock::from_fn({
        let broken = broken.clone();
        move || {
            assert!(!broken.load(Ordering::Relaxed), "the clock is broken on purpose");
            1
        }
    });
    let stage = Stage::built(Config::default(), clock, None).await;
    broken.store(true, Ordering::Relaxed);
    assert_eq!(status(stage.address, &delivery(SECRET, BODY)).await, 500);
    broken.store(false, Ordering::Relaxed);
    assert_eq!(status(stage.address, &delivery(SECRET, BODY)).await, 200);
    assert_eq!((stage.outcome("panicked"), stage.raw().await.len()), (1.0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_of_its_own_serve_as_well() {
    let mut stage = Stage::with(Config { threads: 2, ..Config::default() }).await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let address = stage.address;
        clients.spawn(async move { status(address, &delivery(SECRET, BODY)).await });
    }
    assert_eq!(clients.join_all().await, [200; 40]);
    stage.end().await;
    assert_eq!(stage.raw().await.len(), 40);
    assert!(TcpStream::connect(stage.address).await.is_err());
}
