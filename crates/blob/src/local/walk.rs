//! Listing a folder in the order of keys.

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::files::{OBJECT, is_absent};

/// What to list.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) prefix: String,
    pub(super) after: String,
    pub(super) limit: usize,
}

/// One object.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) key: String,
    pub(super) size_bytes: u64,
    pub(super) modified: SystemTime,
    pub(super) tag: String,
}

/// The first `limit` objects, and one more if there are more. What is deleted meanwhile is left out.
pub(super) fn walk(bucket: &Path, query: &Query) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    visit(bucket, "", query, &mut found)?;
    Ok(found)
}

/// `at` is what every key in the folder begins with.
fn visit(folder: &Path, at: &str, query: &Query, found: &mut Vec<Found>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if is_absent(&cause) => return Ok(()),
        Err(cause) => return Err(cause),
    };
    // A folder sorts by its name and a slash, which is how its keys go on; so its keys come in one run, in order.
    let mut keys = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let key = match name.strip_suffix(OBJECT) {
            Some(segment) => format!("{at}{segment}"),
            None => format!("{at}{name}/"),
        };
        if key.ends_with('/') {
            let holds_prefix = key.starts_with(&query.prefix) || query.prefix.starts_with(&key);
            let is_behind = query.after > key && !query.after.starts_with(&key);
            if holds_prefix && !is_behind {
                keys.push((key, entry));
            }
        } else if key.starts_with(&query.prefix) && key > query.after {
            keys.push((key, entry));
        }
    }
    keys.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
    for (key, entry) in keys {
        if found.len() > query.limit {
            break;
        }
        if key.ends_with('/') {
            visit(&entry.path(), &key, query, found)?;
            continue;
        }
        match entry.metadata() {
            Ok(metadata) => found.push(Found {
                key,
                size_bytes: metadata.len(),
                modified: metadata.modified()?,
                tag: super::files::tag(&metadata),
            }),
            Err(cause) if is_absent(&cause) => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(())
}
