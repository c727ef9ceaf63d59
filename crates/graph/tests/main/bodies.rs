//! Bodies that do not end, do not come, are not whole, or are large.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header;
use axum::routing::{MethodRouter, get};
use futures::stream::{self, StreamExt as _};
use graph::{Fetched, Graph, GraphConfig, MAX_BYTES, MediaDisposition, MediaError, OPAQUE};
use ring::digest::{Context, SHA256};
use serde_json::json;

use crate::servers::{by_id, by_url, client, fetch, impatient, raw, serve, token, whatsapp};

const RETRY: MediaDisposition = MediaDisposition::Retry { after: None };

/// What becomes of a WhatsApp file that is answered so.
async fn body(description: serde_json::Value, answer: MethodRouter) -> MediaError {
    fetch(&client(&serve(whatsapp(description, answer)).await), &by_id()).await.unwrap_err()
}

/// What becomes of these raw bytes as an answer for a file, of which this was declared.
async fn bytes(answer: &str, sha256: Option<&str>) -> Result<Fetched, MediaError> {
    let base = raw(answer).await;
    let mut request = by_url(format!("{base}/file?CANARY"));
    request.declared_sha256 = sha256.map(str::to_owned);
    fetch(&client(&base), &request).await.map(|(_, fetched)| fetched)
}

#[track_caller]
fn check(error: &MediaError, reason: &str, disposition: MediaDisposition) {
    assert_eq!((error.reason(), error.disposition()), (reason, disposition));
}

#[track_caller]
fn refused(error: &MediaError, reason: &'static str) {
    check(error, reason, MediaDisposition::Refused(reason));
}

fn chunks(count: usize) -> Body {
    let chunk = Bytes::from_static(&[7; 1000]);
    Body::from_stream(stream::iter(std::iter::repeat_n(chunk, count)).map(Ok::<_, Infallible>))
}

#[tokio::test]
async fn more_than_allowed() {
    let endless = get(async || {
        Body::from_stream(stream::repeat(Bytes::from_static(&[7; 4096])).map(Ok::<_, Infallible>))
    });
    refused(&body(json!({}), endless).await, "too_large");
    // A length above the cap is enough; no byte is waited for.
    let announced = get(async || ([(header::CONTENT_LENGTH, "1000000000")], Body::from_stream(silence())));
    refused(&body(json!({}), announced).await, "too_large");
    refused(&body(json!({ "file_size": 2500 }), get(async || chunks(3))).await, "size_mismatch");
    refused(&body(json!({ "file_size": 3500 }), get(async || chunks(3))).await, "size_mismatch");
    refused(&body(json!({}), get(async || chunks(0))).await, "empty");
    refused(&body(json!({}), get(async || "")).await, "empty");
    refused(&body(json!({ "file_size": 7 }), get(async || "")).await, "empty");
}

#[tokio::test]
async fn encodings_are_refused() {
    for coding in ["gzip", "br", "deflate", "identity", "x"] {
        let answer = get(async move || ([(header::CONTENT_ENCODING, coding)], "bytes"));
        refused(&body(json!({}), answer).await, "encoded");
    }
    let squeezed = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    refused(&bytes(squeezed, None).await.unwrap_err(), "encoded");
}

fn silence() -> impl futures::Stream<Item = Result<Bytes, Infallible>> {
    stream::iter([Ok(Bytes::from_static(b"\xff\xd8\xff"))]).chain(stream::pending())
}

/// What becomes of a fetch that has to give up by itself.
async fn given_up(routes: Router, idle: Duration, total: Duration) -> MediaError {
    let base = Some(serve(routes).await);
    let config = GraphConfig { base, idle_timeout: idle, total_timeout: total, ..impatient() };
    let graph = Graph::new(config).unwrap();
    let fetched = tokio::time::timeout(Duration::from_secs(20), fetch(&graph, &by_id())).await;
    fetched.expect("the client gives up by itself").unwrap_err()
}

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn slow_servers() {
    let silent = || get(async || std::future::pending::<&str>().await);
    let stuck = get(async || Body::from_stream(silence()));
    let undescribed = Router::new().route("/v25.0/{id}", silent());
    for routes in [whatsapp(json!({}), silent()), whatsapp(json!({}), stuck), undescribed.clone()] {
        check(&given_up(routes, SHORT, LONG).await, "timeout", RETRY);
    }
    check(&given_up(undescribed, LONG, SHORT).await, "timeout", RETRY);
}

#[tokio::test]
async fn never_idle_and_never_done() {
    // A byte now and then, well within the idle time: the whole has a deadline too.
    let drip = get(async || {
        Body::from_stream(stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok::<_, Infallible>(Bytes::from_static(b"x")), ()))
        }))
    });
    check(&given_up(whatsapp(json!({}), drip), LONG, SHORT).await, "timeout", RETRY);
}

#[tokio::test]
async fn cut_short() {
    let sha256 = hex::encode(ring::digest::digest(&SHA256, b"whole"));
    let sha256 = Some(sha256.as_str());
    // With a length, HTTP tells; without one the digest or the declared size does.
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwho";
    check(&bytes(answer, sha256).await.unwrap_err(), "connection_broken", RETRY);
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwho\r\n";
    check(&bytes(answer, sha256).await.unwrap_err(), "connection_broken", RETRY);
    let answer = "HTTP/1.1 200 OK\r\n\r\nwho";
    check(&bytes(answer, sha256).await.unwrap_err(), "truncated", RETRY);
    let fetched = bytes("HTTP/1.1 200 OK\r\n\r\nwhole", sha256).await.unwrap();
    assert_eq!((fetched.bytes, fetched.media_type), (5, "text/plain"));
    refused(
        &bytes("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nwho", sha256).await.unwrap_err(),
        "sha256_mismatch",
    );
    refused(&bytes("HTTP/1.1 200 OK\r\n\r\n", None).await.unwrap_err(), "empty");

    let description = json!({ "url": "{base}/file", "file_size": 5 });
    let answers = [format!("HTTP/1.1 200 OK\r\n\r\n{description}"), answer.to_owned()];
    let base = serve_in_turn(answers).await;
    check(&fetch(&client(&base), &by_id()).await.unwrap_err(), "truncated", RETRY);
}

/// Answers one connection after another with the next of these; `{base}` in them stands for its own address.
async fn serve_in_turn<const N: usize>(answers: [String; N]) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let own = base.clone();
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked).await.unwrap();
            stream.write_all(answer.replace("{base}", &own).as_bytes()).await.unwrap();
        }
    });
    base
}

#[tokio::test]
async fn nothing_is_sure_before_the_end() {
    let graph = client(&serve(whatsapp(json!({}), get(async || chunks(3)))).await);
    let download = graph.open(&by_id(), Some(&token())).await.unwrap();
    check(&download.finish().unwrap_err(), "truncated", RETRY);

    let graph = client(&serve(whatsapp(json!({ "file_size": 10 }), get(async || chunks(3)))).await);
    let mut download = graph.open(&by_id(), Some(&token())).await.unwrap();
    refused(&download.next().await.unwrap_err(), "size_mismatch");
    // What failed stays failed.
    check(&download.next().await.unwrap_err(), "connection_broken", RETRY);
    check(&download.finish().unwrap_err(), "truncated", RETRY);
}

#[tokio::test]
async fn a_hundred_mebibytes_pass_through() {
    const CHUNK: usize = 64 * 1024;
    let chunk = Bytes::from_iter((0..CHUNK).map(|index| (index * 7 % 251) as u8));
    let mut hash = Context::new(&SHA256);
    let count = MAX_BYTES / CHUNK as u64;
    (0..count).for_each(|_| hash.update(&chunk));
    let sha256 = hash.finish();

    let sent = Arc::new(AtomicU64::new(0));
    let (counter, pieces) = (Arc::clone(&sent), chunk.clone());
    let answer = get(async move || {
        let pieces = stream::iter(0..count).map(move |_| {
            counter.fetch_add(CHUNK as u64, Ordering::SeqCst);
            Ok::<_, Infallible>(pieces.clone())
        });
        ([(header::CONTENT_LENGTH, MAX_BYTES)], Body::from_stream(pieces))
    });
    let description = json!({ "file_size": MAX_BYTES.to_string(), "sha256": hex::encode(sha256), "mime_type": "video/mp4" });
    let base = serve(whatsapp(description, answer)).await;
    let graph = Graph::new(GraphConfig { base: Some(base), ..GraphConfig::default() }).unwrap();

    let mut download = graph.open(&by_id(), Some(&token())).await.unwrap();
    assert_eq!(download.declared_bytes(), Some(MAX_BYTES));
    let (mut received, mut largest, mut ahead) = (0, 0, 0);
    while let Some(piece) = download.next().await.unwrap() {
        received += piece.len() as u64;
        largest = largest.max(piece.len());
        ahead = ahead.max(sent.load(Ordering::SeqCst) - received);
    }
    let fetched = download.finish().unwrap();
    assert_eq!((fetched.bytes, fetched.sha256.as_slice()), (MAX_BYTES, sha256.as_ref()));
    assert_eq!((fetched.media_type, fetched.declared_matches), (OPAQUE, false));
    // Sockets hold some of it; nothing here holds it all.
    assert!(ahead < 24 * 1024 * 1024, "{ahead} bytes were on their way");
    assert!(largest < 4 * 1024 * 1024, "a piece of {largest} bytes");
    println!("promise=flat bytes={received} largest_piece={largest} most_under_way={ahead}");
}
