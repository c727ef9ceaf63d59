//! `meta-platform.md` §1.1 and class 94.

use crate::client::{exchange, request, status};
use crate::stage::Stage;

fn get(path: &str, query: &str) -> Vec<u8> {
    request(&format!("GET {path}?{query}"), &[], b"")
}

#[tokio::test]
async fn the_challenge_comes_back_for_any_of_the_tokens() {
    let stage = Stage::new().await;
    for (path, token) in [
        ("/webhooks/acme", "a%20token%26"),
        ("/webhooks/acme", "a+token%26"),
        ("/webhooks/acme", "second"),
        ("/webhooks/other", "third"),
    ] {
        let query = format!("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={token}");
        let answers = exchange(stage.address, &get(path, &query)).await;
        assert_eq!(answers.len(), 1);
        assert_eq!((answers[0].status, &*answers[0].body), (200, "1158201444"));
        assert!(answers[0].head.contains("content-type: text/plain\r\n"), "{}", answers[0].head);
        assert!(answers[0].head.contains("x-content-type-options: nosniff\r\n"), "{}", answers[0].head);
    }
    assert_eq!(stage.metric("ingest_handshakes_total", Some("accepted")), 4.0);
    assert_eq!(stage.metric("ingest_deliveries_total", None), 0.0);
}

#[tokio::test]
async fn nothing_comes_back_for_anything_else() {
    let stage = Stage::new().await;
    let check = async |path: &str, query: &str, expected: u16| {
        let answers = exchange(stage.address, &get(path, query)).await;
        assert_eq!(answers.len(), 1, "{query:.80}");
        assert_eq!((answers[0].status, &*answers[0].body), (expected, ""), "{query:.80}");
    };
    let long = "1".repeat(257);
    let right = "hub.mode=subscribe&hub.challenge=1&hub.verify_token=second";
    for wrong in ["secon", "second1", "Second", "", "third", "second%00", "%F0%9F%98%80"] {
        check("/webhooks/acme", &format!("hub.mode=subscribe&hub.challenge=1&hub.verify_token={wrong}"), 403)
            .await;
    }
    for malformed in [
        "",
        "hub.mode=subscribe",
        "hub.mode=subscribe&hub.challenge=1",
        "hub.challenge=1&hub.verify_token=second",
        "hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=second",
        &format!("{right}&hub.mode=subscribe"),
        &format!("{right}&hub.challenge=2"),
        &format!("{right}&hub.verify_token=second"),
        "hub.mode=subscribe&hub.challenge=%3Cscript%3E&hub.verify_token=second",
        "hub.mode=subscribe&hub.challenge=a%0d%0aX:y&hub.verify_token=second",
        &format!("hub.mode=subscribe&hub.challenge={long}&hub.verify_token=second"),
    ] {
        check("/webhooks/acme", malformed, 400).await;
    }
    check("/webhooks/nobody", right, 404).await;
    check("/webhooks/acme/", right, 404).await;
    check("/webhooks/acme", &format!("hub.challenge={}", "1".repeat(10_000)), 414).await;
    let megabyte = "1".repeat(1 << 20);
    let refused = status(stage.address, &get("/webhooks/acme", &format!("{right}&x={megabyte}"))).await;
    assert!(matches!(refused, 431 | 0), "{refused}");
    assert_eq!(stage.metric("ingest_handshakes_total", Some("accepted")), 0.0);
    assert_eq!(stage.metric("ingest_handshakes_total", Some("wrong_token")), 7.0);
    assert_eq!(stage.metric("ingest_handshakes_total", Some("malformed")), 11.0);
}
