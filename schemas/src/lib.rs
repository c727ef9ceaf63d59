//! The contracts of Tidings: identifiers, Meta's wire format cut into items, canonical events, pointers and control records.
//!
//! Everything here is pure: no I/O, no async, no clock. Services depend on this crate and never on one another, so what
//! stands here is all that one part may assume about another.

mod control;
mod id;
mod pointer;
mod raw;
mod topic;

pub use control::{Action, App, AppSecret, ControlRecord, ControlState, Route, SecretRole, Tenant, TenantState};
pub use id::{
    AppId, Asset, AssetKind, Channel, ConversationId, EventId, IdError, MessageKey, SubjectId, TenantId,
};
pub use pointer::{Outcome, Pointer, Reason};
pub use raw::{RawPosition, RawRef};
pub use topic::Topics;
