//! Reading the coverage view: the loss equation, and what is in quarantine.

use schemas::{RawRef, Reason, TenantId};

use crate::coverage::{Coverage, QuarantineRow, RawProgress, TenantCoverage};
use crate::offset::{big, int, unsigned};
use crate::{StoreError, ViewsDb};

/// As many missing deliveries as are named.
const NAMED: i64 = 1000;

impl ViewsDb {
    /// The first and the last batch that are not folded yet, as numbers that only grow; `None` when all are.
    pub async fn unfolded_coverage(&self) -> Result<Option<(i64, i64)>, StoreError> {
        let row = self.get().await?.query_one("SELECT min(id), max(id) FROM coverage_mark", &[]).await?;
        Ok(row.get::<_, Option<i64>>(0).zip(row.get::<_, Option<i64>>(1)))
    }

    /// The loss equation's terms, as far as batches are folded. `raw` says how far the router was *before* the projections
    /// were seen to have read everything it had written by then, and what they said was folded; only then is what is
    /// missing a hole.
    pub async fn coverage(&self, raw: &[RawProgress]) -> Result<Coverage, StoreError> {
        let mut connection = self.get().await?;
        let transaction = connection
            .build_transaction()
            .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .await?;
        let sums = transaction
            .query_one(
                "SELECT COALESCE(sum(items), 0)::bigint, COALESCE(sum(routed), 0)::bigint, COALESCE(sum(unroutable), 0)::bigint,
                        COALESCE(sum(quarantined), 0)::bigint, COALESCE(sum(projected), 0)::bigint,
                        COALESCE(sum(forgotten), 0)::bigint FROM coverage_total",
                &[],
            )
            .await?;
        let partitions: Vec<i32> = raw.iter().map(|progress| int(progress.partition)).collect();
        let committed: Vec<i64> = raw.iter().map(|progress| big(progress.committed)).collect();
        let missing = transaction
            .query(
                "SELECT r.partition, o, count(*) OVER ()
                 FROM unnest($1::integer[], $2::bigint[]) AS r (partition, committed)
                 LEFT JOIN coverage_total t ON t.partition = r.partition
                 CROSS JOIN LATERAL generate_series(COALESCE(t.watermark, 0), r.committed - 1) AS o
                 LEFT JOIN coverage c ON c.partition = r.partition AND c.raw_offset = o
                 WHERE c.accounted IS NOT TRUE ORDER BY 1, 2 LIMIT $3",
                &[&partitions, &committed, &NAMED],
            )
            .await?;
        let tenants = transaction
            .query("SELECT tenant_id, routed, projected FROM coverage_tenant ORDER BY tenant_id", &[])
            .await?;
        let tenants = tenants.iter().map(|row| {
            let tenant: TenantId = row
                .get::<_, &str>(0)
                .parse()
                .map_err(|_| StoreError::Damaged { table: "coverage_tenant" })?;
            Ok(TenantCoverage { tenant, routed: unsigned(row.get(1)), projected: unsigned(row.get(2)) })
        });
        let sum = |column: usize| unsigned(sums.get::<_, i64>(column));
        Ok(Coverage {
            received: raw.iter().map(|progress| progress.end).sum(),
            items: sum(0),
            routed: sum(1),
            unroutable: sum(2),
            quarantined: sum(3),
            projected: sum(4),
            forgotten: sum(5),
            missing_count: missing.first().map_or(0, |row| unsigned(row.get(2))),
            missing: missing.iter().map(|row| raw_ref(row.get(0), row.get(1))).collect(),
            tenants: tenants.collect::<Result<_, StoreError>>()?,
        })
    }

    /// What is in quarantine, the oldest first. What was routed since is not.
    pub async fn quarantine(&self) -> Result<Vec<QuarantineRow>, StoreError> {
        let rows = self
            .get()
            .await?
            .query(
                "SELECT q.partition, q.raw_offset, q.reason, q.attempts, q.at_ms
                 FROM quarantine q JOIN coverage c ON c.partition = q.partition AND c.raw_offset = q.raw_offset
                 WHERE c.quarantined > 0 ORDER BY q.at_ms, q.partition, q.raw_offset",
                &[],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let word: &str = row.get(2);
                Ok(QuarantineRow {
                    raw: raw_ref(row.get(0), row.get(1)),
                    reason: Reason::ALL
                        .into_iter()
                        .find(|reason| reason.as_str() == word)
                        .ok_or(StoreError::Damaged { table: "quarantine" })?,
                    attempts: u32::try_from(row.get::<_, i32>(3)).unwrap_or(0),
                    at_ms: row.get(4),
                })
            })
            .collect()
    }
}

fn raw_ref(partition: i32, offset: i64) -> RawRef {
    RawRef { partition: u32::try_from(partition).unwrap_or(0), offset: unsigned(offset) }
}
