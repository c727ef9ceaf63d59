//! Names that somebody types in.

use crate::problem::Problem;

const MAX_CHARS: usize = 200;

/// Whether a text can be a name: 1 to 200 printable characters.
pub(super) fn is_name(text: &str) -> bool {
    (1..=MAX_CHARS).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// What a name is, for whoever gave something else.
pub(super) fn what_a_name_is() -> String {
    format!("1 to {MAX_CHARS} printable characters")
}

/// Refuses what looks like the number of a payment card: none is kept here (`reliability.md` P14).
pub(super) fn without_card_number(text: &str) -> Result<(), Problem> {
    if holds_card_number(text) {
        return Err(Problem::bad_request(
            "this looks like the number of a payment card, and none is kept here",
            "leave the number out",
        ));
    }
    Ok(())
}

/// Whether 13 to 19 digits stand together, apart from single spaces and dashes, and pass Luhn's check.
fn holds_card_number(text: &str) -> bool {
    let mut run: Vec<u32> = Vec::new();
    let mut gap = false;
    for c in text.chars().chain(std::iter::once('.')) {
        match c.to_digit(10) {
            Some(digit) => {
                run.push(digit);
                gap = false;
            }
            None if (c == ' ' || c == '-') && !gap => gap = true,
            None => {
                if (13..=19).contains(&run.len()) && luhn(&run) {
                    return true;
                }
                run.clear();
                gap = false;
            }
        }
    }
    false
}

fn luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match place % 2 {
            0 => *digit,
            _ => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_numbers_are_told_from_other_numbers() {
        // Numbers that the schemes publish for tests.
        for card in [
            "4111111111111111",
            "Bakery 5555 5555 5555 4444",
            "3782-822463-10005 (old)",
            "x4222222222222",
            "6304000000000000000",
        ] {
            assert!(holds_card_number(card), "{card}");
        }
        for other in
            ["4111111111111112", "+1 555 123 4567", "Route 66", "", "411111111111", "4111  1111  1111  1111"]
        {
            assert!(!holds_card_number(other), "{other}");
        }
    }
}
