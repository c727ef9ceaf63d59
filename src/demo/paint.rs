//! Putting text on the terminal: a block that is drawn over itself, or plain lines when nobody watches.

use std::io::{IsTerminal, Write};

use crate::cli::Failure;

/// Prints a line.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}

/// A block of lines that is drawn again and again in its place.
pub(crate) struct Canvas {
    live: bool,
    colour: bool,
    height: usize,
}

/// How a piece of text stands out.
#[derive(Clone, Copy)]
pub(crate) enum Ink {
    Bold,
    Dim,
    Good,
    Bad,
    Warm,
}

impl Canvas {
    pub(crate) fn new() -> Self {
        let live =
            std::io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self { live, colour: live && std::env::var_os("NO_COLOR").is_none(), height: 0 }
    }

    /// Somebody watches: draw instead of adding lines.
    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    /// The text in this ink, where there are colours.
    pub(crate) fn ink(&self, ink: Ink, text: impl AsRef<str>) -> String {
        let text = text.as_ref();
        if !self.colour {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Bold => 1,
            Ink::Dim => 2,
            Ink::Good => 32,
            Ink::Bad => 31,
            Ink::Warm => 33,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Draws the block over the one before.
    pub(crate) fn draw(&mut self, block: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        if self.height > 0 {
            // Up to where it began, and clear from there on.
            write!(out, "\x1b[{}A\x1b[J", self.height)?;
        }
        write!(out, "{block}")?;
        out.flush()?;
        self.height = block.matches('\n').count();
        Ok(())
    }

    /// Prints a line that stays: the next block comes below it.
    pub(crate) fn say(&mut self, text: &str) -> Result<(), Failure> {
        self.height = 0;
        line(text)
    }
}

/// Digits in groups of three.
pub(crate) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A line of bars, the newest to the right.
pub(crate) fn spark(values: impl ExactSizeIterator<Item = u64> + Clone) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = values.clone().max().unwrap_or(0).max(1);
    values.map(|value| BARS[(value * 7 / most).min(7) as usize]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_bars_read_well() {
        for (value, text) in [(0, "0"), (999, "999"), (1000, "1 000"), (1_234_567, "1 234 567")] {
            assert_eq!(number(value), text);
        }
        assert_eq!(spark([0, 5, 10].into_iter()), "▁▄█");
        assert_eq!(spark([].into_iter()), "");
    }
}
