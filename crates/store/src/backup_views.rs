//! The views as a backup: what is copied out, and how a copy comes back in one transaction in which nobody who was
//! forgotten since is ever seen.
//!
//! What the present knows better than any copy stays as it is: who was forgotten, the queue of files (its position is the
//! log's), and the loss equation where there is one.

use std::future::Future;

use bytes::Bytes;
use deadpool_postgres::Transaction;
use schemas::{SubjectId, TenantId};
use tokio::sync::mpsc;

use crate::backup::{Copied, copy_out};
use crate::backup_stage::{Staged, lock, stage};
use crate::conversation::FORGETTING;
use crate::forget::forget_in;
use crate::offset::{big, int};
use crate::{BackupError, StoreError, ViewsDb};

const DATABASE: &str = "views";
/// What a copy replaces.
const REPLACED: [&str; 12] = [
    "watermark",
    "conversation",
    "contact",
    "message",
    "message_edit",
    "message_deletion",
    "status",
    "reaction",
    "attachment",
    "standing",
    "audit_entry",
    "audit_head",
];
/// Of these, the ones whose rows of ended tenants do not come back.
const CONTENT: [&str; 10] = [
    "watermark",
    "conversation",
    "contact",
    "message",
    "message_edit",
    "message_deletion",
    "status",
    "reaction",
    "attachment",
    "standing",
];
/// The loss equation: replaced only where there is none.
const COVERAGE: [&str; 5] = ["coverage_mark", "coverage", "coverage_total", "coverage_tenant", "quarantine"];
/// What a copy adds to.
const ADDED: [&str; 3] = ["forgotten", "attachment_job", "attachment_unsent"];
const OFFSETS: &str = "projection_offset";

pub(crate) fn tables() -> impl Iterator<Item = &'static str> + Clone {
    REPLACED.into_iter().chain(COVERAGE).chain(ADDED).chain([OFFSETS])
}

/// Whom a copy must not bring back, and what the log holds.
#[derive(Debug, Clone, Default)]
pub struct ViewsLedger {
    /// Everybody who was forgotten.
    pub people: Vec<(TenantId, SubjectId)>,
    /// Tenants of which nothing is to be left.
    pub tenants: Vec<TenantId>,
    /// Every partition that projections read.
    pub log: Vec<LogBounds>,
}

/// What a partition of the log holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogBounds {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The oldest offset.
    pub earliest: u64,
    /// The offset after the newest.
    pub end: u64,
}

/// What a copy brought into the views.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RestoredViews {
    /// Rows that came in.
    pub rows: u64,
    /// People who were in the copy and had been forgotten since: they went before anybody saw them.
    pub people: u64,
}

impl ViewsDb {
    /// Copies everything out, as it is at one moment. Ends with an error when the receiver is gone.
    pub async fn copy_out(&self, sink: &mpsc::Sender<Bytes>) -> Result<Copied, BackupError> {
        copy_out(&mut self.get().await?, DATABASE, tables(), sink).await
    }

    /// Fills the views from a copy, in one transaction. Reading goes on until it is about to end, then waits for it; `ledger`
    /// is asked once nobody can be forgotten any more before it ends.
    pub async fn copy_in<F, E>(
        &self,
        source: mpsc::Receiver<Bytes>,
        ledger: impl FnOnce() -> F + Send,
    ) -> Result<RestoredViews, BackupError>
    where
        F: Future<Output = Result<ViewsLedger, E>> + Send,
        E: std::error::Error + Send + Sync + 'static,
    {
        let mut connection = self.get().await?;
        let mut transaction = connection.transaction().await?;
        let wanted: Vec<&'static str> = tables().collect();
        let staged = stage(&transaction, DATABASE, &wanted, source).await?;
        // The offsets first, as everybody who writes does.
        let locked = [&REPLACED[..], &COVERAGE, &ADDED].concat().join(", ");
        let statements = format!(
            "LOCK TABLE {OFFSETS} IN ACCESS EXCLUSIVE MODE; SELECT pg_advisory_xact_lock({FORGETTING});
             LOCK TABLE {locked} IN ACCESS EXCLUSIVE MODE"
        );
        lock(&mut transaction, &statements).await?;
        let ledger = ledger().await.map_err(|cause| BackupError::Ledger(Box::new(cause)))?;
        let has_coverage = transaction
            .query_one(&format!("SELECT EXISTS (SELECT FROM {OFFSETS} WHERE projection = 'coverage')"), &[])
            .await?
            .get::<_, bool>(0);

        let mut restored = RestoredViews::default();
        transaction.batch_execute(&format!("TRUNCATE {}", REPLACED.join(", "))).await?;
        restored.rows += refill(&transaction, &staged, &REPLACED, &ledger.tenants).await?;
        if !has_coverage {
            transaction.batch_execute(&format!("TRUNCATE {}", COVERAGE.join(", "))).await?;
            restored.rows += refill(&transaction, &staged, &COVERAGE, &ledger.tenants).await?;
        }
        let back = brought_back(&transaction, &ledger.people).await?;
        restored.rows += refill(&transaction, &staged, &ADDED, &ledger.tenants).await?;
        offsets(&transaction, &ledger.log, has_coverage).await?;
        for (tenant, subject) in &back {
            restored.people += u64::from(forget_in(&transaction, tenant, *subject).await? > 0);
        }
        transaction.commit().await?;
        Ok(restored)
    }
}

/// Puts the rows of these tables where they belong, unless they are there.
async fn refill(
    transaction: &Transaction<'_>,
    staged: &Staged,
    tables: &[&'static str],
    ended: &[TenantId],
) -> Result<u64, StoreError> {
    let ended: Vec<&str> = ended.iter().map(TenantId::as_str).collect();
    let mut rows = 0;
    for table in tables {
        let columns = staged.get(table).ok_or(StoreError::Damaged { table })?;
        if *table == "coverage_mark" {
            // Numbers are given anew, in order.
            let sql = "INSERT INTO coverage_mark (view, marks) SELECT view, marks FROM staged_coverage_mark ORDER BY id";
            rows += transaction.execute(sql, &[]).await?;
            continue;
        }
        let sql = format!("INSERT INTO {table} ({columns}) SELECT {columns} FROM staged_{table}");
        let of_tenants =
            CONTENT.contains(table) || *table == "coverage_tenant" || table.starts_with("attachment_");
        rows += if of_tenants {
            let sql = format!("{sql} WHERE tenant_id <> ALL($1) ON CONFLICT DO NOTHING");
            transaction.execute(&sql, &[&ended]).await?
        } else {
            transaction.execute(&format!("{sql} ON CONFLICT DO NOTHING"), &[]).await?
        };
    }
    Ok(rows)
}

/// Those of the forgotten whom the copy may hold: it was made before they were.
async fn brought_back(
    transaction: &Transaction<'_>,
    people: &[(TenantId, SubjectId)],
) -> Result<Vec<(TenantId, SubjectId)>, StoreError> {
    let tenants: Vec<&str> = people.iter().map(|(tenant, _)| tenant.as_str()).collect();
    let subjects: Vec<&[u8]> = people.iter().map(|(_, subject)| subject.as_bytes().as_slice()).collect();
    let rows = transaction
        .query(
            "SELECT a.n FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS a (tenant_id, subject_id, n)
             WHERE NOT EXISTS (SELECT FROM staged_forgotten f WHERE f.tenant_id = a.tenant_id AND f.subject_id = a.subject_id)",
            &[&tenants, &subjects],
        )
        .await?;
    let person = |row: &tokio_postgres::Row| {
        people.get(usize::try_from(row.get::<_, i64>(0)).ok()?.checked_sub(1)?).cloned()
    };
    Ok(rows.iter().filter_map(person).collect())
}

/// Where the projections go on: where the copy's rows end, but nowhere outside the log.
async fn offsets(
    transaction: &Transaction<'_>,
    log: &[LogBounds],
    has_coverage: bool,
) -> Result<(), BackupError> {
    let topics: Vec<&str> = log.iter().map(|at| at.topic.as_str()).collect();
    let partitions: Vec<i32> = log.iter().map(|at| int(at.partition)).collect();
    let earliest: Vec<i64> = log.iter().map(|at| big(at.earliest)).collect();
    let ends: Vec<i64> = log.iter().map(|at| big(at.end)).collect();
    // A rebuild's place belongs to the rows beside ours.
    transaction
        .execute(
            "DELETE FROM staged_projection_offset WHERE projection LIKE '%-rebuild' OR ($1 AND projection = 'coverage')",
            &[&has_coverage],
        )
        .await?;
    let beyond = transaction
        .query_opt(
            "SELECT s.topic FROM staged_projection_offset s
             LEFT JOIN unnest($1::text[], $2::integer[], $3::bigint[]) AS l (topic, partition, ends) USING (topic, partition)
             WHERE s.next > coalesce(l.ends, 0) LIMIT 1",
            &[&topics, &partitions, &ends],
        )
        .await?;
    if let Some(row) = beyond {
        return Err(BackupError::OtherLog { topic: row.get(0) });
    }
    // A projector that runs looks for its place: one that the copy has not begins with the log.
    transaction
        .execute(
            "INSERT INTO projection_offset AS p (projection, topic, partition, next)
             SELECT projection, topic, partition, GREATEST(s.next, l.earliest)
             FROM staged_projection_offset s
             LEFT JOIN unnest($1::text[], $2::integer[], $3::bigint[]) AS l (topic, partition, earliest) USING (topic, partition)
             ON CONFLICT (projection, topic, partition) DO UPDATE SET next = excluded.next",
            &[&topics, &partitions, &earliest],
        )
        .await?;
    transaction
        .execute(
            "UPDATE projection_offset p SET next = l.earliest
             FROM unnest($1::text[], $2::integer[], $3::bigint[]) AS l (topic, partition, earliest)
             WHERE p.topic = l.topic AND p.partition = l.partition AND p.projection NOT LIKE '%-rebuild'
               AND NOT ($4 AND p.projection = 'coverage')
               AND NOT EXISTS (SELECT FROM staged_projection_offset s
                   WHERE s.projection = p.projection AND s.topic = p.topic AND s.partition = p.partition)",
            &[&topics, &partitions, &earliest, &has_coverage],
        )
        .await?;
    Ok(())
}
