//! Copying a whole database out, as of one moment, and the errors of copying one in (`backup_views.rs`,
//! `backup_keyring.rs`). Memory is flat: what nobody takes is not read yet. Nothing here seals.

use std::collections::BTreeMap;
use std::pin::pin;

use bytes::Bytes;
use deadpool_postgres::Object;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_postgres::IsolationLevel;

use crate::backup_frame::{Frame, FrameWriter};
use crate::offset::unsigned;
use crate::{Disposition, StoreError};

/// What was copied out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The version of the database's schema.
    pub schema: u32,
    /// How many rows of each table.
    pub tables: BTreeMap<String, u64>,
}

/// Why a database could not be copied out, or be filled from a copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database did not do what it was asked.
    #[error("the database failed")]
    Store(#[from] StoreError),
    /// The copy is of another schema.
    #[error(
        "the backup holds version {found} of the {database} schema and this program knows {known}; restore it with the program that made it, and update afterwards"
    )]
    Schema {
        /// Which database.
        database: &'static str,
        /// What the copy holds.
        found: u32,
        /// What this program knows.
        known: u32,
    },
    /// It ends early, or is none.
    #[error("the backup ends early or is none")]
    Damaged,
    /// Whoever should take what is copied out is gone.
    #[error("nobody takes what is copied out")]
    Unread,
    /// The copy's projections had read more than the log holds.
    #[error("the backup was made beside another log: its views had read more of {topic} than there is")]
    OtherLog {
        /// The topic.
        topic: String,
    },
    /// A tenant has keys that are not those of the copy.
    #[error(
        "tenant {tenant} has been given other keys than those of the backup; stop the router, empty the keyring's database and restore again"
    )]
    OtherKeys {
        /// Whose.
        tenant: String,
    },
    /// Whom the copy must not bring back could not be found out.
    #[error("who must not be brought back could not be found out")]
    Ledger(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl BackupError {
    /// Whether the same may be tried again in a moment. No `_` arm: a new variant has to be classified here.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Store(cause) => cause.disposition() == Disposition::Retry,
            Self::Unread | Self::Ledger(_) => true,
            Self::Schema { .. } | Self::Damaged | Self::OtherLog { .. } | Self::OtherKeys { .. } => false,
        }
    }
}

impl From<tokio_postgres::Error> for BackupError {
    fn from(cause: tokio_postgres::Error) -> Self {
        Self::Store(cause.into())
    }
}

/// Copies these tables out, all as they are at one moment.
pub(crate) async fn copy_out(
    connection: &mut Object,
    database: &'static str,
    tables: impl Iterator<Item = &'static str> + Clone,
    sink: &mpsc::Sender<Bytes>,
) -> Result<Copied, BackupError> {
    let transaction = connection
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    // Whoever takes it may be slow. Locked before the first look: a rebuild must not put another table in one's place.
    let names: Vec<&str> = tables.clone().collect();
    transaction
        .batch_execute(&format!(
            "SET LOCAL idle_in_transaction_session_timeout = 0; LOCK TABLE {} IN ACCESS SHARE MODE",
            names.join(", ")
        ))
        .await?;
    let schema: i32 = transaction.query_one("SELECT version FROM schema_version", &[]).await?.get(0);
    let schema = u32::try_from(schema).unwrap_or(0);
    let mut writer = FrameWriter::new(sink);
    writer.frame(&Frame::Head { database: database.to_owned(), schema }).await?;
    let mut counts = BTreeMap::new();
    for table in tables {
        let columns = transaction.query_one(COLUMNS, &[&table]).await?.get::<_, Option<String>>(0);
        let columns = columns.ok_or(StoreError::Damaged { table })?;
        let rows = transaction.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await?;
        let rows = unsigned(rows.get(0));
        writer.frame(&Frame::Table { name: table.to_owned(), columns: columns.clone() }).await?;
        let copy = format!("COPY {table} ({columns}) TO STDOUT (FORMAT binary)");
        let mut copied = pin!(transaction.copy_out(&copy).await?);
        while let Some(some) = copied.next().await {
            writer.rows(&some?).await?;
        }
        writer.frame(&Frame::Rows(rows)).await?;
        counts.insert(table.to_owned(), rows);
    }
    writer.frame(&Frame::End).await?;
    transaction.commit().await?;
    Ok(Copied { schema, tables: counts })
}

/// A table's columns, as a statement lists them.
pub(crate) const COLUMNS: &str =
    "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
    WHERE attrelid = to_regclass($1::text) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use secrecy::SecretString;
    use testkit::Postgres;

    use super::*;
    use crate::{KeyringDb, KeyringRole, ViewsDb, ViewsRole, backup_keyring, backup_views};

    async fn there(connection: &Object, but: &str) -> BTreeSet<String> {
        let sql = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' AND tablename NOT IN ('schema_version', $1)";
        connection.query(sql, &[&but]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    #[tokio::test]
    async fn every_table_is_copied_by_a_role_that_may() {
        let postgres = Postgres::start().await.unwrap();
        let views = SecretString::from(postgres.database().await.unwrap());
        let keyring = SecretString::from(postgres.database().await.unwrap());
        crate::migrate_views(&views).await.unwrap();
        crate::migrate_keyring(&keyring).await.unwrap();
        let views = ViewsDb::connect(&views, ViewsRole::Keeper, 2).await.unwrap();
        let keyring = KeyringDb::connect(&keyring, KeyringRole::Keeper, 2).await.unwrap();
        let listed = |tables: Vec<&str>| tables.into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
        // Whoever adds a table decides how it comes back.
        let of_views = listed(backup_views::tables().collect());
        assert_eq!(there(&views.get().await.unwrap(), "").await, of_views);
        // Who remembers keys now says nothing later.
        let of_keyring = listed(backup_keyring::TABLES.to_vec());
        assert_eq!(there(&keyring.get().await.unwrap(), "holder").await, of_keyring);

        let (sink, mut pieces) = mpsc::channel(1_000);
        let copied = views.copy_out(&sink).await.unwrap();
        assert_eq!(copied.tables.keys().cloned().collect::<BTreeSet<_>>(), of_views);
        let copied = keyring.copy_out(&sink).await.unwrap();
        assert_eq!(copied.tables.keys().cloned().collect::<BTreeSet<_>>(), of_keyring);
        pieces.close();
        assert!(matches!(views.copy_out(&sink).await, Err(BackupError::Unread)));
    }
}
