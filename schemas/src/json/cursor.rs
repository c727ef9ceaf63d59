//! The one pass: checks JSON and finds members and elements as it goes.

use std::borrow::Cow;

use super::Node;
use super::text::unescape;
use crate::Reason;

/// The deepest nesting that is read: what readers of JSON commonly take.
const MAX_DEPTH: u32 = 127;

/// A name stands twice in one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Repeated;

/// A place in JSON text that moves forward only and checks what it passes.
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
    /// One bit per level: whether it is an object.
    objects: u128,
    /// Just inside a container: no comma is due.
    fresh: bool,
    /// The name of the member whose value is next.
    key: Key,
    fault: Option<Reason>,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        let key = Key { start: 0, end: 0, escaped: false };
        Self { text, at: 0, depth: 0, objects: 0, fresh: false, key, fault: None }
    }

    /// Nothing but white space is left, and all that was passed was JSON.
    pub(crate) fn finish(mut self) -> Result<(), Reason> {
        if self.peek().is_some() {
            self.fail(Reason::NotJson);
        }
        self.fault.map_or(Ok(()), Err)
    }

    /// The next byte that is not white space.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = self.byte()?;
            if byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    /// Where the next value begins.
    pub(crate) fn mark(&mut self) -> usize {
        self.peek();
        self.at
    }

    /// What was passed since a mark.
    pub(crate) fn since(&self, mark: usize) -> Node<'a> {
        Node(self.text.get(mark..self.at).unwrap_or_default())
    }

    /// Hands the name of every member of the object that is next to `each`, which has to pass the value. False when
    /// something else is next, which is then passed.
    pub(crate) fn members(&mut self, mut each: impl FnMut(&mut Self, Cow<'a, str>)) -> bool {
        if self.peek() != Some(b'{') {
            self.skip();
            return false;
        }
        self.open(true);
        while self.key() {
            let name = self.name();
            each(self, name);
        }
        true
    }

    /// Passes the value that is next and finds a member of it that must not be repeated: ids that decide whose data this is
    /// must not depend on the reader.
    pub(crate) fn only(&mut self, wanted: &str) -> Result<Option<Node<'a>>, Repeated> {
        let mut found = None;
        let mut repeated = false;
        self.members(|cursor, name| {
            let value = cursor.skip();
            if name == wanted {
                repeated |= found.replace(value).is_some();
            }
        });
        if repeated { Err(Repeated) } else { Ok(found) }
    }

    /// Steps into the array that is next. False, and nothing passed, when something else is next.
    pub(crate) fn enter_array(&mut self) -> bool {
        let is_next = self.peek() == Some(b'[');
        if is_next {
            self.open(false);
        }
        is_next
    }

    /// Inside an array: whether there is another element, which is then next; at the end steps out.
    #[inline]
    pub(crate) fn element(&mut self) -> bool {
        match (self.peek(), self.fresh) {
            (Some(b']'), _) => {
                self.close();
                false
            }
            (Some(b','), false) => {
                self.at += 1;
                true
            }
            (Some(_), true) => true,
            _ => {
                self.fail(Reason::NotJson);
                false
            }
        }
    }

    /// Passes the value that is next.
    pub(crate) fn skip(&mut self) -> Node<'a> {
        let start = self.mark();
        let outside = self.depth;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.string();
                }
                Some(b'{') => {
                    self.open(true);
                    if self.key() {
                        continue;
                    }
                }
                Some(b'[') => {
                    self.open(false);
                    if self.element() {
                        continue;
                    }
                }
                Some(b'-' | b'0'..=b'9') => self.number(),
                Some(b't') => self.literal("true"),
                Some(b'f') => self.literal("false"),
                Some(b'n') => self.literal("null"),
                _ => self.fail(Reason::NotJson),
            }
            // A value has ended, and maybe what it stood in.
            loop {
                self.fresh = false;
                if self.depth <= outside || self.fault.is_some() {
                    return self.since(start);
                }
                let more = if self.objects & 1 == 1 { self.key() } else { self.element() };
                if more {
                    break;
                }
            }
        }
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    #[cold]
    fn fail(&mut self, reason: Reason) {
        self.fault.get_or_insert(reason);
        self.at = self.text.len();
    }

    #[inline]
    fn open(&mut self, object: bool) {
        self.at += 1;
        self.fresh = true;
        if self.depth == MAX_DEPTH {
            return self.fail(Reason::TooDeep);
        }
        self.depth += 1;
        self.objects = (self.objects << 1) | u128::from(object);
    }

    #[inline]
    fn close(&mut self) {
        self.at += 1;
        self.fresh = false;
        self.depth = self.depth.saturating_sub(1);
        self.objects >>= 1;
    }

    /// Inside an object: whether there is another member, whose name is noted and whose value is then next; at the end
    /// steps out.
    #[inline]
    fn key(&mut self) -> bool {
        let mut next = self.peek();
        if next == Some(b'}') {
            self.close();
            return false;
        }
        if !self.fresh {
            if next != Some(b',') {
                self.fail(Reason::NotJson);
                return false;
            }
            self.at += 1;
            next = self.peek();
        }
        if next != Some(b'"') {
            self.fail(Reason::NotJson);
            return false;
        }
        let start = self.at + 1;
        let escaped = self.string();
        self.key = Key { start, end: self.at.saturating_sub(1), escaped };
        if self.peek() != Some(b':') {
            self.fail(Reason::NotJson);
            return false;
        }
        self.at += 1;
        self.fresh = false;
        true
    }

    fn name(&self) -> Cow<'a, str> {
        let inside = self.text.get(self.key.start..self.key.end).unwrap_or_default();
        if self.key.escaped { unescape(inside) } else { Cow::Borrowed(inside) }
    }

    /// Passes a string; tells whether anything in it is escaped. Meta escapes whatever is not ASCII, so escapes come in runs.
    fn string(&mut self) -> bool {
        let bytes = self.text.as_bytes();
        let mut at = self.at + 1;
        let mut escaped = false;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            if let Some(chunk) = rest.first_chunk::<8>() {
                let word = u64::from_le_bytes(*chunk);
                if word as u16 == u16::from_le_bytes(*b"\\u") && is_hex((word >> 16) as u32) {
                    escaped = true;
                    at += 6;
                    continue;
                }
                let ends = ends(word);
                if ends == 0 {
                    at += 8;
                    continue;
                }
                at += ends.trailing_zeros() as usize / 8;
            } else {
                let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
                at += rest.iter().position(ends).unwrap_or(rest.len());
            }
            match bytes.get(at..).unwrap_or_default() {
                [b'"', ..] => {
                    self.at = at + 1;
                    return escaped;
                }
                [b'\\', b'u', a, b, c, d, ..] if is_hex(u32::from_le_bytes([*a, *b, *c, *d])) => {
                    escaped = true;
                    at += 6;
                }
                [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => {
                    escaped = true;
                    at += 2;
                }
                _ => {
                    self.fail(Reason::NotJson);
                    return escaped;
                }
            }
        }
    }

    fn number(&mut self) {
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        match self.byte() {
            Some(b'0') => self.at += 1,
            _ => self.digits(),
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits();
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digits();
        }
    }

    /// One digit at least.
    fn digits(&mut self) {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            self.fail(Reason::NotJson);
        }
    }

    fn literal(&mut self, word: &str) {
        if self.rest().starts_with(word.as_bytes()) {
            self.at += word.len();
        } else {
            self.fail(Reason::NotJson);
        }
    }
}

/// Where a member's name stands, without its quotes.
struct Key {
    start: usize,
    end: usize,
    escaped: bool,
}

/// Whether four bytes are hexadecimal digits: added to a byte below 0x80, 0x80 less a bound sets its high bit exactly when
/// the byte reaches the bound, and carries into no other.
#[inline]
const fn is_hex(digits: u32) -> bool {
    const ONES: u32 = u32::MAX / 255;
    const HIGHS: u32 = ONES << 7;
    if digits & HIGHS != 0 {
        return false;
    }
    let lower = digits | (ONES * 0x20);
    let digit = (digits + ONES * (0x80 - b'0' as u32)) & !(digits + ONES * (0x7f - b'9' as u32));
    let letter = (lower + ONES * (0x80 - b'a' as u32)) & !(lower + ONES * (0x7f - b'f' as u32));
    (digit | letter) & HIGHS == HIGHS
}

/// The high bits of the bytes that are a quote, a backslash or a control character; the lowest such bit is exact. A byte
/// becomes zero where it is the one looked for, and subtracting one from a zero byte borrows into its high bit. Borrows reach
/// only bytes after the first hit.
#[inline]
const fn ends(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let below = word.wrapping_sub(ONES * 0x20) | quote.wrapping_sub(ONES) | backslash.wrapping_sub(ONES);
    // Bytes of 0x80 and more are never looked for, and would read as below.
    below & !word & HIGHS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_agree_with_the_bytes() {
        for byte in 0..=u8::MAX {
            for place in 0..4 {
                let mut digits = *b"0aF9";
                digits[place] = byte;
                assert_eq!(
                    is_hex(u32::from_le_bytes(digits)),
                    byte.is_ascii_hexdigit(),
                    "{byte:#x} at {place}"
                );
            }
            for place in 0..8 {
                // What stands after the first hit may say anything.
                let mut text = [0xc3, b'!', b' ', 0x7f, b'#', b']', b'[', 0xff];
                text[place] = byte;
                let found = ends(u64::from_le_bytes(text)).trailing_zeros() as usize / 8;
                let expected = if matches!(byte, b'"' | b'\\' | 0..0x20) { place } else { 8 };
                assert_eq!(found, expected, "{byte:#x} at {place}");
            }
        }
    }
}
