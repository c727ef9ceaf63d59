//! The keyring database: tenants' sealed keys, subjects, and the lookup from identifiers' digests to subjects.

use std::collections::{HashMap, HashSet};

use deadpool_postgres::Pool;
use schemas::{SubjectId, TenantId};
use secrecy::SecretString;

use crate::StoreError;
use crate::connect::pool;
use crate::migrate::{KEYRING, check};

/// The keyring database. Clones share a pool.
#[derive(Clone)]
pub struct KeyringDb {
    pool: Pool,
}

/// A tenant's keys, sealed with the root key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantKeyRow {
    /// What event ids hang on.
    pub id_key: String,
    /// What lookups hang on.
    pub pepper: String,
}

/// An identifier's digest, and the subject it is to get unless it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// Whose person it is.
    pub tenant: TenantId,
    /// HMAC of the identifier under the tenant's pepper.
    pub digest: [u8; 32],
    /// The subject.
    pub subject: SubjectId,
}

impl KeyringDb {
    /// Connects. The schema must be there: [`crate::migrate_keyring`] makes it.
    pub async fn connect(url: &SecretString, max_connections: usize) -> Result<Self, StoreError> {
        let db = Self { pool: pool(url, None, max_connections)? };
        check(&*db.pool.get().await?, &KEYRING).await?;
        Ok(db)
    }

    /// The tenant's keys; `fresh` becomes them when there are none. Whoever comes first wins.
    pub async fn tenant_keys(
        &self,
        tenant: &TenantId,
        fresh: &TenantKeyRow,
    ) -> Result<TenantKeyRow, StoreError> {
        let connection = self.pool.get().await?;
        connection
            .execute(
                "INSERT INTO tenant_key (tenant_id, id_key, pepper) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                &[&tenant.as_str(), &fresh.id_key, &fresh.pepper],
            )
            .await?;
        let row = connection
            .query_one("SELECT id_key, pepper FROM tenant_key WHERE tenant_id = $1", &[&tenant.as_str()])
            .await?;
        Ok(TenantKeyRow { id_key: row.get(0), pepper: row.get(1) })
    }

    /// The subjects of those digests that are known, in no particular order. One round trip.
    pub async fn find(&self, digests: &[(TenantId, [u8; 32])]) -> Result<Vec<Lookup>, StoreError> {
        let connection = self.pool.get().await?;
        let statement = connection.prepare_cached(FIND).await?;
        let keys = Keys::of(digests.iter().map(|(tenant, digest)| (tenant, digest)));
        let rows = connection.query(&statement, &[&keys.tenants, &keys.digests]).await?;
        rows.iter().map(read).collect()
    }

    /// Records lookups that are not there yet, and answers with all of them as they stand then: of two that meet the same
    /// person first, one wins and both learn of it. Subjects in `made` exist nowhere else yet: where another process was
    /// first with one of their identifiers, that one's subject takes all of them. One transaction.
    pub async fn link(
        &self,
        lookups: &[Lookup],
        made: &HashSet<SubjectId>,
    ) -> Result<Vec<Lookup>, StoreError> {
        let mut connection = self.pool.get().await?;
        let transaction = connection.transaction().await?;
        let mut sorted: Vec<&Lookup> = lookups.iter().collect();
        // Always in the same order, so that two of these wait for one another and never in a circle.
        sorted.sort_by(|a, b| (&a.tenant, a.digest).cmp(&(&b.tenant, b.digest)));
        let keys = Keys::of(sorted.iter().map(|lookup| (&lookup.tenant, &lookup.digest)));
        let subjects: Vec<&[u8]> = sorted.iter().map(|lookup| lookup.subject.as_bytes().as_slice()).collect();
        let make = transaction
            .prepare_cached(
                "INSERT INTO subject (tenant_id, subject_id)
                 SELECT DISTINCT * FROM unnest($1::text[], $2::bytea[]) ORDER BY 1, 2 ON CONFLICT DO NOTHING",
            )
            .await?;
        transaction.execute(&make, &[&keys.tenants, &subjects]).await?;
        let link = transaction
            .prepare_cached(
                "INSERT INTO lookup (tenant_id, digest, subject_id)
                 SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[]) ON CONFLICT DO NOTHING",
            )
            .await?;
        let linked = transaction.execute(&link, &[&keys.tenants, &keys.digests, &subjects]).await?;
        if linked == lookups.len() as u64 {
            transaction.commit().await?;
            return Ok(lookups.to_vec());
        }
        let found = transaction.prepare_cached(FIND).await?;
        let rows = transaction.query(&found, &[&keys.tenants, &keys.digests]).await?;
        let mut stand: Vec<Lookup> = rows.iter().map(read).collect::<Result<_, _>>()?;
        let replaced = replaced(lookups, &stand, made);
        let ours: Vec<&[u8]> = replaced.iter().map(|(_, from, _)| from.as_bytes().as_slice()).collect();
        let theirs: Vec<&[u8]> = replaced.iter().map(|(_, _, to)| to.as_bytes().as_slice()).collect();
        let tenants: Vec<&str> = replaced.iter().map(|(tenant, _, _)| tenant.as_str()).collect();
        transaction
            .execute(
                "UPDATE lookup l SET subject_id = a.theirs FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS a (tenant_id, ours, theirs)
                 WHERE l.tenant_id = a.tenant_id AND l.subject_id = a.ours",
                &[&tenants, &ours, &theirs],
            )
            .await?;
        transaction
            .execute(
                "DELETE FROM subject s USING unnest($1::text[], $2::bytea[]) AS a (tenant_id, ours)
                 WHERE s.tenant_id = a.tenant_id AND s.subject_id = a.ours",
                &[&tenants, &ours],
            )
            .await?;
        transaction.commit().await?;
        for lookup in &mut stand {
            if let Some((_, _, to)) = replaced.iter().find(|(_, from, _)| *from == lookup.subject) {
                lookup.subject = *to;
            }
        }
        Ok(stand)
    }
}

const FIND: &str = "SELECT l.tenant_id, l.digest, l.subject_id
    FROM unnest($1::text[], $2::bytea[]) AS a (tenant_id, digest) JOIN lookup l USING (tenant_id, digest)";

/// Our fresh subjects that came too late, and who was there before: decided by the first identifier that another has.
fn replaced(
    lookups: &[Lookup],
    stand: &[Lookup],
    made: &HashSet<SubjectId>,
) -> Vec<(TenantId, SubjectId, SubjectId)> {
    let stands: HashMap<&[u8; 32], SubjectId> =
        stand.iter().map(|lookup| (&lookup.digest, lookup.subject)).collect();
    let mut late = HashSet::new();
    lookups
        .iter()
        .filter(|lookup| made.contains(&lookup.subject))
        .filter_map(|lookup| {
            let subject = *stands.get(&lookup.digest)?;
            (subject != lookup.subject && late.insert(lookup.subject))
                .then(|| (lookup.tenant.clone(), lookup.subject, subject))
        })
        .collect()
}

/// Columns of an array statement.
struct Keys<'a> {
    tenants: Vec<&'a str>,
    digests: Vec<&'a [u8]>,
}

impl<'a> Keys<'a> {
    fn of(keys: impl Iterator<Item = (&'a TenantId, &'a [u8; 32])>) -> Self {
        let (tenants, digests) = keys.map(|(tenant, digest)| (tenant.as_str(), digest.as_slice())).unzip();
        Self { tenants, digests }
    }
}

fn read(row: &tokio_postgres::Row) -> Result<Lookup, StoreError> {
    let damaged = || StoreError::Damaged { table: "lookup" };
    Ok(Lookup {
        tenant: TenantId::try_from(row.get::<_, String>(0)).map_err(|_| damaged())?,
        digest: row.get::<_, &[u8]>(1).try_into().map_err(|_| damaged())?,
        subject: SubjectId::from_bytes(row.get::<_, &[u8]>(2).try_into().map_err(|_| damaged())?),
    })
}
