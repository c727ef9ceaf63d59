//! A view over JSON text that is known to be valid: finds members and elements without building a tree, and reads values
//! leniently, because Meta's types drift (`meta-platform.md` §10.12) and user text may hold what strict readers refuse.
//!
//! Nothing here recurses, so depth costs no stack, and nothing here fails: what is not there, or is of another type, reads
//! as absent. It validates nothing; [`crate::split`] has the whole body checked by `serde_json` first.

use std::borrow::Cow;

/// One value: exactly its text.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a>(&'a str);

impl<'a> Node<'a> {
    /// Exactly its text.
    pub(crate) const fn text(self) -> &'a str {
        self.0
    }

    fn first_byte(self) -> u8 {
        self.0.as_bytes().first().copied().unwrap_or_default()
    }

    pub(crate) fn is_object(self) -> bool {
        self.first_byte() == b'{'
    }

    pub(crate) fn is_array(self) -> bool {
        self.first_byte() == b'['
    }

    pub(crate) fn is_null(self) -> bool {
        self.first_byte() == b'n'
    }

    /// An object with members or an array with elements.
    pub(crate) fn holds_something(self) -> bool {
        let inside = self.0.get(1..).unwrap_or_default().trim_ascii_start();
        (self.is_object() || self.is_array()) && !inside.starts_with(['}', ']'])
    }

    /// The members of these names in one pass; `null` reads as absent. Of a repeated name the last counts, as in most
    /// readers of JSON.
    pub(crate) fn pick<const N: usize>(self, names: [&str; N]) -> [Option<Node<'a>>; N] {
        let mut picked = [None; N];
        let mut cursor = Cursor::new(self.0);
        if cursor.enter(b'{') {
            while let Some(key) = cursor.key() {
                let value = cursor.skip();
                if let Some(place) = names.iter().position(|name| key.is(name)).and_then(|at| picked.get_mut(at)) {
                    *place = if value.is_null() { None } else { Some(value) };
                }
            }
        }
        picked
    }

    /// A member that must not be repeated: ids that decide whose data this is must not depend on the reader.
    pub(crate) fn only(self, name: &str) -> Result<Option<Node<'a>>, Repeated> {
        let mut found = None;
        let mut cursor = Cursor::new(self.0);
        if cursor.enter(b'{') {
            while let Some(key) = cursor.key() {
                let value = cursor.skip();
                if key.is(name) && found.replace(value).is_some() {
                    return Err(Repeated);
                }
            }
        }
        Ok(found)
    }

    /// One member.
    pub(crate) fn get(self, name: &str) -> Option<Node<'a>> {
        let [value] = self.pick([name]);
        value
    }

    /// The elements of an array; none when it is something else.
    pub(crate) fn elements(self) -> impl Iterator<Item = Node<'a>> {
        let mut cursor = Cursor::new(self.0);
        let mut inside = cursor.enter(b'[');
        std::iter::from_fn(move || {
            inside = inside && cursor.element();
            inside.then(|| cursor.skip())
        })
    }

    /// A string that is not empty, decoded; a lone surrogate reads U+FFFD.
    pub(crate) fn string(self) -> Option<Cow<'a, str>> {
        let inside = self.0.strip_prefix('"')?.strip_suffix('"')?;
        (!inside.is_empty()).then(|| unescape(inside))
    }

    /// The same, owned.
    pub(crate) fn owned(self) -> Option<String> {
        self.string().map(Cow::into_owned)
    }

    /// A string that is not empty, or a number as it is written: ids and numbers that Meta writes either way.
    pub(crate) fn scalar(self) -> Option<Cow<'a, str>> {
        match self.first_byte() {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => Some(Cow::Borrowed(self.0)),
            _ => None,
        }
    }

    pub(crate) fn is_true(self) -> bool {
        self.first_byte() == b't'
    }

    /// A boolean.
    pub(crate) fn boolean(self) -> Option<bool> {
        matches!(self.first_byte(), b't' | b'f').then(|| self.is_true())
    }

    /// A whole number, written as number or string.
    pub(crate) fn integer(self) -> Option<i64> {
        let text = self.scalar()?;
        let text = text.trim();
        if let Ok(number) = text.parse::<i64>() {
            return Some(number);
        }
        // 1.7e9, 1700000000.0 and what is too large for 64 bits; `as` saturates.
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite())?;
        Some(number as i64)
    }

    /// A number, written as number or string.
    pub(crate) fn float(self) -> Option<f64> {
        self.scalar()?.trim().parse::<f64>().ok().filter(|number| number.is_finite())
    }
}

/// A name stands twice in one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Repeated;

/// A member's name as it is written, without its quotes.
#[derive(Clone, Copy)]
pub(crate) struct Key<'a>(&'a str);

impl<'a> Key<'a> {
    pub(crate) fn is(self, name: &str) -> bool {
        self.0 == name || (self.0.contains('\\') && unescape(self.0) == name)
    }

    pub(crate) fn name(self) -> Cow<'a, str> {
        unescape(self.0)
    }
}

/// A place in JSON text that moves forward only.
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    deepest: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0, deepest: 0 }
    }

    /// The deepest nesting passed so far.
    pub(crate) const fn deepest(&self) -> usize {
        self.deepest
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is not white space.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.byte() {
            if byte > b' ' {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Steps into an object (`{`) or array (`[`), when one is next.
    pub(crate) fn enter(&mut self, open: u8) -> bool {
        let is_next = self.peek() == Some(open);
        if is_next {
            self.at += 1;
            self.depth += 1;
            self.deepest = self.deepest.max(self.depth);
        }
        is_next
    }

    /// Inside an object: the next member's name, with its value next; at the end steps out.
    pub(crate) fn key(&mut self) -> Option<Key<'a>> {
        if self.peek() == Some(b',') {
            self.at += 1;
            self.peek();
        }
        if self.byte() != Some(b'"') {
            self.leave();
            return None;
        }
        let start = self.at + 1;
        self.skip_string();
        let key = Key(self.text.get(start..self.at.saturating_sub(1)).unwrap_or_default());
        if self.peek() == Some(b':') {
            self.at += 1;
        }
        Some(key)
    }

    /// Inside an array: whether there is another element, which is then next; at the end steps out.
    pub(crate) fn element(&mut self) -> bool {
        if self.peek() == Some(b',') {
            self.at += 1;
            self.peek();
        }
        let more = self.byte().is_some_and(|byte| byte != b']');
        if !more {
            self.leave();
        }
        more
    }

    fn leave(&mut self) {
        self.at += 1;
        self.depth = self.depth.saturating_sub(1);
    }

    /// Where the next value begins.
    pub(crate) fn mark(&mut self) -> usize {
        self.peek();
        self.at
    }

    /// What was stepped over since a mark.
    pub(crate) fn since(&self, mark: usize) -> Node<'a> {
        Node(self.text.get(mark..self.at).unwrap_or_default())
    }

    /// Steps over the next value.
    pub(crate) fn skip(&mut self) -> Node<'a> {
        self.peek();
        let start = self.at;
        match self.byte() {
            Some(b'"') => self.skip_string(),
            Some(b'{' | b'[') => self.skip_nested(),
            _ => {
                // One byte at least, so that even what is not JSON comes to an end.
                self.at += 1;
                while self.byte().is_some_and(|byte| byte > b' ' && !matches!(byte, b',' | b']' | b'}')) {
                    self.at += 1;
                }
            }
        }
        Node(self.text.get(start..self.at).unwrap_or_default())
    }

    fn skip_nested(&mut self) {
        let outside = self.depth;
        while let Some(byte) = self.byte() {
            match byte {
                b'"' => {
                    self.skip_string();
                    continue;
                }
                b'{' | b'[' => {
                    self.depth += 1;
                    self.deepest = self.deepest.max(self.depth);
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth <= outside {
                        self.at += 1;
                        return;
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    fn skip_string(&mut self) {
        self.at += 1;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            match memchr::memchr2(b'"', b'\\', rest) {
                Some(found) if rest.get(found) == Some(&b'\\') => self.at += found + 2,
                Some(found) => {
                    self.at += found + 1;
                    return;
                }
                None => {
                    self.at = self.text.len();
                    return;
                }
            }
        }
    }
}

/// Decodes the inside of a string. Never fails: what is no character reads U+FFFD.
fn unescape(inside: &str) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(b'\\', inside.as_bytes()) else { return Cow::Borrowed(inside) };
    let (plain, mut rest) = inside.split_at(first);
    let mut text = String::with_capacity(inside.len());
    text.push_str(plain);
    while let Some(escaped) = rest.strip_prefix('\\') {
        let mut characters = escaped.chars();
        let letter = characters.next().unwrap_or(char::REPLACEMENT_CHARACTER);
        rest = characters.as_str();
        text.push(match letter {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let (character, after) = code_point(rest);
                rest = after;
                character
            }
            other => other,
        });
        let next = memchr::memchr(b'\\', rest.as_bytes()).unwrap_or(rest.len());
        let (plain, after) = rest.split_at(next);
        text.push_str(plain);
        rest = after;
    }
    Cow::Owned(text)
}

/// The character after `\u`, two escapes for a surrogate pair, and what follows.
fn code_point(text: &str) -> (char, &str) {
    let Some((high, after)) = hex4(text) else { return (char::REPLACEMENT_CHARACTER, text) };
    if let Some(character) = char::from_u32(high) {
        return (character, after);
    }
    let low = after.strip_prefix("\\u").and_then(hex4);
    match low {
        Some((low @ 0xdc00..=0xdfff, after)) if high < 0xdc00 => {
            let character = char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00));
            (character.unwrap_or(char::REPLACEMENT_CHARACTER), after)
        }
        _ => (char::REPLACEMENT_CHARACTER, after),
    }
}

fn hex4(text: &str) -> Option<(u32, &str)> {
    let digits = text.get(..4)?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    Some((u32::from_str_radix(digits, 16).ok()?, text.get(4..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn node(text: &str) -> Node<'_> {
        Cursor::new(text).skip()
    }

    #[test]
    fn members_are_found_whatever_stands_around_them() {
        let text = r#" { "a" : 1 , "b":{"a":"}","c":[1,{"a":2}]},"\u0061\u0062":"x\"]","n":null, "e":"" } "#;
        let [a, b, ab, n, e, z] = node(text).pick(["a", "b", "ab", "n", "e", "z"]);
        assert_eq!(a.unwrap().integer(), Some(1));
        assert_eq!(b.unwrap().text(), r#"{"a":"}","c":[1,{"a":2}]}"#);
        assert_eq!(ab.unwrap().owned().as_deref(), Some("x\"]"));
        assert!(n.is_none() && z.is_none());
        assert_eq!(e.unwrap().string(), None, "an empty string is absent");
        let elements: Vec<_> = node(r#"[ 1 ,"a,]" , [2,[3]],{} ]"#).elements().map(Node::text).collect();
        assert_eq!(elements, ["1", r#""a,]""#, "[2,[3]]", "{}"]);
        assert_eq!(node(r#"{"a":1,"a":2}"#).get("a").unwrap().integer(), Some(2), "the last counts");
    }

    #[test]
    fn strings_are_read_leniently() {
        for (written, read) in [
            (r#""plain""#, "plain"),
            (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r#""\u00e4 \ud83d\ude00 \u0000""#, "ä 😀 \0"),
            (r#""\ud83d x""#, "\u{fffd} x"),
            (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\ud83d\u0041""#, "\u{fffd}A"),
        ] {
            assert_eq!(node(written).owned().as_deref(), Some(read), "{written}");
        }
    }

    #[test]
    fn numbers_are_read_either_way() {
        for (written, read) in [
            ("1700000000", Some(1_700_000_000)),
            (r#""1700000000""#, Some(1_700_000_000)),
            ("1.7e9", Some(1_700_000_000)),
            ("-0", Some(0)),
            ("18446744073709551616", Some(i64::MAX)),
            ("1e400", None),
            (r#""soon""#, None),
            ("true", None),
            ("null", None),
        ] {
            assert_eq!(node(written).integer(), read, "{written}");
        }
        assert_eq!(node("9007199254740993").scalar().as_deref(), Some("9007199254740993"), "ids lose no digit");
    }

    proptest! {
        #[test]
        fn reads_what_serde_json_reads(text in "\\PC*", key in "\\PC{0,8}", number in any::<i64>()) {
            let value = serde_json::json!({ "before": [text, { key.clone(): number }], key.clone(): { "text": text } });
            let json = value.to_string();
            let read = node(&json).get(&key).and_then(|inner| inner.get("text"));
            let expected = value[&key]["text"].as_str().unwrap_or_default();
            prop_assert_eq!(read.and_then(Node::owned).unwrap_or_default(), expected);
        }

        #[test]
        fn any_text_at_all_is_survived(text in "[\\[\\]{}\",:\\\\u0d8a é\u{1}]{0,60}") {
            let node = node(&text);
            let _ = (node.get("a").is_some(), node.string(), node.scalar(), node.integer(), node.holds_something());
            for element in node.elements().take(100) {
                let _ = element.owned();
            }
        }
    }
}
