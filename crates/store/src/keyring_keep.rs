//! What the keeper does in the keyring: forgets people, replaces keys, keeps tokens, and knows who remembers what.

use schemas::{Asset, SubjectId, TenantId};

use crate::keyring::{KeyringDb, SubjectKeyRow, number, subject_id, tenant_id};
use crate::keyring_people::SAME;
use crate::{NOBODY, StoreError};

/// Whoever holds it is the one keeper that works. Let go of when dropped, or when its connection breaks.
pub struct KeeperLock(deadpool_postgres::ClientWrapper);

impl KeeperLock {
    /// Whether it still holds.
    pub fn holds(&self) -> bool {
        !self.0.is_closed()
    }
}

/// Arbitrary, and ours.
const KEEPING: i64 = 0x7469_6469_6e67_7303;

impl KeyringDb {
    /// Becomes the keeper that works, unless another one is.
    pub async fn try_keep(&self) -> Result<Option<KeeperLock>, StoreError> {
        let connection = self.get().await?;
        let row = connection.query_one("SELECT pg_try_advisory_lock($1)", &[&KEEPING]).await?;
        // Out of the pool: the lock lives as long as this one connection.
        Ok(row.get::<_, bool>(0).then(|| KeeperLock(deadpool_postgres::Object::take(connection))))
    }

    /// Those of these people who are known here.
    pub async fn still_there(
        &self,
        people: &[(TenantId, SubjectId)],
    ) -> Result<Vec<(TenantId, SubjectId)>, StoreError> {
        let tenants: Vec<&str> = people.iter().map(|(tenant, _)| tenant.as_str()).collect();
        let subjects: Vec<&[u8]> = people.iter().map(|(_, subject)| subject.as_bytes().as_slice()).collect();
        let connection = self.get().await?;
        let rows = connection
            .query(
                "SELECT s.tenant_id, s.subject_id FROM unnest($1::text[], $2::bytea[]) AS a (tenant_id, subject_id)
                 JOIN subject s USING (tenant_id, subject_id)",
                &[&tenants, &subjects],
            )
            .await?;
        rows.iter().map(|row| Ok((tenant_id(row.get(0))?, subject_id(row.get(1))?))).collect()
    }

    /// Forgets a person in one transaction: their identifiers become tombstones of that time, their keys and everything
    /// that led to them go. Answers how many keys went; 0 when there was nobody any more.
    pub async fn shred(
        &self,
        tenant: &TenantId,
        subject: SubjectId,
        erased_ms: i64,
    ) -> Result<u64, StoreError> {
        let (tenant, subject) = (tenant.as_str(), subject.as_bytes().as_slice());
        let mut connection = self.get().await?;
        let transaction = connection.transaction().await?;
        // Nobody links to them any more from here on.
        transaction
            .execute(
                "SELECT 1 FROM subject WHERE tenant_id = $1 AND subject_id = $2 FOR UPDATE",
                &[&tenant, &subject],
            )
            .await?;
        transaction
            .execute(
                "INSERT INTO tombstone (tenant_id, digest, erased_ms)
                 SELECT tenant_id, digest, $3 FROM lookup WHERE tenant_id = $1 AND subject_id = $2
                 ON CONFLICT (tenant_id, digest) DO UPDATE SET erased_ms = GREATEST(tombstone.erased_ms, excluded.erased_ms)",
                &[&tenant, &subject, &erased_ms],
            )
            .await?;
        let keys = transaction
            .execute("DELETE FROM subject_key WHERE tenant_id = $1 AND subject_id = $2", &[&tenant, &subject])
            .await?;
        transaction
            .execute("DELETE FROM subject WHERE tenant_id = $1 AND subject_id = $2", &[&tenant, &subject])
            .await?;
        transaction.commit().await?;
        Ok(keys)
    }

    /// Destroys everything of a tenant. Answers how many people it had.
    pub async fn shred_tenant(&self, tenant: &TenantId) -> Result<u64, StoreError> {
        let tenant = tenant.as_str();
        let mut connection = self.get().await?;
        let transaction = connection.transaction().await?;
        let people = transaction.execute("DELETE FROM subject WHERE tenant_id = $1", &[&tenant]).await?;
        for table in ["asset_token", "tombstone", "tenant_key"] {
            transaction.execute(&format!("DELETE FROM {table} WHERE tenant_id = $1"), &[&tenant]).await?;
        }
        transaction.commit().await?;
        Ok(people)
    }

    /// Whether a person is known by this subject, and the kinds of identifiers that lead to them.
    pub async fn identifiers(
        &self,
        tenant: &TenantId,
        subject: SubjectId,
    ) -> Result<Option<Vec<String>>, StoreError> {
        let (tenant, subject) = (tenant.as_str(), subject.as_bytes().as_slice());
        let connection = self.get().await?;
        let there = connection
            .query_opt("SELECT 1 FROM subject WHERE tenant_id = $1 AND subject_id = $2", &[&tenant, &subject])
            .await?;
        if there.is_none() {
            return Ok(None);
        }
        let rows = connection
            .query(
                &format!(
                    "WITH same AS ({SAME}) SELECT kind FROM lookup WHERE tenant_id = $1 AND subject_id IN (SELECT id FROM same)
                     UNION ALL SELECT DISTINCT 'username' FROM hint WHERE tenant_id = $1 AND subject_id IN (SELECT id FROM same) ORDER BY 1"
                ),
                &[&tenant, &[subject].as_slice()],
            )
            .await?;
        Ok(Some(rows.iter().map(|row| row.get(0)).collect()))
    }

    /// The people that hints lead to.
    pub async fn hinted(&self, tenant: &TenantId, digest: &[u8; 32]) -> Result<Vec<SubjectId>, StoreError> {
        let connection = self.get().await?;
        let rows = connection
            .query(
                "SELECT subject_id FROM hint WHERE tenant_id = $1 AND digest = $2 ORDER BY 1 LIMIT 100",
                &[&tenant.as_str(), &digest.as_slice()],
            )
            .await?;
        rows.iter().map(|row| subject_id(row.get(0))).collect()
    }

    /// Every person of a tenant, some at a time and in order.
    pub async fn people(
        &self,
        tenant: &TenantId,
        after: Option<SubjectId>,
        limit: i64,
    ) -> Result<Vec<SubjectId>, StoreError> {
        let after = after.unwrap_or(NOBODY);
        let connection = self.get().await?;
        let rows = connection
            .query(
                "SELECT subject_id FROM subject WHERE tenant_id = $1 AND subject_id > $2 ORDER BY 1 LIMIT $3",
                &[&tenant.as_str(), &after.as_bytes().as_slice(), &limit],
            )
            .await?;
        rows.iter().map(|row| subject_id(row.get(0))).collect()
    }

    /// Tenants that have keys.
    pub async fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        let connection = self.get().await?;
        let rows = connection.query("SELECT tenant_id FROM tenant_key ORDER BY 1", &[]).await?;
        rows.iter().map(|row| tenant_id(row.get(0))).collect()
    }

    /// Removes tombstones from before this time: whatever comes after the longest time Meta repeats for is new.
    pub async fn sweep_tombstones(&self, before_ms: i64, dry: bool) -> Result<u64, StoreError> {
        let connection = self.get().await?;
        if dry {
            let row = connection
                .query_one("SELECT count(*) FROM tombstone WHERE erased_ms < $1", &[&before_ms])
                .await?;
            return Ok(crate::offset::unsigned(row.get(0)));
        }
        Ok(connection.execute("DELETE FROM tombstone WHERE erased_ms < $1", &[&before_ms]).await?)
    }

    /// When the oldest tombstone is from, Unix milliseconds.
    pub async fn oldest_tombstone(&self) -> Result<Option<i64>, StoreError> {
        let connection = self.get().await?;
        Ok(connection.query_one("SELECT min(erased_ms) FROM tombstone", &[]).await?.get(0))
    }

    /// Keeps an asset's access token, sealed.
    pub async fn put_token(
        &self,
        tenant: &TenantId,
        asset: &Asset,
        sealed: &[u8],
        at_ms: i64,
    ) -> Result<(), StoreError> {
        let connection = self.get().await?;
        connection
            .execute(
                "INSERT INTO asset_token (tenant_id, asset, sealed, at_ms) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (tenant_id, asset) DO UPDATE SET sealed = excluded.sealed, at_ms = excluded.at_ms",
                &[&tenant.as_str(), &asset.to_string(), &sealed, &at_ms],
            )
            .await?;
        Ok(())
    }

    /// An asset's access token, sealed.
    pub async fn token(&self, tenant: &TenantId, asset: &Asset) -> Result<Option<Vec<u8>>, StoreError> {
        let connection = self.get().await?;
        let row = connection
            .query_opt(
                "SELECT sealed FROM asset_token WHERE tenant_id = $1 AND asset = $2",
                &[&tenant.as_str(), &asset.to_string()],
            )
            .await?;
        Ok(row.map(|row| row.get(0)))
    }

    /// The assets of a tenant that have a token.
    pub async fn token_assets(&self, tenant: &TenantId) -> Result<Vec<Asset>, StoreError> {
        let connection = self.get().await?;
        let rows = connection
            .query("SELECT asset FROM asset_token WHERE tenant_id = $1 ORDER BY 1", &[&tenant.as_str()])
            .await?;
        let damaged = |_| StoreError::Damaged { table: "asset_token" };
        rows.iter().map(|row| row.get::<_, String>(0).parse().map_err(damaged)).collect()
    }

    /// Replaces how a token is sealed, if it is still that one.
    pub async fn reseal_token(
        &self,
        tenant: &TenantId,
        asset: &Asset,
        before: &[u8],
        sealed: &[u8],
    ) -> Result<(), StoreError> {
        let connection = self.get().await?;
        connection
            .execute(
                "UPDATE asset_token SET sealed = $4 WHERE tenant_id = $1 AND asset = $2 AND sealed = $3",
                &[&tenant.as_str(), &asset.to_string(), &before, &sealed],
            )
            .await?;
        Ok(())
    }

    /// Forgets an asset's access token.
    pub async fn remove_token(&self, tenant: &TenantId, asset: &Asset) -> Result<u64, StoreError> {
        let connection = self.get().await?;
        Ok(connection
            .execute(
                "DELETE FROM asset_token WHERE tenant_id = $1 AND asset = $2",
                &[&tenant.as_str(), &asset.to_string()],
            )
            .await?)
    }

    /// Says that this holder of keys is there, and up to which offset of control it has forgotten what it had to.
    pub async fn hold(&self, holder: &str, seen_ms: i64, evicted: u64) -> Result<(), StoreError> {
        let connection = self.get().await?;
        connection
            .execute(
                "INSERT INTO holder (holder, seen_ms, evicted) VALUES ($1, $2, $3)
                 ON CONFLICT (holder) DO UPDATE SET seen_ms = excluded.seen_ms, evicted = excluded.evicted",
                &[&holder, &seen_ms, &i64::try_from(evicted).unwrap_or(i64::MAX)],
            )
            .await?;
        Ok(())
    }

    /// Of holders whose names begin so there is only this one from now on: the others were the same process before it was
    /// started again.
    pub async fn succeed(&self, prefix: &str, holder: &str) -> Result<(), StoreError> {
        let connection = self.get().await?;
        connection
            .execute("DELETE FROM holder WHERE starts_with(holder, $1) AND holder <> $2", &[&prefix, &holder])
            .await?;
        Ok(())
    }

    /// This holder remembers nothing any more.
    pub async fn let_go(&self, holder: &str) -> Result<(), StoreError> {
        let connection = self.get().await?;
        connection.execute("DELETE FROM holder WHERE holder = $1", &[&holder]).await?;
        Ok(())
    }

    /// How many holders, seen since that time, have not forgotten yet what `control` said before this offset.
    pub async fn holders_behind(&self, offset: u64, since_ms: i64) -> Result<u64, StoreError> {
        let connection = self.get().await?;
        connection.execute("DELETE FROM holder WHERE seen_ms < $1", &[&since_ms]).await?;
        let row = connection
            .query_one(
                "SELECT count(*) FROM holder WHERE evicted < $1",
                &[&i64::try_from(offset).unwrap_or(i64::MAX)],
            )
            .await?;
        Ok(crate::offset::unsigned(row.get(0)))
    }

    /// Adds a generation of a tenant's key: it seals from here on.
    pub async fn add_tenant_key(
        &self,
        tenant: &TenantId,
        generation: u16,
        sealed: &str,
    ) -> Result<(), StoreError> {
        let connection = self.get().await?;
        connection
            .execute(
                "INSERT INTO tenant_key_generation (tenant_id, generation, sealed) VALUES ($1, $2, $3)",
                &[&tenant.as_str(), &i16::try_from(generation).unwrap_or(i16::MAX), &sealed],
            )
            .await?;
        Ok(())
    }

    /// Replaces what the root key sealed of a tenant.
    pub async fn reseal_tenant(
        &self,
        tenant: &TenantId,
        row: &crate::TenantKeyRow,
    ) -> Result<(), StoreError> {
        let mut connection = self.get().await?;
        let transaction = connection.transaction().await?;
        transaction
            .execute(
                "UPDATE tenant_key SET id_key = $2, pepper = $3 WHERE tenant_id = $1",
                &[&tenant.as_str(), &row.id_key, &row.pepper],
            )
            .await?;
        for (generation, sealed) in &row.generations {
            transaction
                .execute(
                    "UPDATE tenant_key_generation SET sealed = $3 WHERE tenant_id = $1 AND generation = $2",
                    &[&tenant.as_str(), &i16::try_from(*generation).unwrap_or(i16::MAX), sealed],
                )
                .await?;
        }
        Ok(transaction.commit().await?)
    }

    /// People's keys of a tenant, some at a time and in order.
    pub async fn keys_of(
        &self,
        tenant: &TenantId,
        after: Option<(SubjectId, u16)>,
        limit: i64,
    ) -> Result<Vec<SubjectKeyRow>, StoreError> {
        let (subject, generation) = after.map_or((Vec::new(), 0), |(subject, generation)| {
            (subject.as_bytes().to_vec(), i16::try_from(generation).unwrap_or(i16::MAX))
        });
        let connection = self.get().await?;
        let rows = connection
            .query(
                "SELECT subject_id, generation, sealed FROM subject_key
                 WHERE tenant_id = $1 AND (subject_id, generation) > ($2::bytea, $3::smallint) ORDER BY 1, 2 LIMIT $4",
                &[&tenant.as_str(), &subject, &generation, &limit],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(SubjectKeyRow {
                    tenant: tenant.clone(),
                    subject: subject_id(row.get(0))?,
                    generation: number(row.get(1), "subject_key")?,
                    sealed: row.get(2),
                })
            })
            .collect()
    }

    /// Replaces how these people's keys are sealed; those forgotten meanwhile stay forgotten.
    pub async fn reseal_subjects(&self, rows: &[SubjectKeyRow]) -> Result<u64, StoreError> {
        let tenants: Vec<&str> = rows.iter().map(|row| row.tenant.as_str()).collect();
        let subjects: Vec<&[u8]> = rows.iter().map(|row| row.subject.as_bytes().as_slice()).collect();
        let generations: Vec<i16> =
            rows.iter().map(|row| i16::try_from(row.generation).unwrap_or(i16::MAX)).collect();
        let sealed: Vec<&[u8]> = rows.iter().map(|row| row.sealed.as_slice()).collect();
        let connection = self.get().await?;
        Ok(connection
            .execute(
                "UPDATE subject_key k SET sealed = a.sealed
                 FROM unnest($1::text[], $2::bytea[], $3::smallint[], $4::bytea[]) AS a (tenant_id, subject_id, generation, sealed)
                 WHERE k.tenant_id = a.tenant_id AND k.subject_id = a.subject_id AND k.generation = a.generation",
                &[&tenants, &subjects, &generations, &sealed],
            )
            .await?)
    }

    /// Forgets a tenant's key of that generation, once nothing is sealed with it.
    pub async fn drop_tenant_key(&self, tenant: &TenantId, generation: u16) -> Result<(), StoreError> {
        let connection = self.get().await?;
        connection
            .execute(
                "DELETE FROM tenant_key_generation WHERE tenant_id = $1 AND generation = $2",
                &[&tenant.as_str(), &i16::try_from(generation).unwrap_or(i16::MAX)],
            )
            .await?;
        Ok(())
    }
}
