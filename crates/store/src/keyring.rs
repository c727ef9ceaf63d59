//! The keyring database: tenants' and people's sealed keys, and the lookup from identifiers' digests to subjects.

use std::collections::{HashMap, HashSet};

use deadpool_postgres::{Object, Pool};
use schemas::{SubjectId, TenantId};
use secrecy::SecretString;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use crate::StoreError;
use crate::connect::pool;
use crate::migrate::{KEYRING, check};

/// As whom the keyring is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyringRole {
    /// Makes people and their keys.
    Router,
    /// Reads keys, and makes or destroys nothing.
    Opener,
    /// Destroys keys, replaces them, keeps tokens.
    Keeper,
}

impl KeyringRole {
    const fn name(self) -> &'static str {
        match self {
            Self::Router => "tidings_keyring_router",
            Self::Opener => "tidings_keyring_opener",
            Self::Keeper => "tidings_keyring_keeper",
        }
    }

    /// Whether it may make keys.
    pub const fn makes_keys(self) -> bool {
        match self {
            Self::Router | Self::Keeper => true,
            Self::Opener => false,
        }
    }
}

/// The keyring database, under one role. Clones share a pool.
#[derive(Clone)]
pub struct KeyringDb {
    pool: Pool,
    role: KeyringRole,
}

/// A tenant's secrets, sealed with the root key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantKeyRow {
    /// What event ids hang on.
    pub id_key: String,
    /// What lookups hang on.
    pub pepper: String,
    /// The tenant's keys by generation, the newest last.
    pub generations: Vec<(u16, String)>,
}

/// An identifier's digest, and the subject it is to get unless it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// Whose person it is.
    pub tenant: TenantId,
    /// HMAC of the identifier under the tenant's pepper.
    pub digest: [u8; 32],
    /// What kind of identifier it is.
    pub kind: String,
    /// Within which a person has one identifier of this kind, as a digest; `None` when that says nothing of who it is.
    pub scope: Option<[u8; 32]>,
    /// Of what changes hands: when it was told to be whose it is, Unix milliseconds.
    pub told_ms: Option<i64>,
    /// The subject.
    pub subject: SubjectId,
}

/// What is known of a digest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Digests that have a subject.
    pub known: Vec<Lead>,
    /// Digests whose person was forgotten, and when, Unix milliseconds.
    pub forgotten: Vec<(TenantId, [u8; 32], i64)>,
}

/// Where a digest leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lead {
    /// Whose person it is.
    pub tenant: TenantId,
    /// The digest.
    pub digest: [u8; 32],
    /// The subject that it was made for.
    pub own: SubjectId,
    /// The subject that stands for the person.
    pub person: SubjectId,
    /// Whose it was, and until when, Unix milliseconds.
    pub previous: Option<(SubjectId, i64)>,
}

/// A person's key, sealed with the tenant's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectKeyRow {
    /// Whose person it is.
    pub tenant: TenantId,
    /// The person.
    pub subject: SubjectId,
    /// Which of their keys it is.
    pub generation: u16,
    /// The key, sealed.
    pub sealed: Vec<u8>,
}

impl KeyringDb {
    /// Connects. The schema must be there: [`crate::migrate_keyring`] makes it.
    pub async fn connect(
        url: &SecretString,
        role: KeyringRole,
        max_connections: usize,
    ) -> Result<Self, StoreError> {
        let db = Self { pool: pool(url, Some(role.name()), max_connections)?, role };
        check(&*db.pool.get().await?, &KEYRING).await?;
        Ok(db)
    }

    /// As whom it is used.
    pub const fn role(&self) -> KeyringRole {
        self.role
    }

    pub(crate) async fn get(&self) -> Result<Object, StoreError> {
        Ok(self.pool.get().await?)
    }

    /// The tenant's keys; `None` when it has none.
    pub async fn tenant_keys(&self, tenant: &TenantId) -> Result<Option<TenantKeyRow>, StoreError> {
        let connection = self.get().await?;
        let row = connection
            .query_opt("SELECT id_key, pepper FROM tenant_key WHERE tenant_id = $1", &[&tenant.as_str()])
            .await?;
        let Some(row) = row else { return Ok(None) };
        let generations = connection
            .query(
                "SELECT generation, sealed FROM tenant_key_generation WHERE tenant_id = $1 ORDER BY generation",
                &[&tenant.as_str()],
            )
            .await?;
        let generations = generations
            .iter()
            .map(|row| Ok((number(row.get(0), "tenant_key_generation")?, row.get(1))))
            .collect::<Result<_, StoreError>>()?;
        Ok(Some(TenantKeyRow { id_key: row.get(0), pepper: row.get(1), generations }))
    }

    /// Gives the tenant these keys where it has none. Whoever comes first wins.
    pub async fn make_tenant_keys(&self, tenant: &TenantId, fresh: &TenantKeyRow) -> Result<(), StoreError> {
        let mut connection = self.get().await?;
        let transaction = connection.transaction().await?;
        transaction
            .execute(
                "INSERT INTO tenant_key (tenant_id, id_key, pepper) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                &[&tenant.as_str(), &fresh.id_key, &fresh.pepper],
            )
            .await?;
        for (generation, sealed) in &fresh.generations {
            transaction
                .execute(
                    "INSERT INTO tenant_key_generation (tenant_id, generation, sealed) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                    &[&tenant.as_str(), &i16::try_from(*generation).unwrap_or(i16::MAX), sealed],
                )
                .await?;
        }
        // What happens to no person is sealed for the tenant itself.
        transaction
            .execute(
                "INSERT INTO subject (tenant_id, subject_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                &[&tenant.as_str(), &NOBODY.as_bytes().as_slice()],
            )
            .await?;
        Ok(transaction.commit().await?)
    }

    /// What is known of these digests, in no particular order. One round trip.
    pub async fn find(&self, digests: &[(TenantId, [u8; 32])]) -> Result<Found, StoreError> {
        let connection = self.get().await?;
        let statement = connection.prepare_cached(FIND).await?;
        let keys = Keys::of(digests.iter().map(|(tenant, digest)| (tenant, digest)));
        let mut found = Found::default();
        for row in connection.query(&statement, &[&keys.tenants, &keys.digests]).await? {
            let (tenant, digest) = key(&row)?;
            if let Some(own) = row.get::<_, Option<&[u8]>>(2) {
                let previous = row.get::<_, Option<&[u8]>>(5).map(subject_id).transpose()?;
                found.known.push(Lead {
                    tenant: tenant.clone(),
                    digest,
                    own: subject_id(own)?,
                    person: subject_id(row.get(4))?,
                    previous: previous.zip(row.get(6)),
                });
            }
            if let Some(erased_ms) = row.get::<_, Option<i64>>(3) {
                found.forgotten.push((tenant, digest, erased_ms));
            }
        }
        Ok(found)
    }

    /// Records lookups that are not there yet, and answers with all of them as they stand then: of two that meet the same
    /// person first, one wins and both learn of it. Subjects in `made` exist nowhere else yet, and get these keys: where
    /// another process was first with one of their identifiers, that one's subject takes all of them. One transaction.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] also when one of the subjects was forgotten meanwhile: look them up again.
    pub async fn link(
        &self,
        lookups: &[Lookup],
        made: &[SubjectKeyRow],
    ) -> Result<Vec<(TenantId, [u8; 32], SubjectId)>, StoreError> {
        self.try_link(lookups, made).await.map_err(|cause| match cause {
            LinkError::Forgotten => {
                StoreError::Unavailable { cause: "a person was forgotten just now".into() }
            }
            LinkError::Store(cause) => cause,
        })
    }

    async fn try_link(
        &self,
        lookups: &[Lookup],
        made: &[SubjectKeyRow],
    ) -> Result<Vec<(TenantId, [u8; 32], SubjectId)>, LinkError> {
        let mut connection = self.get().await?;
        let transaction = connection.transaction().await?;
        let mut sorted: Vec<&Lookup> = lookups.iter().collect();
        // Always in the same order, so that two of these wait for one another and never in a circle.
        sorted.sort_by(|a, b| (&a.tenant, a.digest).cmp(&(&b.tenant, b.digest)));
        let keys = Keys::of(sorted.iter().map(|lookup| (&lookup.tenant, &lookup.digest)));
        let subjects: Vec<&[u8]> = sorted.iter().map(|lookup| lookup.subject.as_bytes().as_slice()).collect();
        let kinds: Vec<&str> = sorted.iter().map(|lookup| lookup.kind.as_str()).collect();
        let scopes: Vec<Option<&[u8]>> =
            sorted.iter().map(|lookup| lookup.scope.as_ref().map(<[u8; 32]>::as_slice)).collect();
        let told: Vec<Option<i64>> = sorted.iter().map(|lookup| lookup.told_ms).collect();
        make_keys(&transaction, made, true).await?;
        let link = transaction
            .prepare_cached(
                "INSERT INTO lookup (tenant_id, digest, subject_id, kind, scope, told_ms)
                 SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::text[], $5::bytea[], $6::bigint[]) ON CONFLICT DO NOTHING",
            )
            .await?;
        let columns: [&(dyn ToSql + Sync); 6] =
            [&keys.tenants, &keys.digests, &subjects, &kinds, &scopes, &told];
        let linked = transaction.execute(&link, &columns).await?;
        if linked == lookups.len() as u64 {
            transaction.commit().await?;
            return Ok(lookups.iter().map(|one| (one.tenant.clone(), one.digest, one.subject)).collect());
        }
        let found = transaction.prepare_cached(FIND).await?;
        let rows = transaction.query(&found, &[&keys.tenants, &keys.digests]).await?;
        let mut stand = Vec::with_capacity(rows.len());
        for row in &rows {
            let (tenant, digest) = key(row)?;
            let subject = row.get::<_, Option<&[u8]>>(2).ok_or(LinkError::Forgotten)?;
            stand.push((tenant, digest, subject_id(subject)?));
        }
        let made: HashSet<SubjectId> = made.iter().map(|key| key.subject).collect();
        let replaced = replaced(lookups, &stand, &made);
        let ours: Vec<&[u8]> = replaced.iter().map(|(_, from, _)| from.as_bytes().as_slice()).collect();
        let theirs: Vec<&[u8]> = replaced.iter().map(|(_, _, to)| to.as_bytes().as_slice()).collect();
        let tenants: Vec<&str> = replaced.iter().map(|(tenant, _, _)| tenant.as_str()).collect();
        transaction
            .execute("SELECT take_back($1::text[], $2::bytea[], $3::bytea[])", &[&tenants, &ours, &theirs])
            .await?;
        transaction.commit().await?;
        for (_, _, subject) in &mut stand {
            if let Some((_, _, to)) = replaced.iter().find(|(_, from, _)| from == subject) {
                *subject = *to;
            }
        }
        Ok(stand)
    }

    /// The keys of these people, those who have one; in no particular order. One round trip.
    pub async fn subject_keys(
        &self,
        people: &[(TenantId, SubjectId)],
    ) -> Result<Vec<SubjectKeyRow>, StoreError> {
        let connection = self.get().await?;
        let statement = connection
            .prepare_cached(
                "SELECT k.tenant_id, k.subject_id, k.generation, k.sealed
                 FROM unnest($1::text[], $2::bytea[]) AS a (tenant_id, subject_id)
                 JOIN subject_key k USING (tenant_id, subject_id)",
            )
            .await?;
        let tenants: Vec<&str> = people.iter().map(|(tenant, _)| tenant.as_str()).collect();
        let subjects: Vec<&[u8]> = people.iter().map(|(_, subject)| subject.as_bytes().as_slice()).collect();
        let rows = connection.query(&statement, &[&tenants, &subjects]).await?;
        rows.iter()
            .map(|row| {
                Ok(SubjectKeyRow {
                    tenant: tenant_id(row.get(0))?,
                    subject: subject_id(row.get(1))?,
                    generation: number(row.get(2), "subject_key")?,
                    sealed: row.get(3),
                })
            })
            .collect()
    }

    /// Gives people keys who are there and have none, as those from before there were keys.
    pub async fn make_subject_keys(&self, fresh: &[SubjectKeyRow]) -> Result<(), StoreError> {
        let mut connection = self.get().await?;
        let transaction = connection.transaction().await?;
        match make_keys(&transaction, fresh, false).await {
            Ok(()) => Ok(transaction.commit().await?),
            // They were forgotten meanwhile: they get none.
            Err(LinkError::Forgotten) => Ok(()),
            Err(LinkError::Store(cause)) => Err(cause),
        }
    }

    /// Records what may lead to people: user names.
    pub async fn hint(&self, hints: &[(TenantId, [u8; 32], SubjectId)]) -> Result<(), StoreError> {
        let connection = self.get().await?;
        let statement = connection
            .prepare_cached(
                "INSERT INTO hint (tenant_id, digest, subject_id)
                 SELECT DISTINCT a.* FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS a (tenant_id, digest, subject_id)
                 JOIN subject USING (tenant_id, subject_id) ON CONFLICT DO NOTHING",
            )
            .await?;
        let keys = Keys::of(hints.iter().map(|(tenant, digest, _)| (tenant, digest)));
        let subjects: Vec<&[u8]> =
            hints.iter().map(|(_, _, subject)| subject.as_bytes().as_slice()).collect();
        match connection.execute(&statement, &[&keys.tenants, &keys.digests, &subjects]).await {
            // Forgotten between the look and the write: there is nobody to lead to.
            Err(cause) if cause.code() == Some(&SqlState::FOREIGN_KEY_VIOLATION) => Ok(()),
            done => Ok(done.map(|_| ())?),
        }
    }
}

/// Stands for what a tenant itself seals: events about no person.
pub const NOBODY: SubjectId = SubjectId::from_bytes([0; 16]);

const FIND: &str = "SELECT a.tenant_id, a.digest, l.subject_id, t.erased_ms, coalesce(m.into_id, l.subject_id), l.previous_id, l.told_ms
    FROM unnest($1::text[], $2::bytea[]) AS a (tenant_id, digest)
    LEFT JOIN lookup l USING (tenant_id, digest) LEFT JOIN tombstone t USING (tenant_id, digest)
    LEFT JOIN merged m ON m.tenant_id = l.tenant_id AND m.subject_id = l.subject_id
    WHERE l.subject_id IS NOT NULL OR t.erased_ms IS NOT NULL";

enum LinkError {
    /// A subject is not there any more.
    Forgotten,
    Store(StoreError),
}

impl From<StoreError> for LinkError {
    fn from(cause: StoreError) -> Self {
        Self::Store(cause)
    }
}

impl From<tokio_postgres::Error> for LinkError {
    fn from(cause: tokio_postgres::Error) -> Self {
        if cause.code() == Some(&SqlState::FOREIGN_KEY_VIOLATION) {
            Self::Forgotten
        } else {
            Self::Store(cause.into())
        }
    }
}

/// Inserts keys, with their people where those are new.
async fn make_keys(
    transaction: &deadpool_postgres::Transaction<'_>,
    made: &[SubjectKeyRow],
    are_new: bool,
) -> Result<(), LinkError> {
    if made.is_empty() {
        return Ok(());
    }
    let tenants: Vec<&str> = made.iter().map(|key| key.tenant.as_str()).collect();
    let subjects: Vec<&[u8]> = made.iter().map(|key| key.subject.as_bytes().as_slice()).collect();
    if are_new {
        let make = transaction
            .prepare_cached(
                "INSERT INTO subject (tenant_id, subject_id)
                 SELECT DISTINCT * FROM unnest($1::text[], $2::bytea[]) ORDER BY 1, 2 ON CONFLICT DO NOTHING",
            )
            .await?;
        transaction.execute(&make, &[&tenants, &subjects]).await?;
    }
    let generations: Vec<i16> =
        made.iter().map(|key| i16::try_from(key.generation).unwrap_or(i16::MAX)).collect();
    let sealed: Vec<&[u8]> = made.iter().map(|key| key.sealed.as_slice()).collect();
    let statement = transaction
        .prepare_cached(
            "INSERT INTO subject_key (tenant_id, subject_id, generation, sealed)
             SELECT * FROM unnest($1::text[], $2::bytea[], $3::smallint[], $4::bytea[]) ON CONFLICT DO NOTHING",
        )
        .await?;
    transaction.execute(&statement, &[&tenants, &subjects, &generations, &sealed]).await?;
    Ok(())
}

/// Our fresh subjects that came too late, and who was there before: decided by the first identifier that another has.
fn replaced(
    lookups: &[Lookup],
    stand: &[(TenantId, [u8; 32], SubjectId)],
    made: &HashSet<SubjectId>,
) -> Vec<(TenantId, SubjectId, SubjectId)> {
    let stands: HashMap<&[u8; 32], SubjectId> =
        stand.iter().map(|(_, digest, subject)| (digest, *subject)).collect();
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

pub(crate) fn tenant_id(text: String) -> Result<TenantId, StoreError> {
    TenantId::try_from(text).map_err(|_| StoreError::Damaged { table: "lookup" })
}

pub(crate) fn subject_id(bytes: &[u8]) -> Result<SubjectId, StoreError> {
    let bytes = bytes.try_into().map_err(|_| StoreError::Damaged { table: "subject" })?;
    Ok(SubjectId::from_bytes(bytes))
}

pub(crate) fn number(generation: i16, table: &'static str) -> Result<u16, StoreError> {
    u16::try_from(generation).map_err(|_| StoreError::Damaged { table })
}

fn key(row: &tokio_postgres::Row) -> Result<(TenantId, [u8; 32]), StoreError> {
    let digest = row.get::<_, &[u8]>(1).try_into().map_err(|_| StoreError::Damaged { table: "lookup" })?;
    Ok((tenant_id(row.get(0))?, digest))
}
