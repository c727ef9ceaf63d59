//! Filling temporary tables from a copy, beside everything that goes on; and taking the locks that end it.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use deadpool_postgres::Transaction;
use futures::SinkExt;
use tokio::sync::mpsc;
use tokio_postgres::error::SqlState;

use crate::backup::COLUMNS;
use crate::backup_frame::{Frame, FrameReader};
use crate::{BackupError, StoreError};

/// Shorter than PostgreSQL takes to look for a deadlock: of two that wait for one another we are the one that gives way.
const LOCK_MS: u64 = 300;
const PAUSE: Duration = Duration::from_millis(50);
const TRIES: u32 = 400;

/// Columns by table.
pub(crate) type Staged = BTreeMap<&'static str, String>;

/// Copies everything into temporary tables named `staged_…`. They go with the transaction.
pub(crate) async fn stage(
    transaction: &Transaction<'_>,
    database: &'static str,
    tables: &[&'static str],
    source: mpsc::Receiver<Bytes>,
) -> Result<Staged, BackupError> {
    transaction.batch_execute("SET LOCAL idle_in_transaction_session_timeout = 0").await?;
    let known: i32 = transaction.query_one("SELECT version FROM schema_version", &[]).await?.get(0);
    let known = u32::try_from(known).unwrap_or(0);
    let mut frames = FrameReader::new(source);
    match frames.next().await? {
        Frame::Head { database: of, schema } if of == database => {
            if schema != known {
                return Err(BackupError::Schema { database, found: schema, known });
            }
        }
        _ => return Err(BackupError::Damaged),
    }
    let mut staged = Staged::new();
    loop {
        match frames.next().await? {
            Frame::Table { name, columns } => {
                let table = *tables.iter().find(|table| **table == name).ok_or(BackupError::Damaged)?;
                let known = transaction.query_one(COLUMNS, &[&table]).await?.get::<_, Option<String>>(0);
                // Of one schema version there is one set of columns; a copy in another order names them so.
                let set = |columns: &str| {
                    columns.split(", ").map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
                };
                if known.as_deref().map(set) != Some(set(&columns)) {
                    return Err(BackupError::Damaged);
                }
                fill(transaction, table, &columns, &mut frames).await?;
                staged.insert(table, columns);
            }
            Frame::End if staged.len() == tables.len() => return Ok(staged),
            _ => return Err(BackupError::Damaged),
        }
    }
}

async fn fill(
    transaction: &Transaction<'_>,
    table: &str,
    columns: &str,
    frames: &mut FrameReader,
) -> Result<(), BackupError> {
    transaction
        .batch_execute(&format!("CREATE TEMPORARY TABLE staged_{table} (LIKE public.{table}) ON COMMIT DROP"))
        .await?;
    let copy = format!("COPY staged_{table} ({columns}) FROM STDIN (FORMAT binary)");
    let mut sink = pin!(transaction.copy_in::<_, Bytes>(&copy).await?);
    let rows = loop {
        match frames.next().await? {
            Frame::Data(some) => sink.feed(some).await?,
            Frame::Rows(rows) => break rows,
            _ => return Err(BackupError::Damaged),
        }
    };
    if sink.finish().await? != rows {
        return Err(BackupError::Damaged);
    }
    // What is looked for in it is found by plans that know how large it is.
    transaction.batch_execute(&format!("ANALYZE staged_{table}")).await?;
    Ok(())
}

/// Runs statements that take locks. Gives way to everybody who is in the middle of something, and tries again.
pub(crate) async fn lock(transaction: &mut Transaction<'_>, statements: &str) -> Result<(), StoreError> {
    for _ in 0..TRIES {
        let point = transaction.savepoint("before_locks").await?;
        let locked =
            point.batch_execute(&format!("SET LOCAL lock_timeout = '{LOCK_MS}ms'; {statements}")).await;
        match locked {
            Ok(()) => {
                point.batch_execute("SET LOCAL lock_timeout = 0").await?;
                return Ok(point.commit().await?);
            }
            Err(cause) => {
                let gives_way = [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED];
                if !cause.code().is_some_and(|code| gives_way.contains(code)) {
                    return Err(cause.into());
                }
                point.rollback().await?;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    Err(StoreError::Unavailable { cause: "the tables are in use and cannot be filled now".into() })
}
