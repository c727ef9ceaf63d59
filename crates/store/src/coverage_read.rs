//! Reading the coverage view: the loss equation, and what is in quarantine.

use schemas::{RawRef, Reason, TenantId};

use crate::coverage::{Coverage, CoverageView, QuarantineRow, RawProgress, TenantCoverage};
use crate::offset::{big, int, unsigned};
use crate::{StoreError, ViewsDb};

impl ViewsDb {
    /// The loss equation's terms. `raw` says how far the router was *before* the projections were seen to have read
    /// everything it had written by then; only then is what is missing a hole.
    pub async fn coverage(&self, raw: &[RawProgress]) -> Result<Coverage, StoreError> {
        const EXAMPLES: i64 = 1000;
        let damaged = || StoreError::Damaged { table: "coverage_tenant" };
        let mut connection = self.get().await?;
        let transaction = connection
            .build_transaction()
            .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
            .start()
            .await?;
        let partitions: Vec<i32> = raw.iter().map(|progress| int(progress.partition)).collect();
        let committed: Vec<i64> = raw.iter().map(|progress| big(progress.committed)).collect();
        let row = transaction
            .query_one(
                "SELECT
                     (SELECT COALESCE(sum(items), 0) FROM coverage_total)::bigint,
                     COALESCE(sum(bit_count(routed)) FILTER (WHERE view = 0), 0)::bigint,
                     COALESCE(sum(bit_count(parked & ~routed & ~quarantined)) FILTER (WHERE view = 0), 0)::bigint,
                     COALESCE(sum(bit_count(quarantined & ~routed)) FILTER (WHERE view = 0), 0)::bigint,
                     count(*) FILTER (WHERE view = 0 AND whole = 2 AND bit_count(routed | parked | quarantined) = 0),
                     COALESCE(sum(length(routed)) FILTER (WHERE view = 0 AND
                         (whole < 2 OR bit_count(routed | parked | quarantined) > 0)), 0)::bigint,
                     COALESCE(sum(bit_count(routed)) FILTER (WHERE view = 1), 0)::bigint
                 FROM coverage",
                &[],
            )
            .await?;
        let number = |column: usize| unsigned(row.get::<_, i64>(column));
        let missing = transaction
            .query(
                "SELECT r.partition, o, count(*) OVER ()
                 FROM unnest($1::integer[], $2::bigint[]) AS r (partition, committed)
                 LEFT JOIN coverage_total t ON t.partition = r.partition
                 CROSS JOIN LATERAL generate_series(COALESCE(t.watermark, 0), r.committed - 1) AS o
                 LEFT JOIN coverage c ON c.view = 0 AND c.partition = r.partition AND c.raw_offset = o
                 WHERE c.raw_offset IS NULL
                    OR NOT (c.whole > 0 OR (length(c.routed) > 0 AND bit_count(c.routed | c.parked | c.quarantined) = length(c.routed)))
                 ORDER BY 1, 2 LIMIT $3",
                &[&partitions, &committed, &EXAMPLES],
            )
            .await?;
        let tenants = transaction
            .query(
                "SELECT tenant_id, COALESCE(sum(items) FILTER (WHERE view = $1), 0)::bigint,
                        COALESCE(sum(items) FILTER (WHERE view = $2), 0)::bigint
                 FROM coverage_tenant GROUP BY tenant_id ORDER BY tenant_id",
                &[&CoverageView::Outputs.number(), &CoverageView::Conversation.number()],
            )
            .await?;
        let tenants = tenants.iter().map(|row| {
            let tenant: TenantId = row.get::<_, &str>(0).parse().map_err(|_| damaged())?;
            Ok(TenantCoverage { tenant, routed: unsigned(row.get(1)), projected: unsigned(row.get(2)) })
        });
        let tenants = tenants.collect::<Result<_, StoreError>>()?;
        let whole_quarantined = number(4);
        Ok(Coverage {
            received: raw.iter().map(|progress| progress.end).sum(),
            items: number(0) + number(5) + whole_quarantined,
            routed: number(0) + number(1),
            unroutable: number(2),
            quarantined: number(3) + whole_quarantined,
            projected: number(0) + number(6),
            missing_count: missing.first().map_or(0, |row| unsigned(row.get(2))),
            missing: missing
                .iter()
                .map(|row| RawRef {
                    partition: u32::try_from(row.get::<_, i32>(0)).unwrap_or(0),
                    offset: unsigned(row.get(1)),
                })
                .collect(),
            tenants,
        })
    }

    /// What is in quarantine, the oldest first. What was routed since is not.
    pub async fn quarantine(&self) -> Result<Vec<QuarantineRow>, StoreError> {
        let rows = self
            .get()
            .await?
            .query(
                "SELECT q.partition, q.raw_offset, q.reason, q.attempts, q.at_ms
                 FROM quarantine q JOIN coverage c ON c.view = 0 AND c.partition = q.partition AND c.raw_offset = q.raw_offset
                 WHERE bit_count(c.quarantined & ~c.routed) > 0
                    OR (c.whole = 2 AND bit_count(c.routed | c.parked | c.quarantined) = 0)
                 ORDER BY q.at_ms, q.partition, q.raw_offset",
                &[],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let word: &str = row.get(2);
                Ok(QuarantineRow {
                    raw: RawRef {
                        partition: u32::try_from(row.get::<_, i32>(0)).unwrap_or(0),
                        offset: unsigned(row.get(1)),
                    },
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
