//! What is left `unrecognized` on purpose, and why: everything that `meta-platform.md` names and this version does not type.

use crate::content::Unread;

/// Something left as it is.
pub(crate) struct Named {
    /// Meta's name of the field, list or member.
    pub(crate) name: &'static str,
    /// Why, as the event says it.
    pub(crate) reason: Unread,
    /// Why, in a sentence.
    pub(crate) because: &'static str,
}

const fn undocumented(name: &'static str, because: &'static str) -> Named {
    Named { name, reason: Unread::Undocumented, because }
}

/// All of it.
pub(crate) const NAMED: [Named; 8] = [
    Named {
        name: "changed_fields",
        reason: Unread::Valueless,
        because: "the app's subscription has \"include values\" off: Meta says that something changed, not what it is now",
    },
    undocumented(
        "conversation_context",
        "named beside WhatsApp messages without a sample; the summary of a handover is read, in `thread.control`",
    ),
    undocumented(
        "game_plays",
        "instant games are played outside the conversation, and no sample of the shape was seen",
    ),
    undocumented("game_play", "the member of a `game_plays` delivery, of which no sample was seen"),
    undocumented(
        "messaging_customer_information",
        "named in old SDKs only; not found in any current document",
    ),
    undocumented("messenger_template_status_update", "the field is known by name; its shape was never seen"),
    undocumented(
        "marketing_messages_subscriber_upload_status",
        "the field is known by name; its shape was never seen",
    ),
    undocumented("hop_context", "part of hand-off summaries; alone in an entry it was never seen"),
];
