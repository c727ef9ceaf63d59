//! Who is who, and what opens what they wrote: a person is a random subject, found by keyed hashes of every identifier that
//! was seen for them, and has a key of their own. Forgetting a person is destroying that key.
//!
//! Identifiers come in, subjects go out; nothing here keeps an identifier, in memory or in the database, except as an HMAC
//! under the tenant's own pepper. Of two processes that meet a person first at the same moment one makes the subject and
//! both use it. This is the only store on the router's path, so what was found once is remembered.
//!
//! It does not merge subjects: identifiers that were each seen alone before they were seen together stay two people, and
//! the first of them, in the order given, decides.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
mod holder;
mod keep;
mod keyring;
mod plan;
mod subject_key;
mod tenant_keys;

pub use error::{Disposition, KeyringError};
pub use keyring::{BELIEVED, Keyring, Lease, Person, Whom};
pub use subject_key::SubjectKey;
pub use tenant_keys::TenantKeys;
