//! Meta's times, which come in seconds, milliseconds and strings (`meta-platform.md` §10.12).

use crate::json::Node;

/// 2010-01-01, before any of the three products: an earlier time is no time.
const EARLIEST_MS: i64 = 1_262_304_000_000;
/// How far Meta's clock may run ahead of ours.
const AHEAD_MS: i64 = 5 * 60 * 1000;

/// Unix milliseconds of a time in seconds (below 10^12) or milliseconds. Not clamped.
pub(crate) fn millis(node: Node<'_>) -> Option<i64> {
    let number = node.integer()?;
    Some(if (0..1_000_000_000_000).contains(&number) { number * 1000 } else { number })
}

/// The first of `candidates` that can be true of something that arrived at `received_ms`, else the arrival: one absurd time
/// must not put a message at either end of its conversation for good.
pub(crate) fn plausible<const N: usize>(candidates: [Option<i64>; N], received_ms: i64) -> i64 {
    let latest = received_ms.saturating_add(AHEAD_MS);
    candidates.into_iter().flatten().find(|ms| (EARLIEST_MS..=latest).contains(ms)).unwrap_or(received_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Cursor;

    #[track_caller]
    fn check(written: &str, expected_ms: i64) {
        let received_ms = 1_790_000_000_000;
        assert_eq!(plausible([millis(Cursor::new(written).skip())], received_ms), expected_ms, "{written}");
    }

    #[test]
    fn seconds_milliseconds_and_strings_are_one() {
        check("1780000000", 1_780_000_000_000);
        check("1780000000123", 1_780_000_000_123);
        check(r#""1780000000""#, 1_780_000_000_000);
        check(r#""1780000000123""#, 1_780_000_000_123);
        check("1.78e9", 1_780_000_000_000);
    }

    #[test]
    fn times_that_cannot_be_read_as_the_arrival() {
        for absurd in
            ["0", "-5", "1", "9999999999", "1790000400000", "1e300", "99999999999999999999", r#""""#, "{}"]
        {
            check(absurd, 1_790_000_000_000);
        }
        check("1790000299999", 1_790_000_299_999);
    }
}
