//! Strings decoded leniently.

use std::borrow::Cow;

/// Decodes the inside of a string. Never fails: what is no character reads U+FFFD.
pub(super) fn unescape(inside: &str) -> Cow<'_, str> {
    let Some(first) = inside.bytes().position(|byte| byte == b'\\') else { return Cow::Borrowed(inside) };
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
        let next = rest.find('\\').unwrap_or(rest.len());
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
