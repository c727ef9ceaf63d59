//! A short token at the end of every text that a person would see. Views key messages by hashes that nobody outside can
//! work out, so the token is how a shown message is known again.

const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 8;
const BITS: u64 = 5 * LENGTH as u64;
/// Odd, so that multiplying by it is a bijection on 40-bit numbers.
const STRIDE: u64 = 0x5d_58_8b_65_a7;

/// The token of the update with this number: `#` and eight characters, different for every number below 2^40.
pub(crate) fn marker(seed: u64, number: u64) -> String {
    let mask = (1 << BITS) - 1;
    let mixed = number.wrapping_mul(STRIDE).wrapping_add(seed) & mask;
    let digits = (0..LENGTH).map(|place| char::from(DIGITS[(mixed >> (5 * place) & 31) as usize]));
    std::iter::once('#').chain(digits).collect()
}

/// The last token in a text.
pub(crate) fn find(text: &str) -> Option<&str> {
    text.rmatch_indices('#').find_map(|(at, _)| {
        let token = text.get(at..at + 1 + LENGTH)?;
        token.bytes().skip(1).all(|byte| DIGITS.contains(&byte)).then_some(token)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn are_unique_and_found_again() {
        let all: HashSet<String> = (0..100_000).map(|number| marker(7, number)).collect();
        assert_eq!(all.len(), 100_000);
        let token = marker(7, 12);
        assert_eq!(find(&format!("مرحبا # {token}\u{200f}")), Some(token.as_str()));
        assert_eq!(find(&format!("{token} #no")), Some(token.as_str()));
        assert_eq!(find("#short"), None);
        assert_eq!(find("#ääääääää"), None);
    }
}
