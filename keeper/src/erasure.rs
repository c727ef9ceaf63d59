//! Forgetting people (`reliability.md` §2.11): keys first, then everything that can be removed, then a look whether anything
//! is left, then the receipt. Each step may be repeated; `control` says which are done.

use std::collections::HashSet;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use schemas::{Action, Erasure, ErasureId, ErasureState, Field, Person, Receipt, SubjectId, TenantId};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::keeper::Keeper;
use crate::scan::{Held, Sample, bury, scan};
use crate::{KeepError, keeper};

const LOOK: Duration = Duration::from_millis(50);
/// For how long an erasure rests that could not be done; each further failure doubles it, up to the longest.
const REST: Duration = Duration::from_secs(2);
const LONGEST_REST: Duration = Duration::from_secs(10 * 60);

/// An entry of the ledger, as the store of objects keeps it beside `control`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LedgerEntry {
    pub(crate) erasure: ErasureId,
    pub(crate) tenant: TenantId,
    pub(crate) subject: SubjectId,
    pub(crate) at_ms: i64,
}

/// Where the ledger's entries are.
pub(crate) const LEDGER: &str = "ledger/";

fn of(tenant: &TenantId, subjects: Vec<SubjectId>) -> Vec<Person> {
    let subjects: std::collections::BTreeSet<SubjectId> = subjects.into_iter().collect();
    subjects.into_iter().map(|subject| (tenant.clone(), subject)).collect()
}

/// Where the objects of a person are.
pub(crate) fn objects_of((tenant, subject): &Person) -> String {
    format!("attachments/{tenant}/{subject}/")
}

impl Keeper {
    /// Does every erasure that is open, those of people who are held left out. Says whether there was any.
    pub(crate) async fn erase(&self) -> Result<bool, KeepError> {
        let state = self.plane.state();
        // Nobody is let go of because a clock is wrong.
        let now_ms = self.steady.now_ms();
        let mut open: Vec<(ErasureId, Erasure)> = state
            .people
            .erasures
            .iter()
            .filter(|(_, erasure)| !matches!(erasure.state, ErasureState::Done(_)))
            .filter(|(_, erasure)| {
                erasure.state == ErasureState::Shredded
                    || !state.people.is_held(&(erasure.tenant.clone(), erasure.subject), now_ms)
            })
            .filter(|(id, _)| !self.rests(**id))
            .map(|(id, erasure)| (*id, erasure.clone()))
            .collect();
        if open.is_empty() {
            return Ok(false);
        }
        if self.whole_people(&open).await? {
            // What is said of them has to be read first.
            return Ok(true);
        }
        for (id, erasure) in &open {
            if erasure.state == ErasureState::Requested {
                self.keyring.shred(&erasure.tenant, erasure.subject, self.clock.now_ms()).await?;
                self.reached("shredded");
                let (tenant, subject) = (erasure.tenant.clone(), erasure.subject);
                self.act(Action::SubjectShredded { erasure: *id, tenant, subject }).await?;
                self.reached("told");
            }
        }
        self.evicted().await?;
        self.reached("evicted");

        let people: HashSet<Person> =
            open.iter().map(|(_, erasure)| (erasure.tenant.clone(), erasure.subject)).collect();
        let mut held = scan(&self.log, &self.topics, &people, self.config.tries).await?;
        let mut done = false;
        // Those asked for last first: when the one that somebody waits for is done, all of the person is.
        open.sort_by_key(|(id, erasure)| (std::cmp::Reverse(erasure.requested_ms), *id));
        for (id, erasure) in open {
            let person = (erasure.tenant.clone(), erasure.subject);
            let held = held.remove(&person).unwrap_or_default();
            match self.finish(id, &erasure, &person, held).await {
                Ok(()) => {
                    self.resting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                    done = true;
                }
                // One person's trouble is not another's.
                Err(cause) => {
                    self.metrics.failures.inc();
                    self.rest(id);
                    let error = format!("{:#}", anyhow::Error::from(cause));
                    warn!(tenant.id = %erasure.tenant, erasure = %id, error, "an erasure could not be done now; it is tried again");
                }
            }
        }
        Ok(done)
    }

    /// Asks for the erasure of every other subject of whoever is to be forgotten, before the first of them is. Says whether
    /// there was any.
    async fn whole_people(&self, open: &[(ErasureId, Erasure)]) -> Result<bool, KeepError> {
        let mut found = false;
        for (_, erasure) in open.iter().filter(|(_, erasure)| erasure.state == ErasureState::Requested) {
            let Erasure { tenant, subject, reason, .. } = erasure;
            // As the keyring has it, and as was said, because the keyring may come from a backup; but nobody whom an operator has
            // taken out since.
            let mut same = self.keyring.db().same_person(tenant, *subject).await?;
            for said in self.views.merged(tenant, &[*subject]).await?.into_iter().flatten() {
                if !same.contains(&said)
                    && !self.keyring.db().are_kept_apart(tenant, &[*subject, said]).await?
                {
                    same.push(said);
                }
            }
            let same = self.keyring.db().still_there(&of(tenant, same)).await?;
            for (_, other) in same {
                let state = self.plane.state();
                if other != *subject && state.people.erasing(tenant, other).is_none() {
                    let (erasure, tenant) = (ErasureId::from_bytes(rand::random()), tenant.clone());
                    self.act(Action::ErasureRequested { erasure, tenant, subject: other, reason: *reason })
                        .await?;
                    found = true;
                }
            }
        }
        Ok(found)
    }

    async fn finish(
        &self,
        id: ErasureId,
        erasure: &Erasure,
        person: &Person,
        held: Held,
    ) -> Result<(), KeepError> {
        let receipt = self.remove(id, person, held).await?;
        let (tenant, subject) = person.clone();
        self.act(Action::SubjectErased { erasure: id, tenant, subject, receipt }).await?;
        self.metrics.erased(erasure.reason, self.clock.now_ms() - erasure.requested_ms);
        info!(tenant.id = %erasure.tenant, erasure = %id, "a person of tenant {} is forgotten", erasure.tenant);
        Ok(())
    }

    fn rest(&self, id: ErasureId) {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = resting.get(&id).map_or(REST, |(_, pause)| (*pause * 2).min(LONGEST_REST));
        resting.insert(id, (Instant::now() + pause, pause));
    }

    fn rests(&self, id: ErasureId) -> bool {
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.get(&id).is_some_and(|(until, _)| *until > Instant::now())
    }

    /// Removes everything of a person whose keys are gone, and looks again.
    async fn remove(&self, id: ErasureId, person: &Person, held: Held) -> Result<Receipt, KeepError> {
        let (tenant, subject) = person;
        let rows = self.views.forget(tenant, *subject).await?;
        self.reached("rows");
        let objects = self.blobs.delete_prefix(&objects_of(person)).await?;
        self.reached("objects");
        let records = held.count();
        bury(&self.log, &held).await?;
        self.reached("records");

        let rows_left = self.views.rows_of(tenant, *subject).await?;
        let objects_left = self.blobs.list(&objects_of(person), None, 1).await?.len();
        let lookups_left = self.keyring.db().identifiers(tenant, *subject).await?.is_some();
        let opened = self.opened(tenant, &[Some(*subject)], &held.samples).await?;
        if rows_left > 0 || objects_left > 0 || lookups_left || opened > 0 {
            let left = format!(
                "{rows_left} rows, {objects_left} objects, lookups: {lookups_left}, {opened} records open"
            );
            return Err(KeepError::Left { erasure: id, left });
        }
        self.reached("verified");
        let entry = LedgerEntry {
            erasure: id,
            tenant: tenant.clone(),
            subject: *subject,
            at_ms: self.clock.now_ms(),
        };
        let json = serde_json::to_vec(&entry).expect("an entry is plain data");
        self.blobs.put(&format!("{LEDGER}{id}.json"), Bytes::from(json)).await?;
        self.reached("ledger");
        Ok(Receipt { rows, objects, records, tried: held.samples.len() as u64, verified: true })
    }

    /// How many of these open with any key that this process may ask for; one at least where there is a key at all.
    pub(crate) async fn opened(
        &self,
        tenant: &TenantId,
        subjects: &[Option<SubjectId>],
        samples: &[Sample],
    ) -> Result<usize, KeepError> {
        // Asking for the keys of a tenant that has none would make some.
        if self.keyring.db().tenant_keys(tenant).await?.is_none() {
            return Ok(0);
        }
        let mut opened = 0;
        for subject in subjects {
            let Some(key) = self.keyring.keys(&[(tenant.clone(), *subject)]).await?.pop().flatten() else {
                continue;
            };
            let opens = |sample: &&Sample| {
                sample.subject == *subject && key.open(sample.event, Field::Content, &sample.content).is_ok()
            };
            opened += samples.iter().filter(opens).count().max(1);
        }
        Ok(opened)
    }

    /// Waits until every process that remembers keys has forgotten what `control` told it to. One that has not been heard of
    /// for `evict_within` is gone, or what it remembers is too old to be believed.
    ///
    /// # Errors
    /// A process that is heard of does not let go.
    pub(crate) async fn evicted(&self) -> Result<(), KeepError> {
        if tokio::time::timeout(self.config.evict_within, self.keyring.forget()).await.is_err() {
            return Err(KeepError::InUse { processes: 1 });
        }
        let offset = self.plane.state().people.evictions;
        let until = Instant::now() + self.config.evict_within;
        let patience_ms = i64::try_from(self.config.evict_within.as_millis()).unwrap_or(i64::MAX);
        loop {
            let since_ms = self.clock.now_ms().saturating_sub(patience_ms);
            let behind = self.keyring.db().holders_behind(offset, since_ms).await?;
            if behind == 0 {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(KeepError::InUse { processes: behind });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A place where a test may end the process.
    fn reached(&self, step: &'static str) {
        keeper::reached(step);
    }
}
