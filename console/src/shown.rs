//! Rows of the views as the API shows them, opened.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemas::{
    Attachment, ContactProfile, Edited, FileState, IdentityChange, MessageContent, People, Postback,
    Reaction, SubjectId, TenantId,
};
use serde::de::DeserializeOwned;
use store::{AuditRow, ConversationRow, FileRow, MessageRow, QuarantineRow, SealedPart, StandingRow};

use crate::open::Opener;
use crate::wire::{
    self, AttachmentView, AuditEntry, Contact, Conversation, Message, Quarantined, ReactionView, Standing,
};

/// For whom a conversation's parts are sealed.
pub(crate) fn sealed_in_conversation(row: &ConversationRow) -> impl Iterator<Item = &Option<SubjectId>> {
    row.contact
        .iter()
        .map(|part| &part.subject)
        .chain(std::iter::once(&row.subject).filter(|who| who.is_some()))
}

/// For whom a message's parts are sealed.
pub(crate) fn sealed_in_message(row: &MessageRow) -> impl Iterator<Item = &Option<SubjectId>> {
    let parts = row.content.iter().chain(&row.edit).map(|part| &part.subject);
    parts.chain(row.reactions.iter().map(|reaction| &reaction.content.subject))
}

pub(crate) fn conversation(
    row: ConversationRow,
    tenant: &TenantId,
    people: &People,
    opener: &Opener,
) -> Conversation {
    let profile = profile(row.contact.as_ref(), row.subject, tenant, people, opener);
    let restricted =
        row.subject.is_some_and(|subject| people.restricted.contains(&(tenant.clone(), subject)));
    Conversation {
        id: row.id.to_string(),
        channel: row.channel,
        asset: row.asset,
        contact: Contact {
            subject: row.subject.map(|subject| subject.to_string()),
            name: profile.name,
            username: profile.username,
            restricted,
        },
        messages: row.messages,
        last_at: wire::time(row.last_at_ms),
    }
}

/// What a person calls themselves, or what an operator corrected it to.
pub(crate) fn profile(
    contact: Option<&SealedPart>,
    subject: Option<SubjectId>,
    tenant: &TenantId,
    people: &People,
    opener: &Opener,
) -> ContactProfile {
    let corrected = subject.and_then(|subject| {
        let sealed = people.corrections.get(&(tenant.clone(), subject))?;
        let opened = opener.key(subject)?.open_correction(&STANDARD.decode(sealed).ok()?).ok()?;
        serde_json::from_slice(&opened).ok()
    });
    corrected.or_else(|| contact.and_then(|part| read(part, opener))).unwrap_or_default()
}

pub(crate) fn message(row: MessageRow, opener: &Opener) -> Message {
    let content = row.content.as_ref().and_then(|part| said(part, opener));
    let edit: Option<Edited> = row.edit.as_ref().and_then(|part| read(part, opener));
    let mut content = content.unwrap_or_default();
    let edited = row.edit.is_some();
    if let Some(edit) = edit {
        content.text = edit.text;
        if !edit.attachments.is_empty() {
            content.attachments = edit.attachments;
        }
    }
    let reactions = row.reactions.iter().filter_map(|reaction| {
        let said: Reaction = read(&reaction.content, opener)?;
        Some(ReactionView {
            direction: reaction.direction.clone(),
            emoji: said.emoji?,
            at: wire::time(reaction.at_ms),
        })
    });
    let files = &row.files;
    Message {
        id: row.id.to_string(),
        event: row.event.to_string(),
        direction: row.direction,
        kind: row.kind,
        text: content.text,
        at: wire::time(row.at_ms),
        status: row.status.map(|status| status.as_str().to_owned()),
        edited,
        deleted: row.deleted,
        attachments: content.attachments.into_iter().map(|one| attachment(one, files)).collect(),
        reactions: reactions.collect(),
    }
}

/// What stands; nothing of it when it does not open.
pub(crate) fn standing(row: &StandingRow, opener: &Opener) -> Option<Standing> {
    Some(Standing {
        side: row.side.clone(),
        item: row.item.clone(),
        kind: row.kind.clone(),
        since: wire::time(row.at_ms),
        content: read(&row.content, opener)?,
    })
}

/// A message's content; a pressed button shows as what the person said with it, another number as what Meta says of it.
fn said(part: &SealedPart, opener: &Opener) -> Option<MessageContent> {
    let opened = opener.open(part)?;
    let message = serde_json::from_slice(&opened).ok().or_else(|| {
        let identity: IdentityChange = serde_json::from_slice(&opened).ok()?;
        Some(MessageContent { kind: "system".to_owned(), text: identity.text, ..MessageContent::default() })
    });
    message.or_else(|| {
        let pressed: Postback = serde_json::from_slice(&opened).ok()?;
        Some(MessageContent {
            kind: "postback".to_owned(),
            text: pressed.title,
            referral: pressed.referral,
            ..MessageContent::default()
        })
    })
}

fn read<T: DeserializeOwned>(part: &SealedPart, opener: &Opener) -> Option<T> {
    serde_json::from_slice(&opener.open(part)?).ok()
}

fn attachment(attachment: Attachment, files: &[FileRow]) -> AttachmentView {
    let file = attachment.id.and_then(|id| files.iter().find(|file| file.id == id));
    AttachmentView {
        id: attachment.id.map(|id| id.to_string()),
        state: attachment.id.map(|_| file.map_or("pending", state).to_owned()),
        bytes: file.and_then(|file| file.bytes),
        media_type: file.and_then(|file| file.media_type.clone()),
        reason: file.and_then(|file| file.reason.clone()),
        kind: attachment.kind,
        media_id: attachment.media_id,
        url: attachment.url,
        mime_type: attachment.mime_type,
        sha256: attachment.sha256,
        filename: attachment.filename.as_deref().and_then(file_name),
        caption: attachment.caption,
        title: attachment.title,
        voice: attachment.voice,
    }
}

/// What became of a file, in one word.
pub(crate) fn state(file: &FileRow) -> &'static str {
    file.state.map_or("pending", FileState::as_str)
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

/// The most that a file system takes.
const LONGEST_NAME: usize = 255;

/// A file's name as somebody may save it: what Meta passes on is what its sender chose. No folders, nothing that cannot be
/// seen or that turns the direction of writing, no longer than a file system takes.
fn file_name(given: &str) -> Option<String> {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_seen = |c: &char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | ':')
    };
    let name: String = last.chars().filter(is_seen).collect();
    let name = name.trim_matches([' ', '.']);
    let end =
        name.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= LONGEST_NAME).last()?;
    name.get(..end).map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_names_and_nothing_else() {
        for (given, expected) in [
            ("report.pdf", Some("report.pdf")),
            ("../../etc/passwd", Some("passwd")),
            ("C:\\Windows\\evil.exe", Some("evil.exe")),
            ("photo\u{202e}gnp.exe", Some("photognp.exe")),
            ("a\0b\r\n.txt", Some("ab.txt")),
            ("صورة 🙏.jpg", Some("صورة 🙏.jpg")),
            (" .. ", None),
            ("folder/", None),
            ("", None),
        ] {
            assert_eq!(file_name(given).as_deref(), expected, "{given:?}");
        }
        let long = file_name(&"é".repeat(300)).unwrap();
        assert_eq!(long, "é".repeat(127), "cut between characters");
    }
}
