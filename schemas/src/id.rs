//! Identifiers as newtypes. None of them holds personal data: people are random [`SubjectId`]s, and what Meta calls a
//! message id (which contains a phone number) only ever appears as a keyed [`MessageKey`] or [`EventId`].

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Why a text is not the identifier it was taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// A tenant or app name with other characters, or of another length, than allowed.
    #[error("{what} is 1 to 63 characters of a-z, 0-9, - and _, beginning with a letter or digit")]
    Name {
        /// What was being named.
        what: &'static str,
    },
    /// Not 32 lower-case hexadecimal digits.
    #[error("{what} is 32 hexadecimal digits")]
    Hex {
        /// What was being named.
        what: &'static str,
    },
    /// An unknown kind of asset.
    #[error("an asset is one of messenger, instagram, whatsapp, waba")]
    AssetKind,
    /// An asset id that is empty, too long or not printable.
    #[error("an asset id is 1 to 64 characters of A-Z, a-z, 0-9, . _ and -")]
    AssetId,
}

fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes[0].is_ascii_alphanumeric()
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
}

macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                if is_name(text) { Ok(Self(text.into())) } else { Err(IdError::Name { what: $what }) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_id!(
    /// A client organisation. Part of topic names, hence the narrow alphabet.
    TenantId,
    "a tenant id"
);
name_id!(
    /// A Meta app whose webhooks arrive at `/webhooks/{app}`.
    AppId,
    "an app name"
);

macro_rules! id128 {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 16]);

        impl $name {
            /// From its 16 bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
            /// Its 16 bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let mut bytes = [0; 16];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| IdError::Hex { what: $what })?;
                Ok(Self(bytes))
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                hex::encode(id.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": "^[0-9a-f]{32}$" })
            }
        }
    };
}

id128!(
    /// A person as one tenant knows them: random, made once, found through the keyring.
    SubjectId,
    "a subject id"
);
id128!(
    /// A conversation: derived from tenant, asset and subject (or group), so it holds no identifier.
    ConversationId,
    "a conversation id"
);
id128!(
    /// An event: keyed hash of kind, asset and natural key. The same event has the same id however Meta repeats it.
    EventId,
    "an event id"
);
id128!(
    /// A message: keyed hash of asset and Meta's message id. Links statuses, reactions and edits to their message.
    MessageKey,
    "a message id"
);

id128!(
    /// A file that hangs on a message: keyed hash of the event that named it and its place there.
    AttachmentId,
    "an attachment id"
);
id128!(
    /// One person's erasure: random, and all that a receipt says of them beside the subject.
    ErasureId,
    "an erasure id"
);

/// One of Meta's three messaging products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// Facebook Messenger, `object: page`.
    Messenger,
    /// Instagram Direct, `object: instagram`.
    Instagram,
    /// WhatsApp Cloud API, `object: whatsapp_business_account`.
    Whatsapp,
}

impl Channel {
    /// The channel as its one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Messenger => "messenger",
            Self::Instagram => "instagram",
            Self::Whatsapp => "whatsapp",
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an operator connects to a tenant (`meta-platform.md` §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AssetKind {
    /// A Facebook page, by page id.
    Messenger,
    /// An Instagram professional account, by its account id.
    Instagram,
    /// A WhatsApp number, by `phone_number_id`.
    Whatsapp,
    /// A WhatsApp business account: covers every number of it that is not connected by itself.
    Waba,
}

impl AssetKind {
    /// The kind as its one word, as on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Messenger => "messenger",
            Self::Instagram => "instagram",
            Self::Whatsapp => "whatsapp",
            Self::Waba => "waba",
        }
    }

    /// The product this asset belongs to.
    pub const fn channel(self) -> Channel {
        match self {
            Self::Messenger => Channel::Messenger,
            Self::Instagram => Channel::Instagram,
            Self::Whatsapp | Self::Waba => Channel::Whatsapp,
        }
    }
}

impl FromStr for AssetKind {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        match text {
            "messenger" => Ok(Self::Messenger),
            "instagram" => Ok(Self::Instagram),
            "whatsapp" => Ok(Self::Whatsapp),
            "waba" => Ok(Self::Waba),
            _ => Err(IdError::AssetKind),
        }
    }
}

impl fmt::Display for AssetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A page, Instagram account, phone number or business account: a business's own id, not personal data.
/// Written `kind:id`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Asset {
    kind: AssetKind,
    id: std::sync::Arc<str>,
}

impl JsonSchema for Asset {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Asset".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(messenger|instagram|whatsapp|waba):[A-Za-z0-9._-]{1,64}$" })
    }
}

impl Asset {
    /// Checks the id's alphabet and length.
    pub fn new(kind: AssetKind, id: &str) -> Result<Self, IdError> {
        let ok = (1..=64).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if ok { Ok(Self { kind, id: id.into() }) } else { Err(IdError::AssetId) }
    }

    /// What kind of asset it is.
    pub const fn kind(&self) -> AssetKind {
        self.kind
    }

    /// Meta's id of it.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.id)
    }
}

impl FromStr for Asset {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let (kind, id) = text.split_once(':').ok_or(IdError::AssetKind)?;
        Self::new(kind.parse()?, id)
    }
}

impl TryFrom<String> for Asset {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<Asset> for String {
    fn from(asset: Asset) -> Self {
        asset.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_narrow() {
        for name in ["a", "0", "gov-x_1", &"a".repeat(63)] {
            assert_eq!(name.parse::<TenantId>().unwrap().as_str(), name);
        }
        for wrong in ["", "-a", "_a", "A", "a.b", "a b", "ä", &"a".repeat(64)] {
            assert!(wrong.parse::<TenantId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn assets_are_written_kind_and_id() {
        for text in ["messenger:222", "instagram:17841400000000001", "whatsapp:111", "waba:900"] {
            assert_eq!(text.parse::<Asset>().unwrap().to_string(), text);
        }
        for wrong in [
            "",
            "messenger",
            "messenger:",
            "page:1",
            "waba:a b",
            "waba:é",
            &format!("waba:{}", "9".repeat(65)),
        ] {
            assert!(wrong.parse::<Asset>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn ids_are_hexadecimal() {
        let id = EventId::from_bytes([0xab; 16]);
        assert_eq!(id.to_string(), "ab".repeat(16));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("ab".parse::<EventId>().is_err());
    }
}
