//! What can go wrong with keys and sealed values. No error says anything of their content.

use std::error::Error;
use std::path::Path;

/// Why a key could not be had, or a sealed value not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// A key file cannot be read or written.
    #[error("the key file {path} cannot be used")]
    File {
        /// The file.
        path: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// Others on this machine may read a key file.
    #[error("the key file {path} can be read by others (mode {mode:o}); run: chmod 600 {path}")]
    FileMode {
        /// The file.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// The root key file is not one.
    #[error(
        "the root key file {path} does not hold lines of `tidings-root-v1:` and 64 hexadecimal digits; restore it from your backup"
    )]
    RootFormat {
        /// The file.
        path: String,
    },
    /// The root key file holds secrets that a KMS has to unwrap, and no KMS was named.
    #[error("the root key file {path} holds keys wrapped by a KMS; this use of it needs them in clear")]
    RootWrapped {
        /// The file.
        path: String,
    },
    /// The edge key file is not one.
    #[error(
        "the edge key file {path} does not hold lines of `tidings-edge-v1:`, a key id and two keys; write it again from the root key"
    )]
    EdgeFormat {
        /// The file.
        path: String,
    },
    /// The KMS did not wrap or unwrap a root secret.
    #[error("a root secret could not be wrapped or unwrapped")]
    Wrap(#[source] Box<dyn Error + Send + Sync>),
    /// A generation that the key file does not hold.
    #[error("the key file holds no generation {key_id}")]
    UnknownKey {
        /// Which one was asked for.
        key_id: String,
    },
    /// The newest generation cannot be taken away.
    #[error("generation {key_id} is the newest of the root key; rotate first")]
    NewestKey {
        /// Which one that is.
        key_id: String,
    },
    /// A root key that was made in memory cannot be changed in a file.
    #[error("this root key is kept in no file")]
    NoFile,
    /// A sealed value of another form or version.
    #[error("a sealed value is not in a form that is known here")]
    Format,
    /// The value was sealed with another key or for another place, or was changed.
    #[error("a sealed value does not open with this key here")]
    Opens,
    /// A sealed stream ended before its last chunk.
    #[error("a sealed stream ends before its last chunk")]
    CutShort,
    /// A sealed stream would have more chunks than are numbered.
    #[error("a stream is too long to be sealed as one")]
    TooLong,
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Random,
}

impl SealError {
    pub(crate) fn file(path: &Path) -> impl Fn(std::io::Error) -> Self {
        move |cause| Self::File { path: path.display().to_string(), cause }
    }
}
