//! How far each projection has come; moved by compare-and-swap in the transaction that applies a batch.

use deadpool_postgres::Transaction;
use tokio_postgres::types::ToSql;

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

/// Moves the offset; false when it is not where the batch expects it. A place that was never begun is at 0: whoever expects
/// to be further along must not be believed.
pub(crate) async fn advance(
    transaction: &Transaction<'_>,
    step: &OffsetMove<'_>,
) -> Result<bool, StoreError> {
    let (partition, next, expected) = (int(step.partition), big(step.next), big(step.expected));
    let statement = transaction
        .prepare_cached(
            "UPDATE projection_offset SET next = $4 WHERE projection = $1 AND topic = $2 AND partition = $3 AND next = $5",
        )
        .await?;
    let moved = transaction
        .execute(&statement, &[&step.projection, &step.topic, &partition, &next, &expected])
        .await?;
    if moved == 1 || step.expected > 0 {
        return Ok(moved == 1);
    }
    let begun = transaction
        .execute(
            "INSERT INTO projection_offset (projection, topic, partition, next) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            &[&step.projection, &step.topic, &partition, &next],
        )
        .await?;
    Ok(begun == 1)
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

    /// Begins a projection's place in one partition, unless it has one; where it is now. Durable when it returns: a crash of
    /// the server may take back batches, but not where they began.
    pub async fn begin_offset(
        &self,
        projection: &str,
        topic: &str,
        partition: u32,
        at: u64,
    ) -> Result<u64, StoreError> {
        let mut connection = self.get().await?;
        let transaction = connection.transaction().await?;
        transaction.batch_execute("SET LOCAL synchronous_commit = on").await?;
        let place: [&(dyn ToSql + Sync); 3] = [&projection, &topic, &int(partition)];
        let [projection, topic, partition] = place;
        transaction
            .execute(
                "INSERT INTO projection_offset (projection, topic, partition, next) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
                &[projection, topic, partition, &big(at)],
            )
            .await?;
        let row = transaction
            .query_one(
                "SELECT next FROM projection_offset WHERE projection = $1 AND topic = $2 AND partition = $3",
                &place,
            )
            .await?;
        transaction.commit().await?;
        Ok(unsigned(row.get(0)))
    }

    /// Makes sure that a projection's place is where it should be, and that no crash of the server takes it back any more.
    /// False when it is somewhere else.
    pub async fn confirm_offset(
        &self,
        projection: &str,
        topic: &str,
        partition: u32,
        expected: u64,
    ) -> Result<bool, StoreError> {
        let mut connection = self.get().await?;
        let transaction = connection.transaction().await?;
        transaction.batch_execute("SET LOCAL synchronous_commit = on").await?;
        // A write, because only those are waited for; with it everything before it is on disk.
        let found = transaction
            .execute(
                "UPDATE projection_offset SET next = next WHERE projection = $1 AND topic = $2 AND partition = $3 AND next = $4",
                &[&projection, &topic, &int(partition), &big(expected)],
            )
            .await?;
        transaction.commit().await?;
        Ok(found == 1)
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
