//! Meta's privacy callbacks: `meta-platform.md` §8, class 95.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ingest::{Config, Deadlines, ProxyConfig};
use ring::hmac;
use schemas::{Action, Callback, CallbackKind, SecretRole, Topics};
use secrecy::ExposeSecret;
use service::Clock;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{Answer, PATIENCE, exchange, request, status, until_closed};
use crate::stage::{BODY, INSTAGRAM, NEXT, OTHER, SECRET, Stage, acme, short};

const PAYLOAD: &str = r#"{"algorithm":"HMAC-SHA256","issued_at":1780000000,"user_id":"10150000000000001"}"#;

/// `payload`'s text, signed as it is.
fn sign_text(secret: &str, payload: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), payload.as_bytes());
    format!("{}.{payload}", URL_SAFE_NO_PAD.encode(tag))
}

pub(crate) fn signed_request(secret: &str, json: &str) -> String {
    sign_text(secret, &URL_SAFE_NO_PAD.encode(json))
}

/// A callback as Meta sends it.
pub(crate) fn callback(path: &str, signed: &str) -> Vec<u8> {
    posted(path, &[], format!("signed_request={signed}").as_bytes())
}

fn posted(path: &str, headers: &[&str], form: &[u8]) -> Vec<u8> {
    let mut lines = vec!["Content-Type: application/x-www-form-urlencoded".to_owned()];
    lines.extend(headers.iter().map(|header| (*header).to_owned()));
    request(&format!("POST /callbacks/meta/{path}"), &lines, form)
}

impl Stage {
    async fn ask(&self, bytes: &[u8]) -> Answer {
        let mut answers = exchange(self.address, bytes).await;
        assert_eq!(answers.len(), 1);
        answers.remove(0)
    }

    /// Asks for a deletion, and gives the confirmation code.
    pub(crate) async fn confirmed(&self, bytes: &[u8]) -> String {
        let answer = self.ask(bytes).await;
        assert_eq!(answer.status, 200, "{}", answer.head);
        let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        json["confirmation_code"].as_str().unwrap().to_owned()
    }

    fn callbacks(&self) -> Vec<(String, Callback)> {
        self.plane.state().people.callbacks.clone().into_iter().collect()
    }

    /// Whom callbacks are about, sealed, by their codes: every record that says so.
    async fn asked(&self) -> Vec<(String, String)> {
        let at =
            eventlog::TopicPartition::new(&eventlog::Topic::new(Topics::default().callbacks()).unwrap(), 0);
        let bounds = self.log.bounds(&at).await.unwrap();
        let mut reader = self.log.reader(&at, bounds.earliest).await.unwrap();
        let (mut next, mut found) = (bounds.earliest, Vec::new());
        while next < bounds.end {
            for stored in reader.next(1000, Duration::from_millis(100)).await.unwrap() {
                next = stored.offset + 1;
                let text = |bytes: Option<bytes::Bytes>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
                found.push((text(stored.record.key), text(stored.record.value)));
            }
        }
        found
    }

    /// How many records of callbacks `control` holds, folded in or not.
    async fn written(&self) -> usize {
        let at =
            eventlog::TopicPartition::new(&eventlog::Topic::new(Topics::default().control()).unwrap(), 0);
        let bounds = self.log.bounds(&at).await.unwrap();
        let mut reader = self.log.reader(&at, bounds.earliest).await.unwrap();
        let (mut next, mut found) = (bounds.earliest, 0);
        while next < bounds.end {
            for stored in reader.next(1000, Duration::from_millis(100)).await.unwrap() {
                next = stored.offset + 1;
                let text = String::from_utf8(stored.record.value.unwrap().to_vec()).unwrap();
                found += usize::from(text.contains(r#""action":"callback_received""#));
                assert!(!text.contains("callback_received") || text.contains(r#""actor":"meta""#), "{text}");
            }
        }
        found
    }
}

#[tokio::test]
async fn a_data_deletion_is_written_down_sealed_and_confirmed() {
    let stage = Stage::new().await;
    let answer = stage.ask(&callback("acme/data-deletion", &signed_request(SECRET, PAYLOAD))).await;
    assert_eq!(answer.status, 200);
    for header in [
        "content-type: application/json\r\n",
        "cache-control: no-store\r\n",
        "x-content-type-options: nosniff\r\n",
    ] {
        assert!(answer.head.contains(header), "{}", answer.head);
    }
    let callbacks = stage.callbacks();
    let [(code, kept)] = &callbacks[..] else { panic!("one callback") };
    assert!(code.len() == 32 && code.bytes().all(|b| b.is_ascii_hexdigit()), "{code}");
    let expected =
        format!(r#"{{"url":"https://edge/callbacks/meta/status/{code}","confirmation_code":"{code}"}}"#);
    assert_eq!(answer.body, expected);
    assert_eq!((kept.app.as_str(), kept.kind, &kept.erasures), ("acme", CallbackKind::DataDeletion, &None));
    let asked = stage.asked().await;
    let [(of, user)] = &asked[..] else { panic!("one person") };
    assert_eq!(of, code);
    let open = |context: &str| stage.key.open(context, user);
    assert_eq!(open(&format!("callback/acme/{code}")).unwrap().expose_secret(), b"10150000000000001");
    assert!(open(&format!("callback/other/{code}")).is_err());
    assert_eq!((stage.written().await, stage.called("data_deletion", "received")), (1, 1.0));
    // It is no delivery.
    assert!(stage.raw().await.is_empty());
    assert_eq!(stage.metric("ingest_deliveries_total", None), 0.0);
    assert_eq!(stage.metric("ingest_inflight_bytes", None), 0.0);
}

#[tokio::test]
async fn a_deauthorisation_is_written_down_and_answered() {
    let stage = Stage::new().await;
    let answer = stage.ask(&callback("acme/deauthorize", &signed_request(INSTAGRAM, PAYLOAD))).await;
    assert_eq!((answer.status, &*answer.body), (200, "{}"));
    let callbacks = stage.callbacks();
    assert_eq!((callbacks.len(), callbacks[0].1.kind), (1, CallbackKind::Deauthorize));
    assert!(stage.asked().await.is_empty(), "nobody looks for them");
    assert_eq!(stage.called("deauthorize", "received"), 1.0);
    // Nothing of it needs to know under which host it came.
    let hostless = String::from_utf8(callback("acme/deauthorize", &signed_request(NEXT, PAYLOAD))).unwrap();
    assert_eq!(stage.ask(hostless.replace("Host: edge\r\n", "").as_bytes()).await.status, 200);
}

#[tokio::test]
async fn the_same_request_has_the_same_code_and_one_record() {
    let stage = Stage::new().await;
    let one = callback("acme/data-deletion", &signed_request(SECRET, PAYLOAD));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (address, one) = (stage.address, one.clone());
        clients.spawn(async move { exchange(address, &one).await.remove(0) });
    }
    let answers = clients.join_all().await;
    assert!(
        answers.iter().all(|answer| (answer.status, &answer.body) == (200, &answers[0].body)),
        "{answers:?}"
    );
    assert_eq!(stage.written().await, 1);
    assert_eq!(stage.called("data_deletion", "received"), 1.0);
    assert_eq!(stage.called("data_deletion", "repeated"), 15.0);
    let code = stage.confirmed(&one).await;

    // Another spelling of it, another role of its secret, another root key: it is the same request.
    let number = PAYLOAD.replace(r#""10150000000000001""#, "10150000000000001");
    assert_eq!(
        stage.confirmed(&callback("acme/data-deletion", &signed_request(SECRET, &number))).await,
        code
    );
    let app = acme(&[(SecretRole::Current, "after"), (SecretRole::Next, SECRET)], &["token"]);
    stage.act(Action::AppRotated(app.seal(&stage.key).unwrap())).await;
    assert_eq!(stage.confirmed(&one).await, code);
    // After it was looked at, too.
    stage.act(Action::CallbackAnswered { code: code.clone(), erasures: Vec::new() }).await;
    assert_eq!(stage.confirmed(&one).await, code);
    assert_eq!(stage.written().await, 1);

    // These are others.
    let later = PAYLOAD.replace("1780000000", "1780000001");
    let another = PAYLOAD.replace("0001\"", "0002\"");
    let mut codes = vec![code];
    for (path, json, secret) in [
        ("acme/data-deletion", &*later, SECRET),
        ("acme/data-deletion", &another, SECRET),
        ("other/data-deletion", PAYLOAD, OTHER),
    ] {
        codes.push(stage.confirmed(&callback(path, &signed_request(secret, json))).await);
    }
    assert_eq!(stage.ask(&callback("acme/deauthorize", &signed_request(SECRET, PAYLOAD))).await.status, 200);
    codes.sort_unstable();
    codes.dedup();
    assert_eq!((codes.len(), stage.written().await, stage.callbacks().len()), (4, 5, 5));
}

#[tokio::test]
async fn whatever_is_no_signed_request_is_400_and_leaves_nothing() {
    let stage = Stage::new().await;
    let good = signed_request(SECRET, PAYLOAD);
    let (signature, payload) = good.split_once('.').unwrap();
    let of = |json: &str| callback("acme/data-deletion", &signed_request(SECRET, json));
    let raw = |signed: &str| callback("acme/data-deletion", signed);
    let form = |bytes: &[u8]| posted("acme/data-deletion", &[], bytes);
    let hex = hex::encode(URL_SAFE_NO_PAD.decode(signature).unwrap());
    let text = String::from_utf8(raw(&good)).unwrap();
    let malformed = [
        raw(""),
        raw("."),
        raw(&good.replace('.', "")),
        raw(&format!("{signature}=.{payload}")),
        raw(&format!("{signature}%3D.{payload}")),
        raw(&format!("{hex}.{payload}")),
        raw(&format!("{}.{payload}", &signature[1..])),
        raw(&sign_text(SECRET, "e30=")),
        raw(&sign_text(SECRET, "not base64")),
        raw(&sign_text(SECRET, "")),
        of("{}"),
        of("[]"),
        of("not json"),
        of(&"[".repeat(5000)),
        of(r#"{"algorithm":"HMAC-SHA256","issued_at":1}"#),
        of(r#"{"algorithm":"HMAC-SHA256","user_id":"1"}"#),
        of(r#"{"algorithm":"HMAC-SHA256","user_id":"","issued_at":1}"#),
        of(r#"{"algorithm":"HMAC-SHA256","user_id":"\u0000","issued_at":1}"#),
        of(r#"{"algorithm":"HMAC-SHA256","user_id":1.5,"issued_at":1}"#),
        of(r#"{"algorithm":"HMAC-SHA256","user_id":["1"],"issued_at":1}"#),
        form(b""),
        form(b"signed_request"),
        form(good.as_bytes()),
        form(format!("signed_request={good}&signed_request={good}").as_bytes()),
        form(format!("Signed_Request={good}").as_bytes()),
        form(b"signed_request=%zz"),
        form(b"signed_request=\xff\xfe"),
        form(b"{\"signed_request\":\"\"}"),
        // Nobody can be told where to look.
        text.replace("Host: edge\r\n", "").into_bytes(),
        text.replace("Host: edge", "Host: evil/path").into_bytes(),
        text.replace("Host: edge", "Host: a\r\nHost: b").into_bytes(),
    ];
    let algorithms = ["HMAC-SHA1", "none", "", "RS256"];
    let wrong_algorithm = algorithms.map(|name| of(&PAYLOAD.replace("HMAC-SHA256", name)));
    let wrong_signature = [
        callback("acme/data-deletion", &signed_request(OTHER, PAYLOAD)),
        callback("acme/data-deletion", &signed_request("", PAYLOAD)),
        callback("other/data-deletion", &good),
        raw(&format!("{good}=")),
        raw(&format!("{signature}.{}", &payload[4..])),
        raw(&format!("{signature}.{}", URL_SAFE_NO_PAD.encode(PAYLOAD.replace("0001", "0002")))),
        raw(&format!("{}.{payload}", URL_SAFE_NO_PAD.encode([0; 32]))),
        // Over what the payload says and not over its text.
        raw(&format!(
            "{}.{payload}",
            URL_SAFE_NO_PAD.encode(hmac::sign(
                &hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()),
                PAYLOAD.as_bytes()
            ))
        )),
    ];
    for (outcome, requests) in [
        ("malformed", &malformed[..]),
        ("wrong_algorithm", &wrong_algorithm),
        ("wrong_signature", &wrong_signature),
    ] {
        for (number, bytes) in requests.iter().enumerate() {
            let answer = stage.ask(bytes).await;
            assert_eq!((answer.status, &*answer.body), (400, ""), "{outcome} {number}");
        }
        assert_eq!(stage.called("data_deletion", outcome), requests.len() as f64, "{outcome}");
    }
    assert_eq!((stage.written().await, stage.called("data_deletion", "received")), (0, 0.0));
    // The good one is good.
    assert_eq!(stage.ask(&raw(&good)).await.status, 200);
}

#[tokio::test]
async fn a_callback_has_the_limits_of_any_request() {
    let mut config = short();
    config.limits.headers = 10;
    let stage = Stage::with(config).await;
    let form = format!("signed_request={}", signed_request(SECRET, PAYLOAD));
    let with = |headers: &[&str]| posted("acme/data-deletion", headers, form.as_bytes());
    let check = async |bytes: &[u8], expected: u16| {
        assert_eq!(stage.ask(bytes).await.status, expected, "{:.200}", String::from_utf8_lossy(bytes));
    };
    let large = format!("{form}&x={}", "x".repeat(16 * 1024));
    let chunked = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    check(&posted("acme/data-deletion", &[], large.as_bytes()), 413).await;
    check(&posted("acme/data-deletion", &["Transfer-Encoding: chunked"], chunked.as_bytes()), 413).await;
    check(&with(&["Content-Encoding: gzip"]), 415).await;
    check(&with(&["X: 1"; 10]), 431).await;
    check(&callback("nobody/data-deletion", &form), 404).await;
    check(&callback("acme/data-deletion/", &form), 404).await;
    check(&callback("acme/delete", &form), 404).await;
    for method in ["GET", "PUT", "HEAD", "DELETE", "OPTIONS"] {
        let answers = exchange(
            stage.address,
            &request(&format!("{method} /callbacks/meta/acme/data-deletion"), &[], b""),
        )
        .await;
        assert_eq!(answers[0].status, 405, "{method}");
        assert!(answers[0].head.contains("allow: post\r\n"), "{}", answers[0].head);
    }
    let mut stalled = TcpStream::connect(stage.address).await.unwrap();
    let bytes = with(&[]);
    stalled.write_all(&bytes[..bytes.len() - 10]).await.unwrap();
    assert_eq!(until_closed(&mut stalled).await[0].status, 408);
    assert_eq!(stage.written().await, 0);
    // 413, 413, 415, 431, 404, five times 405, 408; a path of nobody's is counted with the deliveries.
    assert_eq!(stage.called("data_deletion", "refused"), 11.0);
    assert_eq!(stage.outcome("unknown_path"), 2.0);
    check(&with(&["Transfer-Encoding: identity"]), 400).await;
    let chunked = format!("{:x}\r\n{form}\r\n0\r\n\r\n", form.len());
    check(&posted("acme/data-deletion", &["Transfer-Encoding: chunked"], chunked.as_bytes()), 200).await;
}

#[tokio::test]
async fn an_app_that_cannot_be_checked_is_503() {
    let stage = Stage::new().await;
    let foreign = seal::RootKey::generate().unwrap().edge();
    let app = control::NewApp {
        id: "fresh".parse().unwrap(),
        ..acme(&[(SecretRole::Current, SECRET)], &["token"])
    };
    stage.act(Action::AppAdded(app.seal(&foreign).unwrap())).await;
    let bytes = callback("fresh/data-deletion", &signed_request(SECRET, PAYLOAD));
    assert_eq!(status(stage.address, &bytes).await, 503);
    assert_eq!(stage.called("data_deletion", "failed"), 1.0);
}

#[tokio::test]
async fn with_the_log_away_it_is_503_and_not_confirmed() {
    let stage = Stage::new().await;
    let known = callback("acme/data-deletion", &signed_request(SECRET, PAYLOAD));
    let code = stage.confirmed(&known).await;
    stage.log.close(Duration::from_secs(5)).await;
    let later = PAYLOAD.replace("1780000000", "1780000001");
    for path in ["data-deletion", "deauthorize"] {
        let answer = stage.ask(&callback(&format!("acme/{path}"), &signed_request(SECRET, &later))).await;
        assert_eq!((answer.status, &*answer.body), (503, ""));
    }
    assert_eq!((stage.called("data_deletion", "failed"), stage.called("deauthorize", "failed")), (1.0, 1.0));
    assert_eq!(stage.callbacks().len(), 1);
    // What is known is known.
    assert_eq!(stage.confirmed(&known).await, code);
}

/// The record is durable, but nothing says so in time: 503, and the repeat finds it there.
#[tokio::test]
async fn a_callback_that_is_not_confirmed_in_time_is_503_and_its_repeat_is_not_written_again() {
    let deadlines = Deadlines { answer: Duration::from_millis(200), ..Deadlines::default() };
    let stage = Stage::built(Config { deadlines, ..Config::default() }, Clock::system(), None).await;
    stage.follow.abort();
    let bytes = callback("acme/data-deletion", &signed_request(SECRET, PAYLOAD));
    assert_eq!(status(stage.address, &bytes).await, 503);
    assert_eq!(stage.called("data_deletion", "failed"), 1.0);
    let durable = async {
        while stage.written().await == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, durable).await.expect("what was handed over becomes durable");
    let follow = tokio::spawn(stage.plane.clone().follow(stage.stop.clone()));
    stage.plane.caught_up().await.unwrap();
    assert_eq!(stage.confirmed(&bytes).await, stage.callbacks()[0].0);
    assert_eq!((stage.written().await, stage.called("data_deletion", "repeated")), (1, 1.0));
    follow.abort();
}

#[tokio::test]
async fn the_address_is_the_public_one() {
    let config = Config { public_url: Some("https://inbox.example.org/meta/".into()), ..Config::default() };
    let stage = Stage::with(config).await;
    let answer = stage.ask(&callback("acme/data-deletion", &signed_request(SECRET, PAYLOAD))).await;
    let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let code = json["confirmation_code"].as_str().unwrap();
    assert_eq!(json["url"], format!("https://inbox.example.org/meta/callbacks/meta/status/{code}"));
}

/// Meta's client certificate is asked for where Meta says it presents one: with webhooks.
#[tokio::test]
async fn no_certificate_is_asked_for() {
    let proxy = ProxyConfig {
        trusted: vec!["10.0.0.0/8".parse().unwrap()],
        address_header: "x-forwarded-for".into(),
        requests_per_address: 0,
        common_name: Some(("x-client-name".into(), "meta".into())),
    };
    let stage = Stage::with(Config { proxy: Some(proxy), ..Config::default() }).await;
    assert_eq!(status(stage.address, &crate::client::delivery(SECRET, BODY)).await, 401);
    assert_eq!(stage.outcome("not_vouched"), 1.0);
    let code = stage.confirmed(&callback("acme/data-deletion", &signed_request(SECRET, PAYLOAD))).await;
    let page = request(&format!("GET /callbacks/meta/status/{code}"), &[], b"");
    assert_eq!(status(stage.address, &page).await, 200);
}
