//! Sealing: AES-256-GCM under keys that descend from the deployment's root key.
//!
//! The only crate that encrypts. What is sealed is bound to a context, so it cannot be moved elsewhere and opened there.
//! It deliberately keeps no keys of its own and knows nothing of tenants or subjects: callers name the context.

mod error;
mod root;

pub use error::SealError;
pub use root::RootKey;
