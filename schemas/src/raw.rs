//! Positions in the raw log: which delivery an event came from, and which part of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One delivery in the `raw` topic. Written `partition:offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RawRef {
    /// Partition of `raw`.
    pub partition: u32,
    /// Offset in that partition.
    pub offset: u64,
}

/// One item of one delivery. Written `partition:offset:index/count`, the `ce_rawposition` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RawPosition {
    /// The delivery.
    pub raw: RawRef,
    /// Which item, from 0.
    pub index: u32,
    /// How many items the delivery holds.
    pub count: u32,
}

impl RawPosition {
    /// Of what an operator said: it stands in no delivery.
    pub const NOWHERE: Self =
        Self { raw: RawRef { partition: 0, offset: i64::MAX as u64 }, index: 0, count: 1 };
}

/// A text that is not a raw position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a raw position is written partition:offset, an item's partition:offset:index/count")]
pub struct RawPositionError;

impl fmt::Display for RawRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

impl fmt::Display for RawPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.raw, self.index, self.count)
    }
}

impl FromStr for RawRef {
    type Err = RawPositionError;
    fn from_str(text: &str) -> Result<Self, RawPositionError> {
        let (partition, offset) = text.split_once(':').ok_or(RawPositionError)?;
        Ok(Self {
            partition: partition.parse().map_err(|_| RawPositionError)?,
            offset: offset.parse().map_err(|_| RawPositionError)?,
        })
    }
}

impl FromStr for RawPosition {
    type Err = RawPositionError;
    fn from_str(text: &str) -> Result<Self, RawPositionError> {
        let (raw, part) = text.rsplit_once(':').ok_or(RawPositionError)?;
        let (index, count) = part.split_once('/').ok_or(RawPositionError)?;
        let index = index.parse().map_err(|_| RawPositionError)?;
        let count = count.parse().map_err(|_| RawPositionError)?;
        if index >= count {
            return Err(RawPositionError);
        }
        Ok(Self { raw: raw.parse()?, index, count })
    }
}

macro_rules! as_text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = RawPositionError;
            fn try_from(text: String) -> Result<Self, RawPositionError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(position: $name) -> Self {
                position.to_string()
            }
        }
    };
}
as_text!(RawRef);
as_text!(RawPosition);

/// Names of the headers that ingest writes beside every body in `raw`. All hold UTF-8 text.
pub mod raw_header {
    /// The app it arrived for: an [`AppId`](crate::AppId).
    pub const APP: &str = "app";
    /// When it arrived, Unix milliseconds in decimal.
    pub const RECEIVED_AT: &str = "received_at";
    /// `X-Hub-Signature-256` as it was received.
    pub const SIGNATURE: &str = "signature";
    /// Which secret signed: the word of a [`SecretRole`](crate::SecretRole).
    pub const SECRET: &str = "secret";
    /// `Content-Type` as it was received.
    pub const CONTENT_TYPE: &str = "content_type";
    /// The key that the body is sealed with, wrapped for the router (`docs/keys.md`).
    pub const KEY: &str = "key";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_survive_text() {
        let position = RawPosition { raw: RawRef { partition: 3, offset: 1_000_007 }, index: 4, count: 9 };
        assert_eq!(position.to_string(), "3:1000007:4/9");
        assert_eq!("3:1000007:4/9".parse(), Ok(position));
        for wrong in ["", "3", "3:7", "3:7:9/9", "3:7:1/", "a:7:0/1", "3:-7:0/1"] {
            assert_eq!(wrong.parse::<RawPosition>(), Err(RawPositionError), "{wrong}");
        }
    }
}
