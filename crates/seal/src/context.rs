//! What a sealed record is bound to: moved elsewhere, it does not open.

/// A place, as associated data: a domain and its parts, each with its length in front, so that no two places meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context(Vec<u8>);

impl Context {
    /// A place of this kind, such as `event`.
    pub fn new(domain: &str) -> Self {
        Self(Vec::with_capacity(128)).part(domain)
    }

    /// The place within it.
    #[must_use]
    pub fn part(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.0.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    /// The parts alone: the associated data of a stream's chunks.
    pub(crate) fn parts(&self) -> &[u8] {
        &self.0
    }

    /// The associated data of a record: the record's key generation, then the parts.
    pub(crate) fn bound(&self, generation: u16) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() + 2);
        bytes.extend_from_slice(&generation.to_be_bytes());
        bytes.extend_from_slice(&self.0);
        bytes
    }
}
