//! One value, read leniently: what is of another type than asked for reads as absent.

use std::borrow::Cow;

use super::Cursor;
use super::text::unescape;

/// One value: exactly its text.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a>(pub(super) &'a str);

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
        Cursor::new(self.0).members(|cursor, name| {
            let value = cursor.skip();
            for (wanted, place) in names.iter().zip(&mut picked) {
                if *wanted == name {
                    *place = if value.is_null() { None } else { Some(value) };
                }
            }
        });
        picked
    }

    /// One member.
    pub(crate) fn get(self, name: &str) -> Option<Node<'a>> {
        let [value] = self.pick([name]);
        value
    }

    /// The members of an object, in the order they stand; none when it is something else.
    pub(crate) fn members(self) -> Vec<(Cow<'a, str>, Node<'a>)> {
        let mut members = Vec::new();
        Cursor::new(self.0).members(|cursor, name| members.push((name, cursor.skip())));
        members
    }

    /// The elements of an array; none when it is something else.
    pub(crate) fn elements(self) -> impl Iterator<Item = Node<'a>> {
        let mut cursor = Cursor::new(self.0);
        let mut inside = cursor.enter_array();
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
