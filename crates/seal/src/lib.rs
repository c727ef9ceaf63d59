//! Sealing: AES-256-GCM under keys that descend from the deployment's root key.
//!
//! The only crate that encrypts. What is sealed is bound to a context, so it cannot be moved elsewhere and opened there.
//! It deliberately keeps no keys of its own and knows nothing of tenants or subjects: callers name the context.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod context;
mod data_key;
mod edge;
mod error;
mod feed_key;
mod file;
mod generations;
mod jwk;
mod key;
mod root;
mod stream;
mod text;
#[cfg(test)]
mod vectors;
mod wrap;

pub use context::Context;
pub use data_key::DataKey;
pub use edge::EdgeKey;
pub use error::SealError;
pub use feed_key::{FeedKey, FeedKeyError};
pub use key::{Cipher, Key, OVERHEAD_BYTES, generation};
pub use root::RootKey;
pub use stream::{CHUNK_BYTES, StreamOpener, StreamSealer, stream_bytes};
pub use text::key_id;
pub use wrap::{RootWrap, WrapError};
