//! The sender against a receiver that fails in every way there is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use sandbox::{
    Ledger, Pace, RetryPolicy, Secret, Sender, SenderConfig, Traffic, TrafficConfig, World, WorldConfig, sign,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Answers 200 to two of three good deliveries, 503 to the rest, and hangs now and then; 401 to a bad signature.
async fn receiver(good: Arc<AtomicU64>) -> std::net::SocketAddr {
    let secret = Secret::new(b"the secret");
    let seen = Arc::new(AtomicU64::new(0));
    let webhook = move |headers: HeaderMap, body: Bytes| {
        let (secret, good, seen) = (secret.clone(), good.clone(), seen.clone());
        async move {
            if headers["x-hub-signature-256"] != sign(&secret, &body).as_str() {
                return StatusCode::UNAUTHORIZED;
            }
            match seen.fetch_add(1, Ordering::Relaxed) {
                n if n % 97 == 5 => std::future::pending().await,
                n if n % 3 == 1 => StatusCode::SERVICE_UNAVAILABLE,
                _ => {
                    good.fetch_add(1, Ordering::Relaxed);
                    StatusCode::OK
                }
            }
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new().route("/webhooks/acme", post(webhook));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

fn config(address: std::net::SocketAddr) -> SenderConfig {
    let mut config = SenderConfig::new(format!("http://{address}/webhooks/acme").parse().unwrap());
    config.retry = RetryPolicy { first: Duration::from_millis(1), longest: Duration::from_millis(20) };
    config.patience = Duration::from_millis(200);
    config
}

#[tokio::test]
async fn sends_until_acknowledged() {
    let good = Arc::new(AtomicU64::new(0));
    let address = receiver(good.clone()).await;
    let world = Arc::new(World::new(WorldConfig::default()));
    let ledger = Arc::new(Ledger::new(world.clone()));
    let mut traffic = TrafficConfig::new(4, 600, 1_780_000_000_000, Secret::new(b"the secret"));
    (traffic.repeats, traffic.disorder, traffic.forged) = (0.1, 20, 0.05);
    let deliveries: Vec<_> = Traffic::new(world, ledger.clone(), traffic).collect();
    let (forged, repeats) = (
        deliveries.iter().filter(|one| one.forged).count(),
        deliveries.iter().filter(|one| one.repeat).count(),
    );
    let total = deliveries.len();

    let sender = Sender::new(config(address), ledger.clone());
    let progress = sender.progress();
    sender.run(deliveries.into_iter(), CancellationToken::new(), CancellationToken::new()).await.unwrap();

    let counts = progress.counts();
    assert_eq!(counts.acknowledged as usize, total - forged);
    assert_eq!(counts.refused as usize, forged);
    assert_eq!(counts.repeats as usize, repeats);
    assert_eq!(counts.updates, 600);
    assert_eq!(counts.acknowledged, good.load(Ordering::Relaxed));
    assert!(counts.unavailable > 0 && counts.unanswered > 0, "{counts:?}");
    let tally = ledger.tally();
    assert_eq!((tally.sent, tally.acknowledged), (600, 600));
}

#[tokio::test]
async fn keeps_its_pace_and_stops_when_told() {
    let address = receiver(Arc::default()).await;
    let world = Arc::new(World::new(WorldConfig::default()));
    let ledger = Arc::new(Ledger::new(world.clone()));
    let traffic = TrafficConfig::new(4, u64::MAX, 1_780_000_000_000, Secret::new(b"the secret"));
    let mut config = config(address);
    config.pace = Pace::PerSecond(200.0);
    let sender = Sender::new(config, ledger.clone());
    let progress = sender.progress();
    let stop = CancellationToken::new();
    let started = std::time::Instant::now();
    let run = tokio::spawn(sender.run(
        Traffic::new(world, ledger.clone(), traffic),
        stop.clone(),
        CancellationToken::new(),
    ));
    while progress.counts().acknowledged < 100 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // No faster than asked: 100 deliveries at 200 a second are due after half a second, less the first.
    assert!(started.elapsed() > Duration::from_millis(400));
    stop.cancel();
    run.await.unwrap().unwrap();
    let tally = ledger.tally();
    assert_eq!(tally.sent, tally.acknowledged, "what was on its way is finished");
}
