//! Files that people sent, opened on their way out.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream;
use schemas::{AttachmentId, FileState, Person, TenantId};
use seal::StreamOpener;
use store::{FileRow, NOBODY};
use tracing::error;

use crate::extract::Named;
use crate::open::Opener;
use crate::problem::Problem;
use crate::shown;
use crate::state::Shared;
use crate::wire;

/// Whatever it is, a browser that gets it does nothing with it but save it (`reliability.md` S7).
const POLICY: &str = "default-src 'none'; sandbox";

/// Reads a file: opened, in the order of its bytes, never shown inline.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/attachments/{id}", tag = "conversations", operation_id = "attachment_get",
    params(("tenant" = String, Path, description = "The tenant's id"),
        ("id" = String, Path, description = "The attachment's id, as a message has it")),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>, description = "Its bytes"),
        (status = 400, body = wire::Problem), (status = 401, body = wire::Problem), (status = 404, body = wire::Problem),
        (status = 409, body = wire::Problem, description = "It is not stored, or not yet"), (status = 410, body = wire::Problem),
        (status = 500, body = wire::Problem), (status = 503, body = wire::Problem)))]
pub(super) async fn get(
    State(shared): State<Shared>,
    Named((tenant, id)): Named<(TenantId, AttachmentId)>,
) -> Result<Response, Problem> {
    shared.tenant(&tenant)?;
    let file = shared.views.file(&tenant, id).await?.ok_or_else(|| {
        Problem::not_found(
            format!("tenant {tenant} has no attachment {id}"),
            format!("`tidings conversation show {tenant} ID --json` shows the attachments of its messages"),
        )
    })?;
    if file.state != Some(FileState::Stored) {
        let why = file.reason.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
        let help = if file.state.is_none() {
            "it is being fetched; ask again in a moment"
        } else {
            "it will not come any more"
        };
        return Err(Problem::conflict(format!("attachment {id} is {}{why}", shown::state(&file)), help));
    }
    let gone = || {
        Problem::not_found(format!("attachment {id} is gone"), "its person was forgotten, or took it back")
            .with_status(StatusCode::GONE)
    };
    let subject = file.subject.unwrap_or(NOBODY);
    let opener = Opener::of(&shared.keyring, &tenant, [&file.subject]).await?;
    let key = match file.subject {
        Some(subject) => opener.key(subject),
        None => opener.own_key(),
    };
    let (key, context) = key.ok_or_else(gone)?.file(id);
    let message = file.message.ok_or_else(gone)?;
    let place = format!("attachments/{tenant}/{subject}/{message}/{id}");
    let sealed = shared.keeper.blobs().get(&place).await?.ok_or_else(gone)?;
    let person = file.subject.map(|subject| (tenant.clone(), subject));
    let reading = Reading { shared: shared.clone(), person, opener: StreamOpener::new(&key, context) };
    let opened = stream::unfold(Some((sealed, reading)), |state| async {
        let (mut sealed, mut reading) = state?;
        loop {
            let piece = sealed.next().await.transpose().map_err(std::io::Error::other);
            let opened = match piece {
                Ok(piece) => reading.open(piece).await,
                Err(cause) => Err(cause),
            };
            match opened {
                Ok((plain, Some(rest))) if plain.is_empty() => reading = rest,
                Ok((plain, rest)) => return Some((Ok(plain), rest.map(|rest| (sealed, rest)))),
                Err(cause) => return Some((Err(cause), None)),
            }
        }
    });
    // Breaks the response off, so that nobody takes a part for the whole.
    let opened = opened.inspect(|piece| {
        if let Err(cause) = piece {
            error!(error = %cause, "an attachment could not be read to its end");
        }
    });
    Ok((headers(&file), Body::from_stream(opened)).into_response())
}

/// A file on its way out. It may take minutes, so a key is in use for a piece at a time only, and not at all once its person
/// is forgotten.
struct Reading {
    shared: Shared,
    person: Option<Person>,
    opener: StreamOpener,
}

impl Reading {
    /// Opens the next piece, or what is left when there is none, and then there is no more to come.
    async fn open(mut self, piece: Option<Bytes>) -> std::io::Result<(Bytes, Option<Self>)> {
        let in_use = self.shared.keyring.lease().await;
        if let Some(person) = &self.person
            && self.shared.plane.state().people.forgotten.contains(person)
        {
            return Err(std::io::Error::other("its person is forgotten"));
        }
        let (plain, rest) = match piece {
            Some(piece) => (self.opener.push(&piece), Some(self)),
            None => (self.opener.finish(), None),
        };
        drop(in_use);
        plain.map(|plain| (Bytes::from(plain), rest)).map_err(std::io::Error::other)
    }
}

fn headers(file: &FileRow) -> [(header::HeaderName, HeaderValue); 6] {
    let media_type = file.media_type.as_deref().and_then(|text| HeaderValue::from_str(text).ok());
    let octets = HeaderValue::from_static("application/octet-stream");
    [
        (header::CONTENT_TYPE, media_type.unwrap_or(octets)),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (
            header::HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("same-origin"),
        ),
    ]
}
