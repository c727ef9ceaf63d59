//! A tenant's feed as CloudEvents, one JSON object a line.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use eventlog::{ReadError, Stored, Topic};
use futures::stream::{BoxStream, StreamExt};
use schemas::TenantId;
use serde::Deserialize;
use tracing::{error, warn};
use utoipa::IntoParams;

use crate::extract::{Asked, Named};
use crate::feed::Feed;
use crate::problem::Problem;
use crate::state::Shared;
use crate::wire;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct From {
    /// Leave out what the feed holds already.
    #[serde(default)]
    new_only: bool,
}

/// Lists what a tenant's feed holds now, in CloudEvents 1.0 structured mode, one a line.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/events", tag = "events", operation_id = "event_list",
    params(("tenant" = String, Path, description = "The tenant's id")),
    responses((status = 200, content_type = "application/x-ndjson", body = String, description = "One CloudEvent a line"),
        (status = 401, body = wire::Problem), (status = 404, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn list(
    State(shared): State<Shared>,
    Named(tenant): Named<TenantId>,
) -> Result<Response, Problem> {
    Ok(lines(&shared, tenant.clone(), open(&shared, &tenant).await?.kept()))
}

/// Follows a tenant's feed: what it holds now, then what comes, until the reader goes.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/events/follow", tag = "events", operation_id = "event_follow",
    params(("tenant" = String, Path, description = "The tenant's id"), From),
    responses((status = 200, content_type = "application/x-ndjson", body = String, description = "One CloudEvent a line"),
        (status = 400, body = wire::Problem), (status = 401, body = wire::Problem), (status = 404, body = wire::Problem),
        (status = 503, body = wire::Problem)))]
pub(super) async fn follow(
    State(shared): State<Shared>,
    Named(tenant): Named<TenantId>,
    Asked(from): Asked<From>,
) -> Result<Response, Problem> {
    let feed = open(&shared, &tenant).await?;
    let coming = feed.coming();
    Ok(lines(&shared, tenant, if from.new_only { coming } else { feed.kept().chain(coming).boxed() }))
}

async fn open(shared: &Shared, tenant: &TenantId) -> Result<Feed, Problem> {
    shared.tenant(tenant)?;
    let topic = Topic::new(shared.topics.inbox(tenant))?;
    Feed::open(&shared.log, &topic).await?.ok_or_else(|| {
        Problem::not_found(
            format!("tenant {tenant} has no feed yet"),
            format!("`tidings tenant add {tenant} --name NAME` makes it again; the tenant stays as it is"),
        )
    })
}

fn lines(
    shared: &Shared,
    tenant: TenantId,
    records: BoxStream<'static, Result<Stored, ReadError>>,
) -> Response {
    let plane = shared.plane.clone();
    // What is forgotten stays in the log until it is compacted, and is shown to nobody meanwhile.
    let is_forgotten = move |stored: &Stored| {
        let subject = stored.record.header_str(schemas::PERSON).and_then(|subject| subject.parse().ok());
        subject.is_some_and(|subject| plane.state().people.forgotten.contains(&(tenant.clone(), subject)))
    };
    let lines = records
        .filter_map(move |stored| {
            let line = match stored {
                Ok(stored) if is_forgotten(&stored) => None,
                Ok(stored) => line(&stored).map(Ok),
                Err(cause) => {
                    error!(error = %cause, "a feed could not be read to its end");
                    // Breaks the response off, so that the reader does not take a part for the whole.
                    Some(Err(cause))
                }
            };
            std::future::ready(line)
        })
        .take_until(shared.stop.clone().cancelled_owned());
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

fn line(stored: &Stored) -> Option<Bytes> {
    // A tombstone: the event was forgotten.
    let value = stored.record.value.as_deref()?;
    match schemas::structured(|name| stored.record.header_str(name), value) {
        Ok(line) => Some(one_line(line)),
        Err(cause) => {
            warn!(offset = stored.offset, error = %cause, "a record of a feed is not an event; it was passed over");
            None
        }
    }
}

/// An object on a line of its own. What Meta sent stands in it as it came, and may be written over several lines: a line break in
/// JSON is white space, because within strings it is escaped.
fn one_line(object: String) -> Bytes {
    let mut line = object.into_bytes();
    for byte in line.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
    line.push(b'\n');
    Bytes::from(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_one_line_and_the_same_object() {
        let written = "{\"data\":{\r\n  \"text\": \"a\\nb\"\n}}";
        let line = one_line(written.to_owned());
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(line.last(), Some(&b'\n'));
        let read = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).expect("JSON");
        assert_eq!(read(&line), read(written.as_bytes()));
    }
}
