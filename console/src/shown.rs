//! Rows of the views as the API shows them.

use schemas::Attachment;
use store::{AuditRow, ConversationRow, MessageRow, QuarantineRow, ReactionRow};

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
