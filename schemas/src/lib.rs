//! The contracts of Tidings: identifiers, Meta's wire format cut into items, canonical events, pointers and control records.
//!
//! Everything here is pure: no I/O, no async, no clock. Services depend on this crate and never on one another, so what
//! stands here is all that one part may assume about another.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod content;
pub mod contract;
mod control;
mod control_people;
mod control_state;
mod event;
mod facts;
mod id;
mod id_key;
mod identifier;
mod json;
mod kind;
mod messaging;
mod messaging_notice;
mod partition;
mod people_said;
mod pointer;
mod public;
mod raw;
mod reading;
mod reparse;
mod sealed;
mod split;
mod time;
mod topic;
mod unread;
mod upcast;
mod whatsapp;
mod whatsapp_account;
mod whatsapp_field;
mod whatsapp_message;
mod whatsapp_notice;
mod whatsapp_person;
mod wire;

pub use content::{
    AccountLink, AccountUpdate, AddressBookEntry, AppRoles, AssetErrors, Attachment, Button, Call,
    CapabilityUpdate, Comment, ContactCard, ContactProfile, Content, Conversion, DeliveryStatus, Edited,
    FeedChange, Feedback, FeedbackAnswer, FileOutcome, FileState, FlowUpdate, FormAnswer, GroupUpdate,
    HistoryProgress, IdentityChange, Location, Mention, MessageContent, NumberUpdate, OptIn, Order,
    OrderItem, Owner, PersonLink, PlatformError, PolicyNotice, Postback, Preference, Pricing, Reaction,
    Referral, ReplyTo, Restriction, Source, Status, StoryInsights, TemplateUpdate, ThreadControl, Unread,
    Unrecognized, Watermark,
};
pub use control::{Action, App, AppSecret, ControlRecord, FeedFormat, KeyLevel, SecretRole};
pub use control_people::{
    Callback, CallbackKind, Erasure, ErasureReason, ErasureState, People, Person, Receipt,
};
pub use control_state::{ControlState, PastRoute, Route, Tenant, TenantState};
pub use event::{Direction, Event, EventContext};
pub use facts::{Facts, FileFact};
pub use id::{
    AppId, Asset, AssetKind, AttachmentId, Channel, ConversationId, ErasureId, EventId, IdError, MessageKey,
    SubjectId, TenantId,
};
pub use id_key::IdKey;
pub use identifier::{Identifier, IdentifierKind};
pub use kind::Kind;
pub use partition::shallow_partition;
pub use people_said::PeopleSaid;
pub use pointer::{Outcome, Pointer, Reason};
pub use raw::{RawPosition, RawPositionError, RawRef, raw_header};
pub use reparse::reparse;
pub use sealed::{Field, SealedEvent};
pub use split::{Item, Split, split};
pub use topic::Topics;
pub use wire::{DecodeError, Encoded, PERSON, RAW_POSITION, is_ours, structured};
