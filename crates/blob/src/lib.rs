//! Objects in S3 and in what speaks its protocol; the only crate that names it.
//!
//! [`BlobStore`] is the client. What it says it stored is stored whole: a body is sent with a checksum, a long one in parts
//! that become visible together or not at all, and a get that ends early is an error. What it says it deleted is gone in
//! every version. Keys are ours and harmless ([`BlobStore`] refuses others), so they may appear in a store's own logs.
//!
//! [`LocalS3`] is the server for a machine that has no S3. It speaks the protocol through `s3s` and keeps objects as plain
//! files: fsynced before they become visible, unlinked when deleted, with nothing beside them. `s3s-fs` does none of the
//! three, which is why it is not used here.
//!
//! Nothing here encrypts or knows what an object holds: callers seal before they put.

mod client;
mod config;
mod erase;
mod error;
mod key;
mod local;
mod store;
mod stream;
mod upload;

pub use config::{BlobConfig, Sse};
pub use error::{BlobError, Disposition, PutError};
pub use local::{LocalS3, LocalS3Error};
pub use store::{BlobMeta, BlobStore};
pub use stream::BlobStream;
