//! What a power cut can leave at the end of the store's journal, and the store does not mend by itself.
//!
//! The store cuts off a batch without an end. But the pages of a write reach the disk in any order before its sync: the
//! last batch may have its end and miss something in between. Nobody was told that it is durable, so it is set aside.
//! A damaged batch that is not the last one is damage to what was confirmed: that is never touched, and the log does not
//! open. The layout is that of the exact version of `fjall` in Cargo.toml.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

const TRAILER: &[u8] = b"FJL\x03";

/// A journal without its last batch, until it is known whether that helped.
pub(super) struct Mended {
    journal: PathBuf,
    /// The journal as it was.
    torn: PathBuf,
}

impl Mended {
    /// It helped; the torn journal stays beside the store, for whoever wants to know.
    pub(super) fn kept_at(&self) -> &Path {
        &self.torn
    }

    /// It did not help: everything as it was.
    pub(super) fn undo(self) -> io::Result<()> {
        std::fs::copy(&self.torn, &self.journal)?;
        std::fs::remove_file(self.torn)
    }
}

/// Takes the last batch off the newest journal; nothing when something whole comes after it.
pub(super) fn without_last_batch(store: &Path) -> io::Result<Option<Mended>> {
    let Some(journal) = newest(store)? else { return Ok(None) };
    let bytes = std::fs::read(&journal)?;
    let Some((start, end)) = last_batch(&bytes) else { return Ok(None) };
    let rest = bytes.get(end..).unwrap_or_default();
    if rest.windows(TRAILER.len()).any(|window| window == TRAILER) {
        return Ok(None);
    }
    let torn = journal.with_extension("torn");
    std::fs::write(&torn, &bytes)?;
    let file = OpenOptions::new().write(true).open(&journal)?;
    file.set_len(start as u64)?;
    file.sync_all()?;
    Ok(Some(Mended { journal, torn }))
}

fn newest(store: &Path) -> io::Result<Option<PathBuf>> {
    let mut newest = None;
    for entry in std::fs::read_dir(store)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if path.extension().is_some_and(|extension| extension == "jnl") && number.is_some() {
            newest = newest.max(Some((number, path)));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// Where the last batch that has its end begins and ends.
fn last_batch(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut last = None;
    let mut start = None;
    let mut at = 0;
    while let Some((tag, next)) = entry(bytes, at) {
        match tag {
            1 => start = Some(at),
            3 => last = Some((start?, next)),
            _ => {}
        }
        at = next;
    }
    last
}

/// The tag of the entry at this place, and where the next one is.
fn entry(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let number = |from: usize, len: usize| -> Option<usize> {
        let field = bytes.get(at + from..at + from + len)?;
        Some(field.iter().rev().fold(0, |number, byte| (number << 8) | usize::from(*byte)))
    };
    let tag = *bytes.get(at)?;
    let len = match tag {
        // Items of the batch, its sequence number.
        1 => 1 + 4 + 8,
        // Kind, compression, keyspace; lengths of the key, the value, and the value as it is here.
        2 => 1 + 1 + 1 + 8 + 2 + 4 + 4 + number(11, 2)? + number(17, 4)?,
        // Checksum, trailer.
        3 => {
            let trailer = bytes.get(at + 9..at + 9 + TRAILER.len())?;
            (trailer == TRAILER).then_some(1 + 8 + TRAILER.len())?
        }
        4 => 1 + 8,
        _ => return None,
    };
    (at + len <= bytes.len()).then_some((tag, at + len))
}
