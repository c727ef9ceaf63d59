//! Looking people up, and making those nobody has met.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use ring::rand::{SecureRandom, SystemRandom};
use schemas::{Identifier, IdentifierKind, SubjectId, TenantId};
use seal::{Key, RootKey};
use store::{KeyringDb, Lookup, NOBODY, SubjectKeyRow};
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use crate::KeyringError;
use crate::plan::plan;
use crate::subject_key::SubjectKey;
use crate::tenant_keys::{Digest, TenantKeys};

/// How many identifiers, and how many people's keys, a process remembers: about 40 MB each when full.
const REMEMBERED: u64 = 200_000;
/// How long that is believed: an erased person is unknown everywhere after this.
pub const BELIEVED: Duration = Duration::from_secs(60);
const TENANTS: u64 = 10_000;
/// So many identifiers are asked for, or linked, in one statement.
const AT_ONCE: usize = 10_000;
/// People have one key; more once theirs can be replaced too.
const GENERATION: u16 = 1;

/// The keyring. Clones share its memory and its database.
#[derive(Clone)]
pub struct Keyring {
    pub(crate) db: KeyringDb,
    pub(crate) root: Arc<RootKey>,
    tenants: Cache<TenantId, Arc<TenantKeys>>,
    // Digests of two tenants never meet: their peppers differ.
    pub(crate) subjects: Cache<Digest, Led>,
    /// Who is one with whom since that was remembered.
    pub(crate) merged: Cache<SubjectId, SubjectId>,
    keys: Cache<(TenantId, SubjectId), Arc<SubjectKey>>,
    in_use: Arc<RwLock<()>>,
}

/// Somebody an event is about.
#[derive(Debug, Clone)]
pub struct Person {
    /// Whose person it is.
    pub tenant: TenantId,
    /// Everything that tells who it is.
    pub identifiers: Vec<Identifier>,
    /// When it happened, Unix milliseconds: before or after they were forgotten.
    pub occurred_ms: i64,
}

/// Who somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Whom {
    /// This subject.
    Subject(SubjectId),
    /// Somebody who was forgotten since: what is said of them is dropped.
    Forgotten,
}

/// What is known of a person.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Known {
    /// Who it is.
    pub whom: Whom,
    /// Who turned out to be the same person by what was said of this one, and was not known to be: [`Keyring::merge`] makes
    /// them one once that is durable.
    pub same: Vec<SubjectId>,
}

/// While it is held, nobody is told that this process has forgotten what it had to: keys are in use.
pub type Lease = OwnedRwLockReadGuard<()>;

/// Where an identifier leads: to the subject it was made for, and to the one that stands for its person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Led {
    pub(crate) own: SubjectId,
    pub(crate) person: SubjectId,
}

/// What is not remembered of identifiers, because it hangs on when something happened.
#[derive(Default)]
pub(crate) struct Past {
    /// When their person was forgotten.
    pub(crate) forgotten: HashMap<Digest, i64>,
    /// Whose they were, and until when.
    pub(crate) previous: HashMap<Digest, (SubjectId, i64)>,
}

impl Past {
    /// Whether it happened before its person was forgotten.
    pub(crate) fn forgets(&self, person: &Asked) -> bool {
        let before = |erased_ms: &i64| person.occurred_ms <= *erased_ms;
        person.digests.iter().any(|digest| self.forgotten.get(digest).is_some_and(before))
    }

    /// Whose an identifier was when this happened, where it was somebody else's.
    pub(crate) fn owner(&self, digest: &Digest, occurred_ms: i64) -> Option<SubjectId> {
        self.previous.get(digest).filter(|(_, until_ms)| occurred_ms < *until_ms).map(|(owner, _)| *owner)
    }
}

/// A person as the database is asked.
pub(crate) struct Asked {
    pub(crate) tenant: TenantId,
    pub(crate) digests: Vec<Digest>,
    pub(crate) kinds: Vec<IdentifierKind>,
    /// Of each identifier, within which a person has one such.
    pub(crate) scopes: Vec<Option<Digest>>,
    pub(crate) occurred_ms: i64,
}

impl Asked {
    /// Whether all of their identifiers that lead to somebody lead to one person.
    pub(crate) fn is_one(&self, known: &HashMap<Digest, Led>) -> bool {
        let mut leads = self.digests.iter().filter_map(|digest| known.get(digest)).map(|led| led.person);
        let first = leads.next();
        leads.all(|other| Some(other) == first)
    }
}

impl Keyring {
    /// A keyring on this database, whose tenants' keys are sealed with this root key.
    pub fn new(db: KeyringDb, root: Arc<RootKey>) -> Self {
        let subjects = Cache::builder().max_capacity(REMEMBERED).time_to_live(BELIEVED).build();
        let keys = Cache::builder().max_capacity(REMEMBERED).time_to_live(BELIEVED).build();
        let tenants = Cache::builder().max_capacity(TENANTS).time_to_live(BELIEVED).build();
        let merged = Cache::builder().max_capacity(REMEMBERED).time_to_live(BELIEVED).build();
        Self { db, root, tenants, subjects, merged, keys, in_use: Arc::default() }
    }

    /// Held while keys are in use: from looking people up until what was sealed for them is durable.
    pub async fn lease(&self) -> Lease {
        self.in_use.clone().read_owned().await
    }

    /// Forgets everything that is remembered, and waits until no key is in use any more. [`Keyring::attend`] does it when
    /// `control` says so; whoever destroys keys does it for itself.
    pub async fn forget(&self) {
        self.drop_memory();
        drop(self.in_use.write().await);
        // Whoever looked something up before may have remembered it since.
        self.drop_memory();
    }

    pub(crate) fn drop_memory(&self) {
        self.tenants.invalidate_all();
        self.subjects.invalidate_all();
        self.merged.invalidate_all();
        self.keys.invalidate_all();
    }

    /// A tenant's keys; made when it has none yet and this process may make them.
    ///
    /// # Errors
    /// The database is away, the keys were sealed with another root key, or there are none.
    pub async fn tenant(&self, tenant: &TenantId) -> Result<Arc<TenantKeys>, KeyringError> {
        if let Some(keys) = self.tenants.get(tenant) {
            return Ok(keys);
        }
        let wrong = |cause| KeyringError::Keys { tenant: tenant.clone(), cause };
        let mut row = self.db.tenant_keys(tenant).await?;
        if row.as_ref().is_none_or(|row| row.generations.is_empty()) && self.db.role().makes_keys() {
            let fresh = TenantKeys::generate(&self.root, tenant).map_err(wrong)?;
            self.db.make_tenant_keys(tenant, &fresh).await?;
            row = self.db.tenant_keys(tenant).await?;
        }
        let row = row.ok_or_else(|| KeyringError::NoKeys { tenant: tenant.clone() })?;
        let keys = Arc::new(TenantKeys::open(&self.root, tenant, &row).map_err(wrong)?);
        self.tenants.insert(tenant.clone(), keys.clone());
        Ok(keys)
    }

    /// A tenant's keys, and among them the one that this was sealed with: what is remembered may be from before a rotation.
    pub(crate) async fn tenant_for(
        &self,
        tenant: &TenantId,
        sealed: &[u8],
    ) -> Result<Arc<TenantKeys>, KeyringError> {
        let keys = self.tenant(tenant).await?;
        if keys.has_sealed(sealed) {
            return Ok(keys);
        }
        self.tenants.invalidate(tenant);
        self.tenant(tenant).await
    }

    /// Who each person is, in their order. Any known identifier tells who a person is, the first in the order given
    /// first; the unknown ones are linked to the same subject. One round trip for all that are not remembered, and a
    /// transaction when there is something new. What happened before its person was forgotten makes nobody.
    ///
    /// Identifiers that lead to several people make these one; but a number whose person has another user id in the same
    /// business account has changed hands, and leads to whoever it is named with from here on.
    ///
    /// # Errors
    /// The database is away; a tenant's keys do not open; a person has no identifier.
    pub async fn subjects(&self, people: &[Person]) -> Result<Vec<Known>, KeyringError> {
        let asked = self.asked(people).await?;
        let mut known = HashMap::new();
        let unknown = self.remembered(&asked, &mut known);
        let past = self.find(&unknown, &mut known).await?;
        let alive: Vec<&Asked> = asked.iter().filter(|asked| !past.forgets(asked)).collect();
        let mut several = self.doubtful(&alive, &known, &past).await?;
        let plain: Vec<&Asked> = alive.iter().copied().filter(|asked| !asked.shares(&several)).collect();
        if plain.iter().flat_map(|person| &person.digests).any(|digest| !known.contains_key(digest)) {
            if let Err(cause) = self.link(&plain, &mut known).await {
                // What is remembered may be what is wrong.
                self.drop_memory();
                return Err(cause);
            }
            // Somebody else may have been first with a new identifier: then those of its person lead to two people.
            let torn = plain.iter().filter(|person| !person.is_one(&known));
            several.extend(torn.flat_map(|person| &person.digests).copied());
        }
        let mut all = Vec::with_capacity(asked.len());
        for person in &asked {
            all.push(if past.forgets(person) {
                Known { whom: Whom::Forgotten, same: Vec::new() }
            } else if person.shares(&several) {
                // One after another: what one tells may decide who the next one is.
                self.settle(person).await?
            } else {
                let led = person.digests.iter().find_map(|digest| known.get(digest));
                let led = led.ok_or(KeyringError::Nobody)?;
                Known { whom: Whom::Subject(led.person), same: Vec::new() }
            });
        }
        Ok(all)
    }

    async fn asked(&self, people: &[Person]) -> Result<Vec<Asked>, KeyringError> {
        let mut asked = Vec::with_capacity(people.len());
        // A batch's people have few accounts between them.
        let mut accounts: HashMap<(&TenantId, &str), Digest> = HashMap::new();
        for person in people {
            let keys = self.tenant(&person.tenant).await?;
            let mut scope = |identifier| {
                let scope = Identifier::scope(identifier)?;
                Some(*accounts.entry((&person.tenant, scope)).or_insert_with(|| keys.scope(scope)))
            };
            if person.identifiers.is_empty() {
                return Err(KeyringError::Nobody);
            }
            let identifiers = || person.identifiers.iter();
            asked.push(Asked {
                tenant: person.tenant.clone(),
                digests: identifiers().map(|identifier| keys.digest(identifier)).collect(),
                kinds: identifiers().map(|identifier| identifier.kind).collect(),
                scopes: identifiers().map(&mut scope).collect(),
                occurred_ms: person.occurred_ms,
            });
        }
        Ok(asked)
    }

    /// The subject that an identifier leads to, if it leads to one. Makes nobody.
    ///
    /// # Errors
    /// As [`Keyring::subjects`].
    pub async fn known(
        &self,
        tenant: &TenantId,
        identifiers: &[Identifier],
    ) -> Result<Vec<SubjectId>, KeyringError> {
        let keys = self.tenant(tenant).await?;
        let digests: Vec<_> =
            identifiers.iter().map(|identifier| (tenant.clone(), keys.digest(identifier))).collect();
        let found = self.db.find(&digests).await?;
        let mut subjects: Vec<SubjectId> = found.known.into_iter().map(|lead| lead.person).collect();
        subjects.sort();
        subjects.dedup();
        Ok(subjects)
    }

    /// Records user names: an operator may look for people by them.
    ///
    /// # Errors
    /// As [`Keyring::subjects`].
    pub async fn hint(&self, names: &[(TenantId, SubjectId, String)]) -> Result<(), KeyringError> {
        let mut hints = Vec::new();
        for (tenant, subject, name) in names {
            let digest = self.tenant(tenant).await?.username(name);
            // Remembered under the digest: most people keep their name.
            if self.subjects.get(&digest).map(|led| led.person) != Some(*subject) {
                hints.push((tenant.clone(), digest, *subject));
            }
        }
        if hints.is_empty() {
            return Ok(());
        }
        self.db.hint(&hints).await?;
        for (_, digest, subject) in hints {
            self.subjects.insert(digest, Led { own: subject, person: subject });
        }
        Ok(())
    }

    /// The people with that user name.
    ///
    /// # Errors
    /// As [`Keyring::subjects`].
    pub async fn named(&self, tenant: &TenantId, name: &str) -> Result<Vec<SubjectId>, KeyringError> {
        let digest = self.tenant(tenant).await?.username(name);
        Ok(self.db.hinted(tenant, &digest).await?)
    }

    /// The keys of these people, or of tenants themselves where nobody is named, in their order; `None` for whoever was
    /// forgotten. One round trip for all that are not remembered.
    ///
    /// # Errors
    /// The database is away; keys do not open.
    pub async fn keys(
        &self,
        people: &[(TenantId, Option<SubjectId>)],
    ) -> Result<Vec<Option<Arc<SubjectKey>>>, KeyringError> {
        let people: Vec<(TenantId, SubjectId)> =
            people.iter().map(|(tenant, subject)| (tenant.clone(), subject.unwrap_or(NOBODY))).collect();
        let mut found: HashMap<(TenantId, SubjectId), Arc<SubjectKey>> = HashMap::new();
        let mut missing: Vec<(TenantId, SubjectId)> = Vec::new();
        let mut looked = HashSet::new();
        for person in &people {
            if !looked.insert(person) {
                continue;
            }
            match self.keys.get(person) {
                Some(key) => _ = found.insert(person.clone(), key),
                None => missing.push(person.clone()),
            }
        }
        if !missing.is_empty() {
            self.open_keys(&missing, &mut found).await?;
            missing.retain(|person| !found.contains_key(person));
            if !missing.is_empty() && self.db.role().makes_keys() {
                let mut fresh = Vec::new();
                for (tenant, subject) in &missing {
                    fresh.push(self.fresh_key(tenant, *subject).await?);
                }
                self.db.make_subject_keys(&fresh).await?;
                self.open_keys(&missing, &mut found).await?;
            }
        }
        Ok(people.iter().map(|person| found.get(person).cloned()).collect())
    }

    async fn open_keys(
        &self,
        people: &[(TenantId, SubjectId)],
        found: &mut HashMap<(TenantId, SubjectId), Arc<SubjectKey>>,
    ) -> Result<(), KeyringError> {
        for some in people.chunks(AT_ONCE) {
            for row in self.db.subject_keys(some).await? {
                let SubjectKeyRow { tenant, subject, generation, sealed } = row;
                let wrong = |cause| KeyringError::Keys { tenant: tenant.clone(), cause };
                let keys = self.tenant_for(&tenant, &sealed).await?;
                let key = keys.open_subject(&tenant, subject, generation, &sealed).map_err(wrong)?;
                let key = Arc::new(SubjectKey::new(tenant.clone(), subject, generation, key));
                self.keys.insert((tenant.clone(), subject), key.clone());
                found.insert((tenant, subject), key);
            }
        }
        Ok(())
    }

    async fn fresh_key(&self, tenant: &TenantId, subject: SubjectId) -> Result<SubjectKeyRow, KeyringError> {
        let wrong = |cause| KeyringError::Keys { tenant: tenant.clone(), cause };
        let key = Key::generate().map_err(wrong)?;
        let keys = self.tenant(tenant).await?;
        let sealed = keys.seal_subject(tenant, subject, GENERATION, &key).map_err(wrong)?;
        Ok(SubjectKeyRow { tenant: tenant.clone(), subject, generation: GENERATION, sealed })
    }

    /// Takes what is remembered; returns the rest.
    fn remembered(&self, persons: &[Asked], known: &mut HashMap<Digest, Led>) -> Vec<(TenantId, Digest)> {
        let mut unknown = HashSet::new();
        for person in persons {
            for digest in &person.digests {
                if known.contains_key(digest) {
                    continue;
                }
                match self.subjects.get(digest) {
                    Some(led) => {
                        let person = self.merged.get(&led.person).unwrap_or(led.person);
                        known.insert(*digest, Led { person, ..led });
                    }
                    None => {
                        unknown.insert((person.tenant.clone(), *digest));
                    }
                }
            }
        }
        unknown.into_iter().collect()
    }

    /// Learns who is known; returns what was before.
    pub(crate) async fn find(
        &self,
        unknown: &[(TenantId, Digest)],
        known: &mut HashMap<Digest, Led>,
    ) -> Result<Past, KeyringError> {
        let mut past = Past::default();
        for some in unknown.chunks(AT_ONCE) {
            let found = self.db.find(some).await?;
            for (_, digest, erased_ms) in found.forgotten {
                past.forgotten.insert(digest, erased_ms);
            }
            for lead in found.known {
                let led = Led { own: lead.own, person: lead.person };
                past.previous.extend(lead.previous.map(|previous| (lead.digest, previous)));
                // Whoever came back, or has what was another's, is asked for each time: the past may still be repeated.
                if !past.forgotten.contains_key(&lead.digest) && lead.previous.is_none() {
                    self.subjects.insert(lead.digest, led);
                }
                known.insert(lead.digest, led);
            }
        }
        Ok(past)
    }

    /// Links every digest that has no subject, and learns whose each is once that is settled among all processes.
    pub(crate) async fn link(
        &self,
        persons: &[&Asked],
        known: &mut HashMap<Digest, Led>,
    ) -> Result<(), KeyringError> {
        // What is new hangs on the subject that it came with, not on whoever stands for the person: they may be taken apart.
        let own: HashMap<Digest, SubjectId> = known.iter().map(|(digest, led)| (*digest, led.own)).collect();
        let stands: HashMap<SubjectId, SubjectId> = known.values().map(|led| (led.own, led.person)).collect();
        let digests: Vec<Vec<Digest>> = persons.iter().map(|person| person.digests.clone()).collect();
        let mut made = HashSet::new();
        let random = SystemRandom::new();
        let mut failed = false;
        let planned = plan(&digests, &own, || {
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
            for ((digest, kind), scope) in person.digests.iter().zip(&person.kinds).zip(&person.scopes) {
                let Some(subject) = planned.get(digest).filter(|_| !known.contains_key(digest)) else {
                    continue;
                };
                if listed.insert(*digest) {
                    by_subject.entry(*subject).or_default().push(Lookup {
                        tenant: person.tenant.clone(),
                        digest: *digest,
                        kind: kind.as_str().to_owned(),
                        scope: *scope,
                        told_ms: kind.changes_hands().then_some(person.occurred_ms),
                        subject: *subject,
                    });
                }
            }
        }
        let mut some = Vec::new();
        let mut fresh = Vec::new();
        let mut groups = by_subject.into_values().peekable();
        while let Some(group) = groups.next() {
            if let Some(first) = group.first().filter(|first| made.contains(&first.subject)) {
                fresh.push(self.fresh_key(&first.tenant, first.subject).await?);
            }
            some.extend(group);
            if some.len() >= AT_ONCE || groups.peek().is_none() {
                let linked = self.db.link(&std::mem::take(&mut some), &std::mem::take(&mut fresh)).await?;
                for (_, digest, own) in linked {
                    known.insert(digest, Led { own, person: stands.get(&own).copied().unwrap_or(own) });
                }
            }
        }
        Ok(())
    }
}
