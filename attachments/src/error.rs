//! What keeps a file from being stored, by what to do about it.

use std::time::Duration;

use blob::BlobError;
use eventlog::{AppendError, ConsumeError, LogError};
use graph::{MediaDisposition, MediaError};
use keyring::KeyringError;
use publish::{FormError, PublishError};
use schemas::{DecodeError, FileState};
use seal::SealError;
use store::StoreError;

use crate::recall::RecallError;

/// Why a job is not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// Meta's side.
    #[error("the file is not had")]
    Media(#[from] MediaError),
    /// The message names no such file, or no place where it is.
    #[error("the message does not say where its file is")]
    NoPlace,
    /// What the job remembers.
    #[error(transparent)]
    Recall(#[from] RecallError),
    /// What the message says.
    #[error("what the message says does not open")]
    Content(#[source] SealError),
    /// What the message says, opened.
    #[error("what the message says cannot be read")]
    Read(#[from] DecodeError),
    /// The file on its way.
    #[error("the file could not be sealed")]
    Seal(#[source] SealError),
    /// The store of objects.
    #[error("the store of objects did not answer")]
    Blob(#[from] BlobError),
    /// The keyring.
    #[error("the keyring did not answer")]
    Keyring(#[from] KeyringError),
    /// The queue.
    #[error("the queue did not answer")]
    Queue(#[from] StoreError),
    /// The log, asked for its topics.
    #[error("the log did not answer")]
    Log(#[from] LogError),
    /// The log, given an event.
    #[error("the log did not take an event")]
    Append(#[from] AppendError),
    /// The tenant's feed.
    #[error("the form of the tenant's feed cannot be used")]
    Form(#[from] FormError),
    /// The event.
    #[error("the event cannot be published")]
    Publish(#[from] PublishError),
    /// Nobody may have it any more.
    #[error("the person was forgotten")]
    Gone,
    /// It was tried again and again long after its time.
    #[error("the file was tried for too long")]
    Overdue,
    /// The fetch broke our code.
    #[error("the fetch panicked")]
    Crashed,
}

/// Whose trouble it is: what waits for its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// This file alone.
    File,
    /// Every file of the asset.
    Asset,
    /// Everything: a part of ours is away.
    Here,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Course {
    /// That is how it is: say so.
    Settle(FileState, &'static str),
    /// Try again, not before this long when that was said, for as long as the file may live.
    Again { scope: Scope, after: Option<Duration>, reason: &'static str },
    /// Keep nothing, say nothing.
    Drop,
}

impl Trouble {
    /// No `_` arm: a new variant has to be classified here.
    pub(crate) fn course(&self) -> Course {
        let again = |scope, reason| Course::Again { scope, after: None, reason };
        match self {
            Self::Media(cause) => match (cause.disposition(), cause) {
                (MediaDisposition::Refused(reason), _) => Course::Settle(FileState::Refused, reason),
                (MediaDisposition::Expired, _) => Course::Settle(FileState::Expired, cause.reason()),
                (MediaDisposition::Unauthorized, _) => again(Scope::Asset, cause.reason()),
                (MediaDisposition::Retry { after }, MediaError::RateLimited { .. }) => {
                    Course::Again { scope: Scope::Asset, after, reason: cause.reason() }
                }
                (MediaDisposition::Retry { after }, _) => {
                    Course::Again { scope: Scope::File, after, reason: cause.reason() }
                }
            },
            Self::NoPlace => Course::Settle(FileState::Refused, "no_place"),
            Self::Overdue => Course::Settle(FileState::Failed, "overdue"),
            // A newer version may know how.
            Self::Recall(_) | Self::Content(_) | Self::Read(_) => again(Scope::File, "unreadable"),
            Self::Seal(_) => again(Scope::File, "unsealed"),
            Self::Crashed => again(Scope::File, "crashed"),
            Self::Blob(_) => again(Scope::Here, "object_store"),
            Self::Queue(_) => again(Scope::Here, "queue"),
            Self::Log(_) | Self::Append(_) => again(Scope::Here, "log"),
            Self::Keyring(cause) => match cause {
                // Of one tenant: the others' open.
                KeyringError::Keys { .. } => again(Scope::Asset, "keys"),
                // It is gone with all its people.
                KeyringError::NoKeys { .. } => Course::Drop,
                KeyringError::Store(_) | KeyringError::Random | KeyringError::Nobody => {
                    again(Scope::Here, "keyring")
                }
            },
            Self::Form(_) | Self::Publish(_) => again(Scope::Asset, "feed"),
            Self::Gone => Course::Drop,
        }
    }
}

/// Why the worker cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fatal {
    #[error("the queue refuses us")]
    Queue(#[from] StoreError),
    #[error("the log did not answer")]
    Log(#[from] LogError),
    #[error("the group could not go on")]
    Consume(#[from] ConsumeError),
}

/// An error with all its causes, for a log line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(trouble: impl Into<Trouble>, expected: Course) {
        let trouble = trouble.into();
        assert_eq!(trouble.course(), expected, "{trouble:?}");
    }

    #[test]
    fn every_trouble_has_its_course() {
        let again = |scope, after: Option<u64>, reason| Course::Again {
            scope,
            after: after.map(Duration::from_secs),
            reason,
        };
        let after = Some(Duration::from_secs(7));
        check(MediaError::TooLarge, Course::Settle(FileState::Refused, "too_large"));
        check(MediaError::Sha256Mismatch, Course::Settle(FileState::Refused, "sha256_mismatch"));
        check(MediaError::Expired, Course::Settle(FileState::Expired, "expired"));
        check(MediaError::NotVisible { code: Some(100) }, again(Scope::File, None, "not_visible"));
        check(MediaError::NoToken, again(Scope::Asset, None, "no_token"));
        check(MediaError::Unauthorized { code: Some(190) }, again(Scope::Asset, None, "unauthorized"));
        check(MediaError::RateLimited { code: Some(4), after }, again(Scope::Asset, Some(7), "rate_limited"));
        check(
            MediaError::ServerTrouble { status: 503, code: None, after },
            again(Scope::File, Some(7), "server_trouble"),
        );
        check(MediaError::Timeout, again(Scope::File, None, "timeout"));
        let away = BlobError::Unavailable { place: String::new(), cause: String::new() };
        check(away, again(Scope::Here, None, "object_store"));
        let tenant = "acme".parse::<schemas::TenantId>().unwrap();
        check(KeyringError::NoKeys { tenant: tenant.clone() }, Course::Drop);
        check(KeyringError::Keys { tenant, cause: SealError::Opens }, again(Scope::Asset, None, "keys"));
    }
}
