//! Reading the conversation view, one tenant at a time under row-level security.

use std::collections::HashMap;

use schemas::{
    AttachmentId, ConversationId, DeliveryStatus, EventId, Field, FileState, MessageKey, SubjectId, TenantId,
};
use tokio_postgres::Row;

use crate::connect::tenant_transaction;
use crate::conversation_change::SEVERAL;
use crate::offset::unsigned;
use crate::{StoreError, ViewsDb};

/// A conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct ConversationRow {
    /// Its id.
    pub id: ConversationId,
    /// The product.
    pub channel: String,
    /// The asset, `kind:id`.
    pub asset: String,
    /// The person; `None` in a group or when no event named one.
    pub subject: Option<SubjectId>,
    /// What the person calls themselves, sealed.
    pub contact: Option<SealedPart>,
    /// How many messages it holds.
    pub messages: u64,
    /// The newest event, Unix milliseconds.
    pub last_at_ms: i64,
}

/// Where a page of conversations ends: the next one begins after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConversationCursor {
    /// `last_at_ms` of the page's last conversation.
    pub last_at_ms: i64,
    /// Its id.
    pub id: ConversationId,
}

/// Where a page of messages ends: the next one begins after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageCursor {
    /// `at_ms` of the page's last message.
    pub at_ms: i64,
    /// Its event.
    pub event: EventId,
}

/// Something sealed, and what it takes to open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedPart {
    /// For whom it is sealed; nobody: for the tenant itself.
    pub subject: Option<SubjectId>,
    /// The event that sealed it.
    pub event: EventId,
    /// Which part of the event it is.
    pub field: Field,
    /// The part, sealed.
    pub bytes: Vec<u8>,
}

/// A message as it stands now, sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageRow {
    /// Its id.
    pub id: MessageKey,
    /// The event that brought it.
    pub event: EventId,
    /// `in` or `out`.
    pub direction: String,
    /// What it is, in one word.
    pub kind: String,
    /// What it says; `None` when it was deleted.
    pub content: Option<SealedPart>,
    /// Its newest edit; `None` when there is none or it was deleted.
    pub edit: Option<SealedPart>,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// How far it got; `None` when nobody said.
    pub status: Option<DeliveryStatus>,
    /// It was taken back.
    pub deleted: bool,
    /// Its files.
    pub files: Vec<FileRow>,
    /// What people reacted with.
    pub reactions: Vec<ReactionRow>,
}

/// A message's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    /// Its id.
    pub id: AttachmentId,
    /// Whose it is.
    pub subject: Option<SubjectId>,
    /// The message it hangs on.
    pub message: Option<MessageKey>,
    /// What became of it; `None` while it is fetched.
    pub state: Option<FileState>,
    /// Its size, once stored.
    pub bytes: Option<u64>,
    /// What its bytes are.
    pub media_type: Option<String>,
    /// Why it is not stored.
    pub reason: Option<String>,
}

/// A reaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReactionRow {
    /// `in` or `out`.
    pub direction: String,
    /// The reaction.
    pub content: SealedPart,
    /// When, Unix milliseconds.
    pub at_ms: i64,
}

const CONVERSATIONS: &str = "SELECT c.conversation_id, c.channel, c.asset, c.subject_id, p.content, c.last_at_ms,
        p.event_id, (SELECT count(*) FROM message m WHERE m.tenant_id = c.tenant_id AND m.conversation_id = c.conversation_id)
    FROM conversation c LEFT JOIN contact p ON p.tenant_id = c.tenant_id AND p.subject_id = c.subject_id
    WHERE c.tenant_id = $1";

impl ViewsDb {
    /// A tenant's conversations, the latest first.
    pub async fn conversations(
        &self,
        tenant: &TenantId,
        limit: u32,
        after: Option<ConversationCursor>,
    ) -> Result<Vec<ConversationRow>, StoreError> {
        let mut connection = self.get().await?;
        let transaction = tenant_transaction(&mut connection, tenant.as_str()).await?;
        let sql = format!(
            "{CONVERSATIONS} AND ($2::bigint IS NULL OR (c.last_at_ms, c.conversation_id) < ($2, $3::bytea))
             ORDER BY c.last_at_ms DESC, c.conversation_id DESC LIMIT $4"
        );
        let at = after.map(|cursor| cursor.last_at_ms);
        let id = after.map(|cursor| cursor.id.as_bytes().to_vec());
        let rows = transaction.query(&sql, &[&tenant.as_str(), &at, &id, &i64::from(limit)]).await?;
        rows.iter().map(conversation).collect()
    }

    /// One conversation.
    pub async fn conversation(
        &self,
        tenant: &TenantId,
        id: ConversationId,
    ) -> Result<Option<ConversationRow>, StoreError> {
        let mut connection = self.get().await?;
        let transaction = tenant_transaction(&mut connection, tenant.as_str()).await?;
        let sql = format!("{CONVERSATIONS} AND c.conversation_id = $2");
        let row = transaction.query_opt(&sql, &[&tenant.as_str(), &id.as_bytes().as_slice()]).await?;
        row.as_ref().map(conversation).transpose()
    }

    /// The messages of these conversations, which are shown as one, in order of Meta's time, then event id.
    pub async fn messages(
        &self,
        tenant: &TenantId,
        ids: &[ConversationId],
        limit: u32,
        after: Option<MessageCursor>,
    ) -> Result<Vec<MessageRow>, StoreError> {
        let mut connection = self.get().await?;
        let transaction = tenant_transaction(&mut connection, tenant.as_str()).await?;
        let tenant = tenant.as_str();
        let ids: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes().as_slice()).collect();
        let marks = transaction
            .query(
                "SELECT rank, at_ms FROM watermark WHERE tenant_id = $1 AND conversation_id = ANY($2)",
                &[&tenant, &ids],
            )
            .await?;
        let marks: Vec<(i16, i64)> = marks.iter().map(|row| (row.get(0), row.get(1))).collect();
        let at = after.map(|cursor| cursor.at_ms);
        let event = after.map(|cursor| cursor.event.as_bytes().to_vec());
        let rows = transaction
            .query(
                "SELECT m.message_id, m.event_id, m.direction, m.kind, m.at_ms, m.content, e.content, d.message_id IS NOT NULL,
                        coalesce(s.rank, 0::smallint), coalesce(s.failed, false), m.subject_id, e.event_id, e.subject_id
                 FROM message m
                 LEFT JOIN message_edit e USING (tenant_id, message_id)
                 LEFT JOIN message_deletion d USING (tenant_id, message_id)
                 LEFT JOIN status s USING (tenant_id, message_id)
                 WHERE m.tenant_id = $1 AND m.conversation_id = ANY($2)
                   AND ($3::bigint IS NULL OR (m.at_ms, m.event_id) > ($3, $4::bytea))
                 ORDER BY m.at_ms, m.event_id LIMIT $5",
                &[&tenant, &ids, &at, &event, &i64::from(limit)],
            )
            .await?;
        let shown: Vec<&[u8]> = rows.iter().map(|row| row.get(0)).collect();
        let reactions = transaction
            .query(
                "SELECT message_id, direction, content, at_ms, event_id, subject_id FROM reaction
                 WHERE tenant_id = $1 AND message_id = ANY($2) ORDER BY at_ms, event_id",
                &[&tenant, &shown],
            )
            .await?;
        let mut reacted: HashMap<Vec<u8>, Vec<ReactionRow>> = HashMap::new();
        for row in &reactions {
            let direction: &str = row.get(1);
            // Where several conversations are one, whoever reacts in them is one person: what they did last stands.
            if ids.len() > 1 && direction == "in" {
                let before = reacted.entry(row.get(0)).or_default();
                before.retain(|reaction| reaction.direction != "in");
            }
            if row.get::<_, Option<&[u8]>>(2).is_none() {
                continue;
            }
            let content = part(row.get(5), row.get(4), Field::Content, row.get(2), "reaction")?;
            let reaction = ReactionRow { direction: row.get(1), content, at_ms: row.get(3) };
            reacted.entry(row.get(0)).or_default().push(reaction);
        }
        let files = transaction
            .query(
                &format!("{FILES} WHERE tenant_id = $1 AND message_id = ANY($2) ORDER BY event_id, position"),
                &[&tenant, &shown],
            )
            .await?;
        let mut hanging: HashMap<Vec<u8>, Vec<FileRow>> = HashMap::new();
        for row in &files {
            hanging.entry(row.get(2)).or_default().push(file(row)?);
        }
        rows.iter().map(|row| message(row, &marks, &mut reacted, &mut hanging)).collect()
    }

    /// One file.
    pub async fn file(&self, tenant: &TenantId, id: AttachmentId) -> Result<Option<FileRow>, StoreError> {
        let mut connection = self.get().await?;
        let transaction = tenant_transaction(&mut connection, tenant.as_str()).await?;
        // That of a message that was taken back is as good as gone.
        let sql = format!(
            "{FILES} WHERE tenant_id = $1 AND attachment_id = $2 AND NOT EXISTS (SELECT FROM message_deletion d
                 WHERE d.tenant_id = attachment.tenant_id AND d.message_id = attachment.message_id)"
        );
        let row = transaction.query_opt(&sql, &[&tenant.as_str(), &id.as_bytes().as_slice()]).await?;
        row.as_ref().map(file).transpose()
    }

    /// A person's conversations.
    pub async fn conversations_of(
        &self,
        tenant: &TenantId,
        subject: SubjectId,
    ) -> Result<Vec<ConversationRow>, StoreError> {
        let mut connection = self.get().await?;
        let transaction = tenant_transaction(&mut connection, tenant.as_str()).await?;
        // Their own, and groups they wrote in.
        let sql = format!(
            "{CONVERSATIONS} AND (c.subject_id = $2 OR c.conversation_id IN
                 (SELECT DISTINCT m.conversation_id FROM message m WHERE m.tenant_id = $1 AND m.subject_id = $2))
             ORDER BY c.last_at_ms DESC, c.conversation_id DESC"
        );
        let rows = transaction.query(&sql, &[&tenant.as_str(), &subject.as_bytes().as_slice()]).await?;
        rows.iter().map(conversation).collect()
    }
}

const FILES: &str =
    "SELECT attachment_id, subject_id, message_id, rank, bytes, media_type, reason FROM attachment";

fn file(row: &Row) -> Result<FileRow, StoreError> {
    let damaged = || StoreError::Damaged { table: "attachment" };
    let message: Option<&[u8]> = row.get(2);
    Ok(FileRow {
        id: AttachmentId::from_bytes(row.get::<_, &[u8]>(0).try_into().map_err(|_| damaged())?),
        subject: subject(row.get(1))?,
        message: message
            .map(|id| id.try_into().map(MessageKey::from_bytes))
            .transpose()
            .map_err(|_| damaged())?,
        state: match row.get::<_, i16>(3) {
            4.. => Some(FileState::Stored),
            3 => Some(FileState::Refused),
            2 => Some(FileState::Expired),
            1 => Some(FileState::Failed),
            _ => None,
        },
        bytes: row.get::<_, Option<i64>>(4).map(unsigned),
        media_type: row.get(5),
        reason: row.get(6),
    })
}

fn subject(bytes: Option<&[u8]>) -> Result<Option<SubjectId>, StoreError> {
    bytes
        .map(|id| id.try_into().map(SubjectId::from_bytes))
        .transpose()
        .map_err(|_| StoreError::Damaged { table: "subject" })
}

fn part(
    of: Option<&[u8]>,
    event: &[u8],
    field: Field,
    bytes: &[u8],
    table: &'static str,
) -> Result<SealedPart, StoreError> {
    let event = EventId::from_bytes(event.try_into().map_err(|_| StoreError::Damaged { table })?);
    Ok(SealedPart { subject: subject(of)?, event, field, bytes: bytes.to_vec() })
}

fn conversation(row: &Row) -> Result<ConversationRow, StoreError> {
    let damaged = || StoreError::Damaged { table: "conversation" };
    let person = subject(row.get(3))?.filter(|subject| *subject != SEVERAL);
    let contact: Option<&[u8]> = row.get(4);
    let contact = contact
        .map(|content| part(row.get(3), row.get(6), Field::Contact, content, "contact"))
        .transpose()?;
    Ok(ConversationRow {
        id: ConversationId::from_bytes(row.get::<_, &[u8]>(0).try_into().map_err(|_| damaged())?),
        channel: row.get(1),
        asset: row.get(2),
        subject: person,
        contact,
        messages: unsigned(row.get(7)),
        last_at_ms: row.get(5),
    })
}

fn message(
    row: &Row,
    marks: &[(i16, i64)],
    reacted: &mut HashMap<Vec<u8>, Vec<ReactionRow>>,
    hanging: &mut HashMap<Vec<u8>, Vec<FileRow>>,
) -> Result<MessageRow, StoreError> {
    let damaged = || StoreError::Damaged { table: "message" };
    let id: &[u8] = row.get(0);
    let direction: String = row.get(2);
    let at_ms: i64 = row.get(4);
    let deleted: bool = row.get(7);
    let content = (!deleted)
        .then(|| part(row.get(10), row.get(1), Field::Content, row.get(5), "message"))
        .transpose()?;
    let edit: Option<&[u8]> = row.get::<_, Option<&[u8]>>(6).filter(|_| !deleted);
    let edit =
        edit.map(|edit| part(row.get(12), row.get(11), Field::Content, edit, "message_edit")).transpose()?;
    let marked =
        marks.iter().filter(|(_, up_to)| direction == "out" && at_ms <= *up_to).map(|(rank, _)| *rank).max();
    let rank = row.get::<_, i16>(8).max(marked.unwrap_or(0));
    let status = match rank {
        4.. => Some(DeliveryStatus::Played),
        3 => Some(DeliveryStatus::Read),
        2 => Some(DeliveryStatus::Delivered),
        // A failure only stands where nothing better was reported (`meta-platform.md` §4).
        _ if row.get(9) => Some(DeliveryStatus::Failed),
        1 => Some(DeliveryStatus::Sent),
        _ => None,
    };
    Ok(MessageRow {
        id: MessageKey::from_bytes(id.try_into().map_err(|_| damaged())?),
        event: EventId::from_bytes(row.get::<_, &[u8]>(1).try_into().map_err(|_| damaged())?),
        direction,
        kind: row.get(3),
        content,
        edit,
        at_ms,
        status,
        deleted,
        files: if deleted { Vec::new() } else { hanging.remove(id).unwrap_or_default() },
        reactions: if deleted { Vec::new() } else { reacted.remove(id).unwrap_or_default() },
    })
}
