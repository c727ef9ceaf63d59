//! Classes that the other files leave open: `docs/bad-input.md` has all 96 and the test of each.

use std::time::Duration;

use ingest::{Config, TlsConfig};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use ring::hmac;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::client::{PATIENCE, delivery, exchange, next, over, request, sign, signed, status, until_closed};
use crate::stage::{BODY, SECRET, Stage, short};

/// 2: the alert `protocol_version`, whatever older version is offered, and nothing else.
#[tokio::test]
async fn an_old_tls_version_gets_an_alert() {
    let folder = tempfile::tempdir().unwrap();
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificates, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificates, cert.pem()).unwrap();
    std::fs::write(&key, signing_key.serialize_pem()).unwrap();
    let tls = TlsConfig { certificates, key, clients: None, check_every: Duration::from_secs(10) };
    let stage = Stage::with(Config { tls: Some(tls), ..short() }).await;
    for minor in 0..=2 {
        // A hello that offers version 3.`minor`, one cipher and one way to sign, as short as one can be.
        let offers = [0, 0, 2, 0, 0x2f, 1, 0, 0, 8, 0, 13, 0, 4, 0, 2, 4, 1];
        let hello = [&[22, 3, 1, 0, 55, 1, 0, 0, 51, 3, minor][..], &[7; 32], &offers].concat();
        let mut stream = TcpStream::connect(stage.address).await.unwrap();
        stream.write_all(&hello).await.unwrap();
        let mut received = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut received)).await.unwrap().unwrap();
        assert_eq!(received, [21, 3, 3, 0, 2, 2, 70], "version 3.{minor}");
    }
    assert!(stage.raw().await.is_empty());
}

/// 10, 11: at the limit to the byte, so that nothing is left unread and the answer is always seen.
#[tokio::test]
async fn a_head_at_its_limit_is_431_whatever_it_is_full_of() {
    let stage = Stage::new().await;
    let limit = Config::default().limits.head_bytes;
    let start = format!("POST /webhooks/acme HTTP/1.1\r\nX-Hub-Signature-256: {}\r\n", sign(SECRET, BODY));
    for (start, more) in [
        (format!("{start}X-Filler: "), "x"),
        (start, "a:b\r\n"),
        ("GET /webhooks/acme?x=".to_owned(), "x"),
        (String::new(), "POST"),
    ] {
        let mut head = start + &more.repeat(limit);
        head.truncate(limit);
        assert_eq!(status(stage.address, head.as_bytes()).await, 431, "{:.60}", head);
    }
    assert!(stage.raw().await.is_empty());
}

/// 12: a line may end in LF alone, as RFC 9112 allows; chunks may not. Either way one request is one request.
#[tokio::test]
async fn bare_line_feeds_hide_no_request() {
    let stage = Stage::with(short()).await;
    let (length, body) = (BODY.len(), String::from_utf8(BODY.to_vec()).unwrap());
    let hidden = String::from_utf8(delivery(SECRET, BODY)).unwrap();
    let signature = format!("X-Hub-Signature-256: {}", sign(SECRET, BODY));
    let post = format!("POST /webhooks/acme HTTP/1.1\r\nHost: edge\r\n{signature}\r\n");
    let check = async |bytes: &str, expected: &[u16]| {
        let answers = exchange(stage.address, bytes.as_bytes()).await;
        assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), expected, "{bytes:?}");
    };
    let lines = format!("{post}Content-Length: {length}\r\n\r\n").replace("\r\n", "\n");
    check(&format!("{lines}{body}"), &[200]).await;
    // A length that stands behind a bare LF is a length: two of them are none.
    check(&format!("{post}X: a\nContent-Length: 0\r\nContent-Length: {length}\r\n\r\n{body}"), &[400]).await;
    check(&format!("{post}X: a\rContent-Length: 0\r\n\r\n{hidden}"), &[400]).await;
    let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n");
    check(&format!("{chunked}{length:x}\n{body}\n0\n\n{hidden}"), &[400]).await;
    check(&format!("{chunked}{length:x}\r\n{body}\n0\n\n{hidden}"), &[400]).await;
    assert_eq!(stage.raw().await.len(), 1);
}

/// 19: the signature decides, whatever type a body is said to be, and whatever it is not said to be.
#[tokio::test]
async fn the_type_of_a_body_changes_nothing() {
    let stage = Stage::new().await;
    let types: [&[&str]; 6] = [
        &[],
        &["Content-Type: application/x-www-form-urlencoded"],
        &["Content-Type: multipart/form-data; boundary=x"],
        &["Content-Type: application/json; charset=utf-16"],
        &["Content-Type: text/html", "Content-Type: application/json"],
        &["Content-Type: é"],
    ];
    for types in types {
        let headers = |signature: String| {
            let types = types.iter().map(|header| (*header).to_owned());
            types.chain([format!("X-Hub-Signature-256: {signature}")]).collect::<Vec<_>>()
        };
        let post = |signature| request("POST /webhooks/acme", &headers(signature), BODY);
        assert_eq!(status(stage.address, &post(sign(SECRET, BODY))).await, 200, "{types:?}");
        assert_eq!(status(stage.address, &post(sign("wrong", BODY))).await, 401, "{types:?}");
    }
    assert_eq!(stage.bodies().await, vec![BODY.to_vec(); types.len()]);
}

/// 22: genuine, and of a kind that is not asked for.
#[tokio::test]
async fn the_old_signature_alone_is_401() {
    let stage = Stage::new().await;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, SECRET.as_bytes());
    let old = format!("X-Hub-Signature: sha1={}", hex::encode(hmac::sign(&key, BODY)));
    let one = |headers: &[String]| request("POST /webhooks/acme", headers, BODY);
    assert_eq!(status(stage.address, &one(std::slice::from_ref(&old))).await, 401);
    // In the new header's place it is no better.
    assert_eq!(status(stage.address, &one(&[old.replace("Signature", "Signature-256")])).await, 401);
    assert!(stage.raw().await.is_empty());
    let both = [old, format!("X-Hub-Signature-256: {}", sign(SECRET, BODY))];
    assert_eq!(status(stage.address, &one(&both)).await, 200);
    assert_eq!(stage.raw().await.len(), 1);
}

/// 33: over real connections. `TIDINGS_FORGERIES` sets how many there are.
#[tokio::test(flavor = "multi_thread")]
async fn no_forgery_is_let_in() {
    const AT_A_TIME: usize = 500;
    let wanted = std::env::var("TIDINGS_FORGERIES").ok().and_then(|count| count.parse().ok());
    let forgeries: usize = wanted.unwrap_or(100_000);
    let stage = Stage::new().await;
    let genuine = sign(SECRET, BODY);
    let mut random = StdRng::seed_from_u64(33);
    let (mut sent, mut accepted) = (0, 0);
    while sent < forgeries {
        let mut bytes = Vec::new();
        for number in 0..AT_A_TIME {
            let mut tag: [u8; 32] = random.random();
            if number % 2 == 0 {
                // The genuine one but for some bits.
                hex::decode_to_slice(&genuine[7..], &mut tag).unwrap();
                for _ in 0..random.random_range(1..4) {
                    tag[random.random_range(0..32)] ^= random.random_range(1..=255);
                }
                if format!("sha256={}", hex::encode(tag)) == genuine {
                    tag[0] ^= 1;
                }
            }
            let tag = format!("sha256={}", hex::encode(tag));
            bytes.extend_from_slice(&signed("/webhooks/acme", &tag, BODY));
        }
        let answers = exchange(stage.address, &bytes).await;
        assert_eq!(answers.len(), AT_A_TIME);
        accepted += answers.iter().filter(|answer| answer.status != 401).count();
        sent += AT_A_TIME;
    }
    assert_eq!((accepted, stage.raw().await.len()), (0, 0));
    assert_eq!(stage.outcome("wrong_signature"), sent as f64);
    assert_eq!(status(stage.address, &delivery(SECRET, BODY)).await, 200);
    println!("promise=no-forgeries sent={sent} accepted={accepted}");
}

/// 96: as many connections as an address may have, each with one request at a time; everybody else is served.
#[tokio::test]
async fn a_flood_of_handshakes_is_held_to_its_connections() {
    const PLACES: usize = 8;
    let mut config = Config::default();
    config.limits.connections_per_address = PLACES;
    let stage = Stage::with(config).await;
    let one = request(
        "GET /webhooks/acme?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=second",
        &[],
        b"",
    );
    let mut flood = Vec::new();
    for _ in 0..PLACES {
        let mut stream = TcpStream::connect(stage.address).await.unwrap();
        stream.write_all(&one).await.unwrap();
        assert_eq!(next(&mut stream).await.status, 200);
        flood.push(stream);
    }
    for _ in 0..4 * PLACES {
        let mut stream = TcpStream::connect(stage.address).await.unwrap();
        let _ = stream.write_all(&one).await;
        assert!(until_closed(&mut stream).await.is_empty());
    }
    assert_eq!(stage.metric("ingest_connections_total", Some("address_full")), 4.0 * PLACES as f64);
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let other = socket.connect(stage.address).await.unwrap();
    assert_eq!(over(other, &delivery(SECRET, BODY)).await[0].status, 200);
    for stream in flood {
        let answers = over(stream, &one.repeat(500)).await;
        assert_eq!(answers.len(), 500);
        assert!(answers.iter().all(|answer| (answer.status, &*answer.body) == (200, "1158201444")));
    }
    assert_eq!(stage.metric("ingest_handshakes_total", Some("accepted")), 501.0 * PLACES as f64);
    assert_eq!((stage.raw().await.len(), stage.metric("ingest_inflight_bytes", None)), (1, 0.0));
}
