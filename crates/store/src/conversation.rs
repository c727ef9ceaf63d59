//! Writing the conversation view. Every merge here is order-free: the same rows come out whatever order changes arrive in
//! and however often.

use deadpool_postgres::Transaction;
use schemas::{SubjectId, TenantId};
use tokio_postgres::types::ToSql;

use crate::conversation_change::PLACEHOLDER;
use crate::coverage::CoverageView;
use crate::coverage_mark::mark;
use crate::offset::advance;
use crate::{ConversationChanges, Moved, OffsetMove, SEVERAL, StoreError, ViewsDb, standing};

/// Held exclusively while people's rows are removed, shared while rows are written.
pub(crate) const FORGETTING: i64 = 0x7469_6469_6e67_7306;

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
        write(&transaction, changes).await?;
        mark(&transaction, CoverageView::Conversation, &changes.applied).await?;
        transaction.commit().await?;
        Ok(Moved::Applied)
    }
}

/// Writes what a batch changes into the tables that the search path leads to.
pub(crate) async fn write(
    transaction: &Transaction<'_>,
    changes: &ConversationChanges,
) -> Result<(), StoreError> {
    // Together with the exclusive lock of whoever forgets people: what they removed is not written again.
    transaction.execute("SELECT pg_advisory_xact_lock_shared($1)", &[&FORGETTING]).await?;
    conversations(transaction, changes).await?;
    contacts(transaction, changes).await?;
    deletions(transaction, changes).await?;
    messages(transaction, changes).await?;
    edits(transaction, changes).await?;
    reactions(transaction, changes).await?;
    statuses(transaction, changes).await?;
    watermarks(transaction, changes).await?;
    attachments(transaction, changes).await?;
    standing::write(transaction, &changes.standing).await
}

pub(crate) async fn run(
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

pub(crate) fn tenants<'a>(keys: impl Iterator<Item = &'a TenantId>) -> Vec<&'a str> {
    keys.map(TenantId::as_str).collect()
}

pub(crate) fn subjects<'a>(rows: impl Iterator<Item = Option<&'a SubjectId>>) -> Vec<Option<&'a [u8]>> {
    rows.map(|subject| subject.map(|subject| subject.as_bytes().as_slice())).collect()
}

/// Whose a row is that may be of nobody, of one, or of several: the value to set.
fn whose(row: &str, several: &str) -> String {
    format!(
        "CASE WHEN {row}.subject_id <> excluded.subject_id THEN {several} ELSE COALESCE({row}.subject_id, excluded.subject_id) END"
    )
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
    let subjects = subjects(rows.values().map(|row| row.subject.as_ref()));
    let last: Vec<i64> = rows.values().map(|row| row.last_at_ms).collect();
    let whose = whose("c", "$7");
    let sql = format!(
        "INSERT INTO conversation AS c (tenant_id, conversation_id, channel, asset, subject_id, last_at_ms)
         SELECT n.* FROM unnest($1::text[], $2::bytea[], $3::text[], $4::text[], $5::bytea[], $6::bigint[])
              AS n (tenant_id, conversation_id, channel, asset, subject_id, last_at_ms)
         WHERE NOT EXISTS (SELECT FROM forgotten f WHERE f.tenant_id = n.tenant_id AND f.subject_id = n.subject_id)
         ON CONFLICT (tenant_id, conversation_id) DO UPDATE
         SET last_at_ms = GREATEST(c.last_at_ms, excluded.last_at_ms), subject_id = {whose}
         WHERE excluded.last_at_ms > c.last_at_ms OR (excluded.subject_id IS NOT NULL AND excluded.subject_id IS DISTINCT FROM c.subject_id)"
    );
    let several = SEVERAL.as_bytes().as_slice();
    let columns: [&(dyn ToSql + Sync); 7] = [&tenants, &ids, &channels, &assets, &subjects, &last, &several];
    run(transaction, &sql, rows.len(), &columns).await
}

async fn contacts(transaction: &Transaction<'_>, changes: &ConversationChanges) -> Result<(), StoreError> {
    let rows = &changes.contacts;
    let tenants = tenants(rows.keys().map(|(tenant, _)| tenant));
    let ids: Vec<&[u8]> = rows.keys().map(|(_, id)| id.as_bytes().as_slice()).collect();
    let at: Vec<i64> = rows.values().map(|row| row.at_ms).collect();
    let events: Vec<&[u8]> = rows.values().map(|row| row.event.as_bytes().as_slice()).collect();
    let content: Vec<&[u8]> = rows.values().map(|row| row.content.as_slice()).collect();
    let sql = "INSERT INTO contact AS c (tenant_id, subject_id, at_ms, event_id, content)
         SELECT n.* FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::bytea[], $5::bytea[])
              AS n (tenant_id, subject_id, at_ms, event_id, content)
         WHERE NOT EXISTS (SELECT FROM forgotten f WHERE f.tenant_id = n.tenant_id AND f.subject_id = n.subject_id)
         ON CONFLICT (tenant_id, subject_id) DO UPDATE SET at_ms = excluded.at_ms, event_id = excluded.event_id, content = excluded.content
         WHERE (excluded.at_ms, excluded.event_id) > (c.at_ms, c.event_id)";
    run(transaction, sql, rows.len(), &[&tenants, &ids, &at, &events, &content]).await
}

/// Before messages and edits: those look here before they keep any content.
async fn deletions(transaction: &Transaction<'_>, changes: &ConversationChanges) -> Result<(), StoreError> {
    let rows = &changes.deletions;
    let tenants = tenants(rows.keys().map(|(tenant, _)| tenant));
    let ids: Vec<&[u8]> = rows.keys().map(|(_, id)| id.as_bytes().as_slice()).collect();
    let at: Vec<i64> = rows.values().map(|row| row.at_ms).collect();
    let subjects = subjects(rows.values().map(|row| row.subject.as_ref()));
    let whose = whose("d", "$5");
    let sql = format!(
        "INSERT INTO message_deletion AS d (tenant_id, message_id, at_ms, subject_id)
         SELECT n.* FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::bytea[]) AS n (tenant_id, message_id, at_ms, subject_id)
         WHERE NOT EXISTS (SELECT FROM forgotten f WHERE f.tenant_id = n.tenant_id AND f.subject_id = n.subject_id)
         ON CONFLICT (tenant_id, message_id) DO UPDATE SET at_ms = LEAST(d.at_ms, excluded.at_ms), subject_id = {whose}
         WHERE excluded.at_ms < d.at_ms OR (excluded.subject_id IS NOT NULL AND excluded.subject_id IS DISTINCT FROM d.subject_id)"
    );
    let several = SEVERAL.as_bytes().as_slice();
    run(transaction, &sql, rows.len(), &[&tenants, &ids, &at, &subjects, &several]).await?;
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
    let subjects = subjects(rows.values().map(|row| row.subject.as_ref()));
    let events: Vec<&[u8]> = rows.values().map(|row| row.event.as_bytes().as_slice()).collect();
    let directions: Vec<&str> = rows.values().map(|row| row.direction).collect();
    let kinds: Vec<&str> = rows.values().map(|row| row.kind.as_str()).collect();
    let imported: Vec<bool> = rows.values().map(|row| row.imported).collect();
    let standby: Vec<bool> = rows.values().map(|row| row.standby).collect();
    let at: Vec<i64> = rows.values().map(|row| row.at_ms).collect();
    let content: Vec<&[u8]> = rows.values().map(|row| row.content.as_slice()).collect();
    let sql = format!(
        "INSERT INTO message AS m (tenant_id, message_id, conversation_id, event_id, direction, kind, imported, standby, at_ms, content, subject_id)
         SELECT n.tenant_id, n.message_id, n.conversation_id, n.event_id, n.direction, n.kind, n.imported, n.standby, n.at_ms,
                CASE WHEN d.message_id IS NULL THEN n.content ELSE '' END, n.subject_id
         FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bytea[], $5::text[], $6::text[], $7::boolean[], $8::boolean[], $9::bigint[], $10::bytea[], $11::bytea[])
              AS n (tenant_id, message_id, conversation_id, event_id, direction, kind, imported, standby, at_ms, content, subject_id)
         LEFT JOIN message_deletion d ON d.tenant_id = n.tenant_id AND d.message_id = n.message_id
         WHERE NOT EXISTS (SELECT FROM forgotten f WHERE f.tenant_id = n.tenant_id AND f.subject_id = n.subject_id)
         ON CONFLICT (tenant_id, message_id) DO UPDATE
         SET conversation_id = excluded.conversation_id, event_id = excluded.event_id, direction = excluded.direction,
             kind = excluded.kind, imported = excluded.imported, standby = excluded.standby, at_ms = excluded.at_ms,
             content = excluded.content, subject_id = excluded.subject_id
         WHERE (excluded.imported, excluded.standby, excluded.kind = '{PLACEHOLDER}', excluded.at_ms, excluded.event_id,
                coalesce(excluded.subject_id, ''), excluded.conversation_id)
             < (m.imported, m.standby, m.kind = '{PLACEHOLDER}', m.at_ms, m.event_id, coalesce(m.subject_id, ''), m.conversation_id)"
    );
    let columns: [&(dyn ToSql + Sync); 11] = [
        &tenants,
        &ids,
        &conversations,
        &events,
        &directions,
        &kinds,
        &imported,
        &standby,
        &at,
        &content,
        &subjects,
    ];
    run(transaction, &sql, rows.len(), &columns).await
}

async fn edits(transaction: &Transaction<'_>, changes: &ConversationChanges) -> Result<(), StoreError> {
    let rows = &changes.edits;
    let tenants = tenants(rows.keys().map(|(tenant, _)| tenant));
    let ids: Vec<&[u8]> = rows.keys().map(|(_, id)| id.as_bytes().as_slice()).collect();
    let revisions: Vec<i64> = rows.values().map(|row| row.revision).collect();
    let at: Vec<i64> = rows.values().map(|row| row.at_ms).collect();
    let subjects = subjects(rows.values().map(|row| row.subject.as_ref()));
    let events: Vec<&[u8]> = rows.values().map(|row| row.event.as_bytes().as_slice()).collect();
    let content: Vec<&[u8]> = rows.values().map(|row| row.content.as_slice()).collect();
    let sql = "INSERT INTO message_edit AS e (tenant_id, message_id, revision, at_ms, event_id, content, subject_id)
         SELECT n.tenant_id, n.message_id, n.revision, n.at_ms, n.event_id,
                CASE WHEN d.message_id IS NULL THEN n.content ELSE '' END, n.subject_id
         FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bytea[], $7::bytea[])
              AS n (tenant_id, message_id, revision, at_ms, event_id, content, subject_id)
         LEFT JOIN message_deletion d ON d.tenant_id = n.tenant_id AND d.message_id = n.message_id
         WHERE NOT EXISTS (SELECT FROM forgotten f WHERE f.tenant_id = n.tenant_id AND f.subject_id = n.subject_id)
         ON CONFLICT (tenant_id, message_id) DO UPDATE
         SET revision = excluded.revision, at_ms = excluded.at_ms, event_id = excluded.event_id, content = excluded.content,
             subject_id = excluded.subject_id
         WHERE (excluded.revision, excluded.at_ms, excluded.event_id) > (e.revision, e.at_ms, e.event_id)";
    run(transaction, sql, rows.len(), &[&tenants, &ids, &revisions, &at, &events, &content, &subjects]).await
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
    let subjects = subjects(rows.values().map(|row| row.subject.as_ref()));
    let events: Vec<&[u8]> = rows.values().map(|row| row.event.as_bytes().as_slice()).collect();
    let content: Vec<Option<&[u8]>> = rows.values().map(|row| row.content.as_deref()).collect();
    let sql = "INSERT INTO reaction AS r (tenant_id, message_id, actor, direction, at_ms, event_id, content, subject_id)
         SELECT n.* FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::text[], $5::bigint[], $6::bytea[], $7::bytea[], $8::bytea[])
              AS n (tenant_id, message_id, actor, direction, at_ms, event_id, content, subject_id)
         WHERE NOT EXISTS (SELECT FROM forgotten f WHERE f.tenant_id = n.tenant_id AND f.subject_id = n.subject_id)
         ON CONFLICT (tenant_id, message_id, actor) DO UPDATE
         SET direction = excluded.direction, at_ms = excluded.at_ms, event_id = excluded.event_id, content = excluded.content,
             subject_id = excluded.subject_id
         WHERE (excluded.at_ms, excluded.event_id) > (r.at_ms, r.event_id)";
    let columns: [&(dyn ToSql + Sync); 8] =
        [&tenants, &ids, &actors, &directions, &at, &events, &content, &subjects];
    run(transaction, sql, rows.len(), &columns).await
}

async fn statuses(transaction: &Transaction<'_>, changes: &ConversationChanges) -> Result<(), StoreError> {
    let rows = &changes.statuses;
    let tenants = tenants(rows.keys().map(|(tenant, _)| tenant));
    let ids: Vec<&[u8]> = rows.keys().map(|(_, id)| id.as_bytes().as_slice()).collect();
    let ranks: Vec<i16> = rows.values().map(|row| row.rank).collect();
    let failed: Vec<bool> = rows.values().map(|row| row.failed).collect();
    let subjects = subjects(rows.values().map(|row| row.subject.as_ref()));
    let whose = whose("s", "$6");
    let sql = format!(
        "INSERT INTO status AS s (tenant_id, message_id, rank, failed, subject_id)
         SELECT n.* FROM unnest($1::text[], $2::bytea[], $3::smallint[], $4::boolean[], $5::bytea[])
              AS n (tenant_id, message_id, rank, failed, subject_id)
         WHERE NOT EXISTS (SELECT FROM forgotten f WHERE f.tenant_id = n.tenant_id AND f.subject_id = n.subject_id)
         ON CONFLICT (tenant_id, message_id) DO UPDATE
         SET rank = GREATEST(s.rank, excluded.rank), failed = s.failed OR excluded.failed, subject_id = {whose}
         WHERE excluded.rank > s.rank OR (excluded.failed AND NOT s.failed)
            OR (excluded.subject_id IS NOT NULL AND excluded.subject_id IS DISTINCT FROM s.subject_id)"
    );
    let several = SEVERAL.as_bytes().as_slice();
    run(transaction, &sql, rows.len(), &[&tenants, &ids, &ranks, &failed, &subjects, &several]).await
}

async fn watermarks(transaction: &Transaction<'_>, changes: &ConversationChanges) -> Result<(), StoreError> {
    let rows = &changes.watermarks;
    let tenants = tenants(rows.keys().map(|(tenant, _, _)| tenant));
    let ids: Vec<&[u8]> = rows.keys().map(|(_, id, _)| id.as_bytes().as_slice()).collect();
    let ranks: Vec<i16> = rows.keys().map(|(_, _, rank)| *rank).collect();
    let at: Vec<i64> = rows.values().map(|row| row.at_ms).collect();
    let subjects = subjects(rows.values().map(|row| row.subject.as_ref()));
    let whose = whose("w", "$6");
    let sql = format!(
        "INSERT INTO watermark AS w (tenant_id, conversation_id, rank, at_ms, subject_id)
         SELECT n.* FROM unnest($1::text[], $2::bytea[], $3::smallint[], $4::bigint[], $5::bytea[])
              AS n (tenant_id, conversation_id, rank, at_ms, subject_id)
         WHERE NOT EXISTS (SELECT FROM forgotten f WHERE f.tenant_id = n.tenant_id AND f.subject_id = n.subject_id)
         ON CONFLICT (tenant_id, conversation_id, rank) DO UPDATE SET at_ms = GREATEST(w.at_ms, excluded.at_ms), subject_id = {whose}
         WHERE excluded.at_ms > w.at_ms OR (excluded.subject_id IS NOT NULL AND excluded.subject_id IS DISTINCT FROM w.subject_id)"
    );
    let several = SEVERAL.as_bytes().as_slice();
    run(transaction, &sql, rows.len(), &[&tenants, &ids, &ranks, &at, &subjects, &several]).await
}

async fn attachments(transaction: &Transaction<'_>, changes: &ConversationChanges) -> Result<(), StoreError> {
    let rows = &changes.attachments;
    let tenants = tenants(rows.keys().map(|(tenant, _)| tenant));
    let ids: Vec<&[u8]> = rows.keys().map(|(_, id)| id.as_bytes().as_slice()).collect();
    let subjects = subjects(rows.values().map(|row| row.subject.as_ref()));
    let named = || rows.values().map(|row| row.named.as_ref());
    let messages: Vec<Option<&[u8]>> =
        named().map(|name| name.map(|name| name.message.as_bytes().as_slice())).collect();
    let events: Vec<Option<&[u8]>> =
        named().map(|name| name.map(|name| name.event.as_bytes().as_slice())).collect();
    let positions: Vec<Option<i16>> = named().map(|name| name.map(|name| name.position)).collect();
    let kinds: Vec<Option<&str>> = named().map(|name| name.map(|name| name.kind.as_str())).collect();
    let ranks: Vec<i16> = rows.values().map(|row| row.outcome.rank).collect();
    let bytes: Vec<Option<i64>> = rows.values().map(|row| row.outcome.bytes).collect();
    let types: Vec<Option<&str>> = rows.values().map(|row| row.outcome.media_type.as_deref()).collect();
    let reasons: Vec<Option<&str>> = rows.values().map(|row| row.outcome.reason.as_deref()).collect();
    let at: Vec<i64> = rows.values().map(|row| row.at_ms).collect();
    let sql = "INSERT INTO attachment AS a (tenant_id, attachment_id, subject_id, message_id, event_id, position, kind, rank, bytes, media_type, reason, at_ms)
         SELECT n.* FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[], $6::smallint[], $7::text[], $8::smallint[], $9::bigint[], $10::text[], $11::text[], $12::bigint[])
              AS n (tenant_id, attachment_id, subject_id, message_id, event_id, position, kind, rank, bytes, media_type, reason, at_ms)
         WHERE NOT EXISTS (SELECT FROM forgotten f WHERE f.tenant_id = n.tenant_id AND f.subject_id = n.subject_id)
         ON CONFLICT (tenant_id, attachment_id) DO UPDATE
         SET subject_id = COALESCE(a.subject_id, excluded.subject_id), message_id = COALESCE(a.message_id, excluded.message_id),
             event_id = COALESCE(a.event_id, excluded.event_id), position = COALESCE(a.position, excluded.position),
             kind = COALESCE(a.kind, excluded.kind), at_ms = GREATEST(a.at_ms, excluded.at_ms),
             (rank, bytes, media_type, reason) = (SELECT x.rank, x.bytes, x.media_type, x.reason
                 FROM (VALUES (a.rank, a.bytes, a.media_type, a.reason), (excluded.rank, excluded.bytes, excluded.media_type, excluded.reason))
                      AS x (rank, bytes, media_type, reason)
                 ORDER BY x.rank DESC, x.bytes DESC NULLS LAST, x.media_type COLLATE \"C\" DESC NULLS LAST, x.reason COLLATE \"C\" DESC NULLS LAST LIMIT 1)";
    let columns: [&(dyn ToSql + Sync); 12] = [
        &tenants, &ids, &subjects, &messages, &events, &positions, &kinds, &ranks, &bytes, &types, &reasons,
        &at,
    ];
    run(transaction, sql, rows.len(), &columns).await
}
