//! A person's key, opened and ready to use. What it sealed is gone with it.

use std::fmt;

use schemas::{AttachmentId, EventId, Field, SubjectId, TenantId};
use seal::{Cipher, Context, Key, SealError};
use zeroize::Zeroizing;

/// The key of a person, or of a tenant itself for what is about nobody. Cannot be printed.
pub struct SubjectKey {
    tenant: TenantId,
    subject: SubjectId,
    key: Key,
    content: Cipher,
}

impl SubjectKey {
    pub(crate) fn new(tenant: TenantId, subject: SubjectId, generation: u16, key: Key) -> Self {
        let content = key.derive("content").cipher(generation);
        Self { tenant, subject, key, content }
    }

    /// Seals a field of an event.
    ///
    /// # Errors
    /// The system gave no random bytes.
    pub fn seal(&self, event: EventId, field: Field, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        self.content.seal(&self.field(event, field), plain)
    }

    /// Opens a field of an event.
    ///
    /// # Errors
    /// It was sealed for somebody or something else, or was changed.
    pub fn open(&self, event: EventId, field: Field, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        self.content.open(&self.field(event, field), sealed)
    }

    /// Seals the profile that an operator corrected.
    ///
    /// # Errors
    /// The system gave no random bytes.
    pub fn seal_correction(&self, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        self.content.seal(&self.correction(), plain)
    }

    /// Opens the profile that an operator corrected.
    ///
    /// # Errors
    /// It was sealed for somebody else, or was changed.
    pub fn open_correction(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        self.content.open(&self.correction(), sealed)
    }

    /// The key and the context that a file of this person's is sealed with.
    pub fn file(&self, attachment: AttachmentId) -> (Key, Context) {
        let key = self.key.derive(&format!("attachment/{attachment}"));
        let context = Context::new("attachment")
            .part(self.tenant.as_str())
            .part(self.subject.as_bytes())
            .part(attachment.as_bytes());
        (key, context)
    }

    fn field(&self, event: EventId, field: Field) -> Context {
        Context::new("event")
            .part(self.tenant.as_str())
            .part(self.subject.as_bytes())
            .part(event.as_bytes())
            .part(field.as_str())
    }

    fn correction(&self) -> Context {
        Context::new("correction").part(self.tenant.as_str()).part(self.subject.as_bytes())
    }
}

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectKey(…)")
    }
}
