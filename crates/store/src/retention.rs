//! What is no longer kept: entries of the audit, with a place that the rest goes on from; notes of messages that were taken
//! back; and which objects of the store somebody still needs.

use std::collections::HashSet;

use schemas::{AttachmentId, TenantId};

use crate::audit::{AUDIT_PRUNED, anchor_word, hash};
use crate::offset::{big, unsigned};
use crate::{StoreError, ViewsDb};

/// The place in a chain up to which its entries went, or are to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditAnchor {
    /// The chain.
    pub chain: String,
    /// The last entry that went.
    pub sequence: u64,
    /// Its hash: the next one goes on from there.
    pub hash: [u8; 32],
    /// When that was written to `control`, Unix milliseconds.
    pub at_ms: i64,
    /// How many entries go with it, itself included.
    pub entries: u64,
}

impl AuditAnchor {
    /// The word that stands for it in `control`, and so in the platform's chain: without it the anchor counts for nothing.
    pub fn word(&self) -> String {
        anchor_word(&self.chain, self.sequence, &self.hash)
    }
}

const DUE: &str = "WITH kept AS (
        SELECT coalesce(
            (SELECT sequence FROM audit_entry WHERE tenant_id = $1 AND at_ms >= $2 AND action <> $3 ORDER BY sequence LIMIT 1),
            (SELECT sequence + 1 FROM audit_head WHERE tenant_id = $1)) AS first)
    SELECT e.sequence, e.hash, (SELECT count(*) FROM audit_entry o WHERE o.tenant_id = $1 AND o.sequence < kept.first AND o.action <> $3)
    FROM kept JOIN audit_entry e ON e.tenant_id = $1 AND e.sequence = kept.first - 1 WHERE e.action <> $3";

impl ViewsDb {
    /// Every chain there is, the platform's last: what is written of the others' pruning stands there.
    pub async fn audit_chains(&self) -> Result<Vec<String>, StoreError> {
        let connection = self.get().await?;
        let rows = connection
            .query("SELECT tenant_id FROM audit_head ORDER BY tenant_id = $1, 1", &[&crate::PLATFORM_CHAIN])
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Up to where a chain may go: every entry before it is from before this time. `None` when none is.
    pub async fn audit_due(&self, chain: &str, before_ms: i64) -> Result<Option<AuditAnchor>, StoreError> {
        let connection = self.get().await?;
        let row = connection.query_opt(DUE, &[&chain, &before_ms, &AUDIT_PRUNED]).await?;
        row.map(|row| {
            Ok(AuditAnchor {
                chain: chain.to_owned(),
                sequence: unsigned(row.get(0)),
                hash: hash(row.get(1))?,
                at_ms: 0,
                entries: unsigned(row.get(2)),
            })
        })
        .transpose()
    }

    /// The places that chains go on from.
    pub async fn audit_anchors(&self) -> Result<Vec<AuditAnchor>, StoreError> {
        let connection = self.get().await?;
        let rows = connection
            .query(
                "SELECT tenant_id, sequence, hash, at_ms FROM audit_entry WHERE action = $1 ORDER BY 1",
                &[&AUDIT_PRUNED],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(AuditAnchor {
                    chain: row.get(0),
                    sequence: unsigned(row.get(1)),
                    hash: hash(row.get(2))?,
                    at_ms: row.get(3),
                    entries: 0,
                })
            })
            .collect()
    }

    /// Removes a chain's entries up to this place, and keeps the place. Heads stay as they are. The anchor's word has to
    /// stand in the platform's chain before. False when there is no such place, and nothing went.
    pub async fn prune_audit(&self, anchor: &AuditAnchor) -> Result<bool, StoreError> {
        let mut connection = self.get().await?;
        let transaction = connection.transaction().await?;
        let kept = transaction
            .execute(
                "UPDATE audit_entry SET at_ms = $4, actor = 'platform', action = $5, target = 'older entries were removed'
                 WHERE tenant_id = $1 AND sequence = $2 AND hash = $3",
                &[&anchor.chain, &big(anchor.sequence), &anchor.hash.as_slice(), &anchor.at_ms, &AUDIT_PRUNED],
            )
            .await?;
        if kept == 0 {
            return Ok(false);
        }
        transaction
            .execute(
                "DELETE FROM audit_entry WHERE tenant_id = $1 AND sequence < $2",
                &[&anchor.chain, &big(anchor.sequence)],
            )
            .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// When the oldest entry of the audit is from, Unix milliseconds.
    pub async fn oldest_audit(&self) -> Result<Option<i64>, StoreError> {
        let connection = self.get().await?;
        let sql = "SELECT min(at_ms) FROM audit_entry WHERE action <> $1";
        Ok(connection.query_one(sql, &[&AUDIT_PRUNED]).await?.get(0))
    }

    /// Notes of messages taken back before this time, some of them or how many: removed unless `dry`.
    pub async fn sweep_unsent(&self, before_ms: i64, limit: i64, dry: bool) -> Result<u64, StoreError> {
        let connection = self.get().await?;
        if dry {
            let sql = "SELECT count(*) FROM attachment_unsent WHERE at_ms < $1";
            return Ok(unsigned(connection.query_one(sql, &[&before_ms]).await?.get(0)));
        }
        let sql = "DELETE FROM attachment_unsent WHERE (tenant_id, message_id) IN
            (SELECT tenant_id, message_id FROM attachment_unsent WHERE at_ms < $1 LIMIT $2)";
        Ok(connection.execute(sql, &[&before_ms, &limit]).await?)
    }

    /// When the oldest note of a message taken back is from, Unix milliseconds.
    pub async fn oldest_unsent(&self) -> Result<Option<i64>, StoreError> {
        let connection = self.get().await?;
        Ok(connection.query_one("SELECT min(at_ms) FROM attachment_unsent", &[]).await?.get(0))
    }

    /// Which of these files are stored, or about to be.
    pub async fn needed(
        &self,
        files: &[(TenantId, AttachmentId)],
    ) -> Result<HashSet<(TenantId, AttachmentId)>, StoreError> {
        let tenants: Vec<&str> = files.iter().map(|(tenant, _)| tenant.as_str()).collect();
        let ids: Vec<&[u8]> = files.iter().map(|(_, id)| id.as_bytes().as_slice()).collect();
        let connection = self.get().await?;
        let rows = connection
            .query(
                "SELECT a.n FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS a (tenant_id, attachment_id, n)
                 WHERE EXISTS (SELECT FROM attachment s WHERE s.tenant_id = a.tenant_id AND s.attachment_id = a.attachment_id AND s.rank >= 4)
                    OR EXISTS (SELECT FROM attachment_job j WHERE j.tenant_id = a.tenant_id AND j.attachment_id = a.attachment_id)",
                &[&tenants, &ids],
            )
            .await?;
        let file = |row: &tokio_postgres::Row| {
            files.get(usize::try_from(row.get::<_, i64>(0)).ok()?.checked_sub(1)?).cloned()
        };
        Ok(rows.iter().filter_map(file).collect())
    }

    /// How many files of a tenant were stored before this time and are still shown.
    pub async fn stored_files(&self, tenant: &TenantId, before_ms: i64) -> Result<u64, StoreError> {
        let connection = self.get().await?;
        let row = connection.query_one(STORED, &[&tenant.as_str(), &before_ms, &None::<Vec<&[u8]>>]).await?;
        Ok(unsigned(row.get(0)))
    }

    /// How many of these files were stored before this time and are still shown.
    pub async fn stored_among(
        &self,
        tenant: &TenantId,
        before_ms: i64,
        files: &[AttachmentId],
    ) -> Result<u64, StoreError> {
        let files: Vec<&[u8]> = files.iter().map(|id| id.as_bytes().as_slice()).collect();
        let connection = self.get().await?;
        let row = connection.query_one(STORED, &[&tenant.as_str(), &before_ms, &Some(files)]).await?;
        Ok(unsigned(row.get(0)))
    }
}

/// What was taken back has no object any more, whatever its row says.
const STORED: &str = "SELECT count(*) FROM attachment a
    WHERE a.tenant_id = $1 AND a.rank >= 4 AND a.at_ms < $2 AND ($3::bytea[] IS NULL OR a.attachment_id = ANY($3))
      AND NOT EXISTS (SELECT FROM message_deletion d WHERE d.tenant_id = a.tenant_id AND d.message_id = a.message_id)";
