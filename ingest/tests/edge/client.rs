//! Requests as bytes, and what comes back: a client that can be as wrong as it likes.

use std::net::SocketAddr;
use std::time::Duration;

use ring::hmac;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long any test waits for anything. Nothing is asserted about time beyond this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// A signature header's value.
pub(crate) fn sign(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("sha256={}", hex::encode(hmac::sign(&key, body)))
}

/// A request with these header lines and, unless they frame the body themselves, a `Content-Length`.
pub(crate) fn request(line: &str, headers: &[String], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{line} HTTP/1.1\r\nHost: edge\r\n").into_bytes();
    let framed = headers.iter().any(|header| {
        let header = header.to_ascii_lowercase();
        header.starts_with("content-length") || header.starts_with("transfer-encoding")
    });
    for header in headers {
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    if !framed && !body.is_empty() {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// A delivery as Meta would send it to app `acme`.
pub(crate) fn delivery(secret: &str, body: &[u8]) -> Vec<u8> {
    signed("/webhooks/acme", &sign(secret, body), body)
}

pub(crate) fn signed(path: &str, signature: &str, body: &[u8]) -> Vec<u8> {
    let headers = ["Content-Type: application/json".to_owned(), format!("X-Hub-Signature-256: {signature}")];
    request(&format!("POST {path}"), &headers, body)
}

/// Sends bytes, closes the sending half, and returns every answer until the edge closes.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<Answer> {
    let stream = TcpStream::connect(address).await.unwrap();
    over(stream, bytes).await
}

pub(crate) async fn over(stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> Vec<Answer> {
    let (mut reading, mut writing) = tokio::io::split(stream);
    let sending = async {
        // The edge may have had enough of it before the end.
        let _ = writing.write_all(bytes).await;
        let _ = writing.shutdown().await;
    };
    let mut received = Vec::new();
    let receiving = async {
        // A reset after the last answer is an end, too.
        let _ = reading.read_to_end(&mut received).await;
    };
    timeout(PATIENCE, async { tokio::join!(sending, receiving) }).await.expect("the edge closes");
    answers(&received)
}

/// The status of the one answer; 0 when the connection was closed without one.
pub(crate) async fn status(address: SocketAddr, bytes: &[u8]) -> u16 {
    exchange(address, bytes).await.first().map_or(0, |answer| answer.status)
}

/// Everything until the edge closes, without sending anything more.
pub(crate) async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) -> Vec<Answer> {
    let mut received = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut received)).await.expect("the edge closes");
    answers(&received)
}

/// The next answer on a connection that stays open.
pub(crate) async fn next(stream: &mut (impl AsyncRead + Unpin)) -> Answer {
    let mut received = Vec::new();
    timeout(PATIENCE, async {
        loop {
            if let Some((answer, _)) = first(&received) {
                return answer;
            }
            assert_ne!(stream.read_buf(&mut received).await.unwrap(), 0, "closed before an answer");
        }
    })
    .await
    .expect("the edge answers")
}

fn answers(mut received: &[u8]) -> Vec<Answer> {
    let mut found = Vec::new();
    while let Some((answer, rest)) = first(received) {
        found.push(answer);
        received = rest;
    }
    assert!(received.is_empty(), "the edge broke off in the middle of an answer");
    found
}

fn first(received: &[u8]) -> Option<(Answer, &[u8])> {
    let end = received.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&received[..end]).unwrap().to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    if status == 100 {
        let (answer, rest) = first(&received[end..])?;
        return Some((Answer { head: format!("{head}{}", answer.head), ..answer }, rest));
    }
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    let body = received.get(end..end + length)?;
    let body = String::from_utf8(body.to_vec()).unwrap();
    Some((Answer { status, head, body }, &received[end + length..]))
}
