//! A stand-in for the Graph API: media by id, their bytes, and profiles (`meta-platform.md` §5). Errors have Graph's shape.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Channel, Media, World};

/// How long an address of a file is good for.
const ADDRESS_LIFE: SignedDuration = SignedDuration::from_mins(5);

/// The simulated Graph API of a world.
#[derive(Debug, Clone)]
pub struct Graph {
    world: Arc<World>,
    token: Arc<str>,
    base: Arc<str>,
}

impl Graph {
    /// One that asks for this bearer token and is reached at `base`, such as `http://127.0.0.1:9090`.
    pub fn new(world: Arc<World>, token: &str, base: &str) -> Self {
        Self { world, token: token.into(), base: base.trim_end_matches('/').into() }
    }

    /// Serves it until stopped.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> std::io::Result<()> {
        axum::serve(listener, self.routes()).with_graceful_shutdown(stop.cancelled_owned()).await
    }

    /// Its routes.
    pub fn routes(self) -> Router {
        Router::new()
            .route("/whatsapp_business/attachments/", get(file))
            .route("/cdn/{id}", get(public_file))
            .route("/{version}/{id}", get(node))
            .with_state(self)
    }

    fn is_authorized(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        given.and_then(|value| value.strip_prefix("Bearer ")) == Some(&*self.token)
    }
}

/// `GET /v25.0/{id}`: a file's description, or a person's profile.
async fn node(
    State(graph): State<Graph>,
    Path((_version, id)): Path<(String, String)>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    if !graph.is_authorized(&headers) {
        return refusal(StatusCode::UNAUTHORIZED, 190, "Invalid OAuth access token.");
    }
    if let Some(profile) = profile(&graph.world, &id) {
        return profile.to_string().into_response();
    }
    let Some(media) = Media::of(&id) else {
        return refusal(StatusCode::BAD_REQUEST, 100, "Unsupported get request. Object does not exist.");
    };
    let known = |number: &String| graph.world.accounts().iter().any(|account| account.id == *number);
    if query.get("phone_number_id").is_some_and(|number| !known(number)) {
        return refusal(StatusCode::BAD_REQUEST, 100, "Unsupported get request. Object does not exist.");
    }
    let until = (Timestamp::now() + ADDRESS_LIFE).as_second();
    let description = json!({
        "messaging_product": "whatsapp",
        "url": format!("{}/whatsapp_business/attachments/?mid={id}&ext={until}", graph.base),
        "mime_type": media.mime_type,
        "sha256": media.sha256_hex(),
        // Seen both as a text and as a number.
        "file_size": media.bytes.len().to_string(),
        "id": id,
    });
    ([(header::CONTENT_TYPE, "application/json")], description.to_string()).into_response()
}

/// A WhatsApp file: needs the token, and an address that has not run out.
async fn file(
    State(graph): State<Graph>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    if !graph.is_authorized(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let until = query.get("ext").and_then(|until| until.parse::<i64>().ok());
    if until.is_none_or(|until| until < Timestamp::now().as_second()) {
        return StatusCode::NOT_FOUND.into_response();
    }
    bytes(query.get("mid").and_then(|id| Media::of(id)))
}

/// A Messenger or Instagram file: whoever has the address has the file.
async fn public_file(Path(id): Path<String>) -> Response {
    bytes(Media::of(&id))
}

fn bytes(media: Option<Media>) -> Response {
    match media {
        Some(media) => ([(header::CONTENT_TYPE, media.mime_type)], media.bytes).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn profile(world: &World, id: &str) -> Option<serde_json::Value> {
    let person = world.people.iter().find(|person| person.id.as_deref() == Some(id))?;
    let (first, last) = person.name.split_once(' ').unwrap_or((&person.name, ""));
    match world.accounts()[person.account].channel {
        Channel::Messenger => Some(json!({ "first_name": first, "last_name": last, "id": id })),
        Channel::Instagram => {
            Some(json!({ "name": person.name, "username": format!("user_{id}"), "id": id }))
        }
        // WhatsApp has no profile to ask for: the name comes with the webhook.
        Channel::Whatsapp => None,
    }
}

fn refusal(status: StatusCode, code: u32, message: &str) -> Response {
    let error = json!({
        "error": { "message": message, "type": "OAuthException", "code": code, "fbtrace_id": "AbCdEfGhIjKlMnOp" }
    });
    (status, [(header::CONTENT_TYPE, "application/json")], error.to_string()).into_response()
}
