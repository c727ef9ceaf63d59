//! How everything that was not read would read today: nothing is changed by it.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use eventlog::{ReadError, Stored, Topic};
use futures::stream::StreamExt;
use schemas::{Content, DecodeError, Event, Kind, SealedEvent, TenantId, Unrecognized};
use tracing::{error, warn};

use crate::extract::Named;
use crate::feed::Feed;
use crate::open::Opener;
use crate::problem::Problem;
use crate::state::Shared;
use crate::wire::{self, Reading, Reparsed};

/// Lists everything of a tenant that is kept `unrecognized`, with what this version makes of it, one a line. The log keeps it
/// for as long as the account lives.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/events/reparse", tag = "events", operation_id = "event_reparse",
    params(("tenant" = String, Path, description = "The tenant's id")),
    responses((status = 200, content_type = "application/x-ndjson", body = Reparsed, description = "One a line"),
        (status = 401, body = wire::Problem), (status = 404, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn reparse(
    State(shared): State<Shared>,
    Named(tenant): Named<TenantId>,
) -> Result<Response, Problem> {
    shared.tenant(&tenant)?;
    let topic = Topic::new(shared.topics.events())?;
    let Some(all) = Feed::open(&shared.log, &topic).await? else {
        return Ok(([(header::CONTENT_TYPE, NDJSON)], Body::empty()).into_response());
    };
    let stop = shared.stop.clone().cancelled_owned();
    let lines = all
        .kept()
        .filter_map(move |stored| {
            let (shared, tenant) = (shared.clone(), tenant.clone());
            async move {
                match stored {
                    Ok(stored) => line(&shared, &tenant, &stored).await.map(Ok::<_, ReadError>),
                    Err(cause) => {
                        error!(error = %cause, "the events could not be read to their end");
                        Some(Err(cause))
                    }
                }
            }
        })
        .take_until(stop);
    Ok(([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response())
}

const NDJSON: &str = "application/x-ndjson";

/// What one record of this tenant's reads as; nothing of a record that was read, or whose person was forgotten.
async fn line(shared: &Shared, tenant: &TenantId, stored: &Stored) -> Option<Bytes> {
    let value = stored.record.value.as_deref()?;
    let kind = stored.record.header_str("ce_type")?;
    let is_theirs = stored.record.header_str("ce_tenant") == Some(tenant.as_str());
    if !is_theirs || !kind.contains(Kind::Unrecognized.as_str()) {
        return None;
    }
    let sealed = match SealedEvent::decode(|name| stored.record.header_str(name), value) {
        Ok(sealed) => sealed,
        Err(cause) => {
            warn!(offset = stored.offset, error = %cause, "a record is not an event; it was passed over");
            return None;
        }
    };
    let event = match opened(shared, tenant, &sealed).await {
        Ok(event) => event?,
        Err(cause) => {
            warn!(offset = stored.offset, error = %cause, "a record could not be opened; it was passed over");
            return None;
        }
    };
    let keys = shared.keyring.tenant(tenant).await.ok()?;
    let Content::Unrecognized(Unrecognized { field, reason }) = &event.content else { return None };
    let reads_as = schemas::reparse(&event, &keys.id_key)
        .into_iter()
        .map(|event| Reading {
            kind: event.kind.as_str().to_owned(),
            content: serde_json::to_value(&event.content).unwrap_or_default(),
        })
        .collect();
    let shown = Reparsed {
        id: event.id.to_string(),
        time: wire::time(event.occurred_ms),
        field: field.clone(),
        reason: reason.as_str().to_owned(),
        reads_as,
    };
    let mut line = serde_json::to_vec(&shown).ok()?;
    line.push(b'\n');
    Some(Bytes::from(line))
}

/// The event; nothing when its person was forgotten.
async fn opened(
    shared: &Shared,
    tenant: &TenantId,
    sealed: &SealedEvent,
) -> Result<Option<Event>, DecodeError> {
    let Ok(opener) = Opener::of(&shared.keyring, tenant, [&sealed.subject]).await else { return Ok(None) };
    let key = match sealed.subject {
        Some(subject) => opener.key(subject),
        None => opener.own_key(),
    };
    let Some(key) = key else { return Ok(None) };
    let open = |field, bytes: &[u8]| {
        let opened = key.open(sealed.id, field, bytes).map_err(|_| DecodeError::Sealed)?;
        Ok::<_, DecodeError>(opened.to_vec())
    };
    sealed.open(open).map(Some)
}
