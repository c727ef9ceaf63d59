//! The one form of a negative answer: what is wrong, and what to do about it.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use blob::BlobError;
use control::ControlError;
use eventlog::{LogError, ReadError};
use keeper::KeepError;
use keyring::KeyringError;
use seal::SealError;
use store::StoreError;
use tracing::error;

use crate::rebuild::RebuildRefusal;
use crate::wire;

/// A request that was not done. The cause, if there is one, is logged where it becomes a response and never sent.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    error: String,
    help: String,
    cause: Option<anyhow::Error>,
}

impl Problem {
    fn new(status: StatusCode, error: impl Into<String>, help: impl Into<String>) -> Self {
        Self { status, error: error.into(), help: help.into(), cause: None }
    }

    pub(crate) fn bad_request(error: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, help)
    }

    pub(crate) fn unauthorized(error: &str) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            error,
            "send `Authorization: Bearer TOKEN`; `tidings up` keeps the token in DIR/admin-token (--token-file)",
        )
    }

    pub(crate) fn not_found(error: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error, help)
    }

    pub(crate) fn conflict(error: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, error, help)
    }

    pub(crate) fn busy(error: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error, help)
    }

    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    fn unavailable(error: &str, help: &str, cause: impl Into<anyhow::Error>) -> Self {
        Self { cause: Some(cause.into()), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, error, help) }
    }

    fn internal(error: &str, help: &str, cause: impl Into<anyhow::Error>) -> Self {
        Self { cause: Some(cause.into()), ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, error, help) }
    }
}

impl From<LogError> for Problem {
    fn from(cause: LogError) -> Self {
        Self::unavailable("the log does not answer", "see whether the log is up, then try again", cause)
    }
}

impl From<ReadError> for Problem {
    fn from(cause: ReadError) -> Self {
        Self::unavailable("the log cannot be read now", "see whether the log is up, then try again", cause)
    }
}

impl From<StoreError> for Problem {
    fn from(cause: StoreError) -> Self {
        Self::unavailable("the views do not answer", "see whether PostgreSQL is up, then try again", cause)
    }
}

impl From<ControlError> for Problem {
    fn from(cause: ControlError) -> Self {
        match cause {
            ControlError::Append(_) => Self::unavailable(
                "it is not known whether this took effect",
                "the log did not confirm it; look whether it took effect before trying again",
                cause,
            ),
            ControlError::Behind => Self::unavailable(
                "this is written and will take effect, but this console does not see it yet",
                "look again in a moment; there is no need to repeat it",
                cause,
            ),
            ControlError::Log(_) | ControlError::Read(_) => Self::unavailable(
                "the control topic does not answer",
                "see whether the log is up, then try again",
                cause,
            ),
            ControlError::Secrets { .. } => Self::internal(
                "an app's secrets do not open with this console's root key",
                "start the console with the root key the app was added with (--root-key)",
                cause,
            ),
        }
    }
}

impl From<KeyringError> for Problem {
    fn from(cause: KeyringError) -> Self {
        match cause {
            KeyringError::Store(_) => Self::unavailable(
                "the keyring does not answer",
                "see whether its PostgreSQL is up, then try again",
                cause,
            ),
            KeyringError::NoKeys { ref tenant } => Self::not_found(
                format!("tenant {tenant} has no keys: nothing was ever sealed for it, or it is gone"),
                "`tidings tenant list` shows the tenants",
            ),
            KeyringError::Keys { .. } | KeyringError::Random | KeyringError::Nobody => Self::internal(
                "the keyring's keys do not open with this console's root key",
                "start the console with the deployment's root key (--root-key)",
                cause,
            ),
        }
    }
}

impl From<RebuildRefusal> for Problem {
    fn from(cause: RebuildRefusal) -> Self {
        match cause {
            RebuildRefusal::Conflict(why) => Self::conflict(why, "the view that is read stays as it is"),
            RebuildRefusal::Away(cause) => Self::unavailable(
                "the rebuild broke off",
                "see the console's log, then do it again: it goes on where it was",
                cause,
            ),
        }
    }
}

impl From<BlobError> for Problem {
    fn from(cause: BlobError) -> Self {
        Self::unavailable(
            "the store of attachments does not answer",
            "see whether S3 is reachable, then try again",
            cause,
        )
    }
}

impl From<KeepError> for Problem {
    fn from(cause: KeepError) -> Self {
        Self::unavailable(
            "this could not be done now",
            "see the console's log for what did not answer, then do it again: repeating it is harmless",
            cause,
        )
    }
}

impl From<SealError> for Problem {
    fn from(cause: SealError) -> Self {
        Self::internal("the secret could not be sealed", "see the console's log", cause)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if let Some(cause) = &self.cause {
            error!(
                error = format!("{cause:#}"),
                status = self.status.as_u16(),
                "a request failed: {}",
                self.error
            );
        }
        let body = Json(wire::Problem { error: self.error, help: self.help });
        let mut response = (self.status, body).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}
