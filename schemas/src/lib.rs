//! The contracts of Tidings: identifiers, Meta's wire format cut into items, canonical events, pointers and control records.
//!
//! Everything here is pure: no I/O, no async, no clock. Services depend on this crate and never on one another, so what
//! stands here is all that one part may assume about another.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod content;
mod control;
mod control_people;
mod control_state;
mod event;
mod facts;
mod id;
mod id_key;
mod identifier;
mod json;
mod messaging;
mod partition;
mod pointer;
mod raw;
mod reading;
mod sealed;
mod split;
mod time;
mod topic;
mod whatsapp;
mod whatsapp_message;
mod whatsapp_person;
mod wire;

pub use content::{
    Attachment, Button, ContactCard, ContactProfile, Content, DeliveryStatus, Edited, FileOutcome, FileState,
    Location, MessageContent, Order, OrderItem, PlatformError, Postback, Pricing, Reaction, Referral,
    ReplyTo, Source, Status, Unrecognized, Watermark,
};
pub use control::{Action, App, AppSecret, ControlRecord, FeedFormat, KeyLevel, SecretRole};
pub use control_people::{
    Callback, CallbackKind, Erasure, ErasureReason, ErasureState, People, Person, Receipt,
};
pub use control_state::{ControlState, Route, Tenant, TenantState};
pub use event::{Direction, Event, EventContext, Kind};
pub use facts::{Facts, FileFact};
pub use id::{
    AppId, Asset, AssetKind, AttachmentId, Channel, ConversationId, ErasureId, EventId, IdError, MessageKey,
    SubjectId, TenantId,
};
pub use id_key::IdKey;
pub use identifier::{Identifier, IdentifierKind};
pub use partition::shallow_partition;
pub use pointer::{Outcome, Pointer, Reason};
pub use raw::{RawPosition, RawPositionError, RawRef, raw_header};
pub use sealed::{Field, SealedEvent};
pub use split::{Item, Split, split};
pub use topic::Topics;
pub use wire::{DecodeError, Encoded, PERSON, RAW_POSITION, structured};
