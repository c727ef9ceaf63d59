//! How far each projection has come; moved by compare-and-swap in the transaction that applies a batch.

use deadpool_postgres::Transaction;

use crate::{StoreError, ViewsDb};

/// A step of a projection through one partition.
#[derive(Debug, Clone, Copy)]
pub struct OffsetMove<'a> {
    /// The projection.
    pub projection: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: u32,
    /// Where the batch begins: what must be there.
    pub expected: u64,
    /// Where to go on after it.
    pub next: u64,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// Rows and offset are committed.
    Applied,
    /// Another projector was here: nothing was changed. Read on from where the offset is now.
    Conflict,
}

/// A projection's place in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectionOffset {
    /// The projection.
    pub projection: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The next offset it reads.
    pub next: u64,
}

pub(crate) fn big(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

pub(crate) fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Moves the offset; false when it is not where the batch expects it.
pub(crate) async fn advance(
    transaction: &Transaction<'_>,
    step: &OffsetMove<'_>,
) -> Result<bool, StoreError> {
    let statement = transaction
        .prepare_cached(
            "INSERT INTO projection_offset AS o (projection, topic, partition, next) VALUES ($1, $2, $3, $4)
             ON CONFLICT (projection, topic, partition) DO UPDATE SET next = excluded.next WHERE o.next = $5",
        )
        .await?;
    let (partition, next, expected) = (int(step.partition), big(step.next), big(step.expected));
    let moved = transaction
        .execute(&statement, &[&step.projection, &step.topic, &partition, &next, &expected])
        .await?;
    Ok(moved == 1)
}

impl ViewsDb {
    /// Every projection's place in every partition it has read.
    pub async fn offsets(&self) -> Result<Vec<ProjectionOffset>, StoreError> {
        let rows = self
            .get()
            .await?
            .query("SELECT projection, topic, partition, next FROM projection_offset", &[])
            .await?;
        Ok(rows
            .iter()
            .map(|row| ProjectionOffset {
                projection: row.get(0),
                topic: row.get(1),
                partition: u32::try_from(row.get::<_, i32>(2)).unwrap_or(0),
                next: unsigned(row.get(3)),
            })
            .collect())
    }

    /// A projection's place in one partition; `None` when it has read nothing of it.
    pub async fn offset(
        &self,
        projection: &str,
        topic: &str,
        partition: u32,
    ) -> Result<Option<u64>, StoreError> {
        let row = self
            .get()
            .await?
            .query_opt(
                "SELECT next FROM projection_offset WHERE projection = $1 AND topic = $2 AND partition = $3",
                &[&projection, &topic, &int(partition)],
            )
            .await?;
        Ok(row.map(|row| unsigned(row.get(0))))
    }
}
