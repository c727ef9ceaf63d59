//! Writing the conversation view. Every merge here is order-free: the same rows come out whatever order changes arrive in
//! and however often.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use schemas::{ConversationId, EventId, MessageKey, SubjectId, TenantId};
use tokio_postgres::types::ToSql;

use crate::coverage::CoverageView;
use crate::coverage_mark::{CoverageChange, mark};
use crate::offset::advance;
use crate::{Moved, OffsetMove, StoreError, ViewsDb};

/// What a batch of events changes, folded: one entry a row. Keys begin with the tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConversationChanges {
    /// Conversations.
    pub conversations: BTreeMap<(TenantId, ConversationId), ConversationChange>,
    /// What people call themselves.
    pub contacts: BTreeMap<(TenantId, SubjectId), ContactChange>,
    /// Messages.
    pub messages: BTreeMap<(TenantId, MessageKey), MessageChange>,
    /// The newest edit of each message.
    pub edits: BTreeMap<(TenantId, MessageKey), EditChange>,
    /// Messages that were taken back.
    pub deletions: BTreeMap<(TenantId, MessageKey), DeletionChange>,
    /// The newest reaction of each actor to each message; the actor is empty for the business.
    pub reactions: BTreeMap<(TenantId, MessageKey, Option<SubjectId>), ReactionChange>,
    /// How far sent messages came.
    pub statuses: BTreeMap<(TenantId, MessageKey), StatusChange>,
    /// How far conversations were delivered (2) and read (3).
    pub watermarks: BTreeMap<(TenantId, ConversationId, i16), WatermarkChange>,
    /// Which items were applied.
    pub applied: CoverageChange,
}

/// Stands for the people of a group, where a conversation's person would stand. No subject is all zeros.
pub const SEVERAL: SubjectId = SubjectId::from_bytes([0; 16]);

/// A conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationChange {
    /// The product.
    pub channel: &'static str,
    /// The asset, `kind:id`.
    pub asset: String,
    /// The person; `None` when no event named one, [`SEVERAL`] once two were named, as in a group.
    pub subject: Option<SubjectId>,
    /// The newest event, Unix milliseconds.
    pub last_at_ms: i64,
}

/// What a person calls themselves; the newest wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContactChange {
    /// When Meta said so, Unix milliseconds.
    pub at_ms: i64,
    /// The profile.
    pub content: Vec<u8>,
}

/// A message; of two with one key the live one wins over the imported, then the earliest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageChange {
    /// Brought by a history import.
    pub imported: bool,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// The event that brought it.
    pub event: EventId,
    /// Where it belongs.
    pub conversation: ConversationId,
    /// `in` or `out`.
    pub direction: &'static str,
    /// What it is, in one word.
    pub kind: String,
    /// What it says.
    pub content: Vec<u8>,
}

impl MessageChange {
    /// What decides between two; the smaller wins.
    pub fn rank(&self) -> (bool, i64, EventId) {
        (self.imported, self.at_ms, self.event)
    }
}

/// A message's new text; the highest revision wins, then the latest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EditChange {
    /// Meta's count of edits; 0 where it does not count.
    pub revision: i64,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// The event.
    pub event: EventId,
    /// What it says now.
    pub content: Vec<u8>,
}

/// A message was taken back; terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletionChange {
    /// The first time it was said, Unix milliseconds.
    pub at_ms: i64,
}

/// A reaction set, or removed; the latest wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReactionChange {
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// The event.
    pub event: EventId,
    /// `in` or `out`.
    pub direction: &'static str,
    /// The reaction; `None` once removed.
    pub content: Option<Vec<u8>>,
}

/// How far a sent message came; only rises.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatusChange {
    /// 0 none, 1 sent, 2 delivered, 3 read, 4 played.
    pub rank: i16,
    /// It was reported failed.
    pub failed: bool,
}

/// Everything up to here; only rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatermarkChange {
    /// Unix milliseconds.
    pub at_ms: i64,
}

impl ViewsDb {
    /// Applies a folded batch and moves the projection's offset, in one transaction.
    pub async fn apply_conversation(
        &self,
        step: &OffsetMove<'_>,
        changes: &ConversationChanges,
    ) -> Result<Moved, StoreError> {
        let mut connection = self.get().await?;
        let transaction = connection.transaction().await?;
        if !advance(&transaction, step).await? {
            return Ok(Moved::Conflict);
        }
        conversations(&transaction, changes).await?;
        contacts(&transaction, changes).await?;
        deletions(&transaction, changes).await?;
        messages(&transaction, changes).await?;
        edits(&transaction, changes).await?;
        reactions(&transaction, changes).await?;
        statuses(&transaction, changes).await?;
        watermarks(&transaction, changes).await?;
        mark(&transaction, CoverageView::Conversation, &changes.applied).await?;
        transaction.commit().await?;
        Ok(Moved::Applied)
    }
}

async fn run(
    transaction: &Transaction<'_>,
    sql: &str,
    rows: usize,
    columns: &[&(dyn ToSql + Sync)],
) -> Result<(), StoreError> {
    if rows > 0 {
        let statement = transaction.prepare_cached(sql).await?;
        transaction.execute(&statement, columns).await?;
    }
    Ok(())
}

fn tenants<'a>(keys: impl Iterator<Item = &'a TenantId>) -> Vec<&'a str> {
    keys.map(TenantId::as_str).collect()
}

async fn conversations(
    transaction: &Transaction<'_>,
    changes: &ConversationChanges,
) -> Result<(), StoreError> {
    let rows = &changes.conversations;
    let tenants = tenants(rows.keys().map(|(tenant, _)| tenant));
    let ids: Vec<&[u8]> = rows.keys().map(|(_, id)| id.as_bytes().as_slice()).collect();
    let channels: Vec<&str> = rows.values().map(|row| row.channel).collect();
    let assets: Vec<&str> = rows.values().map(|row| row.asset.as_str()).collect();
    let subjects: Vec<Option<&[u8]>> =
        rows.values().map(|row| row.subject.as_ref().map(|subject| subject.as_bytes().as_slice())).collect();
    let last: Vec<i64> = rows.values().map(|row| row.last_at_ms).collect();
    let sql = "INSERT INTO conversation AS c (tenant_id, conversation_id, channel, asset, subject_id, last_at_ms)
         SELECT * FROM unnest($1::text[], $2::bytea[], $3::text[], $4::text[], $5::bytea[], $6::bigint[])
         ON CONFLICT (tenant_id, conversation_id) DO UPDATE
         SET last_at_ms = GREATEST(c.last_at_ms, excluded.last_at_ms), 
             subject_id = CASE WHEN c.subject_id <> excluded.subject_id THEN $7 ELSE COALESCE(c.subject_id, excluded.subject_id) END
         WHERE excluded.last_at_ms > c.last_at_ms OR (excluded.subject_id IS NOT NULL AND excluded.subject_id IS DISTINCT FROM c.subject_id)";
    let several = SEVERAL.as_bytes().as_slice();
    let columns: [&(dyn ToSql + Sync); 7] = [&tenants, &ids, &channels, &assets, &subjects, &last, &several];
    run(transaction, sql, rows.len(), &columns).await
}

async fn contacts(transaction: &Transaction<'_>, changes: &ConversationChanges) -> Result<(), StoreError> {
    let rows = &changes.contacts;
    let tenants = tenants(rows.keys().map(|(tenant, _)| tenant));
    let ids: Vec<&[u8]> = rows.keys().map(|(_, id)| id.as_bytes().as_slice()).collect();
    let at: Vec<i64> = rows.values().map(|row| row.at_ms).collect();
    let content: Vec<&[u8]> = rows.values().map(|row| row.content.as_slice()).collect();
    let sql = "INSERT INTO contact AS c (tenant_id, subject_id, at_ms, content)
         SELECT * FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::bytea[])
         ON CONFLICT (tenant_id, subject_id) DO UPDATE SET at_ms = excluded.at_ms, content = excluded.content
         WHERE (excluded.at_ms, excluded.content) > (c.at_ms, c.content)";
    run(transaction, sql, rows.len(), &[&tenants, &ids, &at, &content]).await
}

/// Before messages and edits: those look here before they keep any content.
async fn deletions(transaction: &Transaction<'_>, changes: &ConversationChanges) -> Result<(), StoreError> {
    let rows = &changes.deletions;
    let tenants = tenants(rows.keys().map(|(tenant, _)| tenant));
    let ids: Vec<&[u8]> = rows.keys().map(|(_, id)| id.as_bytes().as_slice()).collect();
    let at: Vec<i64> = rows.values().map(|row| row.at_ms).collect();
    let sql = "INSERT INTO message_deletion AS d (tenant_id, message_id, at_ms)
         SELECT * FROM unnest($1::text[], $2::bytea[], $3::bigint[])
         ON CONFLICT (tenant_id, message_id) DO UPDATE SET at_ms = excluded.at_ms WHERE excluded.at_ms < d.at_ms";
    run(transaction, sql, rows.len(), &[&tenants, &ids, &at]).await?;
    for table in ["message", "message_edit"] {
        let sql = format!(
            "UPDATE {table} m SET content = '' FROM unnest($1::text[], $2::bytea[]) AS d (tenant_id, message_id)
             WHERE m.tenant_id = d.tenant_id AND m.message_id = d.message_id AND m.content <> ''"
        );
        run(transaction, &sql, rows.len(), &[&tenants, &ids]).await?;
    }
    Ok(())
}

async fn messages(transaction: &Transaction<'_>, changes: &ConversationChanges) -> Result<(), StoreError> {
    let rows = &changes.messages;
    let tenants = tenants(rows.keys().map(|(tenant, _)| tenant));
    let ids: Vec<&[u8]> = rows.keys().map(|(_, id)| id.as_bytes().as_slice()).collect();
    let conversations: Vec<&[u8]> = rows.values().map(|row| row.conversation.as_bytes().as_slice()).collect();
    let events: Vec<&[u8]> = rows.values().map(|row| row.event.as_bytes().as_slice()).collect();
    let directions: Vec<&str> = rows.values().map(|row| row.direction).collect();
    let kinds: Vec<&str> = rows.values().map(|row| row.kind.as_str()).collect();
    let imported: Vec<bool> = rows.values().map(|row| row.imported).collect();
    let at: Vec<i64> = rows.values().map(|row| row.at_ms).collect();
    let content: Vec<&[u8]> = rows.values().map(|row| row.content.as_slice()).collect();
    let sql = "INSERT INTO message AS m (tenant_id, message_id, conversation_id, event_id, direction, kind, imported, at_ms, content)
         SELECT n.tenant_id, n.message_id, n.conversation_id, n.event_id, n.direction, n.kind, n.imported, n.at_ms,
                CASE WHEN d.message_id IS NULL THEN n.content ELSE '' END
         FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bytea[], $5::text[], $6::text[], $7::boolean[], $8::bigint[], $9::bytea[])
              AS n (tenant_id, message_id, conversation_id, event_id, direction, kind, imported, at_ms, content)
         LEFT JOIN message_deletion d ON d.tenant_id = n.tenant_id AND d.message_id = n.message_id
         ON CONFLICT (tenant_id, message_id) DO UPDATE
         SET conversation_id = excluded.conversation_id, event_id = excluded.event_id, direction = excluded.direction,
             kind = excluded.kind, imported = excluded.imported, at_ms = excluded.at_ms, content = excluded.content
         WHERE (excluded.imported, excluded.at_ms, excluded.event_id) < (m.imported, m.at_ms, m.event_id)";
    let columns: [&(dyn ToSql + Sync); 9] =
        [&tenants, &ids, &conversations, &events, &directions, &kinds, &imported, &at, &content];
    run(transaction, sql, rows.len(), &columns).await
}

async fn edits(transaction: &Transaction<'_>, changes: &ConversationChanges) -> Result<(), StoreError> {
    let rows = &changes.edits;
    let tenants = tenants(rows.keys().map(|(tenant, _)| tenant));
    let ids: Vec<&[u8]> = rows.keys().map(|(_, id)| id.as_bytes().as_slice()).collect();
    let revisions: Vec<i64> = rows.values().map(|row| row.revision).collect();
    let at: Vec<i64> = rows.values().map(|row| row.at_ms).collect();
    let events: Vec<&[u8]> = rows.values().map(|row| row.event.as_bytes().as_slice()).collect();
    let content: Vec<&[u8]> = rows.values().map(|row| row.content.as_slice()).collect();
    let sql = "INSERT INTO message_edit AS e (tenant_id, message_id, revision, at_ms, event_id, content)
         SELECT n.tenant_id, n.message_id, n.revision, n.at_ms, n.event_id,
                CASE WHEN d.message_id IS NULL THEN n.content ELSE '' END
         FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bytea[])
              AS n (tenant_id, message_id, revision, at_ms, event_id, content)
         LEFT JOIN message_deletion d ON d.tenant_id = n.tenant_id AND d.message_id = n.message_id
         ON CONFLICT (tenant_id, message_id) DO UPDATE
         SET revision = excluded.revision, at_ms = excluded.at_ms, event_id = excluded.event_id, content = excluded.content
         WHERE (excluded.revision, excluded.at_ms, excluded.event_id) > (e.revision, e.at_ms, e.event_id)";
    run(transaction, sql, rows.len(), &[&tenants, &ids, &revisions, &at, &events, &content]).await
}

async fn reactions(transaction: &Transaction<'_>, changes: &ConversationChanges) -> Result<(), StoreError> {
    let rows = &changes.reactions;
    let tenants = tenants(rows.keys().map(|(tenant, _, _)| tenant));
    let ids: Vec<&[u8]> = rows.keys().map(|(_, id, _)| id.as_bytes().as_slice()).collect();
    let actors: Vec<&[u8]> = rows
        .keys()
        .map(|(_, _, actor)| actor.as_ref().map_or(&[][..], |actor| actor.as_bytes().as_slice()))
        .collect();
    let directions: Vec<&str> = rows.values().map(|row| row.direction).collect();
    let at: Vec<i64> = rows.values().map(|row| row.at_ms).collect();
    let events: Vec<&[u8]> = rows.values().map(|row| row.event.as_bytes().as_slice()).collect();
    let content: Vec<Option<&[u8]>> = rows.values().map(|row| row.content.as_deref()).collect();
    let sql = "INSERT INTO reaction AS r (tenant_id, message_id, actor, direction, at_ms, event_id, content)
         SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::text[], $5::bigint[], $6::bytea[], $7::bytea[])
         ON CONFLICT (tenant_id, message_id, actor) DO UPDATE
         SET direction = excluded.direction, at_ms = excluded.at_ms, event_id = excluded.event_id, content = excluded.content
         WHERE (excluded.at_ms, excluded.event_id) > (r.at_ms, r.event_id)";
    run(transaction, sql, rows.len(), &[&tenants, &ids, &actors, &directions, &at, &events, &content]).await
}

async fn statuses(transaction: &Transaction<'_>, changes: &ConversationChanges) -> Result<(), StoreError> {
    let rows = &changes.statuses;
    let tenants = tenants(rows.keys().map(|(tenant, _)| tenant));
    let ids: Vec<&[u8]> = rows.keys().map(|(_, id)| id.as_bytes().as_slice()).collect();
    let ranks: Vec<i16> = rows.values().map(|row| row.rank).collect();
    let failed: Vec<bool> = rows.values().map(|row| row.failed).collect();
    let sql = "INSERT INTO status AS s (tenant_id, message_id, rank, failed)
         SELECT * FROM unnest($1::text[], $2::bytea[], $3::smallint[], $4::boolean[])
         ON CONFLICT (tenant_id, message_id) DO UPDATE
         SET rank = GREATEST(s.rank, excluded.rank), failed = s.failed OR excluded.failed
         WHERE excluded.rank > s.rank OR (excluded.failed AND NOT s.failed)";
    run(transaction, sql, rows.len(), &[&tenants, &ids, &ranks, &failed]).await
}

async fn watermarks(transaction: &Transaction<'_>, changes: &ConversationChanges) -> Result<(), StoreError> {
    let rows = &changes.watermarks;
    let tenants = tenants(rows.keys().map(|(tenant, _, _)| tenant));
    let ids: Vec<&[u8]> = rows.keys().map(|(_, id, _)| id.as_bytes().as_slice()).collect();
    let ranks: Vec<i16> = rows.keys().map(|(_, _, rank)| *rank).collect();
    let at: Vec<i64> = rows.values().map(|row| row.at_ms).collect();
    let sql = "INSERT INTO watermark AS w (tenant_id, conversation_id, rank, at_ms)
         SELECT * FROM unnest($1::text[], $2::bytea[], $3::smallint[], $4::bigint[])
         ON CONFLICT (tenant_id, conversation_id, rank) DO UPDATE SET at_ms = excluded.at_ms WHERE excluded.at_ms > w.at_ms";
    run(transaction, sql, rows.len(), &[&tenants, &ids, &ranks, &at]).await
}
