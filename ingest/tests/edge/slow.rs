//! Classes 4–8 and 15: whoever is slow is closed at its deadline, and disturbs nobody.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{delivery, next, sign, status, until_closed};
use crate::stage::{BODY, SECRET, Stage, short, until};

/// Sends a byte every now and then until the edge closes; whatever came back until then.
async fn dribble(mut stream: TcpStream, bytes: &[u8]) -> Vec<u16> {
    let (mut reading, mut writing) = stream.split();
    let dribbling = async {
        for byte in bytes.iter().cycle() {
            if writing.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = dribbling => unreachable!("dribbling goes on"),
        answers = until_closed(&mut reading) => answers.iter().map(|answer| answer.status).collect(),
    }
}

fn head(length: usize) -> String {
    let signature = sign(SECRET, BODY);
    format!(
        "POST /webhooks/acme HTTP/1.1\r\nHost: edge\r\nX-Hub-Signature-256: {signature}\r\nContent-Length: {length}\r\n"
    )
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let stage = Stage::with(short()).await;
    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    assert!(until_closed(&mut stream).await.is_empty());
    stage.until_closed("no_request", 1.0).await;
}

#[tokio::test]
async fn unfinished_headers_are_closed() {
    let stage = Stage::with(short()).await;
    for (number, part) in ["P", "POST /webhooks/ac", &head(5)].into_iter().enumerate() {
        let mut stream = TcpStream::connect(stage.address).await.unwrap();
        stream.write_all(part.as_bytes()).await.unwrap();
        assert!(until_closed(&mut stream).await.is_empty());
        stage.until_closed("slow_head", number as f64 + 1.0).await;
    }
    let stream = TcpStream::connect(stage.address).await.unwrap();
    let endless = format!("{}X-Filler: ", head(5));
    assert!(dribble(stream, endless.as_bytes()).await.is_empty());
    stage.until_closed("slow_head", 4.0).await;
}

#[tokio::test]
async fn a_stalled_or_dribbled_body_is_408() {
    let stage = Stage::with(short()).await;
    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    stream.write_all(format!("{}\r\nhalf", head(BODY.len())).as_bytes()).await.unwrap();
    let answers = until_closed(&mut stream).await;
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [408]);

    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    stream.write_all(format!("{}\r\n", head(1_000_000)).as_bytes()).await.unwrap();
    assert_eq!(dribble(stream, b"x").await, [408], "each byte is in time, the whole is not");

    // 15: asked to go on, and then nothing.
    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    stream.write_all(format!("{}Expect: 100-continue\r\n\r\n", head(BODY.len())).as_bytes()).await.unwrap();
    assert_eq!(until_closed(&mut stream).await[0].status, 408);
    assert_eq!(stage.outcome("too_slow"), 3.0);
    assert!(stage.raw().await.is_empty());
}

#[tokio::test]
async fn an_idle_connection_is_kept_for_a_while_and_closed() {
    let stage = Stage::with(short()).await;
    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    for _ in 0..3 {
        stream.write_all(&delivery(SECRET, BODY)).await.unwrap();
        assert_eq!(next(&mut stream).await.status, 200);
    }
    // Its next headers have their own deadline.
    stream.write_all(b"POST").await.unwrap();
    assert!(until_closed(&mut stream).await.is_empty());
    stage.until_closed("slow_head", 1.0).await;

    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    stream.write_all(&delivery(SECRET, BODY)).await.unwrap();
    assert_eq!(next(&mut stream).await.status, 200);
    assert!(until_closed(&mut stream).await.is_empty());
    stage.until_closed("idle", 1.0).await;
    assert_eq!(stage.raw().await.len(), 4);
}

#[tokio::test]
async fn whoever_does_not_take_its_answers_is_closed() {
    let stage = Stage::with(short()).await;
    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    let many = delivery("wrong", BODY).repeat(1000);
    // Never reads: the answers pile up until the edge cannot write, and the edge stops reading.
    while stream.write_all(&many).await.is_ok() {}
    stage.until_closed("answer_not_taken", 1.0).await;
}

#[tokio::test]
async fn slow_ones_do_not_disturb_the_others() {
    let mut config = short();
    config.limits.connections_per_address = 0;
    let stage = Stage::with(config).await;
    let mut slow = Vec::new();
    for shape in 0..400 {
        let mut stream = TcpStream::connect(stage.address).await.unwrap();
        let part = match shape % 4 {
            0 => String::new(),
            1 => "POST /webho".to_owned(),
            2 => head(7),
            _ => format!("{}\r\n{{", head(7)),
        };
        stream.write_all(part.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    for _ in 0..50 {
        assert_eq!(status(stage.address, &delivery(SECRET, BODY)).await, 200);
    }
    for mut stream in slow {
        let mut received = Vec::new();
        let _ =
            tokio::time::timeout(crate::client::PATIENCE, stream.read_to_end(&mut received)).await.unwrap();
    }
    until("all are gone", || stage.metric("ingest_connections", None) == 0.0).await;
    assert_eq!(stage.raw().await.len(), 50);
}
