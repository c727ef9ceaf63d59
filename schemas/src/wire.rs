//! Events as Kafka records: CloudEvents 1.0 in binary mode, and the same event as one structured JSON object.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::content::{ContactProfile, Content};
use crate::{
    Asset, Channel, ConversationId, Direction, Event, IdError, Kind, MessageKey, RawPositionError, Source,
    SubjectId,
};

const TYPE_PREFIX: &str = "org.tidings.";
const TYPE_SUFFIX: &str = ".v1";
const JSON: &str = "application/json";

/// An event as a record.
#[derive(Clone)]
pub struct Encoded {
    /// The `ce_id`: what compaction keeps the last of.
    pub key: Bytes,
    /// CloudEvents attributes, prefixed `ce_`, and `content-type`.
    pub headers: Vec<(&'static str, String)>,
    /// The data: JSON.
    pub value: Bytes,
}

/// Why a record is not an event that this version reads.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A header is missing.
    #[error("the record has no {0} header")]
    Missing(&'static str),
    /// A header holds an id that is none.
    #[error("a header holds an unusable id")]
    Id(#[from] IdError),
    /// The raw position is none.
    #[error("the ce_rawposition header is unusable")]
    RawPosition(#[from] RawPositionError),
    /// A type that this version does not know.
    #[error("the record's type is not one this version reads")]
    UnknownType,
    /// The value is not this type's data. The position says where; the text is never part of it.
    #[error("the record's value is not the data of its type (line {line}, column {column})")]
    Data {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
}

impl DecodeError {
    // serde_json's own text may quote the value, which is personal data.
    fn data(error: &serde_json::Error) -> Self {
        Self::Data { line: error.line(), column: error.column() }
    }
}

#[derive(Serialize)]
struct DataOut<'a> {
    channel: Channel,
    asset: &'a Asset,
    route: &'a Asset,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<Direction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation: Option<ConversationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<SubjectId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<MessageKey>,
    occurred_ms: i64,
    received_ms: i64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    imported: bool,
    content: ContentOut<'a>,
}

/// The members of the content and, beside them, two that no content has: `contact` and `source`.
#[derive(Serialize)]
struct ContentOut<'a> {
    #[serde(flatten)]
    content: &'a Content,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: &'a Option<ContactProfile>,
    source: &'a Source,
}

impl Serialize for Content {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Nothing {}
        match self {
            Self::Message(content) => content.serialize(serializer),
            Self::Edited(content) => content.serialize(serializer),
            Self::Deleted => Nothing {}.serialize(serializer),
            Self::Reaction(content) => content.serialize(serializer),
            Self::Status(content) => content.serialize(serializer),
            Self::Watermark(content) => content.serialize(serializer),
            Self::Postback(content) => content.serialize(serializer),
            Self::Referral(content) => content.serialize(serializer),
            Self::Unrecognized(content) => content.serialize(serializer),
        }
    }
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
    #[serde(borrow)]
    content: &'a RawValue,
}

#[derive(Deserialize)]
struct Beside {
    contact: Option<ContactProfile>,
    source: Source,
}

impl Event {
    /// The event as a record.
    pub fn encode(&self) -> Encoded {
        let data = DataOut {
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
            content: ContentOut { content: &self.content, contact: &self.contact, source: &self.source },
        };
        let value = serde_json::to_vec(&data).expect("string keys and plain values always serialize");
        let id = self.id.to_string();
        let kind = self.kind.as_str();
        let subject = self.conversation.map_or_else(|| self.asset.to_string(), |id| id.to_string());
        Encoded {
            key: Bytes::from(id.clone()),
            headers: vec![
                ("ce_specversion", "1.0".to_owned()),
                ("ce_id", id),
                ("ce_type", format!("{TYPE_PREFIX}{kind}{TYPE_SUFFIX}")),
                ("ce_source", format!("urn:tidings:{}", self.asset)),
                ("ce_subject", subject),
                ("ce_time", rfc3339(self.occurred_ms)),
                ("ce_tenant", self.tenant.to_string()),
                ("ce_dataschema", format!("urn:tidings:schema:{kind}:v1")),
                ("ce_rawposition", self.raw.to_string()),
                ("content-type", JSON.to_owned()),
            ],
            value: Bytes::from(value),
        }
    }

    /// The event of a record that [`Event::encode`] made.
    ///
    /// # Errors
    /// A record of another kind, or of a version this one does not know.
    pub fn decode<'h>(headers: impl Fn(&str) -> Option<&'h str>, value: &[u8]) -> Result<Self, DecodeError> {
        let header = |name: &'static str| headers(name).ok_or(DecodeError::Missing(name));
        let kind = header("ce_type")?
            .strip_prefix(TYPE_PREFIX)
            .and_then(|kind| kind.strip_suffix(TYPE_SUFFIX))
            .and_then(Kind::from_word)
            .ok_or(DecodeError::UnknownType)?;
        let data: DataIn<'_> = serde_json::from_slice(value).map_err(|error| DecodeError::data(&error))?;
        let beside: Beside = part(data.content)?;
        Ok(Self {
            id: header("ce_id")?.parse()?,
            kind,
            tenant: header("ce_tenant")?.parse()?,
            channel: data.channel,
            asset: data.asset,
            route: data.route,
            direction: data.direction,
            conversation: data.conversation,
            subject: data.subject,
            message: data.message,
            occurred_ms: data.occurred_ms,
            received_ms: data.received_ms,
            raw: header("ce_rawposition")?.parse()?,
            imported: data.imported,
            contact: beside.contact,
            content: content(kind, data.content)?,
            source: beside.source,
        })
    }
}

fn part<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, DecodeError> {
    serde_json::from_str(raw.get()).map_err(|error| DecodeError::data(&error))
}

fn content(kind: Kind, raw: &RawValue) -> Result<Content, DecodeError> {
    Ok(match kind {
        Kind::MessageReceived | Kind::MessageSent => Content::Message(part(raw)?),
        Kind::MessageEdited => Content::Edited(part(raw)?),
        Kind::MessageDeleted => Content::Deleted,
        Kind::MessageReacted => Content::Reaction(part(raw)?),
        Kind::MessageStatus => Content::Status(part(raw)?),
        Kind::ConversationRead | Kind::ConversationDelivered => Content::Watermark(part(raw)?),
        Kind::PostbackReceived => Content::Postback(part(raw)?),
        Kind::ReferralReceived => Content::Referral(part(raw)?),
        Kind::Unrecognized => Content::Unrecognized(part(raw)?),
    })
}

/// A time of day as CloudEvents wants it; times outside the years that RFC 3339 can write read as the epoch.
fn rfc3339(ms: i64) -> String {
    let time = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{time:.3}")
}

/// The record as one CloudEvents 1.0 structured-mode JSON object. `value` is embedded byte for byte.
///
/// # Errors
/// A record without the attributes that CloudEvents demands, or whose value is not JSON.
pub fn structured<'h>(
    headers: impl Fn(&str) -> Option<&'h str>,
    value: &[u8],
) -> Result<String, DecodeError> {
    #[derive(Serialize)]
    struct Structured<'a> {
        specversion: &'a str,
        id: &'a str,
        #[serde(rename = "type")]
        kind: &'a str,
        source: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        subject: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        time: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tenant: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        dataschema: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        rawposition: Option<&'a str>,
        datacontenttype: &'a str,
        data: &'a RawValue,
    }
    let header = |name: &'static str| headers(name).ok_or(DecodeError::Missing(name));
    let event = Structured {
        specversion: header("ce_specversion")?,
        id: header("ce_id")?,
        kind: header("ce_type")?,
        source: header("ce_source")?,
        subject: headers("ce_subject"),
        time: headers("ce_time"),
        tenant: headers("ce_tenant"),
        dataschema: headers("ce_dataschema"),
        rawposition: headers("ce_rawposition"),
        datacontenttype: headers("content-type").unwrap_or(JSON),
        data: serde_json::from_slice(value).map_err(|error| DecodeError::data(&error))?,
    };
    Ok(serde_json::to_string(&event).expect("string keys and plain values always serialize"))
}
