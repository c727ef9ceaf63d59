//! A Graph API and its media hosts, as a test wants them to behave.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use graph::{Graph, GraphConfig};
use ring::digest::{SHA256, digest};
use tokio::sync::watch;

pub(crate) const TOKEN: &str = "EAAG-made-up-token";

/// A file that Meta has.
#[derive(Clone)]
pub(crate) struct File {
    pub(crate) id: String,
    pub(crate) bytes: Bytes,
    pub(crate) mime: &'static str,
    /// So many answers to come are a server's trouble.
    pub(crate) failures: Arc<AtomicU32>,
    /// Its bytes come only while this says so.
    pub(crate) gate: watch::Sender<bool>,
    /// How often it was asked for.
    pub(crate) asked: Arc<AtomicU32>,
}

impl File {
    /// A picture with so many bytes that nothing else has.
    pub(crate) fn picture(id: &str, bytes: usize) -> Self {
        let mut content = b"\xff\xd8\xff\xe0\0\x10JFIF\0".to_vec();
        let seed = digest(&SHA256, id.as_bytes());
        let mut state = u64::from_le_bytes(seed.as_ref()[..8].try_into().unwrap()) | 1;
        while content.len() < bytes {
            // Xorshift: quick, and nothing repeats.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            content.extend_from_slice(&state.to_le_bytes());
        }
        content.truncate(bytes);
        Self {
            id: id.to_owned(),
            bytes: content.into(),
            mime: "image/jpeg",
            failures: Arc::default(),
            gate: watch::Sender::new(true),
            asked: Arc::default(),
        }
    }

    /// Its bytes do not come until the gate is opened.
    pub(crate) fn gated(self) -> Self {
        self.gate.send_replace(false);
        self
    }

    pub(crate) fn failing(self, times: u32) -> Self {
        self.failures.store(times, Ordering::SeqCst);
        self
    }

    pub(crate) fn sha256(&self) -> String {
        STANDARD.encode(digest(&SHA256, &self.bytes))
    }

    pub(crate) fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }
}

/// The simulated Meta.
#[derive(Clone)]
pub(crate) struct Meta {
    files: Arc<Mutex<HashMap<String, File>>>,
    token: Arc<Mutex<String>>,
    base: Arc<str>,
    /// Bytes of the one file that is worked out while it is sent; 0 for none.
    pub(crate) large: Arc<AtomicU64>,
    unseen: Arc<AtomicU64>,
}

impl Meta {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let meta = Self {
            files: Arc::default(),
            token: Arc::new(Mutex::new(TOKEN.to_owned())),
            base: base.into(),
            large: Arc::default(),
            unseen: Arc::default(),
        };
        let routes = Router::new()
            .route("/file/{id}", get(private))
            .route("/cdn/{id}", get(public))
            .route("/large", get(large))
            .route("/{version}/{id}", get(node))
            .with_state(meta.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        meta
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) fn graph(&self) -> Graph {
        graph(&self.base)
    }

    pub(crate) fn has(&self, file: &File) {
        self.files.lock().unwrap().insert(file.id.clone(), file.clone());
    }

    pub(crate) fn has_no_longer(&self, file: &File) {
        self.files.lock().unwrap().remove(&file.id);
    }

    /// Which token it takes.
    pub(crate) fn takes(&self, token: &str) {
        *self.token.lock().unwrap() = token.to_owned();
    }

    /// The address of a file that needs no token.
    pub(crate) fn address(&self, file: &File) -> String {
        format!("{}/cdn/{}", self.base, file.id)
    }

    /// How often somebody asked for what is not there.
    pub(crate) fn unseen(&self) -> u64 {
        self.unseen.load(Ordering::SeqCst)
    }

    fn file(&self, id: &str) -> Option<File> {
        self.files.lock().unwrap().get(id).cloned()
    }

    fn is_authorized(&self, headers: &HeaderMap) -> bool {
        let expected = format!("Bearer {}", self.token.lock().unwrap());
        headers.get(header::AUTHORIZATION).is_some_and(|given| given.as_bytes() == expected.as_bytes())
    }
}

/// A client of a Graph API at that address.
pub(crate) fn graph(base: &str) -> Graph {
    Graph::new(GraphConfig { base: Some(base.to_owned()), ..GraphConfig::default() }).unwrap()
}

fn refusal(status: StatusCode, code: i32) -> Response {
    let body = format!(r#"{{"error":{{"message":"no","type":"OAuthException","code":{code}}}}}"#);
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn node(
    State(meta): State<Meta>,
    Path((_, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if !meta.is_authorized(&headers) {
        return refusal(StatusCode::UNAUTHORIZED, 190);
    }
    let Some(file) = meta.file(&id) else {
        meta.unseen.fetch_add(1, Ordering::SeqCst);
        return refusal(StatusCode::BAD_REQUEST, 100);
    };
    file.asked.fetch_add(1, Ordering::SeqCst);
    let body = format!(
        r#"{{"url":"{}/file/{id}","mime_type":"{}","sha256":"{}","file_size":{},"id":"{id}"}}"#,
        meta.base,
        file.mime,
        file.sha256(),
        file.bytes.len()
    );
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn private(State(meta): State<Meta>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if !meta.is_authorized(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    bytes(meta.file(&id)).await
}

async fn public(State(meta): State<Meta>, Path(id): Path<String>) -> Response {
    let file = meta.file(&id);
    if let Some(file) = &file {
        file.asked.fetch_add(1, Ordering::SeqCst);
    }
    bytes(file).await
}

async fn bytes(file: Option<File>) -> Response {
    let Some(file) = file else { return StatusCode::NOT_FOUND.into_response() };
    if file.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let open = file.gate.subscribe();
    // Half of it comes at once: it is on its way.
    let half = file.bytes.slice(..file.bytes.len() / 2);
    let rest = file.bytes.slice(file.bytes.len() / 2..);
    let length = file.bytes.len();
    let pieces = futures::stream::unfold(0, move |step| {
        let (half, rest, mut open) = (half.clone(), rest.clone(), open.clone());
        async move {
            match step {
                0 => Some((Ok::<_, std::io::Error>(half), 1)),
                1 => {
                    let _ = open.wait_for(|open| *open).await;
                    Some((Ok(rest), 2))
                }
                _ => None,
            }
        }
    });
    let headers =
        [(header::CONTENT_TYPE, file.mime.to_owned()), (header::CONTENT_LENGTH, length.to_string())];
    (headers, Body::from_stream(pieces)).into_response()
}

/// A video that is worked out while it is sent.
async fn large(State(meta): State<Meta>) -> Response {
    const PIECE: usize = 64 * 1024;
    let length = meta.large.load(Ordering::SeqCst);
    let pieces = futures::stream::unfold(0_u64, move |sent| async move {
        let wanted = usize::try_from(length - sent).unwrap_or(PIECE).min(PIECE);
        if wanted == 0 {
            return None;
        }
        let mut piece = vec![(sent / PIECE as u64) as u8; wanted];
        if sent == 0 {
            piece[..12].copy_from_slice(b"\0\0\0\x18ftypmp42");
        }
        Some((Ok::<_, std::io::Error>(Bytes::from(piece)), sent + wanted as u64))
    });
    let headers =
        [(header::CONTENT_TYPE, "video/mp4".to_owned()), (header::CONTENT_LENGTH, length.to_string())];
    (headers, Body::from_stream(pieces)).into_response()
}
