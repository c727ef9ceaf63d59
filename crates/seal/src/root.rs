//! The root key on one machine: a 0600 file. (A KMS root takes its place behind the same calls.)

use std::fmt;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf;
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::SecretSlice;
use zeroize::Zeroizing;

use crate::SealError;

const FILE_PREFIX: &str = "tidings-root-v1:";
const SEALED_PREFIX: &str = "v1.";

/// The key everything else descends from. Cannot be printed.
pub struct RootKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(…)")
    }
}

struct Len32;

impl hkdf::KeyType for Len32 {
    fn len(&self) -> usize {
        32
    }
}

impl RootKey {
    /// Reads the key file. Refuses one that others can read.
    pub fn load(path: &Path) -> Result<Self, SealError> {
        let name = || path.display().to_string();
        let io = |cause| SealError::RootFile { path: name(), cause };
        let mut file = std::fs::File::open(path).map_err(io)?;
        let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(SealError::RootMode { path: name(), mode });
        }
        let mut text = Zeroizing::new(String::new());
        file.read_to_string(&mut text).map_err(io)?;
        let digits = text
            .trim_end()
            .strip_prefix(FILE_PREFIX)
            .ok_or_else(|| SealError::RootFormat { path: name() })?;
        let mut key = Zeroizing::new([0; 32]);
        hex::decode_to_slice(digits, &mut *key).map_err(|_| SealError::RootFormat { path: name() })?;
        Ok(Self(key))
    }

    /// Reads the key file, making one with a fresh key (mode 0600, synced) when there is none.
    pub fn load_or_create(path: &Path) -> Result<Self, SealError> {
        let io = |cause| SealError::RootFile { path: path.display().to_string(), cause };
        match Self::load(path) {
            Err(SealError::RootFile { cause, .. }) if cause.kind() == ErrorKind::NotFound => {}
            answer => return answer,
        }
        let key = Self::generate()?;
        // Written whole beside its place and then linked there: a crash leaves no half key, a racing process no second one.
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let beside = folder.join(format!(".root-key-{}", std::process::id()));
        let written = (|| {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            let line = Zeroizing::new(format!("{FILE_PREFIX}{}\n", hex::encode(*key.0)));
            file.write_all(line.as_bytes())?;
            file.sync_all()?;
            let linked = std::fs::hard_link(&beside, path);
            std::fs::remove_file(&beside)?;
            std::fs::File::open(folder)?.sync_all()?;
            linked
        })();
        match written {
            Ok(()) => Ok(key),
            Err(cause) if cause.kind() == ErrorKind::AlreadyExists => Self::load(path),
            Err(cause) => Err(io(cause)),
        }
    }

    /// A fresh random key that is kept nowhere: for tests and throw-away deployments.
    pub fn generate() -> Result<Self, SealError> {
        let mut key = Zeroizing::new([0; 32]);
        SystemRandom::new().fill(&mut *key).map_err(|_| SealError::Random)?;
        Ok(Self(key))
    }

    /// A key for one purpose (HKDF-SHA256 over the label). Different labels give unrelated keys.
    pub fn derive(&self, label: &str) -> Zeroizing<[u8; 32]> {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"tidings");
        let mut key = Zeroizing::new([0; 32]);
        salt.extract(&*self.0)
            .expand(&[label.as_bytes()], Len32)
            .and_then(|okm| okm.fill(&mut *key))
            .expect("32 bytes is a length HKDF-SHA256 gives");
        key
    }

    /// Seals under this key for one context, such as `app/acme/secret/current`. The text opens there only.
    pub fn seal(&self, context: &str, plaintext: &[u8]) -> Result<String, SealError> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| SealError::Random)?;
        let mut sealed = nonce.to_vec();
        let mut body = plaintext.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.cipher()
            .seal_in_place_append_tag(nonce, Aad::from(context.as_bytes()), &mut body)
            .map_err(|_| SealError::Format)?;
        sealed.append(&mut body);
        Ok(format!("{SEALED_PREFIX}{}", URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// Opens what [`RootKey::seal`] made for this context.
    pub fn open(&self, context: &str, sealed: &str) -> Result<SecretSlice<u8>, SealError> {
        let text = sealed.strip_prefix(SEALED_PREFIX).ok_or(SealError::Format)?;
        let mut bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| SealError::Format)?;
        if bytes.len() < NONCE_LEN {
            return Err(SealError::Format);
        }
        let mut body = bytes.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&bytes).map_err(|_| SealError::Format)?;
        let opened = self
            .cipher()
            .open_in_place(nonce, Aad::from(context.as_bytes()), &mut body)
            .map_err(|_| SealError::Opens)?;
        let opened = opened.to_vec();
        zeroize::Zeroize::zeroize(&mut body);
        Ok(SecretSlice::from(opened))
    }

    fn cipher(&self) -> LessSafeKey {
        let key = self.derive("seal/aes-256-gcm/v1");
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*key).expect("the key is 32 bytes long"))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_sealed_value_opens_in_its_own_context_only() {
        let key = RootKey::generate().unwrap();
        let sealed = key.seal("app/a", b"secret").unwrap();
        assert_eq!(key.open("app/a", &sealed).unwrap().expose_secret(), b"secret");
        assert!(matches!(key.open("app/b", &sealed), Err(SealError::Opens)));
        assert!(matches!(RootKey::generate().unwrap().open("app/a", &sealed), Err(SealError::Opens)));
        for wrong in ["", "v1.", "v1.AAAA", "v2.AAAA", "v1.#"] {
            assert!(key.open("app/a", wrong).is_err(), "{wrong}");
        }
        assert_ne!(sealed, key.seal("app/a", b"secret").unwrap(), "nonces are random");
    }

    #[test]
    fn the_file_is_private_and_stays_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root-key");
        let made = RootKey::load_or_create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = RootKey::load_or_create(&path).unwrap();
        assert_eq!(*made.derive("x"), *again.derive("x"));
        assert_ne!(*made.derive("x"), *made.derive("y"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(RootKey::load(&path), Err(SealError::RootMode { mode: 0o644, .. })));
    }
}
