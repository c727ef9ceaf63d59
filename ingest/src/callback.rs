//! Meta's privacy callbacks: `POST /callbacks/meta/{app}/data-deletion` and `…/deauthorize` (`meta-platform.md` §8).
//!
//! A callback is verified, written down, and only then answered. Whose data it is about is for others to find out: the edge
//! knows nobody. It keeps the id of whoever asks for deletion sealed, in a topic that forgets; `control`, which does not, gets
//! the code alone. The same request again gets the same answer and leaves no record.

use bytes::Bytes;
use control::ControlError;
use eventlog::Record;
use hyper::body::{Body, Incoming};
use hyper::http::request::Parts;
use schemas::{Action, CallbackKind};
use secrecy::ExposeSecret;
use serde::Serialize;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::body::collect;
use crate::delivery::check_framing;
use crate::door::Door;
use crate::handler::Visit;
use crate::outcome::{Called, Outcome};
use crate::pace::in_time;
use crate::signed_request::{SignedRequest, SignedRequestError};

/// A signed request has a few hundred.
const LARGEST_BYTES: usize = 16 * 1024;

/// What Meta is told after a data deletion callback.
#[derive(Serialize)]
struct Confirmation<'a> {
    url: String,
    confirmation_code: &'a str,
}

impl From<SignedRequestError> for Called {
    fn from(error: SignedRequestError) -> Self {
        match error {
            SignedRequestError::Malformed => Self::Malformed,
            SignedRequestError::Algorithm => Self::WrongAlgorithm,
            SignedRequestError::Signature => Self::WrongSignature,
        }
    }
}

/// Takes a callback. What it is answered with is for a request that is written down.
pub(crate) async fn receive(
    visit: &Visit,
    door: &Door,
    kind: CallbackKind,
    head: &Parts,
    body: &mut Incoming,
    began: Instant,
) -> Result<(Called, Bytes), Called> {
    let edge = &*visit.edge;
    check_framing(&head.headers)?;
    if body.size_hint().lower() > LARGEST_BYTES as u64 {
        return Err(Outcome::TooLarge.into());
    }
    let _place = visit.place(&head.headers)?;
    // Asked for first: whoever cannot be answered leaves no record.
    let base = match kind {
        CallbackKind::DataDeletion => Some(edge.public_url.base(&head.headers).ok_or(Called::Malformed)?),
        CallbackKind::Deauthorize => None,
    };
    let (form, _held) = collect(body, &visit.pace, began, LARGEST_BYTES, &edge.inflight).await?;
    let request = SignedRequest::read(&form, &door.keys)?;
    let code = request.code(&door.id, kind);
    let called = write(visit, door, kind, &request, &code, began).await?;
    Ok((called, answer(base.as_deref(), &code)))
}

/// With an address, where to see how far it is.
fn answer(base: Option<&str>, code: &str) -> Bytes {
    let Some(base) = base else { return Bytes::from_static(b"{}") };
    let url = format!("{base}/callbacks/meta/status/{code}");
    let json = serde_json::to_vec(&Confirmation { url, confirmation_code: code });
    Bytes::from(json.expect("a confirmation is plain data"))
}

/// Writes down whom it is about, then into `control` that it came, unless that is there.
///
/// Two of the same at once may both be written where two processes take them; the fold keeps the first.
async fn write(
    visit: &Visit,
    door: &Door,
    kind: CallbackKind,
    request: &SignedRequest,
    code: &str,
    began: Instant,
) -> Result<Called, Outcome> {
    let edge = &*visit.edge;
    let is_known = || edge.plane.state().people.callbacks.contains_key(code);
    if is_known() {
        return Ok(Called::Repeated);
    }
    let (app, context) = (&door.id, format!("callback/{}/{code}", door.id));
    let seal = || edge.key.seal(&context, request.user.expose_secret().as_bytes());
    // Nobody looks for whoever took the app away from their account.
    let user = (kind == CallbackKind::DataDeletion).then(seal).transpose().map_err(|cause| {
        error!(app = app.as_str(), error = %cause, "a callback for app {app} could not be sealed; it is answered with 503");
        Outcome::Unsealed
    })?;
    let action = Action::CallbackReceived { app: app.clone(), kind, code: code.to_owned() };
    visit.pace.append(began, Instant::now());
    let writing = async {
        let _one = edge.callbacks.lock().await;
        if is_known() {
            return Ok(Called::Repeated);
        }
        if let Some(user) = user {
            let (key, value) = (Some(Bytes::from(code.to_owned())), Some(Bytes::from(user)));
            edge.log.append(&edge.asked, Record { key, value, headers: Vec::new() })?.await?;
        }
        match edge.plane.act(edge.clock.now_ms(), "meta", action).await {
            // Durable is what counts; this process will see it.
            Ok(_) | Err(ControlError::Behind) => Ok(Called::Received),
            Err(cause) => Err(cause),
        }
    };
    let called = match in_time(&visit.pace, writing).await {
        Some(Ok(called)) => called,
        Some(Err(cause)) => {
            warn!(app = app.as_str(), error = %cause, "a callback for app {app} could not be written; it is answered with 503");
            return Err(Outcome::Unconfirmed);
        }
        None => {
            warn!(
                app = app.as_str(),
                "a callback for app {app} was not confirmed in time; it is answered with 503"
            );
            return Err(Outcome::Unconfirmed);
        }
    };
    if called == Called::Received {
        info!(app = app.as_str(), kind = kind.as_str(), code, "Meta passed on a request for app {app}");
    }
    Ok(called)
}
