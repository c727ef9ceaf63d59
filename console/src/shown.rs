//! Rows of the views as the API shows them.

use schemas::Attachment;
use store::{AuditRow, ConversationCursor, ConversationRow, MessageRow, QuarantineRow, ReactionRow};

use crate::problem::Problem;
use crate::wire::{
    self, AttachmentView, AuditEntry, Contact, Conversation, Message, Quarantined, ReactionView,
};

pub(crate) fn conversation(row: ConversationRow) -> Conversation {
    Conversation {
        id: row.id.to_string(),
        channel: row.channel,
        asset: row.asset,
        contact: Contact {
            subject: row.subject.map(|subject| subject.to_string()),
            name: row.contact.name,
            username: row.contact.username,
        },
        messages: row.messages,
        last_at: wire::time(row.last_at_ms),
    }
}

/// Where the page after this row begins: its time and id.
pub(crate) fn cursor(row: &ConversationRow) -> String {
    format!("{}:{}", row.last_at_ms, row.id)
}

/// Reads what [`cursor`] wrote.
pub(crate) fn parse_cursor(text: &str) -> Result<ConversationCursor, Problem> {
    let parsed = text.split_once(':').and_then(|(at_ms, id)| {
        Some(ConversationCursor { last_at_ms: at_ms.parse().ok()?, id: id.parse().ok()? })
    });
    parsed.ok_or_else(|| {
        Problem::bad_request("`before` is not a place in the list", "give the `next` of the page before")
    })
}

pub(crate) fn message(row: MessageRow) -> Message {
    Message {
        id: row.id.to_string(),
        event: row.event.to_string(),
        direction: row.direction,
        kind: row.kind,
        text: row.text,
        at: wire::time(row.at_ms),
        status: row.status.map(|status| status.as_str().to_owned()),
        edited: row.edited,
        deleted: row.deleted,
        attachments: row.attachments.into_iter().map(attachment).collect(),
        reactions: row.reactions.into_iter().map(reaction).collect(),
    }
}

fn attachment(attachment: Attachment) -> AttachmentView {
    AttachmentView {
        kind: attachment.kind,
        media_id: attachment.media_id,
        url: attachment.url,
        mime_type: attachment.mime_type,
        sha256: attachment.sha256,
        filename: attachment.filename,
        caption: attachment.caption,
        title: attachment.title,
        voice: attachment.voice,
    }
}

fn reaction(row: ReactionRow) -> ReactionView {
    ReactionView { direction: row.direction, emoji: row.emoji, at: wire::time(row.at_ms) }
}

pub(crate) fn quarantined(row: &QuarantineRow) -> Quarantined {
    Quarantined {
        id: row.raw.to_string(),
        reason: row.reason.as_str().to_owned(),
        raw: row.raw.to_string(),
        at: wire::time(row.at_ms),
        attempts: row.attempts,
    }
}

pub(crate) fn audited(row: AuditRow) -> AuditEntry {
    AuditEntry {
        sequence: row.sequence,
        at: wire::time(row.at_ms),
        actor: row.actor,
        action: row.action,
        target: row.target,
        hash: hex::encode(row.hash),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_places_in_the_list_are_taken_for_one() {
        let id = "00112233445566778899aabbccddeeff";
        let place = parse_cursor(&format!("1700000000123:{id}")).unwrap();
        assert_eq!((place.last_at_ms, place.id.to_string()), (1_700_000_000_123, id.to_owned()));
        for wrong in ["", ":", "1", "1:2", &format!("x:{id}"), &format!("1:{id}0")] {
            assert!(parse_cursor(wrong).is_err(), "{wrong}");
        }
    }
}
