//! What can go wrong with keys and sealed values. No error says anything of their content.

/// Why a key could not be had, or a sealed value not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The root key file cannot be read or written.
    #[error("the root key file {path} cannot be used")]
    RootFile {
        /// The file.
        path: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The root key file is not one.
    #[error(
        "the root key file {path} does not hold one line `tidings-root-v1:` and 64 hexadecimal digits; restore it from your backup"
    )]
    RootFormat {
        /// The file.
        path: String,
    },
    /// Others on this machine may read the root key file.
    #[error("the root key file {path} can be read by others (mode {mode:o}); run: chmod 600 {path}")]
    RootMode {
        /// The file.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// A sealed value of another form or version.
    #[error("a sealed value is not in the form `v1.` and base64url")]
    Format,
    /// The value was sealed with another key or for another place, or was changed.
    #[error("a sealed value does not open with this root key here")]
    Opens,
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Random,
}
