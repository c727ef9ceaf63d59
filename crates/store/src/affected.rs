//! Whose words and files a span of time held: whom to tell when somebody may have read what passed then
//! (`reliability.md` P17). Counts and random subjects; nothing of what was said.

use schemas::{SubjectId, TenantId};
use tokio_postgres::Row;

use crate::connect::tenant_transaction;
use crate::offset::unsigned;
use crate::{StoreError, ViewsDb};

/// What a span of time held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Messages, edits and reactions.
    pub messages: u64,
    /// Files.
    pub files: u64,
    /// The earliest of them, Unix milliseconds.
    pub first_ms: i64,
    /// The latest.
    pub last_ms: i64,
}

/// What a span of time held of one person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AffectedPerson {
    /// Who; `None` for what is about nobody.
    pub subject: Option<SubjectId>,
    /// How much.
    pub span: Span,
}

/// What a span of time held of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AffectedTenant {
    /// How many people.
    pub people: u64,
    /// How much of theirs, and of nobody's.
    pub span: Span,
    /// How much was done to the tenant by then: entries of its audit.
    pub acts: u64,
}

/// Of `$1`, from `$2` until before `$3`.
const TOUCHED: &str = "(
    SELECT subject_id, at_ms, 1 AS message, 0 AS file FROM message WHERE tenant_id = $1 AND at_ms >= $2 AND at_ms < $3
    UNION ALL SELECT subject_id, at_ms, 1, 0 FROM message_edit WHERE tenant_id = $1 AND at_ms >= $2 AND at_ms < $3
    UNION ALL SELECT subject_id, at_ms, 1, 0 FROM reaction WHERE tenant_id = $1 AND at_ms >= $2 AND at_ms < $3
    UNION ALL SELECT subject_id, at_ms, 0, 1 FROM attachment WHERE tenant_id = $1 AND at_ms >= $2 AND at_ms < $3) touched";

impl ViewsDb {
    /// What was sent between two moments (Unix milliseconds; before `until_ms`) of a tenant; `None` when there was nothing
    /// and nothing was done to it.
    pub async fn affected(
        &self,
        tenant: &TenantId,
        from_ms: i64,
        until_ms: i64,
    ) -> Result<Option<AffectedTenant>, StoreError> {
        let mut connection = self.get().await?;
        let transaction = tenant_transaction(&mut connection, tenant.as_str()).await?;
        let sql = format!(
            "SELECT coalesce(sum(message), 0), coalesce(sum(file), 0), min(at_ms), max(at_ms), count(DISTINCT subject_id),
                (SELECT count(*) FROM audit_entry WHERE tenant_id = $1 AND at_ms >= $2 AND at_ms < $3)
             FROM {TOUCHED}"
        );
        let row = transaction.query_one(&sql, &[&tenant.as_str(), &from_ms, &until_ms]).await?;
        let acts = unsigned(row.get(5));
        if row.get::<_, Option<i64>>(2).is_none() && acts == 0 {
            return Ok(None);
        }
        Ok(Some(AffectedTenant { people: unsigned(row.get(4)), span: span(&row, from_ms), acts }))
    }

    /// The same person by person, in order of their subjects, those after one.
    pub async fn affected_people(
        &self,
        tenant: &TenantId,
        from_ms: i64,
        until_ms: i64,
        limit: u32,
        after: Option<SubjectId>,
    ) -> Result<Vec<AffectedPerson>, StoreError> {
        let mut connection = self.get().await?;
        let transaction = tenant_transaction(&mut connection, tenant.as_str()).await?;
        // Nobody stands first, before any subject.
        let sql = format!(
            "SELECT sum(message), sum(file), min(at_ms), max(at_ms), subject_id FROM {TOUCHED}
             WHERE $4::bytea IS NULL OR subject_id > $4
             GROUP BY subject_id ORDER BY subject_id NULLS FIRST LIMIT $5"
        );
        let after = after.map(|subject| subject.as_bytes().to_vec());
        let rows = transaction
            .query(&sql, &[&tenant.as_str(), &from_ms, &until_ms, &after, &i64::from(limit)])
            .await?;
        rows.iter()
            .map(|row| {
                let subject: Option<&[u8]> = row.get(4);
                let subject = subject.map(|id| id.try_into().map(SubjectId::from_bytes)).transpose();
                let subject = subject.map_err(|_| StoreError::Damaged { table: "message" })?;
                Ok(AffectedPerson { subject, span: span(row, from_ms) })
            })
            .collect()
    }
}

fn span(row: &Row, nothing_ms: i64) -> Span {
    Span {
        messages: unsigned(row.get(0)),
        files: unsigned(row.get(1)),
        first_ms: row.get::<_, Option<i64>>(2).unwrap_or(nothing_ms),
        last_ms: row.get::<_, Option<i64>>(3).unwrap_or(nothing_ms),
    }
}
