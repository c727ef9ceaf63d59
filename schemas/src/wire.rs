//! Events as Kafka records: CloudEvents 1.0 in binary mode, and the same event as one structured JSON object.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::content::{ContactProfile, Content};
use crate::upcast;
use crate::{
    Asset, Channel, ConversationId, Direction, Event, EventId, IdError, Kind, MessageKey, RawPosition,
    RawPositionError, Source, SubjectId, TenantId,
};

const TYPE_PREFIX: &str = "org.tidings.";
const JSON: &str = "application/json";
const JOSE: &str = "application/jose";
/// The header that names an event's person: a subject, which says nothing by itself.
pub const PERSON: &str = "ce_person";
/// The header that tells which part of which delivery an event was read from.
pub const RAW_POSITION: &str = "ce_rawposition";

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
    /// A sealed part is not in base64.
    #[error("a sealed part of the record's value is unusable")]
    Sealed,
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
    pub(crate) fn data(error: &serde_json::Error) -> Self {
        Self::Data { line: error.line(), column: error.column() }
    }
}

/// What the data of every event has, whatever its kind and in whichever form.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Common<'a> {
    /// The product it came through.
    pub(crate) channel: Channel,
    /// Where it happened: `messenger:<page>`, `instagram:<account>`, `whatsapp:<phone_number_id>`, else `waba:<account>`.
    pub(crate) asset: &'a Asset,
    /// The connected asset that led to the tenant: `asset` itself, or the business account it belongs to.
    pub(crate) route: &'a Asset,
    /// Who acted: `in` the person, `out` the business. Absent: Meta, or Tidings itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) direction: Option<Direction>,
    /// The conversation; absent when it is part of none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) conversation: Option<ConversationId>,
    /// The person; absent when it is about nobody, or about several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<SubjectId>,
    /// The message (or call) it is, or is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<MessageKey>,
    /// When, by Meta's clock, Unix milliseconds. A time that cannot be is replaced by the arrival.
    pub(crate) occurred_ms: i64,
    /// When the delivery arrived, Unix milliseconds.
    pub(crate) received_ms: i64,
    /// Brought by a history import: no notification is due. Absent: no.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) imported: bool,
    /// Another app answers in the conversation: to be shown, not to be answered. Absent: no.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) standby: bool,
}

#[derive(Serialize)]
struct DataOut<'a> {
    #[serde(flatten)]
    common: Common<'a>,
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
            common: Common {
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
            content: ContentOut { content: &self.content, contact: &self.contact, source: &self.source },
        };
        let value = serde_json::to_vec(&data).expect("string keys and plain values always serialize");
        self.head().encode("", JSON, Bytes::from(value))
    }

    /// The event as a record whose data was encrypted as a whole: a JWE in compact form.
    pub fn encode_jwe(&self, jwe: String) -> Encoded {
        self.head().encode("", JOSE, Bytes::from(jwe))
    }

    const fn head(&self) -> Head<'_> {
        Head {
            id: self.id,
            kind: self.kind,
            version: self.kind.version(),
            tenant: &self.tenant,
            asset: &self.asset,
            conversation: self.conversation,
            subject: self.subject,
            occurred_ms: self.occurred_ms,
            raw: self.raw,
        }
    }

    /// The event of a record that [`Event::encode`] made.
    ///
    /// # Errors
    /// A record of another kind, or of a version this one does not know.
    pub fn decode<'h>(headers: impl Fn(&str) -> Option<&'h str>, value: &[u8]) -> Result<Self, DecodeError> {
        let header = |name: &'static str| headers(name).ok_or(DecodeError::Missing(name));
        let (kind, version) = type_of(&headers)?;
        let data: DataIn<'_> = serde_json::from_slice(value).map_err(|error| DecodeError::data(&error))?;
        let beside: Beside = part(data.content.get())?;
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
            standby: data.standby,
            contact: beside.contact,
            content: upcast::read(kind, version, data.content.get())?,
            source: beside.source,
        })
    }
}

/// What stands beside every event's data, as CloudEvents attributes.
pub(crate) struct Head<'a> {
    pub(crate) id: EventId,
    pub(crate) kind: Kind,
    pub(crate) version: u8,
    pub(crate) tenant: &'a TenantId,
    pub(crate) asset: &'a Asset,
    pub(crate) conversation: Option<ConversationId>,
    pub(crate) subject: Option<SubjectId>,
    pub(crate) occurred_ms: i64,
    pub(crate) raw: RawPosition,
}

impl Head<'_> {
    /// The record with this data; `form` is what stands before the version in the name of its schema.
    pub(crate) fn encode(&self, form: &str, content_type: &str, value: Bytes) -> Encoded {
        let id = self.id.to_string();
        let (kind, version) = (self.kind.as_str(), self.version);
        let subject = self.conversation.map_or_else(|| self.asset.to_string(), |id| id.to_string());
        let mut headers = vec![
            ("ce_specversion", "1.0".to_owned()),
            ("ce_id", id.clone()),
            ("ce_type", format!("{TYPE_PREFIX}{kind}.v{version}")),
            ("ce_source", format!("urn:tidings:{}", self.asset)),
            ("ce_subject", subject),
            ("ce_time", rfc3339(self.occurred_ms)),
            ("ce_tenant", self.tenant.to_string()),
            ("ce_dataschema", format!("urn:tidings:schema:{kind}:{form}v{version}")),
            (RAW_POSITION, self.raw.to_string()),
            ("content-type", content_type.to_owned()),
        ];
        if let Some(person) = self.subject {
            headers.push((PERSON, person.to_string()));
        }
        Encoded { key: Bytes::from(id), headers, value }
    }
}

pub(crate) fn header_of<'h>(
    headers: &impl Fn(&str) -> Option<&'h str>,
    name: &'static str,
) -> Result<&'h str, DecodeError> {
    headers(name).ok_or(DecodeError::Missing(name))
}

/// What happened, and in which version it is written, by a record's headers.
pub(crate) fn type_of<'h>(headers: &impl Fn(&str) -> Option<&'h str>) -> Result<(Kind, u8), DecodeError> {
    let read = |text: &str| {
        let (kind, version) = text.strip_prefix(TYPE_PREFIX)?.rsplit_once(".v")?;
        let (kind, version) = (Kind::from_word(kind)?, version.parse().ok()?);
        (1..=kind.version()).contains(&version).then_some((kind, version))
    };
    read(header_of(headers, "ce_type")?).ok_or(DecodeError::UnknownType)
}

/// Whether a record, by its headers, is of a kind that Tidings itself says and not Meta: no item of a delivery.
pub fn is_ours<'h>(headers: impl Fn(&str) -> Option<&'h str>) -> bool {
    type_of(&headers).is_ok_and(|(kind, _)| kind.is_ours())
}

fn part<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, DecodeError> {
    serde_json::from_str(json).map_err(|error| DecodeError::data(&error))
}

/// A time of day as CloudEvents wants it; times outside the years that RFC 3339 can write read as the epoch.
fn rfc3339(ms: i64) -> String {
    let time = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{time:.3}")
}

/// The record as one CloudEvents 1.0 structured-mode JSON object. JSON is embedded byte for byte, anything else in base64.
///
/// # Errors
/// A record without the attributes that CloudEvents demands, or whose value is not the JSON it says it is.
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
        #[serde(skip_serializing_if = "Option::is_none")]
        person: Option<&'a str>,
        datacontenttype: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<&'a RawValue>,
        // As CloudEvents wants it, whatever is no JSON.
        #[serde(skip_serializing_if = "Option::is_none")]
        data_base64: Option<String>,
    }
    let header = |name: &'static str| headers(name).ok_or(DecodeError::Missing(name));
    let datacontenttype = headers("content-type").unwrap_or(JSON);
    let data: Option<&RawValue> = match datacontenttype {
        JSON => Some(serde_json::from_slice(value).map_err(|error| DecodeError::data(&error))?),
        _ => None,
    };
    let event = Structured {
        specversion: header("ce_specversion")?,
        id: header("ce_id")?,
        kind: header("ce_type")?,
        source: header("ce_source")?,
        subject: headers("ce_subject"),
        time: headers("ce_time"),
        tenant: headers("ce_tenant"),
        dataschema: headers("ce_dataschema"),
        rawposition: headers(RAW_POSITION),
        person: headers(PERSON),
        datacontenttype,
        data,
        data_base64: data.is_none().then(|| STANDARD.encode(value)),
    };
    Ok(serde_json::to_string(&event).expect("string keys and plain values always serialize"))
}
