//! Migrations: numbered files, each in its own transaction, one runner at a time.

use secrecy::SecretString;
use tokio_postgres::{Client, NoTls};

use crate::StoreError;
use crate::connect::parse;

/// Arbitrary, and ours: who migrates holds it.
const LOCK: i64 = 0x7469_6469_6e67_7301;

pub(crate) struct Schema {
    name: &'static str,
    files: &'static [&'static str],
}

pub(crate) static VIEWS: Schema = Schema {
    name: "views",
    files: &[
        include_str!("../sql/views/0001_foundation.sql"),
        include_str!("../sql/views/0002_conversation.sql"),
        include_str!("../sql/views/0003_audit.sql"),
        include_str!("../sql/views/0004_coverage.sql"),
        include_str!("../sql/views/0005_sealed.sql"),
        include_str!("../sql/views/0006_rebuild.sql"),
        include_str!("../sql/views/0007_standing.sql"),
        include_str!("../sql/views/0008_people.sql"),
    ],
};

pub(crate) static KEYRING: Schema = Schema {
    name: "keyring",
    files: &[
        include_str!("../sql/keyring/0001_subjects.sql"),
        include_str!("../sql/keyring/0002_keys.sql"),
        include_str!("../sql/keyring/0003_people.sql"),
    ],
};

impl Schema {
    pub(crate) fn version(&self) -> u32 {
        u32::try_from(self.files.len()).unwrap_or(u32::MAX)
    }
}

/// Brings the views database to this program's schema. Waits while another process does it.
pub async fn migrate_views(url: &SecretString) -> Result<(), StoreError> {
    migrate(url, &VIEWS).await
}

/// Brings the keyring database to this program's schema. Waits while another process does it.
pub async fn migrate_keyring(url: &SecretString) -> Result<(), StoreError> {
    migrate(url, &KEYRING).await
}

/// Whether the schema there is the one this program knows.
pub(crate) async fn check(client: &Client, schema: &Schema) -> Result<(), StoreError> {
    let found = version(client, schema).await?;
    let known = schema.version();
    let advice = match found.cmp(&known) {
        std::cmp::Ordering::Equal => return Ok(()),
        std::cmp::Ordering::Less => {
            "start `tidings up` or the projector and router of this version once: they migrate"
        }
        std::cmp::Ordering::Greater => "update this program",
    };
    Err(StoreError::Schema { database: schema.name, found, known, advice })
}

async fn version(client: &Client, schema: &Schema) -> Result<u32, StoreError> {
    let row = client
        .query_opt("SELECT name, version FROM schema_version", &[])
        .await?
        .ok_or(StoreError::Damaged { table: "schema_version" })?;
    if row.get::<_, &str>(0) != schema.name {
        return Err(StoreError::Refused {
            cause: format!(
                "this is the {} database; the {} needs one of its own",
                row.get::<_, &str>(0),
                schema.name
            ),
        });
    }
    u32::try_from(row.get::<_, i32>(1)).map_err(|_| StoreError::Damaged { table: "schema_version" })
}

async fn migrate(url: &SecretString, schema: &Schema) -> Result<(), StoreError> {
    let (mut client, connection) = parse(url)?.connect(NoTls).await?;
    let running = tokio::spawn(connection);
    let done = run(&mut client, schema).await;
    drop(client);
    // The connection ends with its client; how it ended was told to whoever waited on a statement.
    let _ = running.await;
    done
}

async fn run(client: &mut Client, schema: &Schema) -> Result<(), StoreError> {
    client.batch_execute("SET client_min_messages = 'error'").await?;
    client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await?;
    client
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS schema_version (one boolean PRIMARY KEY DEFAULT true CHECK (one), name text NOT NULL, version integer NOT NULL)",
        )
        .await?;
    client
        .execute(
            "INSERT INTO schema_version (name, version) VALUES ($1, 0) ON CONFLICT DO NOTHING",
            &[&schema.name],
        )
        .await?;
    let found = version(client, schema).await?;
    if found > schema.version() {
        check(client, schema).await?;
    }
    for (number, file) in (1_i32..).zip(schema.files).skip(found as usize) {
        let transaction = client.transaction().await?;
        transaction.batch_execute(file).await?;
        transaction.execute("UPDATE schema_version SET version = $1", &[&number]).await?;
        transaction.commit().await?;
    }
    client.execute("SELECT pg_advisory_unlock($1)", &[&LOCK]).await?;
    Ok(())
}
