//! What commands print: tables for people, one JSON object a line for programs.

use std::io::{ErrorKind, Write};

use comfy_table::{ContentArrangement, Table, presets};
use console::wire::{List, Standing};
use serde::Serialize;

use crate::cli::failure::Failure;

/// Prints a line. Ends the process quietly when nobody reads any more, as in `tidings event list … | head`.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}") {
        Err(cause) if cause.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        done => Ok(done?),
    }
}

/// Prints an object as one line of JSON.
pub(crate) fn json(object: &impl Serialize) -> Result<(), Failure> {
    line(&serde_json::to_string(object).map_err(anyhow::Error::from)?)
}

/// Prints each object as one line of JSON, or all of them as a table.
pub(crate) fn list<T: Serialize, const N: usize>(
    as_json: bool,
    items: &[T],
    none: &str,
    heads: [&str; N],
    row: impl Fn(&T) -> [String; N],
) -> Result<(), Failure> {
    if as_json {
        return items.iter().try_for_each(json);
    }
    if items.is_empty() {
        return line(none);
    }
    table(heads, items.iter().map(row))
}

/// Prints what stands of something.
pub(crate) fn standing(as_json: bool, standing: List<Standing>, none: &str) -> Result<(), Failure> {
    list(as_json, &standing.items, none, ["since", "what", "which", "how"], |one| {
        [at(&one.since), one.kind.clone(), one.item.clone(), said(&one.content)]
    })
}

/// An object's members in a few words, those of objects in it too.
fn said(content: &serde_json::Value) -> String {
    let mut told = Vec::new();
    tell("", content, &mut told);
    told.join(" ")
}

fn tell(name: &str, value: &serde_json::Value, told: &mut Vec<String>) {
    let within = |inner: &str| if name.is_empty() { inner.to_owned() } else { format!("{name}.{inner}") };
    match value {
        serde_json::Value::Object(members) => {
            members.iter().for_each(|(inner, value)| tell(&within(inner), value, told));
        }
        serde_json::Value::Array(elements) => elements.iter().for_each(|value| tell(name, value, told)),
        serde_json::Value::String(text) => told.push(format!("{name}={text}")),
        other => told.push(format!("{name}={other}")),
    }
}

/// Prints a table.
pub(crate) fn table<const N: usize>(
    heads: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if let Some((width, _)) = terminal_size::terminal_size_of(std::io::stdout()) {
        table.set_width(width.0);
    }
    table.set_header(heads.map(str::to_uppercase));
    for row in rows {
        table.add_row(row.map(|cell| plain(&cell)));
    }
    line(&table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n"))
}

/// Tells on standard error what went wrong and what to do.
pub(crate) fn failure(failure: &Failure) {
    let mut text = format!("error: {}", failure.error);
    if !failure.help.is_empty() {
        text.push_str(&format!("\n  {}", failure.help));
    }
    // Standard error may be closed: then nobody wants to know.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Text from outside, safe for a terminal: control characters, escape sequences among them, become spaces.
pub(crate) fn plain(text: &str) -> String {
    // Beside the control characters: marks that turn the writing direction of everything after them.
    let turns = |c: char| matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if c.is_control() || turns(c) { ' ' } else { c }).collect()
}

/// An RFC 3339 time as people read it: without `T`, fraction and zone (it is UTC).
pub(crate) fn at(time: &str) -> String {
    time.split('.').next().unwrap_or_default().replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_safe_from_what_people_write() {
        assert_eq!(plain("a\u{1b}[31mb\nc\u{202e}d\u{9b}e"), "a [31mb c d e");
        assert_eq!(plain("héllo 👋🏽 שלום"), "héllo 👋🏽 שלום");
    }

    #[test]
    fn times_are_short_for_people() {
        assert_eq!(at("2023-11-14T22:13:20.123Z"), "2023-11-14 22:13:20");
    }
}
