//! Which partition a raw body goes to: what belongs together stays together, without parsing what may not even be JSON.

use memchr::{memchr, memchr2};

/// How much of a body the scan looks at.
const SCANNED_BYTES: usize = 4096;

/// The partition of `raw` for a body: by its `object`, first entry id and first participant, as a bounded scan of its
/// beginning finds them; by the whole body when it holds no such thing. The same body always goes to the same partition.
pub fn shallow_partition(body: &[u8], partitions: u32) -> u32 {
    let head = body.get(..SCANNED_BYTES).unwrap_or(body);
    let mut hash = Fnv::default();
    match Scan::of(head) {
        Scan { object: Some(object), entry: Some(entry), participant } => {
            hash.part(object);
            hash.part(entry);
            hash.part(participant.unwrap_or_default());
        }
        _ => hash.part(body),
    }
    of(hash.finish(), partitions)
}

/// Spreads a hash over partitions; of none, there is only the first.
pub(crate) fn of(hash: u64, partitions: u32) -> u32 {
    u32::try_from(hash.checked_rem(u64::from(partitions)).unwrap_or(0)).unwrap_or(0)
}

/// FNV-1a over length-prefixed parts: stable across versions and machines. Not for secrets.
pub(crate) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    pub(crate) fn part(&mut self, bytes: &[u8]) {
        for byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// Mixed once more, because the low bits of FNV alone spread short keys badly.
    pub(crate) const fn finish(&self) -> u64 {
        let mut hash = self.0;
        hash ^= hash >> 32;
        hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^ (hash >> 29)
    }
}

/// What the scan found, as it is written.
#[derive(Default)]
struct Scan<'a> {
    object: Option<&'a [u8]>,
    entry: Option<&'a [u8]>,
    participant: Option<&'a [u8]>,
}

impl<'a> Scan<'a> {
    /// Reads `"key": scalar` pairs in the order they stand, whatever surrounds them.
    fn of(head: &'a [u8]) -> Self {
        let mut found = Self::default();
        let mut at = 0;
        let mut parent: &[u8] = b"";
        while found.participant.is_none() {
            let Some((key, after)) = string(head, at) else { break };
            at = after;
            let Some(value_at) = colon(head, after) else { continue };
            let value = match head.get(value_at) {
                Some(b'{') => {
                    parent = key;
                    None
                }
                Some(b'"') => string(head, value_at),
                Some(b'0'..=b'9') => number(head, value_at),
                _ => None,
            };
            let Some((value, after)) = value else { continue };
            at = after;
            match key {
                b"object" if found.object.is_none() => found.object = Some(value),
                b"id" if found.entry.is_none() => found.entry = Some(value),
                // The page itself is a participant of its own echoes: the other one counts.
                b"wa_id" | b"from" | b"recipient_id" | b"user_id" | b"from_user_id" | b"id"
                    if (key != b"id" || matches!(parent, b"sender" | b"recipient"))
                        && !value.is_empty()
                        && found.entry.is_some_and(|entry| entry != value) =>
                {
                    found.participant = Some(value);
                }
                _ => {}
            }
        }
        found
    }
}

/// The next string from `from` on, without its quotes, and where it ends.
fn string(head: &[u8], from: usize) -> Option<(&[u8], usize)> {
    let start = from + memchr(b'"', head.get(from..)?)? + 1;
    let mut at = start;
    loop {
        at += memchr2(b'"', b'\\', head.get(at..)?)?;
        if head.get(at) == Some(&b'"') {
            return Some((head.get(start..at)?, at + 1));
        }
        at += 2;
    }
}

/// The number that begins at `start`, and where it ends.
fn number(head: &[u8], start: usize) -> Option<(&[u8], usize)> {
    let length = head.get(start..)?.iter().position(|byte| !byte.is_ascii_digit())?;
    Some((head.get(start..start + length)?, start + length))
}

/// Where the value begins, when `:` is next.
fn colon(head: &[u8], from: usize) -> Option<usize> {
    let space =
        |from: usize| Some(from + head.get(from..)?.iter().position(|byte| !byte.is_ascii_whitespace())?);
    let at = space(from)?;
    if head.get(at) == Some(&b':') { space(at + 1) } else { None }
}
