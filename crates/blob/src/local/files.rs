//! Objects as files: `objects/<bucket>/<segment>/…/<last segment>@`, and nothing beside them.
//!
//! The `@`, which no key can hold, keeps the object `a` apart from the folder of `a/b`. A file is written in `staging`,
//! fsynced, renamed to its place, and the folder is fsynced: visible means whole, answered means on the disk. A delete
//! unlinks, fsyncs the folder and removes folders that became empty. What a killed process left in `staging` is removed at
//! the next start; a lock keeps two servers off one folder.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rand::TryRngCore;
use rand::rngs::OsRng;

use super::walk::{Found, Query, walk};

/// Ends the file name of an object.
pub(super) const OBJECT: char = '@';

#[derive(Debug)]
pub(super) struct Files {
    objects: PathBuf,
    staging: PathBuf,
    /// Held while a file comes or goes, so that no folder is removed under a file on its way in. Holds the folders whose
    /// own entries are known to be on the disk.
    tree: Mutex<HashSet<PathBuf>>,
    _lock: File,
}

/// A file that is not visible yet; removed when dropped.
#[derive(Debug)]
pub(super) struct Staged {
    path: PathBuf,
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Gone already when it was renamed to its place.
        let _ = fs::remove_file(&self.path);
    }
}

impl Staged {
    pub(super) fn open(&self) -> io::Result<File> {
        File::open(&self.path)
    }
}

impl Files {
    /// `WouldBlock` when another process has the folder.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let folder = folder.canonicalize()?;
        fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
        let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(folder.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::from(ErrorKind::WouldBlock),
            TryLockError::Error(cause) => cause,
        })?;
        let (objects, staging) = (folder.join("objects"), folder.join("staging"));
        match fs::remove_dir_all(&staging) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
        make_dir(&staging)?;
        make_dir(&objects)?;
        sync_dir(&folder)?;
        if let Some(above) = folder.parent() {
            sync_dir(above)?;
        }
        Ok(Self { objects, staging, tree: Mutex::default(), _lock: lock })
    }

    /// Whether it was made now.
    pub(super) fn make_bucket(&self, bucket: &str) -> io::Result<bool> {
        let made = make_dir(&self.bucket(bucket))?;
        sync_dir(&self.objects)?;
        Ok(made)
    }

    pub(super) fn has_bucket(&self, bucket: &str) -> bool {
        self.bucket(bucket).is_dir()
    }

    /// An empty file to write to.
    pub(super) fn stage(&self) -> io::Result<(Staged, File)> {
        let path = self.staging.join(random_name()?);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok((Staged { path }, file))
    }

    /// Makes a file that was written and fsynced the object, in place of what was there.
    pub(super) fn publish(&self, staged: &Staged, bucket: &str, key: &str) -> io::Result<Metadata> {
        let target = self.object(bucket, key);
        let parent = parent(&target)?;
        let mut durable = self.tree();
        self.make_parents(parent, &mut durable)?;
        fs::rename(&staged.path, &target)?;
        sync_dir(parent)?;
        fs::metadata(&target)
    }

    /// Removes the object if it is there; either way it stays away after this.
    pub(super) fn remove(&self, bucket: &str, key: &str) -> io::Result<()> {
        let target = self.object(bucket, key);
        let mut durable = self.tree();
        match fs::remove_file(&target) {
            Ok(()) => {}
            // Perhaps by a process that was killed before its fsync, so there is still one to do.
            Err(cause) if is_absent(&cause) => {}
            Err(cause) => return Err(cause),
        }
        let bucket = self.bucket(bucket);
        let above = || target.ancestors().skip(1).take_while(|folder| folder.starts_with(&bucket));
        if let Some(nearest) = above().find(|folder| folder.is_dir()) {
            sync_dir(nearest)?;
        }
        for folder in above().take_while(|folder| **folder != bucket) {
            match fs::remove_dir(folder) {
                Ok(()) => {
                    durable.remove(folder);
                }
                Err(cause) if is_absent(&cause) => {}
                // Not empty, mostly. An empty folder that stays does no harm.
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// The open object and what the system knows of it.
    pub(super) fn read(&self, bucket: &str, key: &str) -> io::Result<Option<(File, Metadata)>> {
        match File::open(self.object(bucket, key)) {
            Ok(file) => {
                let metadata = file.metadata()?;
                Ok(Some((file, metadata)))
            }
            Err(cause) if is_absent(&cause) => Ok(None),
            Err(cause) => Err(cause),
        }
    }

    pub(super) fn list(&self, bucket: &str, query: &Query) -> io::Result<Vec<Found>> {
        walk(&self.bucket(bucket), query)
    }

    fn tree(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bucket(&self, bucket: &str) -> PathBuf {
        self.objects.join(bucket)
    }

    /// Bucket and key are checked, so this stays below the bucket.
    fn object(&self, bucket: &str, key: &str) -> PathBuf {
        self.bucket(bucket).join(format!("{key}{OBJECT}"))
    }

    /// Makes the folders down to this one and puts their entries on the disk, once per process: a killed one may have made
    /// them without.
    fn make_parents(&self, folder: &Path, durable: &mut HashSet<PathBuf>) -> io::Result<()> {
        let mut missing: Vec<&Path> = folder
            .ancestors()
            .take_while(|folder| **folder != self.objects && !durable.contains(*folder))
            .collect();
        while let Some(folder) = missing.pop() {
            // The bucket itself is not made by the way.
            if parent(folder)? != self.objects {
                make_dir(folder)?;
                sync_dir(parent(folder)?)?;
            }
            durable.insert(folder.to_owned());
        }
        Ok(())
    }
}

/// One string per stored file, other for every other file that can be under the same key.
pub(super) fn tag(metadata: &Metadata) -> String {
    let modified = (metadata.mtime(), metadata.mtime_nsec());
    format!("{:x}{:x}{:08x}{:x}", metadata.ino(), modified.0, modified.1, metadata.len())
}

/// Sixteen random bytes in hex.
pub(super) fn random_name() -> io::Result<String> {
    let mut random = [0; 16];
    OsRng.try_fill_bytes(&mut random).map_err(io::Error::other)?;
    Ok(hex::encode(random))
}

/// Not there, or a file where one of its folders would be.
pub(super) fn is_absent(cause: &io::Error) -> bool {
    matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))
}

fn make_dir(path: &Path) -> io::Result<bool> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(true),
        Err(cause) if cause.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(cause) => Err(cause),
    }
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
