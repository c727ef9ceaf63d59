//! The key that signs audit heads: a 0600 file with an Ed25519 seed.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, ensure};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::Ed25519KeyPair;

const PREFIX: &str = "tidings-audit-v1:";

/// Reads the key, making one when there is none. Refuses a file that others can read.
pub(crate) fn load_or_create(path: &Path) -> anyhow::Result<Ed25519KeyPair> {
    let what = || format!("the audit key file {}", path.display());
    if !path.try_exists().with_context(what)? {
        create(path).with_context(what)?;
    }
    let mut file = std::fs::File::open(path).with_context(what)?;
    let mode = file.metadata().with_context(what)?.permissions().mode() & 0o777;
    ensure!(
        mode & 0o077 == 0,
        "{} can be read by others (mode {mode:o}); run: chmod 600 {}",
        what(),
        path.display()
    );
    let mut text = String::new();
    file.read_to_string(&mut text).with_context(what)?;
    let mut seed = [0; 32];
    let digits = text.trim_end().strip_prefix(PREFIX).unwrap_or_default();
    let read = hex::decode_to_slice(digits, &mut seed);
    ensure!(
        read.is_ok(),
        "{} does not hold one line `{PREFIX}` and 64 hexadecimal digits; restore it from your backup",
        what()
    );
    Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| anyhow::anyhow!("{} holds no usable seed", what()))
}

/// Written whole beside its place and then linked there: a crash leaves no half key, a racing process no second one.
fn create(path: &Path) -> anyhow::Result<()> {
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).map_err(|_| anyhow::anyhow!("the system gave no random bytes"))?;
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = folder.join(format!(".audit-key-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    writeln!(file, "{PREFIX}{}", hex::encode(seed))?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&beside, path);
    std::fs::remove_file(&beside)?;
    std::fs::File::open(folder)?.sync_all()?;
    match linked {
        Err(cause) if cause.kind() != ErrorKind::AlreadyExists => Err(cause.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::KeyPair;

    use super::*;

    #[test]
    fn the_file_is_private_and_stays_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit-key");
        let made = load_or_create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(load_or_create(&path).unwrap().public_key().as_ref(), made.public_key().as_ref());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(load_or_create(&path).unwrap_err().to_string().contains("chmod 600"));
    }
}
