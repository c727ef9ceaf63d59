//! Who is who, and what opens what they wrote: a person is a random subject, found by keyed hashes of every identifier that
//! was seen for them, and has a key of their own. Forgetting a person is destroying that key.
//!
//! Identifiers come in, subjects go out; nothing here keeps an identifier, in memory or in the database, except as an HMAC
//! under the tenant's own pepper. Of two processes that meet a person first at the same moment one makes the subject and
//! both use it. This is the only store on the router's path, so what was found once is remembered.
//!
//! Identifiers that were each seen alone before they were seen together are two subjects of one person: the smaller stands
//! for both from then on, and both keep their keys. Whoever looks people up is told, says so to others, and then makes
//! them one; this crate tells nobody.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
mod holder;
mod keep;
mod keyring;
mod plan;
mod settle;
mod subject_key;
mod tenant_keys;

pub use error::{Disposition, KeyringError};
pub use keyring::{BELIEVED, Keyring, Known, Lease, Person, Whom};
pub use subject_key::SubjectKey;
pub use tenant_keys::TenantKeys;
