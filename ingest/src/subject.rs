//! The common name in a certificate's subject, read from its DER.
//!
//! Only certificates whose chain has been verified come here, but the reader trusts no length all the same.

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// 2.5.4.3, `id-at-commonName`.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// Whether the subject (the inside of its outer `SEQUENCE`) has one common name, and it is this one.
pub(crate) fn is_named(subject: &[u8], common_name: &str) -> bool {
    let mut names = Vec::new();
    collect(subject, &mut names).is_some() && names == [common_name.as_bytes()]
}

fn collect<'a>(mut subject: &'a [u8], names: &mut Vec<&'a [u8]>) -> Option<()> {
    while !subject.is_empty() {
        let mut attributes = expect(&mut subject, SET)?;
        while !attributes.is_empty() {
            let mut attribute = expect(&mut attributes, SEQUENCE)?;
            let kind = expect(&mut attribute, OBJECT_IDENTIFIER)?;
            let (_, value) = take(&mut attribute)?;
            if kind == COMMON_NAME {
                names.push(value);
            }
        }
    }
    Some(())
}

fn expect<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    take(input).and_then(|(found, value)| (found == tag).then_some(value))
}

/// One tag, length and value off the front.
fn take<'a>(input: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (tag, rest) = input.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
        0x82 => {
            rest.split_first_chunk().map(|(length, rest)| (usize::from(u16::from_be_bytes(*length)), rest))?
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    *input = rest;
    Some((*tag, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: &[u8], text: &str) -> Vec<u8> {
        let wrap = |tag: u8, value: &[u8]| [&[tag, u8::try_from(value.len()).unwrap()], value].concat();
        let pair = [wrap(OBJECT_IDENTIFIER, kind), wrap(0x0c, text.as_bytes())].concat();
        wrap(SET, &wrap(SEQUENCE, &pair))
    }

    #[test]
    fn the_one_common_name_has_to_match() {
        let organisation = attribute(&[0x55, 0x04, 0x0a], "client.example");
        let name = attribute(COMMON_NAME, "client.example");
        let other = attribute(COMMON_NAME, "client.example.evil");
        let both = [organisation.clone(), name.clone()].concat();
        assert!(is_named(&name, "client.example"));
        assert!(is_named(&both, "client.example"));
        assert!(!is_named(&organisation, "client.example"));
        assert!(!is_named(&other, "client.example"));
        assert!(!is_named(&[name.clone(), other].concat(), "client.example"), "two names are none");
        assert!(!is_named(&[], "client.example"));
        for end in 1..both.len() {
            assert!(
                !is_named(&both[..end], "client.example") || both[..end] == name[..],
                "cut short at {end}"
            );
        }
    }
}
