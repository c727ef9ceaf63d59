//! What the Graph API and media hosts answer, and what is made of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use graph::{
    Graph, GraphConfig, GraphError, MediaDisposition, MediaError, OPAQUE, Resolve, Resolving, UrlError,
};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::servers::{
    CAP, ID, by_id, by_url, client, fetch, has_token, host, impatient, nowhere, raw, refusal, serve, whatsapp,
};

const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0and the rest of a picture";

fn hex_of(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

fn base64_of(bytes: &[u8]) -> String {
    STANDARD.encode(digest(&SHA256, bytes))
}

fn file(bytes: &'static [u8]) -> axum::routing::MethodRouter {
    get(
        async move |headers: HeaderMap| {
            if has_token(&headers) { bytes.into_response() } else { StatusCode::UNAUTHORIZED.into_response() }
        },
    )
}

#[track_caller]
fn check(error: &MediaError, reason: &str, disposition: MediaDisposition) {
    assert_eq!((error.reason(), error.disposition()), (reason, disposition));
}

const RETRY: MediaDisposition = MediaDisposition::Retry { after: None };

fn after(seconds: u64) -> MediaDisposition {
    MediaDisposition::Retry { after: Some(Duration::from_secs(seconds)) }
}

#[tokio::test]
async fn a_file_by_its_id() {
    let sizes = [json!(JPEG.len()), json!(JPEG.len().to_string()), Value::Null];
    for (file_size, declared) in sizes.into_iter().zip([Some(base64_of(JPEG)), Some(hex_of(JPEG)), None]) {
        let description = json!({
            "messaging_product": "whatsapp", "mime_type": "image/jpeg", "sha256": hex_of(JPEG),
            "file_size": file_size, "id": ID,
        });
        let graph = client(&serve(whatsapp(description, file(JPEG))).await);
        let mut request = by_id();
        request.declared_sha256 = declared;
        let (bytes, fetched) = fetch(&graph, &request).await.unwrap();
        assert_eq!(bytes, JPEG);
        assert_eq!(fetched.bytes, JPEG.len() as u64);
        assert_eq!(fetched.sha256, digest(&SHA256, JPEG).as_ref());
        assert_eq!((fetched.media_type, fetched.declared_matches), ("image/jpeg", true));
    }
}

#[tokio::test]
async fn what_is_asked() {
    let routes = Router::new().route(
        "/behind/a/prefix/v25.0/{id}",
        get(async |headers: HeaderMap, Query(query): Query<Vec<(String, String)>>| {
            assert_eq!(query, [("phone_number_id".to_owned(), "111".to_owned())]);
            assert_eq!(headers[header::ACCEPT_ENCODING], "identity");
            assert!(headers[header::USER_AGENT].to_str().unwrap().starts_with("tidings/"));
            assert!(has_token(&headers));
            json!({ "url": format!("http://{}/file", host(&headers)) }).to_string()
        }),
    );
    let base = serve(routes.route("/file", file(JPEG))).await;
    for base in [format!("{base}/behind/a/prefix"), format!("{base}/behind/a/prefix/")] {
        let (bytes, _) = fetch(&client(&base), &by_id()).await.unwrap();
        assert_eq!(bytes, JPEG);
    }
}

#[tokio::test]
async fn a_file_by_its_address_takes_no_token() {
    let routes = Router::new().route(
        "/cdn/1",
        get(async |headers: HeaderMap| {
            assert!(!headers.contains_key(header::AUTHORIZATION));
            assert_eq!(headers[header::ACCEPT_ENCODING], "identity");
            ([(header::CONTENT_TYPE, "image/jpeg")], JPEG)
        }),
    );
    let base = serve(routes).await;
    // By number, and by a name that the system's resolver knows.
    for base in [base.clone(), base.replace("127.0.0.1", "localhost")] {
        let request = by_url(format!("{base}/cdn/1?sig=CANARY"));
        let (bytes, fetched) = fetch(&client(&base), &request).await.unwrap();
        assert_eq!(bytes, JPEG);
        assert_eq!((fetched.media_type, fetched.declared_matches), ("image/jpeg", true));
    }
}

/// What becomes of this answer to the question for a file.
async fn described(answer: impl Fn() -> Response + Clone + Send + Sync + 'static) -> MediaError {
    let routes = Router::new().route("/v25.0/{id}", get(async move || answer()));
    fetch(&client(&serve(routes).await), &by_id()).await.unwrap_err()
}

#[tokio::test]
async fn answers_of_the_graph_api() {
    let unauthorized = MediaDisposition::Unauthorized;
    check(&described(|| refusal(401, 190)).await, "unauthorized", unauthorized);
    check(&described(|| refusal(400, 190)).await, "unauthorized", unauthorized);
    check(&described(|| refusal(403, 10)).await, "unauthorized", unauthorized);
    check(&described(|| refusal(400, 100)).await, "not_visible", MediaDisposition::Retry { after: None });
    check(&described(|| refusal(404, 100)).await, "expired", MediaDisposition::Expired);
    check(&described(|| StatusCode::NOT_FOUND.into_response()).await, "expired", MediaDisposition::Expired);
    check(&described(|| refusal(400, 130429)).await, "rate_limited", RETRY);
    check(&described(|| refusal(400, 4)).await, "rate_limited", RETRY);
    let throttled = || ([("retry-after", "7")], refusal(429, 80007)).into_response();
    check(&described(throttled).await, "rate_limited", after(7));
    let nameless = || (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "9")]).into_response();
    check(&described(nameless).await, "rate_limited", after(9));
    let usage = r#"{"1":[{"type":"whatsapp","call_count":100,"estimated_time_to_regain_access":3}]}"#;
    let estimated = move || ([("x-business-use-case-usage", usage)], refusal(400, 80007)).into_response();
    check(&described(estimated).await, "rate_limited", after(180));
    check(&described(|| refusal(500, 131000)).await, "server_trouble", RETRY);
    check(&described(|| StatusCode::BAD_GATEWAY.into_response()).await, "server_trouble", RETRY);
    check(&described(|| "no JSON".into_response()).await, "unexpected_answer", RETRY);
    check(&described(|| "{}".into_response()).await, "unexpected_answer", RETRY);
    let long = || format!("{}{}", json!({ "url": "http://a.test/" }), " ".repeat(70_000)).into_response();
    check(&described(long).await, "unexpected_answer", RETRY);
    let moved = || (StatusCode::FOUND, [("location", "/v25.0/1")]).into_response();
    check(&described(moved).await, "unexpected_answer", RETRY);
    let strange = MediaDisposition::Refused("request_refused");
    check(&described(|| refusal(400, 987_654)).await, "request_refused", strange);
}

#[tokio::test]
async fn answers_of_media_hosts() {
    for (status, with_token, without) in [
        (401, ("unauthorized", MediaDisposition::Unauthorized), ("expired", MediaDisposition::Expired)),
        (403, ("unauthorized", MediaDisposition::Unauthorized), ("expired", MediaDisposition::Expired)),
        (404, ("expired", MediaDisposition::Expired), ("expired", MediaDisposition::Expired)),
        (410, ("expired", MediaDisposition::Expired), ("expired", MediaDisposition::Expired)),
        (408, ("server_trouble", RETRY), ("server_trouble", RETRY)),
        (429, ("rate_limited", after(11)), ("rate_limited", after(11))),
        (500, ("server_trouble", after(11)), ("server_trouble", after(11))),
        (204, ("unexpected_answer", RETRY), ("unexpected_answer", RETRY)),
        (206, ("unexpected_answer", RETRY), ("unexpected_answer", RETRY)),
        (304, ("unexpected_answer", RETRY), ("unexpected_answer", RETRY)),
    ] {
        let answer = get(async move || {
            let status = StatusCode::from_u16(status).unwrap();
            let wait = if status == StatusCode::REQUEST_TIMEOUT { "soon" } else { "11" };
            (status, [("retry-after", wait)])
        });
        let base = serve(whatsapp(json!({}), answer)).await;
        let graph = client(&base);
        let error = fetch(&graph, &by_id()).await.unwrap_err();
        check(&error, with_token.0, with_token.1);
        let error = fetch(&graph, &by_url(format!("{base}/file?CANARY"))).await.unwrap_err();
        check(&error, without.0, without.1);
    }
}

#[tokio::test]
async fn an_address_that_ran_out_is_asked_for_again_once() {
    for (refused, expected) in [(1, Ok(2)), (usize::MAX, Err("expired"))] {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let answer = get(async move || {
            let nth = counter.fetch_add(1, Ordering::SeqCst) + 1;
            if nth <= refused { StatusCode::NOT_FOUND.into_response() } else { JPEG.into_response() }
        });
        let graph = client(&serve(whatsapp(json!({}), answer)).await);
        let fetched = fetch(&graph, &by_id()).await;
        assert_eq!(fetched.map(|_| asked.load(Ordering::SeqCst)).map_err(|error| error.reason()), expected);
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test]
async fn redirects() {
    let hops = |count: usize| {
        let mut routes = Router::new().route("/0", file(JPEG));
        for hop in 1..=count {
            let location = format!("/{}", hop - 1);
            let answer = get(async move || (StatusCode::FOUND, [(header::LOCATION, location)]));
            routes = routes.route(&format!("/{hop}"), answer);
        }
        routes.route(
            "/v25.0/{id}",
            get(async move |headers: HeaderMap| {
                json!({ "url": format!("http://{}/{count}", host(&headers)) }).to_string()
            }),
        )
    };
    for count in 0..=3 {
        // The token goes along: the host stays the same.
        let (bytes, _) = fetch(&client(&serve(hops(count)).await), &by_id()).await.unwrap();
        assert_eq!(bytes, JPEG);
    }
    let refused = MediaDisposition::Refused("redirect");
    let error = fetch(&client(&serve(hops(4)).await), &by_id()).await.unwrap_err();
    check(&error, "redirect", refused);

    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let turning = get(async move || {
        counter.fetch_add(1, Ordering::SeqCst);
        (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, "/loop")])
    });
    let lost = get(async || StatusCode::SEE_OTHER);
    let base = serve(Router::new().route("/loop", turning).route("/lost", lost)).await;
    for path in ["loop", "lost"] {
        let error = fetch(&client(&base), &by_url(format!("{base}/{path}"))).await.unwrap_err();
        check(&error, "redirect", refused);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn what_was_declared_is_checked() {
    let other = hex_of(b"another file");
    let refused = |reason| Err((reason, MediaDisposition::Refused(reason)));
    for (description, declared, expected) in [
        (json!({}), None, Ok(())),
        (json!({ "sha256": base64_of(JPEG) }), Some(base64_of(JPEG)), Ok(())),
        (json!({ "sha256": "not a digest" }), Some("nor this".to_owned()), Ok(())),
        (json!({}), Some(other.clone()), refused("sha256_mismatch")),
        (json!({ "sha256": other }), None, refused("sha256_mismatch")),
        (json!({ "sha256": other }), Some(base64_of(JPEG)), refused("sha256_mismatch")),
        (json!({ "sha256": hex_of(JPEG) }), Some(other.clone()), refused("sha256_mismatch")),
        (json!({ "file_size": JPEG.len() - 1 }), None, refused("size_mismatch")),
        (json!({ "file_size": JPEG.len() + 1 }), None, refused("size_mismatch")),
        (json!({ "file_size": CAP + 1 }), None, refused("too_large")),
        (json!({ "file_size": u64::MAX.to_string() }), None, refused("too_large")),
    ] {
        let graph = client(&serve(whatsapp(description.clone(), file(JPEG))).await);
        let mut request = by_id();
        request.declared_sha256 = declared;
        let fetched = fetch(&graph, &request).await;
        let fetched = fetched.map(drop).map_err(|error| (error.reason(), error.disposition()));
        assert_eq!(fetched, expected, "{description}");
    }
}

#[tokio::test]
async fn bytes_decide_what_it_is() {
    const SVG: &[u8] = b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>";
    const HTML: &[u8] = b"<!doctype html><script>alert(1)</script>";
    const POLYGLOT: &[u8] = b"\xff\xd8\xff\xfe\0\x2a<script>alert(1)</script>";
    for (bytes, said, declared, expected) in [
        (JPEG, "image/jpeg", "image/jpeg", ("image/jpeg", true)),
        (JPEG, "image/jpeg", "", ("image/jpeg", true)),
        (JPEG, "", "image/jpeg; x=y", ("image/jpeg", true)),
        (JPEG, "", "", ("image/jpeg", true)),
        (JPEG, "text/html", "image/jpeg", ("image/jpeg", true)),
        (JPEG, "text/html", "", (OPAQUE, false)),
        (JPEG, "image/jpeg", "image/png", (OPAQUE, false)),
        (SVG, "image/svg+xml", "image/jpeg", (OPAQUE, false)),
        (SVG, "image/svg+xml", "", (OPAQUE, false)),
        (HTML, "text/html", "image/jpeg", (OPAQUE, false)),
        (HTML, "", "text/plain", (OPAQUE, false)),
        (HTML, "", "", (OPAQUE, true)),
        (POLYGLOT, "image/jpeg", "image/jpeg", (OPAQUE, false)),
        (b"MZ\x90\0", "application/pdf", "application/pdf", (OPAQUE, false)),
    ] {
        let answer = get(async move || {
            let mut headers = HeaderMap::new();
            if !said.is_empty() {
                headers.insert(header::CONTENT_TYPE, said.parse().unwrap());
            }
            (headers, axum::body::Body::from(bytes))
        });
        let base = serve(Router::new().route("/file", answer)).await;
        let mut request = by_url(format!("{base}/file"));
        request.declared_mime = Some(declared).filter(|declared| !declared.is_empty()).map(str::to_owned);
        let (kept, fetched) = fetch(&client(&base), &request).await.unwrap();
        assert_eq!(kept, bytes);
        assert_eq!((fetched.media_type, fetched.declared_matches), expected, "{said} {declared}");
    }
}

#[tokio::test]
async fn nothing_is_asked_without_a_token_or_a_proper_id() {
    let base = raw("HTTP/1.1 500 No\r\n\r\n").await;
    let graph = client(&base);
    let error = graph.open(&by_id(), None).await.unwrap_err();
    check(&error, "no_token", MediaDisposition::Unauthorized);
    let error = graph.open(&by_id(), Some(&"".into())).await.unwrap_err();
    check(&error, "no_token", MediaDisposition::Unauthorized);
    let error = graph.open(&by_id(), Some(&"two\r\nlines".into())).await.unwrap_err();
    check(&error, "unauthorized", MediaDisposition::Unauthorized);
    for (media_id, number) in [("../me", "111"), ("", "111"), ("1?access_token=x", "111"), (ID, "1&a=b")] {
        let mut request = by_id();
        request.source = graph::MediaSource::WhatsappId {
            media_id: media_id.to_owned(),
            phone_number_id: Some(number.to_owned()),
        };
        let error = fetch(&graph, &request).await.unwrap_err();
        check(&error, "bad_media_id", MediaDisposition::Refused("bad_media_id"));
    }
}

/// Knows no name.
struct NoNames;

impl Resolve for NoNames {
    fn resolve(&self, _host: &str) -> Resolving {
        Box::pin(async { Err(std::io::ErrorKind::NotFound.into()) })
    }
}

#[tokio::test]
async fn servers_that_are_not_there() {
    let error = fetch(&client(&format!("http://{}", nowhere().await)), &by_id()).await.unwrap_err();
    check(&error, "unreachable", RETRY);
    let config = GraphConfig { base: Some("http://graph.test".into()), ..impatient() };
    let nameless = Graph::with_resolver(config, Arc::new(NoNames)).unwrap();
    let error = fetch(&nameless, &by_id()).await.unwrap_err();
    check(&error, "unreachable", RETRY);
    // One that speaks no HTTP.
    let error = fetch(&client(&raw("SSH-2.0-no\r\n").await), &by_id()).await.unwrap_err();
    check(&error, "connection_broken", RETRY);
}

#[test]
fn settings_are_checked() {
    let with = |base: &str, version: &str| {
        let mut config = impatient();
        config.base = Some(base.to_owned());
        config.version = version.to_owned();
        Graph::new(config).map(drop)
    };
    assert!(with("http://127.0.0.1:9090", "v25.0").is_ok());
    for base in
        ["", "127.0.0.1:9090", "ftp://a.test", "http://u:p@a.test", "http://a.test/?b", "http://a.test/#b"]
    {
        assert!(matches!(with(base, "v25.0"), Err(GraphError::Base(_))), "{base}");
    }
    assert!(matches!(with("file:///tmp", "v25.0"), Err(GraphError::Base(UrlError::Scheme))));
    for version in ["", "25.0", "v25", "v25.", "v25.0/me", "v.."] {
        assert!(matches!(with("http://a.test", version), Err(GraphError::Version)), "{version}");
    }
}
