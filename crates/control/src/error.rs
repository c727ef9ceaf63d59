//! What can go wrong with the control plane.

use eventlog::{AppendError, Disposition, LogError, ReadError};
use seal::SealError;

/// Why the control plane cannot be followed or written.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The log is away or refuses us.
    #[error("the control topic cannot be reached")]
    Log(#[from] LogError),
    /// The control topic cannot be read.
    #[error("the control topic cannot be read")]
    Read(#[from] ReadError),
    /// A write is not known to be durable.
    #[error("the control record was not confirmed; look whether it took effect before trying again")]
    Append(#[from] AppendError),
    /// The write is durable, but this process has not seen it yet.
    #[error("the control record is written, but this process does not see it yet; it will take effect")]
    Behind,
    /// An app's secret does not open.
    #[error(
        "the secrets of app {app} do not open; this process needs the edge key that belongs to the root key they were added under (--edge-key, or --root-key)"
    )]
    Secrets {
        /// Which app.
        app: String,
        /// Why.
        #[source]
        cause: SealError,
    },
}

impl ControlError {
    /// Whether the same may be tried again in a moment.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Log(cause) => cause.disposition() == Disposition::Retry,
            Self::Read(cause) => cause.disposition() == Disposition::Retry,
            Self::Append(cause) => cause.disposition() == Disposition::Retry,
            Self::Behind => true,
            Self::Secrets { .. } => false,
        }
    }
}
