//! How a record is laid out in the store: length-prefixed fields, little-endian, behind one version byte.

use bytes::Bytes;

use crate::{Header, Record};

const VERSION: u8 = 1;
const ABSENT: u32 = u32::MAX;

/// The record with its time, as bytes.
pub(super) fn encode(timestamp_ms: i64, record: &Record) -> Vec<u8> {
    let mut out = Vec::with_capacity(record.size_bytes() + 32 + 8 * record.headers.len());
    out.push(VERSION);
    out.extend(timestamp_ms.to_le_bytes());
    put(&mut out, record.key.as_deref());
    put(&mut out, record.value.as_deref());
    out.extend(length(record.headers.len()).to_le_bytes());
    for header in &record.headers {
        put(&mut out, Some(header.name.as_bytes()));
        put(&mut out, Some(&header.value));
    }
    out
}

/// The time and the record; `None` when the bytes are not what [`encode`] makes.
pub(super) fn decode(bytes: &Bytes) -> Option<(i64, Record)> {
    let mut rest = bytes.clone();
    if take(&mut rest, 1)?[0] != VERSION {
        return None;
    }
    let timestamp_ms = i64::from_le_bytes(take(&mut rest, 8)?.as_ref().try_into().ok()?);
    let key = field(&mut rest)?;
    let value = field(&mut rest)?;
    let count = number(&mut rest)?;
    let mut headers = Vec::new();
    for _ in 0..count {
        let name = String::from_utf8(field(&mut rest)??.to_vec()).ok()?;
        headers.push(Header { name, value: field(&mut rest)?? });
    }
    rest.is_empty().then_some((timestamp_ms, Record { key, value, headers }))
}

/// Only the time, without reading the rest.
pub(super) fn timestamp_ms(bytes: &[u8]) -> Option<i64> {
    Some(i64::from_le_bytes(bytes.get(1..9)?.try_into().ok()?))
}

fn length(len: usize) -> u32 {
    u32::try_from(len).expect("a record is bounded far below 4 GiB")
}

fn put(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        Some(bytes) => {
            out.extend(length(bytes.len()).to_le_bytes());
            out.extend(bytes);
        }
        None => out.extend(ABSENT.to_le_bytes()),
    }
}

fn take(rest: &mut Bytes, len: usize) -> Option<Bytes> {
    (rest.len() >= len).then(|| rest.split_to(len))
}

fn number(rest: &mut Bytes) -> Option<u32> {
    Some(u32::from_le_bytes(take(rest, 4)?.as_ref().try_into().ok()?))
}

#[expect(
    clippy::option_option,
    reason = "the outer says whether the bytes are sound, the inner whether the field is there"
)]
fn field(rest: &mut Bytes) -> Option<Option<Bytes>> {
    match number(rest)? {
        ABSENT => Some(None),
        len => Some(Some(take(rest, len as usize)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_its_layout_and_nothing_else_does() {
        let record = Record {
            key: Some(Bytes::from_static(b"k")),
            value: None,
            headers: vec![Header::new("a", "1"), Header::new("b", "")],
        };
        let bytes = Bytes::from(encode(-7, &record));
        assert_eq!(decode(&bytes), Some((-7, record)));
        assert_eq!(timestamp_ms(&bytes), Some(-7));
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes.slice(..cut)), None, "cut at {cut}");
        }
    }
}
