//! The tenant's id-key: turns Meta's ids, which contain phone numbers, into ids that say nothing and never change.

use std::fmt;

use ring::hmac;

use crate::{Asset, AttachmentId, ConversationId, EventId, Kind, MessageKey, SubjectId};

/// Derives event, message and conversation ids: HMAC-SHA256 over length-prefixed parts, cut to 16 bytes. One per tenant; it
/// never rotates, because every id hangs on it.
#[derive(Clone)]
pub struct IdKey(hmac::Key);

impl IdKey {
    /// From its 32 secret bytes.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The message that Meta calls `id` on that asset. A message and its echo, its statuses and reactions meet here.
    pub fn message(&self, asset: &Asset, id: &str) -> MessageKey {
        MessageKey::from_bytes(self.derive("message", asset, &[id.as_bytes()]))
    }

    /// The conversation of one person with one asset.
    pub fn conversation(&self, asset: &Asset, subject: SubjectId) -> ConversationId {
        ConversationId::from_bytes(self.derive("conversation", asset, &[b"subject", subject.as_bytes()]))
    }

    /// The conversation of a WhatsApp group, whoever writes in it.
    pub fn group_conversation(&self, asset: &Asset, group: &str) -> ConversationId {
        ConversationId::from_bytes(self.derive("conversation", asset, &[b"group", group.as_bytes()]))
    }

    /// The file at this place of what the event names.
    pub fn attachment(&self, asset: &Asset, event: EventId, index: usize) -> AttachmentId {
        let index = (index as u64).to_be_bytes();
        AttachmentId::from_bytes(self.derive("attachment", asset, &[event.as_bytes(), &index]))
    }

    /// An event about a file, by its kind: its state is what came of it last, so there is one of each kind.
    pub fn file_event(&self, kind: Kind, asset: &Asset, attachment: AttachmentId) -> EventId {
        self.event(kind, asset, &[attachment.as_bytes()])
    }

    /// An event by its kind and natural key (`meta-platform.md` §4).
    pub(crate) fn event(&self, kind: Kind, asset: &Asset, natural_key: &[&[u8]]) -> EventId {
        EventId::from_bytes(self.derive(kind.as_str(), asset, natural_key))
    }

    fn derive(&self, domain: &str, asset: &Asset, parts: &[&[u8]]) -> [u8; 16] {
        let mut context = hmac::Context::with_key(&self.0);
        let mut part = |bytes: &[u8]| {
            // A length before every part: ("ab", "c") and ("a", "bc") never meet.
            context.update(&(bytes.len() as u64).to_be_bytes());
            context.update(bytes);
        };
        part(domain.as_bytes());
        part(asset.kind().as_str().as_bytes());
        part(asset.id().as_bytes());
        for bytes in parts {
            part(bytes);
        }
        let mut id = [0; 16];
        for (to, from) in id.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        id
    }
}

impl fmt::Debug for IdKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AssetKind;

    #[test]
    fn ids_depend_on_every_part_and_nothing_else() {
        let key = IdKey::new(&[7; 32]);
        let page = Asset::new(AssetKind::Messenger, "1").unwrap();
        let account = Asset::new(AssetKind::Instagram, "1").unwrap();
        assert_eq!(key.message(&page, "m_1"), key.message(&page, "m_1"));
        assert_ne!(key.message(&page, "m_1"), key.message(&account, "m_1"));
        assert_ne!(key.message(&page, "m_1"), IdKey::new(&[8; 32]).message(&page, "m_1"));
        let event = |parts: &[&[u8]]| key.event(Kind::MessageReceived, &page, parts);
        assert_ne!(event(&[b"ab", b"c"]), event(&[b"a", b"bc"]));
        assert_ne!(event(&[b"ab"]), event(&[b"ab", b""]));
        assert_ne!(
            event(&[b"m_1"]).as_bytes(),
            key.message(&page, "m_1").as_bytes(),
            "an event is not the message it is about"
        );
    }

    #[test]
    fn ids_never_change() {
        let key = IdKey::new(&[7; 32]);
        let page = Asset::new(AssetKind::Messenger, "1").unwrap();
        assert_eq!(key.message(&page, "m_1").to_string(), "46d10381adb25ed9f995eab44adbada8");
    }
}
