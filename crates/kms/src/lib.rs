//! The root key's secrets wrapped by AWS KMS: they stand in the file as ciphertext, and a process has them unwrapped when
//! it starts.
//!
//! The only crate that names AWS KMS. Nothing here is on the way of a message: once a process has its root key, KMS may be
//! away. It deliberately keeps no keys of its own; `seal` reads and writes the file.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod aws;
mod error;
mod line;
mod root;

pub use aws::Options;
pub use error::KmsError;
pub use root::{load_root, wrap_root};
