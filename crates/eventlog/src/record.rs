//! What is appended, and what comes back.

use bytes::Bytes;

/// A name and a value beside a record's body. Values are bytes; ours are UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The name, such as `ce_id`.
    pub name: String,
    /// The value.
    pub value: Bytes,
}

impl Header {
    /// A header of text.
    pub fn new(name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// A record to append. Its partition is always chosen by the caller, whatever the key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// What compaction goes by. Never personal data.
    pub key: Option<Bytes>,
    /// The body; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Headers, in order.
    pub headers: Vec<Header>,
}

impl Record {
    /// The value of the first header of that name.
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        self.headers.iter().find(|header| header.name == name).map(|header| &header.value)
    }

    /// The first header of that name, when it is UTF-8.
    pub fn header_str(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.header(name)?).ok()
    }

    /// Key, value and headers together, in bytes.
    pub fn size_bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|header| header.name.len() + header.value.len()).sum();
        self.key.as_ref().map_or(0, Bytes::len) + self.value.as_ref().map_or(0, Bytes::len) + headers
    }
}

/// A record as the log kept it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its place in the partition. Gaps are normal.
    pub offset: u64,
    /// When it was appended, Unix milliseconds, by the log's own clock or the producer's.
    pub timestamp_ms: i64,
    /// The record.
    pub record: Record,
}
