//! Uploads in parts. They are known in memory only and end with the process, and their parts with them.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use s3s::dto::CompletedPart;
use s3s::{S3Result, s3_error};

use super::files::{Files, Staged, random_name};

/// S3's limit for every part but the last.
const PART_BYTES: u64 = 5 << 20;
const PARTS: i32 = 10_000;

#[derive(Debug, Default)]
pub(super) struct Uploads {
    open: Mutex<HashMap<String, Upload>>,
}

#[derive(Debug)]
struct Upload {
    bucket: String,
    key: String,
    began: SystemTime,
    parts: BTreeMap<i32, Arc<Part>>,
}

#[derive(Debug)]
pub(super) struct Part {
    pub(super) file: Staged,
    pub(super) tag: String,
    pub(super) size_bytes: u64,
}

/// An upload in a listing.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Begun {
    pub(super) key: String,
    pub(super) id: String,
    pub(super) began: SystemTime,
}

impl Uploads {
    pub(super) fn begin(&self, bucket: &str, key: &str) -> io::Result<String> {
        let id = random_name()?;
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        let upload = Upload { bucket, key, began: SystemTime::now(), parts: BTreeMap::new() };
        self.lock().insert(id.clone(), upload);
        Ok(id)
    }

    /// Whether a part may come.
    pub(super) fn expect(&self, bucket: &str, key: &str, id: &str, number: i32) -> S3Result<()> {
        if !(1..=PARTS).contains(&number) {
            return Err(s3_error!(InvalidArgument, "a part's number is 1 to 10000"));
        }
        find(&mut self.lock(), bucket, key, id).map(|_| ())
    }

    /// Keeps a part that has arrived, in place of an earlier one of its number.
    pub(super) fn add(&self, bucket: &str, key: &str, id: &str, number: i32, part: Part) -> S3Result<()> {
        find(&mut self.lock(), bucket, key, id)?.parts.insert(number, Arc::new(part));
        Ok(())
    }

    /// The parts that the client names, in its order.
    pub(super) fn chosen(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
        named: &[CompletedPart],
    ) -> S3Result<Vec<Arc<Part>>> {
        let mut open = self.lock();
        let upload = find(&mut open, bucket, key, id)?;
        let mut chosen: Vec<Arc<Part>> = Vec::with_capacity(named.len());
        let mut last = 0;
        for part in named {
            let number = part.part_number.ok_or_else(|| s3_error!(InvalidPart))?;
            if number <= last {
                return Err(s3_error!(InvalidPartOrder));
            }
            last = number;
            let tag = part.e_tag.as_ref().map(s3s::dto::ETag::value);
            let kept = upload.parts.get(&number).filter(|kept| Some(kept.tag.as_str()) == tag);
            chosen.push(kept.ok_or_else(|| s3_error!(InvalidPart))?.clone());
        }
        match chosen.split_last() {
            None => Err(s3_error!(InvalidPart)),
            Some((_, others)) if others.iter().any(|part| part.size_bytes < PART_BYTES) => {
                Err(s3_error!(EntityTooSmall))
            }
            Some(_) => Ok(chosen),
        }
    }

    /// Forgets the upload; its parts go with it.
    pub(super) fn end(&self, bucket: &str, key: &str, id: &str) -> S3Result<()> {
        let mut open = self.lock();
        find(&mut open, bucket, key, id)?;
        let ended = open.remove(id);
        // Unlinking is for outside of the lock.
        drop(open);
        drop(ended);
        Ok(())
    }

    /// In the order of a listing.
    pub(super) fn begun(&self, bucket: &str, prefix: &str) -> Vec<Begun> {
        let open = self.lock();
        let of_bucket =
            open.iter().filter(|(_, upload)| upload.bucket == bucket && upload.key.starts_with(prefix));
        let mut begun: Vec<Begun> = of_bucket
            .map(|(id, upload)| Begun { key: upload.key.clone(), id: id.clone(), began: upload.began })
            .collect();
        begun.sort_unstable();
        begun
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Upload>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Joins the parts in a new file, fsynced.
pub(super) fn join(files: &Files, parts: &[Arc<Part>]) -> io::Result<Staged> {
    let (staged, mut whole) = files.stage()?;
    for part in parts {
        // Copied within the kernel.
        let mut file: File = part.file.open()?;
        let copied = io::copy(&mut file, &mut whole)?;
        if copied != part.size_bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    whole.sync_all()?;
    Ok(staged)
}

fn find<'a>(
    open: &'a mut HashMap<String, Upload>,
    bucket: &str,
    key: &str,
    id: &str,
) -> S3Result<&'a mut Upload> {
    open.get_mut(id)
        .filter(|upload| upload.bucket == bucket && upload.key == key)
        .ok_or_else(|| s3_error!(NoSuchUpload))
}
