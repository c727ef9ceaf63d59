//! Classes 21–36: signatures.

use crate::client::{delivery, exchange, request, sign, signed, status};
use crate::stage::{BODY, INSTAGRAM, NEXT, OTHER, SECRET, Stage};

#[tokio::test]
async fn a_signed_delivery_is_kept_as_it_came_and_answered_200() {
    let stage = Stage::new().await;
    let answers = exchange(stage.address, &delivery(SECRET, BODY)).await;
    assert_eq!((answers.len(), answers[0].status, answers[0].body.as_str()), (1, 200, ""));
    let raw = stage.raw().await;
    assert_eq!(raw.len(), 1);
    assert_eq!(raw[0].key, None);
    assert_eq!(stage.open(&raw[0]).unwrap(), BODY);
    assert_eq!(raw[0].header_str("app"), Some("acme"));
    assert_eq!(raw[0].header_str("signature"), Some(&*sign(SECRET, BODY)));
    assert_eq!(raw[0].header_str("secret"), Some("current"));
    assert_eq!(raw[0].header_str("content_type"), Some("application/json"));
    assert!(raw[0].header_str("received_at").unwrap().parse::<i64>().unwrap() > 1_700_000_000_000);
    assert_eq!(stage.outcome("accepted"), 1.0);
    assert_eq!(stage.metric("ingest_secret_used_total", Some("current")), 1.0);
    assert_eq!(stage.metric("ingest_body_bytes_total", None), BODY.len() as f64);
    assert_eq!(stage.metric("ingest_inflight_bytes", None), 0.0);
    assert_eq!(stage.metric("ingest_answer_seconds", None), 1.0);
}

#[tokio::test]
async fn any_of_the_apps_secrets_may_have_signed() {
    let stage = Stage::new().await;
    for (secret, role) in [(SECRET, "current"), (NEXT, "next"), (INSTAGRAM, "instagram")] {
        assert_eq!(status(stage.address, &delivery(secret, BODY)).await, 200);
        assert_eq!(stage.metric("ingest_secret_used_total", Some(role)), 1.0);
    }
    // 25: upper-case digits.
    let upper = sign(SECRET, BODY).to_uppercase().replace("SHA256", "sha256");
    assert_eq!(status(stage.address, &signed("/webhooks/acme", &upper, BODY)).await, 200);
    assert!(stage.raw().await.iter().any(|record| record.header_str("signature") == Some(&*upper)));
}

#[tokio::test]
async fn everything_else_is_401_and_a_counter() {
    let stage = Stage::new().await;
    let good = sign(SECRET, BODY);
    let digits = &good[7..];
    let unescaped = String::from_utf8(BODY.to_vec()).unwrap().replace("\\u00e4", "ä").replace("\\/", "/");
    let flipped = |bytes: &[u8], bit: usize| {
        let mut bytes = bytes.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    };
    let post = |signature: &str, body: &[u8]| signed("/webhooks/acme", signature, body);
    let with = |headers: &[String]| request("POST /webhooks/acme", headers, BODY);
    let one = format!("X-Hub-Signature-256: {good}");

    let unsigned = [
        with(&[]),
        with(&[format!("X-Hub-Signature: sha1={}", "0".repeat(40))]),
        with(&[format!("X-Hub-Signature: {good}")]),
    ];
    let malformed = [
        with(&[one.clone(), format!("X-Hub-Signature-256: sha256={}", "0".repeat(64))]),
        with(&[one.clone(), one]),
        post("", BODY),
        post("sha256=", BODY),
        post(digits, BODY),
        post(&format!("SHA256={digits}"), BODY),
        post(&format!("sha1={digits}"), BODY),
        post(&format!("sha256= {digits}"), BODY),
        post(&format!("sha256={}", &digits[1..]), BODY),
        post(&format!("sha256={digits}0"), BODY),
        post(&format!("sha256={}g", &digits[1..]), BODY),
        post(&format!("sha256={}é", &digits[2..]), BODY),
        post(&format!("{good},{good}"), BODY),
        post(&format!("\"{good}\""), BODY),
    ];
    let wrong = [
        post(&sign(OTHER, BODY), BODY),
        post(&sign("", BODY), BODY),
        post(&good, &flipped(BODY, 3)),
        post(&good, &flipped(BODY, BODY.len() * 8 - 1)),
        post(&format!("sha256={}{}", if digits.starts_with('0') { '1' } else { '0' }, &digits[1..]), BODY),
        post(&good, unescaped.as_bytes()),
        post(&good, &[BODY, b" "].concat()),
        post(&good, &[BODY, b"\0"].concat()),
        post(&good, &BODY[..BODY.len() - 1]),
        post(&good, b""),
        signed("/webhooks/other", &good, BODY),
    ];
    for (outcome, requests) in
        [("unsigned", &unsigned[..]), ("malformed_signature", &malformed), ("wrong_signature", &wrong)]
    {
        for (number, bytes) in requests.iter().enumerate() {
            let answers = exchange(stage.address, bytes).await;
            assert_eq!(answers.len(), 1, "{outcome} {number}");
            assert_eq!((answers[0].status, &*answers[0].body), (401, ""), "{outcome} {number}");
        }
        assert_eq!(stage.outcome(outcome), requests.len() as f64);
    }
    assert_eq!(stage.outcome("accepted"), 0.0);
    assert!(stage.raw().await.is_empty());
}

#[tokio::test]
async fn a_signed_body_is_kept_whatever_it_is() {
    let stage = Stage::new().await;
    let bodies: [&[u8]; 8] = [
        b"",
        b"<html>",
        b"{\"object\":",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe\x00",
        b"null",
        &[b'['; 200_000],
        b"{\"object\":\"page\",\"entry\":[{\"id\":\"1\",\"messaging\":[{\"text\":\"\\ud83d\"}]}]}",
    ];
    for body in bodies {
        assert_eq!(status(stage.address, &delivery(SECRET, body)).await, 200);
    }
    // 19: the signature decides, whatever type a body is said to be.
    for content_type in ["multipart/form-data", "application/json; charset=utf-16", "é", ""] {
        let headers =
            [format!("Content-Type: {content_type}"), format!("X-Hub-Signature-256: {}", sign(SECRET, BODY))];
        assert_eq!(status(stage.address, &request("POST /webhooks/acme", &headers, BODY)).await, 200);
    }
    // 36: a replay is kept again; that it is the same event is for the router to see.
    assert_eq!(status(stage.address, &delivery(SECRET, BODY)).await, 200);
    let kept = stage.bodies().await;
    assert_eq!(kept.len(), bodies.len() + 5);
    for body in bodies {
        assert!(kept.iter().any(|kept| kept == body));
    }
}
