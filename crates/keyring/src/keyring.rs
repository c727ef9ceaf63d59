//! Looking people up, and making those nobody has met.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use ring::rand::{SecureRandom, SystemRandom};
use schemas::{Identifier, SubjectId, TenantId};
use seal::RootKey;
use store::{KeyringDb, Lookup};

use crate::KeyringError;
use crate::plan::{plan, subject_of};
use crate::tenant_keys::{Digest, TenantKeys};

/// How many identifiers a process remembers: about 40 MB when full.
const REMEMBERED: u64 = 200_000;
/// How long that is believed: an erased person is unknown everywhere after this.
const BELIEVED: Duration = Duration::from_secs(60);
const TENANTS: u64 = 10_000;
/// So many identifiers are asked for, or linked, in one statement.
const AT_ONCE: usize = 10_000;

/// The keyring. Clones share its memory and its database.
#[derive(Clone)]
pub struct Keyring {
    db: KeyringDb,
    root: Arc<RootKey>,
    tenants: Cache<TenantId, Arc<TenantKeys>>,
    // Digests of two tenants never meet: their peppers differ.
    subjects: Cache<Digest, SubjectId>,
}

struct Person {
    tenant: TenantId,
    digests: Vec<Digest>,
}

impl Keyring {
    /// A keyring on this database, whose tenants' keys are sealed with this root key.
    pub fn new(db: KeyringDb, root: Arc<RootKey>) -> Self {
        let subjects = Cache::builder().max_capacity(REMEMBERED).time_to_live(BELIEVED).build();
        Self { db, root, tenants: Cache::new(TENANTS), subjects }
    }

    /// A tenant's keys; made when it has none yet.
    ///
    /// # Errors
    /// The database is away, or the keys were sealed with another root key.
    pub async fn tenant(&self, tenant: &TenantId) -> Result<Arc<TenantKeys>, KeyringError> {
        if let Some(keys) = self.tenants.get(tenant) {
            return Ok(keys);
        }
        let wrong = |cause| KeyringError::Keys { tenant: tenant.clone(), cause };
        let fresh = TenantKeys::generate(&self.root, tenant).map_err(wrong)?;
        let row = self.db.tenant_keys(tenant, &fresh).await?;
        let keys = Arc::new(TenantKeys::open(&self.root, tenant, &row).map_err(wrong)?);
        self.tenants.insert(tenant.clone(), keys.clone());
        Ok(keys)
    }

    /// The subject of each person, in their order. Any known identifier tells who a person is, the first in the order given
    /// first; the unknown ones are linked to the same subject. One round trip for all that are not remembered, and a
    /// transaction when there is something new.
    ///
    /// # Errors
    /// The database is away; a tenant's keys do not open; a person has no identifier.
    pub async fn subjects(
        &self,
        people: &[(TenantId, Vec<Identifier>)],
    ) -> Result<Vec<SubjectId>, KeyringError> {
        let mut persons = Vec::with_capacity(people.len());
        for (tenant, identifiers) in people {
            let keys = self.tenant(tenant).await?;
            let digests: Vec<Digest> = identifiers.iter().map(|identifier| keys.digest(identifier)).collect();
            if digests.is_empty() {
                return Err(KeyringError::Nobody);
            }
            persons.push(Person { tenant: tenant.clone(), digests });
        }
        let mut known = HashMap::new();
        let unknown = self.remembered(&persons, &mut known);
        self.find(&unknown, &mut known).await?;
        if persons.iter().flat_map(|person| &person.digests).any(|digest| !known.contains_key(digest)) {
            self.link(&persons, &mut known).await?;
        }
        persons.iter().map(|person| subject_of(&person.digests, &known).ok_or(KeyringError::Nobody)).collect()
    }

    /// Takes what is remembered; returns the rest.
    fn remembered(
        &self,
        persons: &[Person],
        known: &mut HashMap<Digest, SubjectId>,
    ) -> Vec<(TenantId, Digest)> {
        let mut unknown = HashSet::new();
        for person in persons {
            for digest in &person.digests {
                if known.contains_key(digest) {
                    continue;
                }
                match self.subjects.get(digest) {
                    Some(subject) => {
                        known.insert(*digest, subject);
                    }
                    None => {
                        unknown.insert((person.tenant.clone(), *digest));
                    }
                }
            }
        }
        unknown.into_iter().collect()
    }

    async fn find(
        &self,
        unknown: &[(TenantId, Digest)],
        known: &mut HashMap<Digest, SubjectId>,
    ) -> Result<(), KeyringError> {
        for some in unknown.chunks(AT_ONCE) {
            let found = self.db.find(some).await?;
            self.learn(found, known);
        }
        Ok(())
    }

    /// Links every digest that has no subject, and learns whose each is once that is settled among all processes.
    async fn link(
        &self,
        persons: &[Person],
        known: &mut HashMap<Digest, SubjectId>,
    ) -> Result<(), KeyringError> {
        let digests: Vec<Vec<Digest>> = persons.iter().map(|person| person.digests.clone()).collect();
        let mut made = HashSet::new();
        let random = SystemRandom::new();
        let mut failed = false;
        let planned = plan(&digests, known, || {
            let mut bytes = [0; 16];
            failed |= random.fill(&mut bytes).is_err();
            let subject = SubjectId::from_bytes(bytes);
            made.insert(subject);
            subject
        });
        if failed {
            return Err(KeyringError::Random);
        }
        let mut listed = HashSet::new();
        // A subject's lookups stay together: the database decides subject by subject who was first.
        let mut by_subject: HashMap<SubjectId, Vec<Lookup>> = HashMap::new();
        for person in persons {
            for digest in &person.digests {
                let Some(subject) = planned.get(digest).filter(|_| !known.contains_key(digest)) else {
                    continue;
                };
                if listed.insert(*digest) {
                    by_subject.entry(*subject).or_default().push(Lookup {
                        tenant: person.tenant.clone(),
                        digest: *digest,
                        subject: *subject,
                    });
                }
            }
        }
        let mut some = Vec::new();
        let mut groups = by_subject.into_values().peekable();
        while let Some(group) = groups.next() {
            some.extend(group);
            if some.len() >= AT_ONCE || groups.peek().is_none() {
                let linked = self.db.link(&std::mem::take(&mut some), &made).await?;
                self.learn(linked, known);
            }
        }
        Ok(())
    }

    fn learn(&self, lookups: Vec<Lookup>, known: &mut HashMap<Digest, SubjectId>) {
        for lookup in lookups {
            self.subjects.insert(lookup.digest, lookup.subject);
            known.insert(lookup.digest, lookup.subject);
        }
    }
}
