//! What the internet-facing process holds in place of the root key.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use secrecy::SecretSlice;
use zeroize::Zeroizing;

use crate::data_key::{self, DataKey};
use crate::file::{self, Change};
use crate::generations::{Generation, Read, Ring};
use crate::root::{RootGeneration, is_root, parse_root};
use crate::text::{Form, TextKey};
use crate::{Key, SealError};

const FILE_PREFIX: &str = "tidings-edge-v1:";

/// Opens app secrets and makes data keys for raw bodies, which it cannot open again. Cannot be printed.
///
/// Share it in an `Arc`: it reads its file again when the root key was rotated and the edge key written anew.
pub struct EdgeKey(Ring<EdgeGeneration>);

impl fmt::Debug for EdgeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EdgeKey(…)")
    }
}

/// Of one generation of the root key.
pub(crate) struct EdgeGeneration {
    key_id: String,
    key: Key,
    text: TextKey,
    raw_public: [u8; 32],
}

impl Generation for EdgeGeneration {
    fn key_id(&self) -> &str {
        &self.key_id
    }
}

impl EdgeGeneration {
    fn new(key_id: String, key: Key, raw_public: [u8; 32]) -> Self {
        let text = TextKey::new(&key);
        Self { key_id, key, text, raw_public }
    }

    pub(crate) fn of(root: &RootGeneration) -> Self {
        let raw_public = data_key::public(&root.raw_private());
        Self::new(root.key_id().to_owned(), root.secret().derive("role/edge"), raw_public)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.strip_prefix(FILE_PREFIX)?.split(':');
        let (Some(key_id), Some(key), Some(public), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        if key_id.len() != 8 || !key_id.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let mut raw_public = [0; 32];
        hex::decode_to_slice(public, &mut raw_public).ok()?;
        Some(Self::new(key_id.to_owned(), Key::from_hex(key)?, raw_public))
    }

    fn line(&self) -> Zeroizing<String> {
        let key = self.key.to_hex();
        Zeroizing::new(format!("{FILE_PREFIX}{}:{}:{}\n", self.key_id, &*key, hex::encode(self.raw_public)))
    }
}

impl EdgeKey {
    /// Reads an edge key file; of a root key file (one without keys wrapped by a KMS), keeps only what the edge may have.
    ///
    /// # Errors
    /// The file cannot be read, can be read by others, or is neither.
    pub fn load(path: &Path) -> Result<Self, SealError> {
        let owned = path.to_owned();
        Ring::read(path, move |_| read_edge(&owned)).map(Self)
    }

    /// Of a root key whose generations come this way.
    pub(crate) fn of(ring: Ring<EdgeGeneration>) -> Self {
        Self(ring)
    }

    /// Writes the edge key file (mode 0600, replaced whole, synced): after every change to the root key.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), SealError> {
        let lines: Vec<_> = self.0.held().iter().map(|generation| generation.line()).collect();
        let text = Zeroizing::new(lines.iter().map(|line| line.as_str()).collect::<String>());
        Change::begin(path)?.replace(&text)
    }

    /// The generations it holds, the newest first.
    pub fn key_ids(&self) -> Vec<String> {
        self.0.held().iter().map(|generation| generation.key_id.clone()).collect()
    }

    /// Seals for one context, such as `app/acme/secret/current`. The text opens there only, and with this key only.
    ///
    /// # Errors
    /// The system gave no random bytes.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Result<String, SealError> {
        let newest = self.0.newest();
        newest.text.seal(&newest.key_id, context, plain)
    }

    /// Opens what [`EdgeKey::seal`] made for this context.
    ///
    /// # Errors
    /// It is no such text, its generation is gone, or it was sealed for another context or changed.
    pub fn open(&self, context: &str, sealed: &str) -> Result<SecretSlice<u8>, SealError> {
        match Form::of(sealed)? {
            Form::V1 { .. } => Err(SealError::Opens),
            Form::V2 { key_id, body } => self.0.find(key_id)?.text.open(context, body),
        }
    }

    /// A fresh key for raw bodies. Once it is dropped, only the root key opens what it sealed.
    ///
    /// # Errors
    /// The system gave no random bytes, or the public key in the file is none.
    pub fn data_key(&self) -> Result<DataKey, SealError> {
        let newest = self.0.newest();
        DataKey::generate(&newest.key_id, &newest.raw_public)
    }
}

fn read_edge(path: &Path) -> Result<Read<EdgeGeneration>, SealError> {
    let (text, stamp) = file::read(path)?;
    if is_root(&text) {
        let root = parse_root(path, &text, None, &[])?;
        return Ok((root.iter().map(|root| Arc::new(EdgeGeneration::of(root))).collect(), stamp));
    }
    let format = || SealError::EdgeFormat { path: path.display().to_string() };
    let edge: Option<Vec<_>> =
        text.trim_end().lines().map(|line| EdgeGeneration::parse(line).map(Arc::new)).collect();
    let edge = edge.filter(|edge| !edge.is_empty()).ok_or_else(format)?;
    Ok((edge, stamp))
}
