//! Folding what batches said into the coverage tables: sums are moved, what is settled leaves, the rest is kept.
//!
//! One process folds at a time, so nothing here can cross; batches go on being marked meanwhile. Folding the same row twice
//! is impossible: it goes in the transaction that counts it. A repeat of a delivery that has left is recognised by its
//! place below the watermark without a row of its own.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;

use crate::coverage::CoverageView;
use crate::coverage_mark::Marks;
use crate::coverage_state::{Counts, State};
use crate::offset::{big, int};
use crate::{StoreError, ViewsDb};

const FOLD_LOCK: i64 = 0x7469_6469_6e67_7302;
/// As much as one transaction folds: batches, and bytes of what they said.
const BATCHES: i64 = 2_000;
const BYTES: i64 = 512 * 1024;
/// As many rows as are looked at once while the watermark moves over what earlier batches brought.
const AHEAD: i64 = 5_000;

/// A delivery: its partition and offset, as the tables have them.
type Place = (i32, i64);

/// A delivery that a fold looks at.
struct Touched {
    /// As its row has it, if it has one.
    old: Option<State>,
    new: State,
}

#[derive(Default)]
struct Work {
    touched: BTreeMap<Place, Touched>,
    watermarks: BTreeMap<i32, i64>,
    sums: BTreeMap<i32, Counts>,
    /// Routed and applied, by tenant.
    tenants: BTreeMap<String, (i64, i64)>,
}

/// What a fold did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Folded {
    /// Deliveries of which something is still to come: folding later would have been cheaper.
    pub kept: u64,
    /// Deliveries that are settled.
    pub settled: u64,
}

impl ViewsDb {
    /// Folds some of what batches have left behind. `None` when another process is at it, or nothing is left.
    pub async fn fold_coverage(&self) -> Result<Option<Folded>, StoreError> {
        let mut connection = self.get().await?;
        let transaction = connection.transaction().await?;
        let mine = transaction.query_one("SELECT pg_try_advisory_xact_lock($1)", &[&FOLD_LOCK]).await?;
        if !mine.get::<_, bool>(0) {
            return Ok(None);
        }
        // The first is taken however large it is.
        let rows = transaction
            .query(
                "SELECT id, view, marks FROM (
                     SELECT id, view, marks, sum(length(marks)) OVER (ORDER BY id) - length(marks) AS before
                     FROM (SELECT * FROM coverage_mark ORDER BY id LIMIT $1) s) m
                 WHERE before < $2 ORDER BY id",
                &[&BATCHES, &BYTES],
            )
            .await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        let batches = rows.iter().map(|row| Ok((CoverageView::read(row.get(1))?, Marks::read(row.get(2))?)));
        let batches = batches.collect::<Result<Vec<_>, StoreError>>()?;

        let mut work = Work::default();
        work.load(&transaction, &batches).await?;
        for (view, marks) in &batches {
            work.add(*view, marks);
        }
        work.advance(&transaction).await?;
        let folded = work.save(&transaction).await?;
        transaction.execute("DELETE FROM coverage_mark WHERE id = ANY($1)", &[&ids]).await?;
        transaction.commit().await?;
        Ok(Some(folded))
    }
}

impl Work {
    /// The watermarks, and the rows there are of what the batches speak of.
    async fn load(
        &mut self,
        transaction: &Transaction<'_>,
        batches: &[(CoverageView, Marks)],
    ) -> Result<(), StoreError> {
        for row in transaction.query("SELECT partition, watermark FROM coverage_total", &[]).await? {
            self.watermarks.insert(row.get(0), row.get(1));
        }
        let mut places: Vec<Place> = batches
            .iter()
            .flat_map(|(_, marks)| &marks.deliveries)
            .map(|(partition, offset, _)| (int(*partition), big(*offset)))
            .collect();
        places.sort_unstable();
        places.dedup();
        let (partitions, offsets): (Vec<i32>, Vec<i64>) = places.into_iter().unzip();
        let statement = transaction
            .prepare_cached(
                "SELECT c.partition, c.raw_offset, c.state
                 FROM unnest($1::integer[], $2::bigint[]) AS n (partition, raw_offset)
                 JOIN coverage c ON c.partition = n.partition AND c.raw_offset = n.raw_offset",
            )
            .await?;
        for row in transaction.query(&statement, &[&partitions, &offsets]).await? {
            let state = State::read(row.get(2))?;
            self.touched.insert((row.get(0), row.get(1)), Touched { old: Some(state.clone()), new: state });
        }
        Ok(())
    }

    fn add(&mut self, view: CoverageView, marks: &Marks) {
        for (partition, offset, said) in &marks.deliveries {
            let place @ (partition, offset) = (int(*partition), big(*offset));
            let watermark = *self.watermarks.entry(partition).or_default();
            if offset < watermark && !self.touched.contains_key(&place) {
                // It has left for good.
                continue;
            }
            let touched =
                self.touched.entry(place).or_insert_with(|| Touched { old: None, new: State::default() });
            touched.new.add(view, said, |tenant| {
                let Some(name) = marks.tenants.get(tenant as usize) else { return };
                let (routed, projected) = self.tenants.entry(name.clone()).or_default();
                match view {
                    CoverageView::Outputs => *routed += 1,
                    CoverageView::Conversation => *projected += 1,
                }
            });
        }
    }

    /// Moves each watermark over deliveries that are accounted for, those with rows from earlier folds among them.
    async fn advance(&mut self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        let partitions: Vec<i32> = self.watermarks.keys().copied().collect();
        for partition in partitions {
            while self.walk(partition) && self.fetch(transaction, partition).await? {}
        }
        Ok(())
    }

    /// As far as what is known reaches. True when it ended where nothing is known.
    fn walk(&mut self, partition: i32) -> bool {
        let Some(watermark) = self.watermarks.get_mut(&partition) else { return false };
        loop {
            match self.touched.get(&(partition, *watermark)) {
                Some(touched) if touched.new.is_accounted() => *watermark += 1,
                Some(_) => return false,
                None => return true,
            }
        }
    }

    /// Takes in the rows from the watermark on. True when the first of them is at it.
    async fn fetch(&mut self, transaction: &Transaction<'_>, partition: i32) -> Result<bool, StoreError> {
        let watermark = self.watermarks.get(&partition).copied().unwrap_or_default();
        let statement = transaction
            .prepare_cached(
                "SELECT raw_offset, state FROM coverage WHERE partition = $1 AND raw_offset >= $2 ORDER BY raw_offset LIMIT $3",
            )
            .await?;
        let rows = transaction.query(&statement, &[&partition, &watermark, &AHEAD]).await?;
        if rows.first().map(|row| row.get::<_, i64>(0)) != Some(watermark) {
            return Ok(false);
        }
        for row in rows {
            let state = State::read(row.get(1))?;
            self.touched
                .entry((partition, row.get(0)))
                .or_insert_with(|| Touched { old: Some(state.clone()), new: state });
        }
        Ok(true)
    }

    /// Writes rows, sums and tenants; removes what is settled.
    async fn save(mut self, transaction: &Transaction<'_>) -> Result<Folded, StoreError> {
        let mut kept = Kept::default();
        let mut left: (Vec<i32>, Vec<i64>) = Default::default();
        for (place @ (partition, offset), touched) in self.touched {
            let counts = touched.new.counts();
            let before = touched.old.as_ref().map(State::counts).unwrap_or_default();
            self.sums.entry(partition).or_default().change(before, counts);
            let passed = self.watermarks.get(&partition).is_some_and(|watermark| offset < *watermark);
            if passed && touched.new.is_settled() {
                left.0.push(partition);
                left.1.push(offset);
            } else if touched.old.as_ref() != Some(&touched.new) {
                kept.push(place, counts, &touched.new);
            }
        }
        kept.write(transaction).await?;
        for table in ["coverage", "quarantine"] {
            let sql = format!(
                "DELETE FROM {table} c USING unnest($1::integer[], $2::bigint[]) AS n (partition, raw_offset)
                 WHERE c.partition = n.partition AND c.raw_offset = n.raw_offset"
            );
            if !left.0.is_empty() {
                let statement = transaction.prepare_cached(&sql).await?;
                transaction.execute(&statement, &[&left.0, &left.1]).await?;
            }
        }
        for (partition, watermark) in &self.watermarks {
            let sum = self.sums.get(partition).copied().unwrap_or_default();
            let statement = transaction
                .prepare_cached(
                    "INSERT INTO coverage_total AS t (partition, watermark, items, routed, unroutable, quarantined, forgotten, projected)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                     ON CONFLICT (partition) DO UPDATE
                     SET watermark = excluded.watermark, items = t.items + excluded.items, routed = t.routed + excluded.routed,
                         unroutable = t.unroutable + excluded.unroutable, quarantined = t.quarantined + excluded.quarantined,
                         forgotten = t.forgotten + excluded.forgotten, projected = t.projected + excluded.projected",
                )
                .await?;
            let Counts { items, routed, unroutable, quarantined, forgotten, projected } = sum;
            transaction
                .execute(
                    &statement,
                    &[
                        partition,
                        watermark,
                        &items,
                        &routed,
                        &unroutable,
                        &quarantined,
                        &forgotten,
                        &projected,
                    ],
                )
                .await?;
        }
        if !self.tenants.is_empty() {
            let names: Vec<&str> = self.tenants.keys().map(String::as_str).collect();
            let (routed, projected): (Vec<i64>, Vec<i64>) = self.tenants.values().copied().unzip();
            transaction
                .execute(
                    "INSERT INTO coverage_tenant AS t (tenant_id, routed, projected)
                     SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])
                     ON CONFLICT (tenant_id) DO UPDATE
                     SET routed = t.routed + excluded.routed, projected = t.projected + excluded.projected",
                    &[&names, &routed, &projected],
                )
                .await?;
        }
        Ok(Folded { kept: kept.partitions.len() as u64, settled: left.0.len() as u64 })
    }
}

/// Rows to write.
#[derive(Default)]
struct Kept {
    partitions: Vec<i32>,
    offsets: Vec<i64>,
    accounted: Vec<bool>,
    quarantined: Vec<i32>,
    states: Vec<Vec<u8>>,
}

impl Kept {
    fn push(&mut self, (partition, offset): Place, counts: Counts, state: &State) {
        self.partitions.push(partition);
        self.offsets.push(offset);
        self.accounted.push(state.is_accounted());
        self.quarantined.push(i32::try_from(counts.quarantined).unwrap_or(i32::MAX));
        self.states.push(state.write());
    }

    async fn write(&self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        if self.partitions.is_empty() {
            return Ok(());
        }
        let statement = transaction
            .prepare_cached(
                "INSERT INTO coverage (partition, raw_offset, accounted, quarantined, state)
                 SELECT * FROM unnest($1::integer[], $2::bigint[], $3::boolean[], $4::integer[], $5::bytea[])
                 ON CONFLICT (partition, raw_offset) DO UPDATE
                 SET accounted = excluded.accounted, quarantined = excluded.quarantined, state = excluded.state",
            )
            .await?;
        transaction
            .execute(
                &statement,
                &[&self.partitions, &self.offsets, &self.accounted, &self.quarantined, &self.states],
            )
            .await?;
        Ok(())
    }
}
