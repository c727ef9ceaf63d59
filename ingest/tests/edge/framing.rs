//! Classes 9–20: what is not a request of ours, or not HTTP at all.

use crate::client::{Answer, delivery, exchange, request, sign, signed, status};
use crate::stage::{BODY, SECRET, Stage, short};

fn signature() -> String {
    format!("X-Hub-Signature-256: {}", sign(SECRET, BODY))
}

#[tokio::test]
async fn only_these_paths_and_methods_exist() {
    let stage = Stage::new().await;
    for path in [
        "/",
        "/webhooks",
        "/webhooks/",
        "/webhooks/acme/",
        "//webhooks/acme",
        "/webhooks//acme",
        "/webhooks/nobody",
        "/webhooks/acme/x",
        "/webhooks/%61cme",
        "/webhooks%2facme",
        "/%2e%2e/webhooks/acme",
        "/x/../webhooks/acme",
        "/Webhooks/acme",
        "/webhooks/ACME",
        "/metrics",
    ] {
        assert_eq!(status(stage.address, &signed(path, &sign(SECRET, BODY), BODY)).await, 404, "{path}");
    }
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "PROPFIND", "post"] {
        let answers =
            exchange(stage.address, &request(&format!("{method} /webhooks/acme"), &[signature()], BODY))
                .await;
        assert_eq!(answers[0].status, 405, "{method}");
        assert!(answers[0].head.contains("allow: get, post\r\n"), "{method}");
    }
    assert_eq!(status(stage.address, &request("CONNECT edge:443", &[], b"")).await, 404);
    let upgrade = ["Connection: Upgrade".to_owned(), "Upgrade: websocket".to_owned()];
    assert_eq!(status(stage.address, &request("GET /webhooks/acme", &upgrade, b"")).await, 400);
    assert_eq!(status(stage.address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await, 0);
    // The whole address instead of a path, and a query, change nothing.
    let whole = signed("http://edge/webhooks/acme?x=1", &sign(SECRET, BODY), BODY);
    assert_eq!(status(stage.address, &whole).await, 200);
    assert_eq!(stage.raw().await.len(), 1);
}

#[tokio::test]
async fn too_many_headers_are_431() {
    let stage = Stage::new().await;
    let with = |count: usize, value: &str| {
        let mut headers = vec![signature()];
        headers.extend((0..count).map(|number| format!("X-Filler-{number}: {value}")));
        request("POST /webhooks/acme", &headers, BODY)
    };
    // Host, Content-Length and the signature are three.
    assert_eq!(status(stage.address, &with(61, "x")).await, 200);
    assert_eq!(status(stage.address, &with(62, "x")).await, 431);
    assert_eq!(status(stage.address, &with(90, "x")).await, 431);
    assert_eq!(status(stage.address, &with(500, "x")).await, 431);
    assert_eq!(status(stage.address, &with(1, &"x".repeat(31 * 1024))).await, 200);
    assert!(matches!(status(stage.address, &with(1, &"x".repeat(33 * 1024))).await, 431 | 0));
    assert!(matches!(status(stage.address, &with(60, &"x".repeat(1024))).await, 431 | 0));
    let target = |length: usize| format!("/webhooks/acme?{}", "x".repeat(length));
    assert_eq!(status(stage.address, &signed(&target(9 * 1024), &sign(SECRET, BODY), BODY)).await, 414);
    let long = status(stage.address, &signed(&target(64 * 1024), &sign(SECRET, BODY), BODY)).await;
    assert!(matches!(long, 414 | 431 | 0), "{long}");
    assert_eq!(stage.raw().await.len(), 2);
    assert_eq!(stage.outcome("too_many_headers"), 2.0);
}

#[tokio::test]
async fn any_content_encoding_is_415() {
    let stage = Stage::new().await;
    for encoding in ["gzip", "br", "deflate", "identity", "gzip, gzip", ""] {
        let headers = [signature(), format!("Content-Encoding: {encoding}")];
        assert_eq!(
            status(stage.address, &request("POST /webhooks/acme", &headers, BODY)).await,
            415,
            "{encoding}"
        );
    }
    assert!(stage.raw().await.is_empty());
}

#[tokio::test]
async fn bodies_up_to_the_limit_are_taken() {
    let stage = Stage::new().await;
    let limit = 4 * 1024 * 1024;
    let body = |length: usize| vec![b'x'; length];
    assert_eq!(status(stage.address, &delivery(SECRET, &body(limit))).await, 200);
    assert_eq!(stage.bodies().await[0].len(), limit);
    assert_eq!(status(stage.address, &delivery(SECRET, &body(limit + 1))).await, 413);
    assert_eq!(status(stage.address, &delivery(SECRET, &body(3 * limit))).await, 413);
    // In pieces, so that no length is announced.
    let chunked = |body: &[u8]| {
        let headers =
            [format!("X-Hub-Signature-256: {}", sign(SECRET, body)), "Transfer-Encoding: chunked".to_owned()];
        let mut bytes = request("POST /webhooks/acme", &headers, b"");
        for chunk in body.chunks(100_000) {
            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        bytes
    };
    assert_eq!(status(stage.address, &chunked(BODY)).await, 200);
    assert_eq!(status(stage.address, &chunked(&body(limit))).await, 200);
    assert_eq!(status(stage.address, &chunked(&body(limit + 1))).await, 413);
    assert_eq!(stage.outcome("too_large"), 3.0);
    assert_eq!(stage.raw().await.len(), 3);
    assert_eq!(stage.metric("ingest_inflight_bytes", None), 0.0);

    // 15: whoever asks first is told before sending anything.
    let headers = [signature(), "Expect: 100-continue".to_owned(), format!("Content-Length: {}", limit + 1)];
    let answers = exchange(stage.address, &request("POST /webhooks/acme", &headers, b"")).await;
    assert_eq!((answers[0].status, answers[0].head.contains(" 100 continue")), (413, false));
    let headers = [signature(), "Expect: 100-continue".to_owned(), format!("Content-Length: {}", BODY.len())];
    let answers = exchange(stage.address, &request("POST /webhooks/acme", &headers, BODY)).await;
    assert_eq!((answers[0].status, answers[0].head.contains(" 100 continue")), (200, true));
}

/// Whatever is wrong with the framing: 400 or closed, and no second request is found in the middle of the first.
#[tokio::test]
async fn no_request_is_smuggled() {
    let stage = Stage::with(short()).await;
    let hidden = String::from_utf8(delivery(SECRET, BODY)).unwrap();
    let length = BODY.len();
    let body = String::from_utf8(BODY.to_vec()).unwrap();
    let post = format!("POST /webhooks/acme HTTP/1.1\r\nHost: edge\r\n{}\r\n", signature());
    let check = async |bytes: String, what: &str| {
        let answers = exchange(stage.address, bytes.as_bytes()).await;
        let statuses: Vec<u16> = answers.iter().map(|answer: &Answer| answer.status).collect();
        assert!(matches!(statuses[..], [] | [400]), "{what}: {statuses:?}");
    };
    check(format!("{post}Content-Length: {length}\r\nContent-Length: 0\r\n\r\n{body}"), "two lengths").await;
    check(format!("{post}Content-Length: +{length}\r\n\r\n{body}"), "a signed length").await;
    check(format!("{post}Content-Length: -1\r\n\r\n{body}"), "a negative length").await;
    check(format!("{post}Content-Length: 0x10\r\n\r\n{body}"), "a hexadecimal length").await;
    check(format!("{post}Content-Length: {length}, {length}\r\n\r\n{body}"), "a list of lengths").await;
    check(format!("{post}Content-Length: 99999999999999999999\r\n\r\n{body}"), "an endless length").await;
    check(format!("{post}Content-Length: {length}\r\n X: folded\r\n\r\n{body}"), "a folded header").await;
    check(format!("{post}Content-Length : {length}\r\n\r\n{body}"), "a space before the colon").await;
    check(format!("{post}Transfer-Encoding: xchunked\r\n\r\n{hidden}"), "another coding").await;
    check(
        format!("{post}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n{hidden}"),
        "chunked is not the last",
    )
    .await;
    check(format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), "a coding before chunked")
        .await;
    check(format!("{post}Transfer-Encoding: chunked\r\n\r\n-1\r\n{hidden}"), "a negative chunk").await;
    check(
        format!("{post}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{hidden}"),
        "an endless chunk",
    )
    .await;
    check(
        format!("{post}Transfer-Encoding: chunked\r\n\r\n5;{}\r\n", "x".repeat(40_000)),
        "a huge extension",
    )
    .await;
    check(format!("{post}Transfer-Encoding: chunked\r\n\r\nzz\r\n{hidden}"), "not a chunk").await;
    check(format!("{post}Content-Length: {}\r\n\r\n{body}", length + 10), "a body shorter than its length")
        .await;
    check(
        "POST /webhooks/acme HTTP/1.1\r\nHost: edge\r\nbroken\r\n\r\n".to_owned(),
        "a header without a colon",
    )
    .await;
    check(format!("POST /webhooks/ac\0me HTTP/1.1\r\n\r\n{body}"), "NUL in the path").await;
    check("\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03".to_owned(), "TLS on a plain port").await;
    assert!(stage.raw().await.is_empty());

    // Both framings: `chunked` decides, as RFC 9112 has it, and the connection ends so nothing can follow.
    let both = format!(
        "{post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n{hidden}"
    );
    assert_eq!(exchange(stage.address, both.as_bytes()).await.len(), 1);
    // Twice the same length is the same length; what comes after the body is the next request, and not one.
    let longer =
        format!("{post}Content-Length: {length}\r\nContent-Length: {length}\r\n\r\n{body}trailing\r\n\r\n");
    let answers = exchange(stage.address, longer.as_bytes()).await;
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 400]);
    assert_eq!(stage.raw().await.len(), 2);
    assert!(stage.metric("ingest_connections_closed_total", Some("protocol")) > 0.0);
}

#[tokio::test]
async fn pipelined_requests_are_answered_one_by_one() {
    let stage = Stage::new().await;
    let one = delivery(SECRET, BODY);
    let wrong = delivery("wrong", BODY);
    let mut bytes = Vec::new();
    for number in 0..1000 {
        bytes.extend_from_slice(if number % 10 == 9 { &wrong } else { &one });
    }
    let answers = exchange(stage.address, &bytes).await;
    assert_eq!(answers.len(), 1000);
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.status, if number % 10 == 9 { 401 } else { 200 });
    }
    assert_eq!(stage.raw().await.len(), 900);
}
