//! Servers to fetch from, and what the tests share.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use graph::{Fetched, Graph, GraphConfig, MediaError, MediaRequest, MediaSource};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A media id that may show up in no error.
pub(crate) const ID: &str = "42424242";
/// A token that may show up in no error.
pub(crate) const TOKEN: &str = "EAACANARYTOKEN";
/// The cap of the tests' clients.
pub(crate) const CAP: u64 = 256 * 1024;

/// A client of this Graph API that soon loses its patience.
pub(crate) fn client(base: &str) -> Graph {
    Graph::new(GraphConfig { base: Some(base.to_owned()), ..impatient() }).unwrap()
}

pub(crate) fn impatient() -> GraphConfig {
    GraphConfig {
        max_bytes: CAP,
        connect_timeout: Duration::from_millis(500),
        idle_timeout: Duration::from_millis(500),
        total_timeout: Duration::from_secs(10),
        ..GraphConfig::default()
    }
}

pub(crate) fn token() -> SecretString {
    SecretString::from(TOKEN)
}

/// Serves these routes; returns their address.
pub(crate) async fn serve(routes: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    format!("http://{address}")
}

/// A Graph API that holds one file. The description gets the file's address when it has none.
pub(crate) fn whatsapp(description: Value, file: MethodRouter) -> Router {
    let describe = async move |headers: HeaderMap, Path(id): Path<String>| -> Response {
        if id != ID {
            return refusal(400, 100);
        }
        if !has_token(&headers) {
            return refusal(401, 190);
        }
        let mut description = description;
        if description.get("url").is_none() {
            description["url"] = json!(format!("http://{}/file?mid={ID}", host(&headers)));
        }
        description.to_string().into_response()
    };
    Router::new().route("/v25.0/{id}", get(describe)).route("/file", file)
}

pub(crate) fn host(headers: &HeaderMap) -> &str {
    headers[header::HOST].to_str().unwrap()
}

pub(crate) fn has_token(headers: &HeaderMap) -> bool {
    headers.get(header::AUTHORIZATION).is_some_and(|value| value == format!("Bearer {TOKEN}").as_str())
}

/// An error as the Graph API gives it.
pub(crate) fn refusal(status: u16, code: i64) -> Response {
    let error =
        json!({ "error": { "message": "no", "type": "OAuthException", "code": code, "fbtrace_id": "A" } });
    (StatusCode::from_u16(status).unwrap(), error.to_string()).into_response()
}

/// Answers every connection with these bytes and closes it.
pub(crate) async fn raw(answer: impl Into<Vec<u8>>) -> String {
    let (listener, answer) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), answer.into());
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            if read_head(&mut stream).await {
                stream.write_all(&answer).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        }
    });
    format!("http://{address}")
}

async fn read_head(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return false,
        }
    }
    true
}

/// An address that nobody listens on.
pub(crate) async fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// The file with the tests' id.
pub(crate) fn by_id() -> MediaRequest {
    MediaRequest {
        source: MediaSource::WhatsappId { media_id: ID.into(), phone_number_id: Some("111".into()) },
        declared_mime: None,
        declared_sha256: None,
    }
}

/// The file at this address.
pub(crate) fn by_url(url: impl Into<String>) -> MediaRequest {
    MediaRequest { source: MediaSource::Url(url.into()), declared_mime: None, declared_sha256: None }
}

/// Fetches it to its end.
pub(crate) async fn fetch(graph: &Graph, request: &MediaRequest) -> Result<(Vec<u8>, Fetched), MediaError> {
    let fetched = take(graph, request).await;
    if let Err(error) = &fetched {
        let shown = format!("{error} {error:?} {request:?} {graph:?}");
        for secret in [ID, TOKEN, "CANARY", "?"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
    fetched
}

async fn take(graph: &Graph, request: &MediaRequest) -> Result<(Vec<u8>, Fetched), MediaError> {
    let mut download = graph.open(request, Some(&token())).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = download.next().await? {
        bytes.extend_from_slice(&chunk);
        assert!(bytes.len() as u64 <= CAP, "more than the cap was handed out");
    }
    Ok((bytes, download.finish()?))
}
