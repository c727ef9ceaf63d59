//! The data folder: one process's own, with the keys that are made on the first start.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use rand::TryRngCore;
use rand::rngs::OsRng;
use secrecy::SecretString;

/// The folder, held by this process until dropped (or killed: the kernel lets go of it then).
pub(crate) struct DataFolder {
    path: PathBuf,
    _lock: Flock<File>,
}

impl DataFolder {
    /// Makes the folder unless it is there, and takes hold of it.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        // PostgreSQL's user has to pass, nobody has to look: 0711.
        DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(path)
            .with_context(|| format!("making the folder {}", path.display()))?;
        let path = path.canonicalize().with_context(|| format!("opening the folder {}", path.display()))?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o711))
            .with_context(|| format!("setting the mode of {}", path.display()))?;
        let lock = lock(&path)?;
        Ok(Self { path, _lock: lock })
    }

    /// A path inside it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A folder inside it that only this process's user may enter; made when missing.
    pub(crate) fn private(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.join(name);
        let what = || format!("making the folder {}", path.display());
        DirBuilder::new().recursive(true).mode(0o700).create(&path).with_context(what)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o700)).with_context(what)?;
        Ok(path)
    }

    /// Where the admin token is.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.join("admin-token")
    }

    /// The admin token; made (256 random bits, mode 0600) when there is none.
    pub(crate) fn token(&self) -> anyhow::Result<SecretString> {
        let path = self.token_file();
        match std::fs::read_to_string(&path) {
            Ok(text) if text.trim().len() >= 32 => return Ok(SecretString::from(text.trim())),
            Ok(_) => bail!("{} holds no token; remove it and start again to get a new one", path.display()),
            Err(cause) if cause.kind() == ErrorKind::NotFound => {}
            Err(cause) => return Err(cause).with_context(|| format!("reading {}", path.display())),
        }
        let mut bytes = [0; 32];
        OsRng.try_fill_bytes(&mut bytes).context("asking the system for random bytes")?;
        let token = hex::encode(bytes);
        self.write_whole("admin-token", &token).with_context(|| format!("writing {}", path.display()))?;
        Ok(SecretString::from(token))
    }

    /// Writes beside, syncs and renames: a crash leaves the whole file or none.
    fn write_whole(&self, name: &str, text: &str) -> std::io::Result<()> {
        let beside = self.join(&format!(".{name}.new"));
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(beside, self.join(name))?;
        File::open(&self.path)?.sync_all()
    }
}

fn lock(folder: &Path) -> anyhow::Result<Flock<File>> {
    let path = folder.join("lock");
    let what = || format!("opening {}", path.display());
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .with_context(what)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut held) => {
            // Only for the sentence another process says; the lock itself is what counts.
            held.set_len(0).and_then(|()| held.rewind()).with_context(what)?;
            writeln!(held, "{}", std::process::id()).with_context(what)?;
            Ok(held)
        }
        Err((mut file, Errno::EWOULDBLOCK)) => {
            let mut holder = String::new();
            // Best effort, for the same sentence.
            let _ = file.read_to_string(&mut holder);
            let holder = holder.trim();
            let process = if holder.is_empty() { String::new() } else { format!(" (process {holder})") };
            bail!(
                "{} is in use by another `tidings up`{process}; stop that one, or choose another folder with --data",
                folder.display()
            )
        }
        Err((_, errno)) => Err(anyhow::Error::from(errno).context(format!("locking {}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_folder_belongs_to_one_holder_and_its_token_stays() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("deep/data");
        let folder = DataFolder::open(&path).unwrap();
        assert_eq!(mode(&path), 0o711);
        let token = folder.token().unwrap();
        assert_eq!(token.expose_secret().len(), 64);
        assert_eq!(mode(&folder.token_file()), 0o600);
        assert_eq!(mode(&folder.private("log").unwrap()), 0o700);

        let refused = DataFolder::open(&path).err().unwrap().to_string();
        assert!(refused.contains("in use by another `tidings up`"), "{refused}");
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");

        drop(folder);
        let again = DataFolder::open(&path).unwrap();
        assert_eq!(again.token().unwrap().expose_secret(), token.expose_secret());
    }

    #[test]
    fn a_spoiled_token_file_is_refused_and_kept() {
        let home = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(home.path()).unwrap();
        std::fs::write(folder.token_file(), "\n").unwrap();
        assert!(folder.token().is_err());
        assert_eq!(std::fs::read_to_string(folder.token_file()).unwrap(), "\n");
    }
}
