//! The stop: no more connections, what was taken is finished, nothing acknowledged is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{delivery, next, until_closed};
use crate::stage::{BODY, SECRET, Stage, short, until};

#[tokio::test]
async fn requests_in_flight_are_finished_and_idle_connections_closed() {
    let mut stage = Stage::new().await;
    let bytes = delivery(SECRET, BODY);
    let (first, rest) = bytes.split_at(bytes.len() - 10);
    let mut inflight = TcpStream::connect(stage.address).await.unwrap();
    inflight.write_all(first).await.unwrap();
    let mut idle = TcpStream::connect(stage.address).await.unwrap();
    idle.write_all(&bytes).await.unwrap();
    assert_eq!(next(&mut idle).await.status, 200);
    let mut silent = TcpStream::connect(stage.address).await.unwrap();
    until("its bytes are held", || stage.metric("ingest_inflight_bytes", None) > 0.0).await;
    until("three are here", || stage.metric("ingest_connections", None) == 3.0).await;

    stage.stop.cancel();
    assert!(until_closed(&mut idle).await.is_empty());
    assert!(until_closed(&mut silent).await.is_empty());
    assert_eq!(stage.readiness.closed(), ["ingest-control", "ingest-log"]);
    assert!(TcpStream::connect(stage.address).await.is_err(), "no more connections");

    inflight.write_all(rest).await.unwrap();
    let answers = until_closed(&mut inflight).await;
    assert_eq!((answers.len(), answers[0].status), (1, 200));
    assert!(answers[0].head.contains("connection: close"), "{}", answers[0].head);
    stage.end().await;
    assert_eq!(stage.raw().await.len(), 2);
}

#[tokio::test]
async fn whoever_stalls_does_not_hold_the_stop_up() {
    let mut stage = Stage::with(short()).await;
    let bytes = delivery(SECRET, BODY);
    let mut stalled = TcpStream::connect(stage.address).await.unwrap();
    stalled.write_all(&bytes[..bytes.len() - 10]).await.unwrap();
    let mut partial = TcpStream::connect(stage.address).await.unwrap();
    partial.write_all(b"POST /webh").await.unwrap();
    until("both are here", || stage.metric("ingest_connections", None) == 2.0).await;
    until("its bytes are held", || stage.metric("ingest_inflight_bytes", None) > 0.0).await;
    stage.end().await;
    let answers = until_closed(&mut stalled).await;
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [408]);
    assert!(stage.raw().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_every_200_is_in_the_log() {
    let mut stage = Stage::new().await;
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..16 {
        let (address, acknowledged) = (stage.address, acknowledged.clone());
        clients.spawn(async move {
            let mut sent = 0_usize;
            while let Ok(mut stream) = TcpStream::connect(address).await {
                loop {
                    sent += 1;
                    let body = format!("{{\"object\":\"page\",\"client\":{client},\"sent\":{sent}}}");
                    if stream.write_all(&delivery(SECRET, body.as_bytes())).await.is_err() {
                        break;
                    }
                    let mut received = [0; 1024];
                    match tokio::io::AsyncReadExt::read(&mut stream, &mut received).await {
                        Ok(length) if received[..length].starts_with(b"HTTP/1.1 200") => {
                            acknowledged.fetch_add(1, Ordering::Relaxed);
                        }
                        _ => break,
                    }
                }
            }
        });
    }
    until("the load is on", || acknowledged.load(Ordering::Relaxed) > 500).await;
    stage.end().await;
    clients.join_all().await;
    let (kept, acknowledged) = (stage.raw().await.len(), acknowledged.load(Ordering::Relaxed));
    assert_eq!(stage.outcome("accepted"), kept as f64);
    assert!(kept >= acknowledged && kept <= acknowledged + 16, "{kept} kept, {acknowledged} acknowledged");
}
