//! Folding the coverage view: what is settled leaves the table for the totals, while batches go on being marked.
//!
//! Below a partition's watermark every delivery is accounted for, and has a row in both views for as long as it is in the
//! table; so a batch only updates rows there and never makes one, and what has left stays out however often it is repeated.
//! A batch that began before the watermark moved does not know of it yet. That is why rows leave only below `safe`: the
//! watermark once every transaction that may have seen the one before has ended. Nobody waits for anybody.

use crate::offset::unsigned;
use crate::{StoreError, ViewsDb};

/// One process folds at a time.
const FOLD_LOCK: i64 = 0x7469_6469_6e67_7302;

impl ViewsDb {
    /// Takes what became events and was applied entirely out of the table into the totals, and moves the watermark over
    /// deliveries that are all accounted for, at most some ten thousand at a time. Returns how many went: they do so a
    /// few calls after they were settled.
    pub async fn fold_coverage(&self) -> Result<u64, StoreError> {
        let mut connection = self.get().await?;
        let transaction = connection.transaction().await?;
        let mine = transaction.query_one("SELECT pg_try_advisory_xact_lock($1)", &[&FOLD_LOCK]).await?;
        if !mine.get::<_, bool>(0) {
            return Ok(0);
        }
        transaction
            .batch_execute(
                "INSERT INTO coverage_total (partition, watermark, items)
                 SELECT DISTINCT partition, 0, 0 FROM coverage WHERE view = 0 ON CONFLICT DO NOTHING;
                 UPDATE coverage_total SET safe = watermark, barrier = NULL
                 WHERE barrier <= pg_snapshot_xmin(pg_current_snapshot());",
            )
            .await?;
        let gone = transaction.query_one(LEAVE, &[]).await?;
        transaction.execute(MOVE, &[]).await?;
        transaction.commit().await?;
        // Whoever may not have seen the watermark move has a number below this one.
        let connection = self.get().await?;
        connection
            .execute(
                "UPDATE coverage_total SET barrier = pg_snapshot_xmax(pg_current_snapshot())
                 WHERE safe < watermark AND barrier IS NULL",
                &[],
            )
            .await?;
        Ok(unsigned(gone.get(0)))
    }
}

/// Deliveries of which nothing can change any more: empty, or every item routed and applied.
const LEAVE: &str = "
WITH done AS (
    SELECT c.partition, c.raw_offset, length(c.routed) AS items
    FROM coverage_total t
    JOIN coverage c ON c.view = 0 AND c.partition = t.partition AND c.raw_offset < t.safe
    LEFT JOIN coverage a ON a.view = 1 AND a.partition = c.partition AND a.raw_offset = c.raw_offset
    WHERE (c.whole = 1 AND length(c.routed) = 0)
       OR (length(c.routed) > 0 AND bit_count(c.routed) = length(c.routed) AND bit_count(a.routed) = length(c.routed))),
gone AS (
    DELETE FROM coverage c USING done d WHERE c.partition = d.partition AND c.raw_offset = d.raw_offset),
counted AS (
    UPDATE coverage_total t SET items = t.items + d.items
    FROM (SELECT partition, sum(items) AS items FROM done GROUP BY partition) d
    WHERE t.partition = d.partition),
cleared AS (
    DELETE FROM quarantine q USING done d WHERE q.partition = d.partition AND q.raw_offset = d.raw_offset)
SELECT count(*) FROM done";

/// A delivery is accounted for when each of its items is somewhere, or all of it is. What the watermark passes gets its row
/// in the other view if it has none yet.
const MOVE: &str = "
WITH ahead AS (
    SELECT c.partition, c.raw_offset, length(c.routed) AS items,
           c.raw_offset - t.watermark - row_number() OVER (PARTITION BY c.partition ORDER BY c.raw_offset) AS gap,
           c.whole > 0 OR (length(c.routed) > 0 AND
             bit_count(c.routed | c.parked | c.quarantined) = length(c.routed)) AS accounted
    FROM coverage_total t JOIN LATERAL (
        SELECT * FROM coverage o WHERE o.view = 0 AND o.partition = t.partition AND o.raw_offset >= t.watermark
        ORDER BY o.raw_offset LIMIT 20000) c ON true
    WHERE t.safe = t.watermark),
stop AS (
    SELECT partition, COALESCE(min(raw_offset) FILTER (WHERE gap <> -1 OR NOT accounted), max(raw_offset) + 1) AS at
    FROM ahead GROUP BY partition),
passed AS (
    SELECT a.partition, a.raw_offset, a.items FROM ahead a JOIN stop s USING (partition) WHERE a.raw_offset < s.at),
placed AS (
    INSERT INTO coverage (view, partition, raw_offset, whole, routed, parked, quarantined)
    SELECT 1, partition, raw_offset, 0, none, none, none
    FROM (SELECT partition, raw_offset, repeat('0', items)::varbit AS none FROM passed) p
    ON CONFLICT DO NOTHING)
UPDATE coverage_total t SET watermark = r.watermark
FROM (SELECT partition, max(raw_offset) + 1 AS watermark FROM passed GROUP BY partition) r
WHERE t.partition = r.partition";
