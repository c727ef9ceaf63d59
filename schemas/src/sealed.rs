//! Events as `events` holds them: what routes and sorts them in clear, what they say sealed for their person. This crate
//! does not seal: whoever calls [`Event::seal`] brings the cipher.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::upcast;
use crate::wire::{self, header_of, type_of};
use crate::{
    Asset, Channel, ContactProfile, ConversationId, DecodeError, Direction, Encoded, Event, EventId, Facts,
    Kind, MessageKey, RawPosition, Source, SubjectId, TenantId,
};

/// A part of an event that is sealed by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// What it says: the JSON of its [`Content`].
    Content,
    /// What the person calls themselves: the JSON of a [`ContactProfile`].
    Contact,
    /// The item exactly as Meta wrote it.
    Source,
}

impl Field {
    /// The field as its one word; never changes, because seals are bound to it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Contact => "contact",
            Self::Source => "source",
        }
    }
}

/// An event whose content is sealed for its person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedEvent {
    /// As [`Event::id`].
    pub id: EventId,
    /// As [`Event::kind`].
    pub kind: Kind,
    /// In which version of its kind it is written: not that of today when it was written before.
    pub version: u8,
    /// As [`Event::tenant`].
    pub tenant: TenantId,
    /// As [`Event::channel`].
    pub channel: Channel,
    /// As [`Event::asset`].
    pub asset: Asset,
    /// As [`Event::route`].
    pub route: Asset,
    /// As [`Event::direction`].
    pub direction: Option<Direction>,
    /// As [`Event::conversation`].
    pub conversation: Option<ConversationId>,
    /// As [`Event::subject`].
    pub subject: Option<SubjectId>,
    /// As [`Event::message`].
    pub message: Option<MessageKey>,
    /// As [`Event::occurred_ms`].
    pub occurred_ms: i64,
    /// As [`Event::received_ms`].
    pub received_ms: i64,
    /// As [`Event::raw`].
    pub raw: RawPosition,
    /// As [`Event::imported`].
    pub imported: bool,
    /// As [`Event::standby`].
    pub standby: bool,
    /// What can be known without opening it.
    pub facts: Facts,
    /// What it says, sealed.
    pub content: Vec<u8>,
    /// What the person calls themselves, sealed.
    pub contact: Option<Vec<u8>>,
    /// The item as it came, sealed.
    pub source: Vec<u8>,
}

impl Event {
    /// Seals what it says, field by field.
    ///
    /// # Errors
    /// Whatever `seal` fails with.
    pub fn seal<E>(
        &self,
        mut seal: impl FnMut(Field, &[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<SealedEvent, E> {
        let json = |value: &dyn erased::Json| value.json();
        Ok(SealedEvent {
            id: self.id,
            kind: self.kind,
            version: self.kind.version(),
            tenant: self.tenant.clone(),
            channel: self.channel,
            asset: self.asset.clone(),
            route: self.route.clone(),
            direction: self.direction,
            conversation: self.conversation,
            subject: self.subject,
            message: self.message,
            occurred_ms: self.occurred_ms,
            received_ms: self.received_ms,
            raw: self.raw,
            imported: self.imported,
            standby: self.standby,
            facts: Facts::of(self),
            content: seal(Field::Content, &json(&self.content))?,
            contact: self.contact.as_ref().map(|contact| seal(Field::Contact, &json(contact))).transpose()?,
            source: seal(Field::Source, self.source.as_str().as_bytes())?,
        })
    }
}

mod erased {
    /// Anything that serializes, without a type parameter at each call.
    pub(super) trait Json {
        fn json(&self) -> Vec<u8>;
    }

    impl<T: serde::Serialize> Json for T {
        fn json(&self) -> Vec<u8> {
            serde_json::to_vec(self).expect("string keys and plain values always serialize")
        }
    }
}

#[derive(Serialize)]
struct DataOut<'a> {
    #[serde(flatten)]
    common: wire::Common<'a>,
    facts: &'a Facts,
    sealed: SealedOut,
}

#[derive(Serialize)]
struct SealedOut {
    content: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<String>,
    source: String,
}

#[derive(Deserialize)]
struct DataIn<'a> {
    channel: Channel,
    asset: Asset,
    route: Asset,
    direction: Option<Direction>,
    conversation: Option<ConversationId>,
    subject: Option<SubjectId>,
    message: Option<MessageKey>,
    occurred_ms: i64,
    received_ms: i64,
    #[serde(default)]
    imported: bool,
    #[serde(default)]
    standby: bool,
    facts: Facts,
    #[serde(borrow)]
    sealed: SealedIn<'a>,
}

#[derive(Deserialize)]
struct SealedIn<'a> {
    content: &'a str,
    contact: Option<&'a str>,
    source: &'a str,
}

impl SealedEvent {
    /// The partition it belongs in; as that of the [`Event`] it is.
    pub fn partition(&self, partitions: u32) -> u32 {
        crate::event::partition(self.conversation.as_ref(), &self.asset, partitions)
    }

    /// The event as a record of `events`.
    pub fn encode(&self) -> Encoded {
        let text = |bytes: &[u8]| STANDARD_NO_PAD.encode(bytes);
        let data = DataOut {
            common: wire::Common {
                channel: self.channel,
                asset: &self.asset,
                route: &self.route,
                direction: self.direction,
                conversation: self.conversation,
                subject: self.subject,
                message: self.message,
                occurred_ms: self.occurred_ms,
                received_ms: self.received_ms,
                imported: self.imported,
                standby: self.standby,
            },
            facts: &self.facts,
            sealed: SealedOut {
                content: text(&self.content),
                contact: self.contact.as_deref().map(text),
                source: text(&self.source),
            },
        };
        let value = serde_json::to_vec(&data).expect("string keys and plain values always serialize");
        let head = wire::Head {
            id: self.id,
            kind: self.kind,
            version: self.version,
            tenant: &self.tenant,
            asset: &self.asset,
            conversation: self.conversation,
            subject: self.subject,
            occurred_ms: self.occurred_ms,
            raw: self.raw,
        };
        head.encode("sealed.", "application/json", Bytes::from(value))
    }

    /// The event of a record that [`SealedEvent::encode`] made.
    ///
    /// # Errors
    /// A record of another kind, or of a version this one does not know.
    pub fn decode<'h>(headers: impl Fn(&str) -> Option<&'h str>, value: &[u8]) -> Result<Self, DecodeError> {
        let (kind, version) = type_of(&headers)?;
        let data: DataIn<'_> = serde_json::from_slice(value).map_err(|error| DecodeError::data(&error))?;
        let bytes = |text: &str| STANDARD_NO_PAD.decode(text).map_err(|_| DecodeError::Sealed);
        Ok(Self {
            id: header_of(&headers, "ce_id")?.parse()?,
            kind,
            version,
            tenant: header_of(&headers, "ce_tenant")?.parse()?,
            channel: data.channel,
            asset: data.asset,
            route: data.route,
            direction: data.direction,
            conversation: data.conversation,
            subject: data.subject,
            message: data.message,
            occurred_ms: data.occurred_ms,
            received_ms: data.received_ms,
            raw: header_of(&headers, "ce_rawposition")?.parse()?,
            imported: data.imported,
            standby: data.standby,
            facts: data.facts,
            content: bytes(data.sealed.content)?,
            contact: data.sealed.contact.map(bytes).transpose()?,
            source: bytes(data.sealed.source)?,
        })
    }

    /// The whole event, once its fields are opened.
    ///
    /// # Errors
    /// Whatever `open` fails with, or an opened field that is not what it should be.
    pub fn open<E: From<DecodeError>>(
        &self,
        mut open: impl FnMut(Field, &[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<Event, E> {
        let content = open(Field::Content, &self.content)?;
        let contact = self.contact.as_ref().map(|sealed| open(Field::Contact, sealed)).transpose()?;
        let source = open(Field::Source, &self.source)?;
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| DecodeError::Data { line: 1, column: 0 });
        let unusable = |error: serde_json::Error| DecodeError::data(&error);
        let contact: Option<ContactProfile> =
            contact.map(|json| serde_json::from_slice(&json)).transpose().map_err(unusable)?;
        let source: Source = serde_json::from_slice(&source).map_err(unusable)?;
        Ok(Event {
            id: self.id,
            kind: self.kind,
            tenant: self.tenant.clone(),
            channel: self.channel,
            asset: self.asset.clone(),
            route: self.route.clone(),
            direction: self.direction,
            conversation: self.conversation,
            subject: self.subject,
            message: self.message,
            occurred_ms: self.occurred_ms,
            received_ms: self.received_ms,
            raw: self.raw,
            imported: self.imported,
            standby: self.standby,
            contact,
            content: upcast::read(self.kind, self.version, text(&content)?)?,
            source,
        })
    }
}
