//! What stops a batch, by what to do about it.

use control::ControlError;
use eventlog::{AppendError, ConsumeError, Disposition, LogError, ReadError};
use keyring::KeyringError;
use publish::{FormError, PublishError};
use seal::SealError;

/// Why a batch could not be routed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RouteError {
    #[error("the log did not take an event")]
    Append(#[from] AppendError),
    #[error("the log did not answer")]
    Log(#[from] LogError),
    #[error("the log could not be read")]
    Read(#[from] ReadError),
    #[error("the group could not go on")]
    Consume(#[from] ConsumeError),
    #[error("the keyring did not answer")]
    Keyring(#[from] KeyringError),
    #[error("the control plane did not answer")]
    Control(#[from] ControlError),
    #[error("a body does not open; this router needs the root key that ingest's was made from (--root-key)")]
    Root(#[from] SealError),
    #[error("the form of a tenant's feed cannot be used")]
    Form(#[from] FormError),
    #[error("that people are one could not be written")]
    Merge(#[from] PublishError),
    #[error("a person was forgotten just now")]
    Forgotten,
}

impl RouteError {
    /// Whether the same batch may be tried again in a moment.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Append(cause) => cause.disposition() == Disposition::Retry,
            Self::Log(cause) => cause.disposition() == Disposition::Retry,
            Self::Read(cause) => cause.disposition() == Disposition::Retry,
            Self::Consume(cause) => cause.disposition() == Disposition::Retry,
            Self::Keyring(cause) => cause.disposition() == keyring::Disposition::Retry,
            Self::Control(cause) => cause.is_passing(),
            // The rest of this process is about to learn of it.
            Self::Forgotten => true,
            Self::Root(_) | Self::Form(_) | Self::Merge(_) => false,
        }
    }
}
