//! The log away: 503 at once, never anything else, and nothing claimed to be kept that is not.

use std::time::Duration;

use ingest::{Config, Deadlines};
use service::Clock;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{delivery, next, status};
use crate::stage::{BODY, SECRET, Stage, until};

#[tokio::test]
async fn a_closed_log_is_503_and_not_ready() {
    let stage = Stage::new().await;
    assert_eq!(status(stage.address, &delivery(SECRET, BODY)).await, 200);
    stage.log.close(Duration::from_secs(5)).await;
    for _ in 0..5 {
        assert_eq!(status(stage.address, &delivery(SECRET, BODY)).await, 503);
    }
    // The first one found out; the others were not tried.
    assert_eq!((stage.outcome("unconfirmed"), stage.outcome("log_away")), (1.0, 4.0));
    assert_eq!(stage.metric("ingest_breakers_open", None), 1.0);
    until("not ready", || stage.readiness.closed() == ["ingest-log"]).await;
    // Everything else is judged as ever.
    assert_eq!(status(stage.address, &delivery("wrong", BODY)).await, 401);
}

/// With no time at all for an answer, a large append is late: 503, although the record may well be durable. Then the
/// log answers the probe, and the breaker lets one through.
#[tokio::test]
async fn an_append_that_is_not_confirmed_in_time_is_503() {
    let deadlines =
        Deadlines { answer: Duration::ZERO, probe: Duration::from_millis(1), ..Deadlines::default() };
    let stage = Stage::with(Config { deadlines, ..Config::default() }).await;
    let bytes = delivery(SECRET, &vec![b'x'; 4 << 20]);
    let mut connection = TcpStream::connect(stage.address).await.unwrap();
    let mut accepted = 0;
    let finding = async {
        while stage.outcome("unconfirmed") == 0.0 {
            connection.write_all(&bytes).await.unwrap();
            let answer = next(&mut connection).await;
            assert!(matches!(answer.status, 200 | 503));
            accepted += usize::from(answer.status == 200);
        }
    };
    tokio::time::timeout(crate::client::PATIENCE, finding).await.expect("one append is late");
    until("the breaker lets one through", || {
        stage.metric("ingest_breaker_opened_total", None) >= 1.0 && stage.readiness.closed().is_empty()
    })
    .await;
    assert!(stage.raw().await.len() >= accepted, "every 200 is in the log");
}

/// The log takes less at once than comes: 503 for what it does not take, without holding anybody up, and it recovers.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_503() {
    let stage = Stage::built(Config::default(), Clock::system(), Some(1)).await;
    let mut accepted = 0;
    let filling = async {
        while stage.outcome("log_full") == 0.0 {
            let mut clients = tokio::task::JoinSet::new();
            for number in 0..16u8 {
                let address = stage.address;
                clients
                    .spawn(async move { status(address, &delivery(SECRET, &vec![number; 500_000])).await });
            }
            let statuses = clients.join_all().await;
            assert!(statuses.iter().all(|status| matches!(status, 200 | 503)), "{statuses:?}");
            accepted += statuses.iter().filter(|status| **status == 200).count();
        }
    };
    tokio::time::timeout(crate::client::PATIENCE, filling).await.expect("the queue is full once");
    assert_eq!(stage.metric("ingest_breakers_open", None), 0.0, "a full queue is not a log away");
    assert_eq!(status(stage.address, &delivery(SECRET, BODY)).await, 200);
    assert_eq!(stage.raw().await.len(), accepted + 1);
}

/// Class 5 of the fault matrix: the client leaves. Nothing, or the whole record, once.
#[tokio::test]
async fn a_client_that_leaves_loses_nothing_that_was_handed_over() {
    let stage = Stage::new().await;
    let bytes = delivery(SECRET, BODY);
    for cut in [10, bytes.len() - 1, bytes.len()] {
        let mut stream = TcpStream::connect(stage.address).await.unwrap();
        stream.write_all(&bytes[..cut]).await.unwrap();
        drop(stream);
    }
    until("all have left", || stage.metric("ingest_connections", None) == 0.0).await;
    stage.until_outcome("accepted", 1.0).await;
    assert_eq!((stage.outcome("accepted"), stage.raw().await.len()), (1.0, 1));
}
