//! The Graph API and Meta's media hosts: the only crate that speaks to them. It fetches what people sent, safely.
//!
//! Addresses come from webhooks, so they are a stranger's: only Meta's hosts are asked, over https, at addresses that are
//! public, and the check and the connection use the same answer of the resolver. Redirects are followed by hand and checked
//! again. A file passes through in pieces, counted, hashed and recognised by its bytes; nothing holds it whole. What it may
//! be shown as is decided here, by an allow-list: everything else is an opaque file.
//!
//! No error, `Debug` or log of this crate has an address, an id or a token in it. It does not retry and keeps no budget:
//! [`MediaError::disposition`] tells the caller what can be done.

mod address;
mod answer;
mod client;
mod config;
mod download;
mod error;
mod kinds;
mod pixels;
mod policy;
mod request;
mod resolve;
mod sniff;

pub use address::is_global_unicast;
pub use client::Graph;
pub use config::{DEFAULT_VERSION, GraphConfig, MAX_BYTES};
pub use download::{Download, Fetched};
pub use error::{GraphError, MediaDisposition, MediaError};
pub use policy::{Policy, Target, UrlError};
pub use request::{MediaRequest, MediaSource};
pub use resolve::{Resolve, Resolving, SystemResolver};
pub use sniff::{OPAQUE, Verdict, judge};
