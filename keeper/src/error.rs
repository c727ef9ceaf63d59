//! What stops the keeper, by what to do about it.

use blob::BlobError;
use control::ControlError;
use eventlog::{AppendError, LogError, ReadError};
use keyring::KeyringError;
use seal::SealError;
use store::{BackupError, StoreError};

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The control plane did not answer.
    #[error("the control plane did not answer")]
    Control(#[from] ControlError),
    /// The log did not take a tombstone.
    #[error("the log did not take a tombstone")]
    Append(#[from] AppendError),
    /// The log did not answer.
    #[error("the log did not answer")]
    Log(#[from] LogError),
    /// The log could not be read.
    #[error("the log could not be read")]
    Read(#[from] ReadError),
    /// The keyring did not answer.
    #[error("the keyring did not answer")]
    Keyring(#[from] KeyringError),
    /// The views did not answer.
    #[error("the views did not answer")]
    Views(#[from] StoreError),
    /// The store of objects did not answer.
    #[error("the store of attachments did not answer")]
    Blob(#[from] BlobError),
    /// Something sealed does not open.
    #[error("something sealed does not open")]
    Seal(#[from] SealError),
    /// A backup cannot be made or used.
    #[error("the backup failed")]
    Backup(#[from] BackupError),
    /// There is no such backup.
    #[error("there is no backup {backup}; `tidings backup list` names those there are")]
    NoBackup {
        /// Its id.
        backup: String,
    },
    /// A backup's key is gone.
    #[error("the backup {backup} has expired: its key is destroyed, and nothing opens it")]
    BackupClosed {
        /// Its id.
        backup: String,
    },
    /// Something of an ended tenant is still there.
    #[error("something of tenant {tenant} is still there: {left}")]
    TenantLeft {
        /// Whose.
        tenant: schemas::TenantId,
        /// What, in counts.
        left: String,
    },
    /// Our own code broke while it changed the key file.
    #[error("changing the key file broke off")]
    Broken,
    /// An event could not be written.
    #[error("an event could not be written")]
    Publish(#[from] publish::PublishError),
    /// A tenant's feed cannot be written.
    #[error("the form of a tenant's feed cannot be used")]
    Form(#[from] publish::FormError),
    /// Somebody was forgotten meanwhile.
    #[error("a person was forgotten just now")]
    Gone,
    /// A process still uses keys that it was told to forget.
    #[error("{processes} processes still use keys that are to be forgotten; one that hangs has to be ended")]
    InUse {
        /// How many.
        processes: u64,
    },
    /// Something of a forgotten person is still there.
    #[error("after erasure {erasure} something is still there: {left}")]
    Left {
        /// The erasure.
        erasure: schemas::ErasureId,
        /// What, in counts.
        left: String,
    },
}

impl KeepError {
    /// Whether the same may be tried again in a moment.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Control(cause) => cause.is_passing(),
            Self::Append(cause) => cause.disposition() == eventlog::Disposition::Retry,
            Self::Log(cause) => cause.disposition() == eventlog::Disposition::Retry,
            Self::Read(cause) => cause.disposition() == eventlog::Disposition::Retry,
            Self::Keyring(cause) => cause.disposition() == keyring::Disposition::Retry,
            Self::Views(cause) => cause.disposition() == store::Disposition::Retry,
            Self::Blob(cause) => cause.disposition() == blob::Disposition::Retry,
            // The next round removes what came in between.
            Self::Left { .. } | Self::TenantLeft { .. } | Self::InUse { .. } | Self::Gone => true,
            Self::Backup(cause) => cause.is_passing(),
            Self::Seal(_)
            | Self::Publish(_)
            | Self::Form(_)
            | Self::NoBackup { .. }
            | Self::BackupClosed { .. }
            | Self::Broken => false,
        }
    }
}
