//! Key files: private, replaced whole, and noticed when another process replaced one.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::SealError;

/// Which writing of a file was read. Another writing has another inode or time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp([i64; 6]);

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self([
            metadata.dev().cast_signed(),
            metadata.ino().cast_signed(),
            metadata.size().cast_signed(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime_nsec(),
        ])
    }

    /// Of the file as it is now; `None` when it cannot be looked at.
    pub(crate) fn now(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|metadata| Self::of(&metadata))
    }
}

/// The file's text. Refuses a file that others can read.
pub(crate) fn read(path: &Path) -> Result<(Zeroizing<String>, Stamp), SealError> {
    let io = SealError::file(path);
    let mut file = File::open(path).map_err(&io)?;
    let metadata = file.metadata().map_err(&io)?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SealError::FileMode { path: path.display().to_string(), mode });
    }
    // Read in one piece: a text that grows leaves its earlier places in memory unwiped.
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1));
    file.read_to_string(&mut text).map_err(io)?;
    Ok((text, Stamp::of(&metadata)))
}

/// Sole right to change the key files of a folder, among the processes of this machine, until dropped.
pub(crate) struct Change {
    folder: File,
    path: PathBuf,
}

impl Change {
    /// Waits for its turn.
    pub(crate) fn begin(path: &Path) -> Result<Self, SealError> {
        let io = SealError::file(path);
        // A link stays a link: what it points to is replaced.
        let path = match std::fs::canonicalize(path) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => path.to_owned(),
            found => found.map_err(&io)?,
        };
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let folder = File::open(folder.unwrap_or(Path::new("."))).map_err(&io)?;
        folder.lock().map_err(io)?;
        Ok(Self { folder, path })
    }

    /// Puts this text in the file's place: a crash leaves the old file or the new one, whole.
    pub(crate) fn replace(&self, text: &str) -> Result<(), SealError> {
        self.write(text).map_err(SealError::file(&self.path))
    }

    fn write(&self, text: &str) -> std::io::Result<()> {
        let name = self.path.file_name().ok_or(ErrorKind::InvalidInput)?;
        let beside = self.path.with_file_name(format!(".{}.new", name.display()));
        match std::fs::remove_file(&beside) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(cause),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        if let Ok(old) = std::fs::metadata(&self.path) {
            // An operator who rotates as root leaves the file to the account that reads it.
            let new = file.metadata()?;
            if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
                fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, &self.path)?;
        self.folder.sync_all()
    }
}
