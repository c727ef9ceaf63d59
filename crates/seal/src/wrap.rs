//! Root secrets that stand in the file only as another system wrapped them.

use std::error::Error;

use crate::Key;

/// What went wrong in the other system. Says nothing of the secret.
pub type WrapError = Box<dyn Error + Send + Sync>;

/// A system that keeps root secrets wrapped, such as a KMS. Asked when a process starts, when the root key is rotated and
/// when another process rotated it: never on the way of a message. May block for as long as its own deadline.
pub trait RootWrap: Send + Sync {
    /// The line that stands for this secret in the file: no line breaks, and `tidings-root-` in front.
    ///
    /// # Errors
    /// The system did not wrap it.
    fn wrap(&self, secret: &Key) -> Result<String, WrapError>;

    /// The secret that a line stands for.
    ///
    /// # Errors
    /// The line is not one of this system, or the system did not unwrap it.
    fn unwrap(&self, line: &str) -> Result<Key, WrapError>;
}
