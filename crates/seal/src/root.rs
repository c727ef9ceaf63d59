//! The root key: a 0600 file of generations, the newest first, in clear or wrapped by a KMS.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use secrecy::SecretSlice;
use zeroize::Zeroizing;

use crate::data_key::Wrapped;
use crate::edge::{EdgeGeneration, EdgeKey};
use crate::file::{self, Change};
use crate::generations::{Generation, Read, Ring};
use crate::text::{Form, TextKey};
use crate::wrap::RootWrap;
use crate::{Key, SealError};

/// In front of every line of a root key file.
const ANY_PREFIX: &str = "tidings-root-";
/// In front of a secret in clear.
const FILE_PREFIX: &str = "tidings-root-v1:";

/// The key everything else descends from. Cannot be printed.
///
/// Share it in an `Arc`: it reads its file again when another process rotated it.
pub struct RootKey {
    ring: Arc<Ring<RootGeneration>>,
    wrap: Option<Arc<dyn RootWrap>>,
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(…)")
    }
}

/// One generation of it.
pub(crate) struct RootGeneration {
    key_id: String,
    secret: Key,
    v1: TextKey,
    v2: TextKey,
    line: Zeroizing<String>,
}

impl Generation for RootGeneration {
    fn key_id(&self) -> &str {
        &self.key_id
    }
}

impl RootGeneration {
    fn new(secret: Key, line: Zeroizing<String>) -> Self {
        let [a, b, c, d, ..] = *secret.derive("key-id").expose();
        let key_id = hex::encode([a, b, c, d]);
        Self { key_id, v1: TextKey::v1(&secret), v2: TextKey::new(&secret), secret, line }
    }

    fn generate(wrap: Option<&dyn RootWrap>) -> Result<Self, SealError> {
        let secret = Key::generate()?;
        let line = line_of(&secret, wrap)?;
        Ok(Self::new(secret, line))
    }

    pub(crate) fn secret(&self) -> &Key {
        &self.secret
    }

    /// The X25519 private key that raw data keys are wrapped to.
    pub(crate) fn raw_private(&self) -> Key {
        self.secret.derive("raw/x25519")
    }
}

impl RootKey {
    /// Reads the key file. Refuses one that others can read.
    ///
    /// # Errors
    /// The file cannot be read, can be read by others, is none, or holds keys wrapped by a KMS.
    pub fn load(path: &Path) -> Result<Self, SealError> {
        Self::read(path, None)
    }

    /// Reads the key file, with the system that unwraps its lines and wraps those to come. Asks that system and waits.
    ///
    /// # Errors
    /// As [`RootKey::load`], and when the system does not unwrap a line.
    pub fn load_with(path: &Path, wrap: Arc<dyn RootWrap>) -> Result<Self, SealError> {
        Self::read(path, Some(wrap))
    }

    fn read(path: &Path, wrap: Option<Arc<dyn RootWrap>>) -> Result<Self, SealError> {
        let (owned, hook) = (path.to_owned(), wrap.clone());
        let ring = Ring::read(path, move |known| read_root(&owned, hook.as_deref(), known))?;
        Ok(Self { ring: Arc::new(ring), wrap })
    }

    /// Reads the key file, making one with a fresh key (mode 0600, synced) when there is none.
    ///
    /// # Errors
    /// As [`RootKey::load`], and when the file cannot be made.
    pub fn load_or_create(path: &Path) -> Result<Self, SealError> {
        Self::read_or_create(path, None)
    }

    /// The same with a system that wraps what the file holds. Keys that stand in the file in clear are wrapped too.
    ///
    /// # Errors
    /// As [`RootKey::load_with`], and when the file cannot be written or the system does not wrap a key.
    pub fn wrap_with(path: &Path, wrap: Arc<dyn RootWrap>) -> Result<Self, SealError> {
        let root = Self::read_or_create(path, Some(Arc::clone(&wrap)))?;
        root.change(|generations| {
            for generation in generations.iter_mut().filter(|at| at.line.starts_with(FILE_PREFIX)) {
                let secret = generation.secret.clone();
                let line = line_of(&secret, Some(&*wrap))?;
                *generation = Arc::new(RootGeneration::new(secret, line));
            }
            Ok(())
        })?;
        Ok(root)
    }

    fn read_or_create(path: &Path, wrap: Option<Arc<dyn RootWrap>>) -> Result<Self, SealError> {
        let missing = |error: &SealError| matches!(error, SealError::File { cause, .. } if cause.kind() == ErrorKind::NotFound);
        match Self::read(path, wrap.clone()) {
            Err(error) if missing(&error) => {}
            answer => return answer,
        }
        let change = Change::begin(path)?;
        // Another process may have made it while this one waited.
        match Self::read(path, wrap.clone()) {
            Err(error) if missing(&error) => {}
            answer => return answer,
        }
        change.replace(&RootGeneration::generate(wrap.as_deref())?.line)?;
        drop(change);
        Self::read(path, wrap)
    }

    /// A fresh random key that is kept nowhere: for tests and throw-away deployments.
    ///
    /// # Errors
    /// The system gave no random bytes.
    pub fn generate() -> Result<Self, SealError> {
        Ok(Self { ring: Arc::new(Ring::of(RootGeneration::generate(None)?)), wrap: None })
    }

    /// The generations it holds, the newest first.
    pub fn key_ids(&self) -> Vec<String> {
        self.ring.held().iter().map(|generation| generation.key_id.clone()).collect()
    }

    /// A key for one purpose, of the newest generation. Different labels give unrelated keys; a rotation gives others.
    pub fn derive(&self, label: &str) -> Key {
        self.ring.newest().secret.derive(label)
    }

    /// Seals under the newest generation for one context, such as `tenant/acme/key/3`. The text opens there only.
    ///
    /// # Errors
    /// The system gave no random bytes.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Result<String, SealError> {
        let newest = self.ring.newest();
        newest.v2.seal(&newest.key_id, context, plain)
    }

    /// Opens what [`RootKey::seal`] made for this context, with whichever generation that was.
    ///
    /// # Errors
    /// It is no such text, its generation is gone, or it was sealed for another context or changed.
    pub fn open(&self, context: &str, sealed: &str) -> Result<SecretSlice<u8>, SealError> {
        match Form::of(sealed)? {
            Form::V1 { body } => {
                let held = self.ring.held();
                let mut answers = held.iter().map(|generation| generation.v1.open(context, body));
                answers
                    .find(|answer| !matches!(answer, Err(SealError::Opens)))
                    .unwrap_or(Err(SealError::Opens))
            }
            Form::V2 { key_id, body } => self.ring.find(key_id)?.v2.open(context, body),
        }
    }

    /// Opens a data key for raw bodies, as [`EdgeKey::data_key`] wrapped it.
    ///
    /// # Errors
    /// It is no wrapped data key, its generation is gone, or it was changed.
    pub fn data_key(&self, wrapped: &str) -> Result<Key, SealError> {
        let wrapped = Wrapped::parse(wrapped)?;
        wrapped.open(&self.ring.find(wrapped.key_id)?.raw_private())
    }

    /// What the internet-facing process may hold of it. Follows this key, when it is rotated.
    pub fn edge(&self) -> EdgeKey {
        let edge = |(root, stamp): Read<RootGeneration>| {
            (root.iter().map(|root| Arc::new(EdgeGeneration::of(root))).collect(), stamp)
        };
        EdgeKey::of(match (self.ring.path(), self.ring.last_read()) {
            (Some(path), Some(read)) => {
                let root = Arc::clone(&self.ring);
                Ring::follow(path, edge(read), move |_| root.reread().map(edge))
            }
            _ => Ring::of(EdgeGeneration::of(&self.ring.newest())),
        })
    }

    /// Puts a fresh generation in front, in the file too, and says its key id. What was sealed opens as before.
    ///
    /// # Errors
    /// It is kept in no file, the file cannot be written, or the system that wraps does not.
    pub fn rotate(&self) -> Result<String, SealError> {
        self.change(|generations| {
            loop {
                let fresh = RootGeneration::generate(self.wrap.as_deref())?;
                // Four bytes name a generation. One in four thousand million has the name of another.
                if generations.iter().all(|old| old.key_id != fresh.key_id) {
                    // Not asked for afterwards: by then another process may have rotated it again.
                    let key_id = fresh.key_id.clone();
                    generations.insert(0, Arc::new(fresh));
                    return Ok(key_id);
                }
            }
        })
    }

    /// Drops an old generation, in the file too. What is still sealed with it never opens again.
    ///
    /// # Errors
    /// It is the newest or not there, the key is kept in no file, or the file cannot be written.
    pub fn retire(&self, key_id: &str) -> Result<(), SealError> {
        self.change(|generations| {
            let place = generations.iter().position(|generation| generation.key_id == key_id);
            match place {
                None => Err(SealError::UnknownKey { key_id: key_id.to_owned() }),
                Some(0) => Err(SealError::NewestKey { key_id: key_id.to_owned() }),
                Some(place) => {
                    generations.remove(place);
                    Ok(())
                }
            }
        })
    }

    /// Reads the file, changes what it says and replaces it, alone among the processes of this machine.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<Arc<RootGeneration>>) -> Result<T, SealError>,
    ) -> Result<T, SealError> {
        let path = self.ring.path().ok_or(SealError::NoFile)?;
        let turn = Change::begin(path)?;
        let (mut generations, _) = self.ring.reread()?;
        let answer = change(&mut generations)?;
        let mut text =
            Zeroizing::new(String::with_capacity(generations.iter().map(|at| at.line.len()).sum()));
        for generation in &generations {
            text.push_str(&generation.line);
        }
        turn.replace(&text)?;
        self.ring.reread()?;
        Ok(answer)
    }
}

/// Whether this text is, by its first line, a root key file.
pub(crate) fn is_root(text: &str) -> bool {
    text.starts_with(ANY_PREFIX)
}

/// The generations that a root key file's text holds. Those already known are not unwrapped again.
pub(crate) fn parse_root(
    path: &Path,
    text: &str,
    wrap: Option<&dyn RootWrap>,
    known: &[Arc<RootGeneration>],
) -> Result<Vec<Arc<RootGeneration>>, SealError> {
    let name = || path.display().to_string();
    let mut generations = Vec::new();
    for line in text.trim_end().lines().map(str::trim_end) {
        if let Some(held) = known.iter().find(|held| held.line.trim_end() == line) {
            generations.push(Arc::clone(held));
            continue;
        }
        let secret = if let Some(digits) = line.strip_prefix(FILE_PREFIX) {
            Key::from_hex(digits).ok_or_else(|| SealError::RootFormat { path: name() })?
        } else if line.starts_with(ANY_PREFIX) {
            let wrap = wrap.ok_or_else(|| SealError::RootWrapped { path: name() })?;
            wrap.unwrap(line).map_err(SealError::Wrap)?
        } else {
            return Err(SealError::RootFormat { path: name() });
        };
        generations.push(Arc::new(RootGeneration::new(secret, Zeroizing::new(format!("{line}\n")))));
    }
    if generations.is_empty() {
        return Err(SealError::RootFormat { path: name() });
    }
    Ok(generations)
}

fn read_root(
    path: &Path,
    wrap: Option<&dyn RootWrap>,
    known: &[Arc<RootGeneration>],
) -> Result<Read<RootGeneration>, SealError> {
    let (text, stamp) = file::read(path)?;
    Ok((parse_root(path, &text, wrap, known)?, stamp))
}

fn line_of(secret: &Key, wrap: Option<&dyn RootWrap>) -> Result<Zeroizing<String>, SealError> {
    let Some(wrap) = wrap else {
        return Ok(Zeroizing::new(format!("{FILE_PREFIX}{}\n", &*secret.to_hex())));
    };
    let line = wrap.wrap(secret).map_err(SealError::Wrap)?;
    if line.contains(char::is_whitespace) || !line.starts_with(ANY_PREFIX) {
        return Err(SealError::Wrap("it gave no line of a root key file".into()));
    }
    Ok(Zeroizing::new(format!("{line}\n")))
}
