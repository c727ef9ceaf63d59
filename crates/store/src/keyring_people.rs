//! Which subjects are one person: the keyring's side of merging people and taking them apart.

use schemas::{Person, SubjectId, TenantId};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use crate::StoreError;
use crate::keyring::{KeyringDb, subject_id};

impl KeyringDb {
    /// Within which scopes each of these people has an identifier, by digest. They are named by their smallest subject. One
    /// round trip.
    pub async fn scopes(&self, people: &[Person]) -> Result<Vec<(SubjectId, [u8; 32])>, StoreError> {
        let tenants: Vec<&str> = people.iter().map(|(tenant, _)| tenant.as_str()).collect();
        let subjects: Vec<&[u8]> = people.iter().map(|(_, subject)| subject.as_bytes().as_slice()).collect();
        let connection = self.get().await?;
        let statement = connection
            .prepare_cached(
                "SELECT DISTINCT a.subject_id, l.scope FROM unnest($1::text[], $2::bytea[]) AS a (tenant_id, subject_id)
                 CROSS JOIN LATERAL (SELECT a.subject_id AS id UNION ALL
                     SELECT m.subject_id FROM merged m WHERE m.tenant_id = a.tenant_id AND m.into_id = a.subject_id) AS one
                 JOIN lookup l ON l.tenant_id = a.tenant_id AND l.subject_id = one.id WHERE l.scope IS NOT NULL",
            )
            .await?;
        let rows = connection.query(&statement, &[&tenants, &subjects]).await?;
        let scope = |bytes: &[u8]| bytes.try_into().map_err(|_| StoreError::Damaged { table: "lookup" });
        rows.iter().map(|row| Ok((subject_id(row.get(0))?, scope(row.get(1))?))).collect()
    }

    /// Every subject of the person whom this one is of, the smallest first: it names them.
    pub async fn same_person(
        &self,
        tenant: &TenantId,
        subject: SubjectId,
    ) -> Result<Vec<SubjectId>, StoreError> {
        let connection = self.get().await?;
        let statement = connection.prepare_cached(SAME).await?;
        let subjects = [subject.as_bytes().as_slice()];
        let rows = connection.query(&statement, &[&tenant.as_str(), &subjects.as_slice()]).await?;
        rows.iter().map(|row| subject_id(row.get(0))).collect()
    }

    /// Whether an operator said of two of these people that they are two.
    pub async fn are_kept_apart(
        &self,
        tenant: &TenantId,
        subjects: &[SubjectId],
    ) -> Result<bool, StoreError> {
        let connection = self.get().await?;
        let statement = connection
            .prepare_cached(&format!(
                "WITH same AS ({SAME}) SELECT EXISTS (SELECT FROM kept_apart k WHERE k.tenant_id = $1
                     AND k.one_id IN (SELECT id FROM same) AND k.other_id IN (SELECT id FROM same))"
            ))
            .await?;
        let subjects: Vec<&[u8]> = subjects.iter().map(|subject| subject.as_bytes().as_slice()).collect();
        Ok(connection.query_one(&statement, &[&tenant.as_str(), &subjects]).await?.get(0))
    }

    /// Makes these subjects, and all that are one person with any of them, one person; where an operator keeps two of them
    /// apart nothing happens, unless `anyway`. Answers their subjects, the smallest first, or `None` when they are kept apart.
    /// Doing it again is harmless.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] also when one of them was forgotten meanwhile: look again.
    pub async fn merge_people(
        &self,
        tenant: &TenantId,
        subjects: &[SubjectId],
        anyway: bool,
    ) -> Result<Option<Vec<SubjectId>>, StoreError> {
        let name = tenant.as_str();
        let subjects: Vec<&[u8]> = subjects.iter().map(|subject| subject.as_bytes().as_slice()).collect();
        let mut connection = self.get().await?;
        let transaction = connection.transaction().await?;
        transaction.execute(IN_TURN, &[&name]).await?;
        let same = transaction.query(SAME, &[&name, &subjects]).await?;
        let same: Vec<&[u8]> = same.iter().map(|row| row.get(0)).collect();
        let apart = "FROM kept_apart WHERE tenant_id = $1 AND one_id = ANY($2) AND other_id = ANY($2)";
        if anyway {
            transaction.execute(&format!("DELETE {apart}"), &[&name, &same]).await?;
        } else if transaction.query_opt(&format!("SELECT {apart} LIMIT 1"), &[&name, &same]).await?.is_some()
        {
            return Ok(None);
        }
        join(&transaction, name, &same).await?;
        let same = same.into_iter().map(subject_id).collect::<Result<_, _>>()?;
        transaction.commit().await?;
        Ok(Some(same))
    }

    /// Takes a subject out of the person it is of, for good: only an operator brings them together again. Answers the
    /// person's other subjects.
    pub async fn split_person(
        &self,
        tenant: &TenantId,
        subject: SubjectId,
    ) -> Result<Vec<SubjectId>, StoreError> {
        let (name, id) = (tenant.as_str(), subject.as_bytes().as_slice());
        let mut connection = self.get().await?;
        let transaction = connection.transaction().await?;
        transaction.execute(IN_TURN, &[&name]).await?;
        let same = transaction.query(SAME, &[&name, &[id].as_slice()]).await?;
        let same: Vec<&[u8]> = same.iter().map(|row| row.get(0)).collect();
        let others: Vec<&[u8]> = same.iter().copied().filter(|other| *other != id).collect();
        transaction
            .execute("DELETE FROM merged WHERE tenant_id = $1 AND subject_id = ANY($2)", &[&name, &same])
            .await?;
        join(&transaction, name, &others).await?;
        transaction
            .execute(
                "INSERT INTO kept_apart (tenant_id, one_id, other_id)
                 SELECT $1, LEAST($2, o.id), GREATEST($2, o.id) FROM unnest($3::bytea[]) AS o (id) ON CONFLICT DO NOTHING",
                &[&name, &id, &others],
            )
            .await?;
        let others = others.into_iter().map(subject_id).collect::<Result<_, _>>()?;
        transaction.commit().await?;
        Ok(others)
    }

    /// These numbers lead to somebody else now, as was told then; what was told later stands.
    pub async fn pass_on(
        &self,
        tenant: &TenantId,
        digests: &[[u8; 32]],
        heir: SubjectId,
        told_ms: i64,
    ) -> Result<(), StoreError> {
        let digests: Vec<&[u8]> = digests.iter().map(<[u8; 32]>::as_slice).collect();
        let connection = self.get().await?;
        let columns: [&(dyn ToSql + Sync); 4] =
            [&tenant.as_str(), &digests, &heir.as_bytes().as_slice(), &told_ms];
        match connection.execute("SELECT pass_on($1, $2, $3, $4)", &columns).await {
            Err(cause) if cause.code() == Some(&SqlState::FOREIGN_KEY_VIOLATION) => Err(forgotten()),
            done => Ok(done.map(drop)?),
        }
    }
}

/// Every subject of the people whom these are of, in order.
pub(crate) const SAME: &str = "WITH named AS (
        SELECT unnest($2::bytea[]) AS id
        UNION SELECT m.into_id FROM merged m WHERE m.tenant_id = $1 AND m.subject_id = ANY($2))
    SELECT id FROM named UNION SELECT o.subject_id FROM named n JOIN merged o ON o.tenant_id = $1 AND o.into_id = n.id ORDER BY 1";

/// A tenant's people are brought together and taken apart one after another.
const IN_TURN: &str = "SELECT pg_advisory_xact_lock(hashtextextended('people/' || $1, 0))";

/// Whoever looks again finds that they are not there.
fn forgotten() -> StoreError {
    StoreError::Unavailable { cause: "a person was forgotten just now".into() }
}

/// The first of these, which are in order, stands for the others.
async fn join(
    transaction: &deadpool_postgres::Transaction<'_>,
    tenant: &str,
    same: &[&[u8]],
) -> Result<(), StoreError> {
    let Some((into, others)) = same.split_first().filter(|(_, others)| !others.is_empty()) else {
        return Ok(());
    };
    let joined = transaction
        .execute(
            "INSERT INTO merged (tenant_id, subject_id, into_id) SELECT $1, o.id, $3 FROM unnest($2::bytea[]) AS o (id)
             ON CONFLICT (tenant_id, subject_id) DO UPDATE SET into_id = excluded.into_id",
            &[&tenant, &others, into],
        )
        .await;
    match joined {
        Err(cause) if cause.code() == Some(&SqlState::FOREIGN_KEY_VIOLATION) => Err(forgotten()),
        done => Ok(done.map(drop)?),
    }
}
