//! Reading the conversation view, one tenant at a time under row-level security.

use std::collections::HashMap;

use schemas::{
    Attachment, ContactProfile, ConversationId, DeliveryStatus, Edited, EventId, MessageContent, MessageKey,
    Reaction, SubjectId, TenantId,
};
use tokio_postgres::Row;

use crate::connect::tenant_transaction;
use crate::conversation::SEVERAL;
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
    /// What the person calls themselves.
    pub contact: ContactProfile,
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

/// A message as it stands now.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageRow {
    /// Its id.
    pub id: MessageKey,
    /// The event that brought it.
    pub event: EventId,
    /// `in` or `out`.
    pub direction: String,
    /// What it is, in one word.
    pub kind: String,
    /// Its text, the newest edit applied; `None` when it has none or was deleted.
    pub text: Option<String>,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// How far it got; `None` when nobody said.
    pub status: Option<DeliveryStatus>,
    /// Its text was changed.
    pub edited: bool,
    /// It was taken back.
    pub deleted: bool,
    /// What is attached.
    pub attachments: Vec<Attachment>,
    /// What people reacted with.
    pub reactions: Vec<ReactionRow>,
}

/// A reaction.
#[derive(Debug, Clone, PartialEq)]
pub struct ReactionRow {
    /// `in` or `out`.
    pub direction: String,
    /// The emoji, or Meta's word for it.
    pub emoji: String,
    /// When, Unix milliseconds.
    pub at_ms: i64,
}

const CONVERSATIONS: &str = "SELECT c.conversation_id, c.channel, c.asset, c.subject_id, p.content, c.last_at_ms,
        (SELECT count(*) FROM message m WHERE m.tenant_id = c.tenant_id AND m.conversation_id = c.conversation_id)
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

    /// A conversation's messages in order of Meta's time, then event id.
    pub async fn messages(
        &self,
        tenant: &TenantId,
        id: ConversationId,
        limit: u32,
        after: Option<MessageCursor>,
    ) -> Result<Vec<MessageRow>, StoreError> {
        let mut connection = self.get().await?;
        let transaction = tenant_transaction(&mut connection, tenant.as_str()).await?;
        let (tenant, id) = (tenant.as_str(), id.as_bytes().as_slice());
        let marks = transaction
            .query(
                "SELECT rank, at_ms FROM watermark WHERE tenant_id = $1 AND conversation_id = $2",
                &[&tenant, &id],
            )
            .await?;
        let marks: Vec<(i16, i64)> = marks.iter().map(|row| (row.get(0), row.get(1))).collect();
        let at = after.map(|cursor| cursor.at_ms);
        let event = after.map(|cursor| cursor.event.as_bytes().to_vec());
        let rows = transaction
            .query(
                "SELECT m.message_id, m.event_id, m.direction, m.kind, m.at_ms, m.content, e.content, d.message_id IS NOT NULL,
                        coalesce(s.rank, 0::smallint), coalesce(s.failed, false)
                 FROM message m
                 LEFT JOIN message_edit e USING (tenant_id, message_id)
                 LEFT JOIN message_deletion d USING (tenant_id, message_id)
                 LEFT JOIN status s USING (tenant_id, message_id)
                 WHERE m.tenant_id = $1 AND m.conversation_id = $2
                   AND ($3::bigint IS NULL OR (m.at_ms, m.event_id) > ($3, $4::bytea))
                 ORDER BY m.at_ms, m.event_id LIMIT $5",
                &[&tenant, &id, &at, &event, &i64::from(limit)],
            )
            .await?;
        let shown: Vec<&[u8]> = rows.iter().map(|row| row.get(0)).collect();
        let reactions = transaction
            .query(
                "SELECT message_id, direction, content, at_ms FROM reaction
                 WHERE tenant_id = $1 AND message_id = ANY($2) AND content IS NOT NULL ORDER BY at_ms, event_id",
                &[&tenant, &shown],
            )
            .await?;
        let mut reacted: HashMap<Vec<u8>, Vec<ReactionRow>> = HashMap::new();
        for row in &reactions {
            let reaction: Reaction = read(row.get(2), "reaction")?;
            if let Some(emoji) = reaction.emoji {
                let reaction = ReactionRow { direction: row.get(1), emoji, at_ms: row.get(3) };
                reacted.entry(row.get(0)).or_default().push(reaction);
            }
        }
        rows.iter().map(|row| message(row, &marks, &mut reacted)).collect()
    }
}

fn conversation(row: &Row) -> Result<ConversationRow, StoreError> {
    let damaged = || StoreError::Damaged { table: "conversation" };
    let subject: Option<&[u8]> = row.get(3);
    let contact: Option<&[u8]> = row.get(4);
    Ok(ConversationRow {
        id: ConversationId::from_bytes(row.get::<_, &[u8]>(0).try_into().map_err(|_| damaged())?),
        channel: row.get(1),
        asset: row.get(2),
        subject: subject
            .map(|id| id.try_into().map(SubjectId::from_bytes))
            .transpose()
            .map_err(|_| damaged())?
            .filter(|subject| *subject != SEVERAL),
        contact: contact.map(|content| read(content, "contact")).transpose()?.unwrap_or_default(),
        messages: unsigned(row.get(6)),
        last_at_ms: row.get(5),
    })
}

fn message(
    row: &Row,
    marks: &[(i16, i64)],
    reacted: &mut HashMap<Vec<u8>, Vec<ReactionRow>>,
) -> Result<MessageRow, StoreError> {
    let damaged = || StoreError::Damaged { table: "message" };
    let id: &[u8] = row.get(0);
    let direction: String = row.get(2);
    let at_ms: i64 = row.get(4);
    let deleted: bool = row.get(7);
    let mut content: MessageContent =
        if deleted { MessageContent::default() } else { read(row.get(5), "message")? };
    let edit: Option<&[u8]> = row.get::<_, Option<&[u8]>>(6).filter(|_| !deleted);
    if let Some(edit) = edit {
        let edit: Edited = read(edit, "message_edit")?;
        content.text = edit.text;
        if !edit.attachments.is_empty() {
            content.attachments = edit.attachments;
        }
    }
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
        text: content.text,
        at_ms,
        status,
        edited: edit.is_some(),
        deleted,
        attachments: content.attachments,
        reactions: if deleted { Vec::new() } else { reacted.remove(id).unwrap_or_default() },
    })
}

fn read<T: serde::de::DeserializeOwned>(content: &[u8], table: &'static str) -> Result<T, StoreError> {
    serde_json::from_slice(content).map_err(|_| StoreError::Damaged { table })
}
