//! The keyring as a backup: what is copied out, and how a copy's people are added to those there are. Nobody who is known
//! now is replaced, and nobody who was forgotten since comes back: their identifiers become tombstones.

use std::future::Future;

use bytes::Bytes;
use deadpool_postgres::Transaction;
use schemas::{SubjectId, TenantId};
use tokio::sync::mpsc;

use crate::backup::{Copied, copy_out};
use crate::backup_stage::{lock, stage};
use crate::{BackupError, KeyringDb, StoreError};

const DATABASE: &str = "keyring";
pub(crate) const TABLES: [&str; 10] = [
    "tenant_key",
    "tenant_key_generation",
    "subject",
    "subject_key",
    "lookup",
    "hint",
    "merged",
    "kept_apart",
    "tombstone",
    "asset_token",
];

/// Whom a copy must not bring back.
#[derive(Debug, Clone, Default)]
pub struct KeyringLedger {
    /// Everybody who was forgotten or is about to be, and when, Unix milliseconds.
    pub people: Vec<(TenantId, SubjectId, i64)>,
    /// Tenants of which nothing is to be left.
    pub tenants: Vec<TenantId>,
}

/// A key that stands both in the copy and in the database, sealed twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTwice {
    /// Whose.
    pub tenant: TenantId,
    /// Which: `id-key`, `lookup-pepper`, or `key/` and its generation.
    pub key: String,
    /// As the copy has it.
    pub copied: String,
    /// As it is now.
    pub present: String,
}

/// What a copy brought into the keyring.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RestoredKeyring {
    /// People who are known again.
    pub people: u64,
    /// People who were in the copy and had been forgotten since.
    pub forgotten: u64,
}

impl KeyringDb {
    /// Copies everything out, as it is at one moment. Ends with an error when the receiver is gone.
    pub async fn copy_out(&self, sink: &mpsc::Sender<Bytes>) -> Result<Copied, BackupError> {
        copy_out(&mut self.get().await?, DATABASE, TABLES.into_iter(), sink).await
    }

    /// Adds a copy's people and keys to those there are, in one transaction. `ledger` is asked once nobody can be forgotten
    /// any more before it ends, and `is_same` whether two sealed keys are one.
    pub async fn copy_in<F, E>(
        &self,
        source: mpsc::Receiver<Bytes>,
        ledger: impl FnOnce() -> F + Send,
        is_same: impl Fn(&KeyTwice) -> bool + Send,
    ) -> Result<RestoredKeyring, BackupError>
    where
        F: Future<Output = Result<KeyringLedger, E>> + Send,
        E: std::error::Error + Send + Sync + 'static,
    {
        let mut connection = self.get().await?;
        let mut transaction = connection.transaction().await?;
        stage(&transaction, DATABASE, &TABLES, source).await?;
        // Against everybody who makes people or forgets them; looking people up goes on.
        lock(&mut transaction, "LOCK TABLE subject, lookup IN EXCLUSIVE MODE").await?;
        let ledger = ledger().await.map_err(|cause| BackupError::Ledger(Box::new(cause)))?;
        let forgotten = leave_out(&transaction, &ledger).await?;
        for twice in both(&transaction).await? {
            if !is_same(&twice) {
                return Err(BackupError::OtherKeys { tenant: twice.tenant.to_string() });
            }
        }
        let people = merge(&transaction).await?;
        transaction.commit().await?;
        Ok(RestoredKeyring { people, forgotten })
    }
}

/// Takes out of the copy whoever is not to come back. Answers how many people that were.
async fn leave_out(transaction: &Transaction<'_>, ledger: &KeyringLedger) -> Result<u64, StoreError> {
    let ended: Vec<&str> = ledger.tenants.iter().map(TenantId::as_str).collect();
    for table in TABLES {
        let sql = format!("DELETE FROM staged_{table} WHERE tenant_id = ANY($1)");
        transaction.execute(&sql, &[&ended]).await?;
    }
    let tenants: Vec<&str> = ledger.people.iter().map(|(tenant, _, _)| tenant.as_str()).collect();
    let subjects: Vec<&[u8]> =
        ledger.people.iter().map(|(_, subject, _)| subject.as_bytes().as_slice()).collect();
    let erased: Vec<i64> = ledger.people.iter().map(|(_, _, erased_ms)| *erased_ms).collect();
    // A repeat of what they wrote before is known as one, whatever became of the keyring meanwhile.
    transaction
        .execute(
            "INSERT INTO tombstone (tenant_id, digest, erased_ms)
             SELECT l.tenant_id, l.digest, max(a.erased_ms)
             FROM unnest($1::text[], $2::bytea[], $3::bigint[]) AS a (tenant_id, subject_id, erased_ms)
             JOIN staged_lookup l USING (tenant_id, subject_id) GROUP BY 1, 2
             ON CONFLICT (tenant_id, digest) DO UPDATE SET erased_ms = GREATEST(tombstone.erased_ms, excluded.erased_ms)",
            &[&tenants, &subjects, &erased],
        )
        .await?;
    let mut people = 0;
    for table in ["subject_key", "lookup", "hint", "subject"] {
        let sql = format!(
            "DELETE FROM staged_{table} s USING unnest($1::text[], $2::bytea[]) AS a (tenant_id, subject_id)
             WHERE s.tenant_id = a.tenant_id AND s.subject_id = a.subject_id"
        );
        people = transaction.execute(&sql, &[&tenants, &subjects]).await?;
    }
    Ok(people)
}

/// Keys that are in both and not sealed alike.
async fn both(transaction: &Transaction<'_>) -> Result<Vec<KeyTwice>, StoreError> {
    let rows = transaction
        .query(
            "SELECT tenant_id, 'id-key', s.id_key, p.id_key FROM staged_tenant_key s JOIN tenant_key p USING (tenant_id) WHERE s.id_key <> p.id_key
             UNION ALL
             SELECT tenant_id, 'lookup-pepper', s.pepper, p.pepper FROM staged_tenant_key s JOIN tenant_key p USING (tenant_id) WHERE s.pepper <> p.pepper
             UNION ALL
             SELECT tenant_id, 'key/' || generation, s.sealed, p.sealed
             FROM staged_tenant_key_generation s JOIN tenant_key_generation p USING (tenant_id, generation) WHERE s.sealed <> p.sealed",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let tenant: String = row.get(0);
            Ok(KeyTwice {
                tenant: tenant.parse().map_err(|_| StoreError::Damaged { table: "tenant_key" })?,
                key: row.get(1),
                copied: row.get(2),
                present: row.get(3),
            })
        })
        .collect()
}

/// Adds what is not there. Answers how many people came.
async fn merge(transaction: &Transaction<'_>) -> Result<u64, StoreError> {
    // A token that was taken away from a tenant that is still known stays away.
    transaction
        .execute("DELETE FROM staged_asset_token s USING tenant_key t WHERE t.tenant_id = s.tenant_id", &[])
        .await?;
    let mut people = 0;
    for (table, condition) in [
        ("tenant_key", ""),
        ("tenant_key_generation", ""),
        ("subject", ""),
        ("subject_key", ""),
        // An identifier that leads to somebody now goes on leading there.
        (
            "lookup",
            "WHERE EXISTS (SELECT FROM subject p WHERE p.tenant_id = s.tenant_id AND p.subject_id = s.subject_id)",
        ),
        (
            "hint",
            "WHERE EXISTS (SELECT FROM subject p WHERE p.tenant_id = s.tenant_id AND p.subject_id = s.subject_id)",
        ),
        // Two of whom one was forgotten are not one; who is one with somebody now stays so, and so do those who are kept apart.
        (
            "merged",
            "WHERE (SELECT count(*) FROM subject p WHERE p.tenant_id = s.tenant_id AND p.subject_id IN (s.subject_id, s.into_id)) = 2
               AND NOT EXISTS (SELECT FROM kept_apart k WHERE k.tenant_id = s.tenant_id AND k.one_id = s.into_id AND k.other_id = s.subject_id)",
        ),
        (
            "kept_apart",
            "WHERE (SELECT count(*) FROM subject p WHERE p.tenant_id = s.tenant_id AND p.subject_id IN (s.one_id, s.other_id)) = 2
               AND coalesce((SELECT m.into_id FROM merged m WHERE m.tenant_id = s.tenant_id AND m.subject_id = s.one_id), s.one_id)
                <> coalesce((SELECT m.into_id FROM merged m WHERE m.tenant_id = s.tenant_id AND m.subject_id = s.other_id), s.other_id)",
        ),
        ("asset_token", ""),
    ] {
        let columns: String = transaction.query_one(crate::backup::COLUMNS, &[&table]).await?.get(0);
        let sql = format!(
            "INSERT INTO {table} ({columns}) SELECT {columns} FROM staged_{table} s {condition} ON CONFLICT DO NOTHING"
        );
        let rows = transaction.execute(&sql, &[]).await?;
        if table == "subject" {
            people = rows;
        }
    }
    // Who stood for somebody in the copy may be one with a smaller subject now.
    let again = "UPDATE merged m SET into_id = o.into_id FROM merged o WHERE o.tenant_id = m.tenant_id AND o.subject_id = m.into_id";
    while transaction.execute(again, &[]).await? > 0 {}
    transaction
        .execute(
            "INSERT INTO tombstone (tenant_id, digest, erased_ms) SELECT tenant_id, digest, erased_ms FROM staged_tombstone
             ON CONFLICT (tenant_id, digest) DO UPDATE SET erased_ms = GREATEST(tombstone.erased_ms, excluded.erased_ms)",
            &[],
        )
        .await?;
    Ok(people)
}
