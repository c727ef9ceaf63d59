//! Telling who somebody is whose identifiers lead to several people, or whose number may have changed hands: rare, so it is
//! done one by one and asks the database anew.

use std::collections::{HashMap, HashSet};

use schemas::{SubjectId, TenantId};

use crate::keyring::{Asked, Known, Led, Past, Whom};
use crate::tenant_keys::Digest;
use crate::{Keyring, KeyringError};

impl Asked {
    /// Identifiers that lead to whoever has them now, and to somebody else later.
    fn numbers(&self) -> impl Iterator<Item = &Digest> {
        let pairs = self.digests.iter().zip(&self.kinds);
        pairs.filter(|(_, kind)| kind.changes_hands()).map(|(digest, _)| digest)
    }

    fn scoped(&self) -> impl Iterator<Item = (&Digest, &Digest)> {
        self.digests.iter().zip(&self.scopes).filter_map(|(digest, scope)| Some((digest, scope.as_ref()?)))
    }

    /// Whether one of its identifiers is among these.
    pub(crate) fn shares(&self, digests: &HashSet<Digest>) -> bool {
        !digests.is_empty() && self.digests.iter().any(|digest| digests.contains(digest))
    }
}

/// Who somebody is by what their identifiers lead to: pure.
#[derive(Debug, Default, PartialEq, Eq)]
struct Settled {
    /// Who it is; nobody that is known.
    me: Option<SubjectId>,
    /// Who else it is.
    same: Vec<SubjectId>,
    /// Numbers that were somebody else's.
    passed: Vec<Digest>,
}

/// `known` are the people that identifiers lead to, `scopes` where those have an identifier of their own.
fn settled(
    person: &Asked,
    known: &HashMap<Digest, SubjectId>,
    scopes: &HashMap<SubjectId, HashSet<Digest>>,
) -> Settled {
    let mut settled = Settled::default();
    let mut mine: HashSet<Digest> = person.scoped().map(|(_, scope)| *scope).collect();
    let of = |subject: SubjectId| scopes.get(&subject).into_iter().flatten().copied();
    // What nobody else can have first: it decides whose the numbers are.
    for numbers in [false, true] {
        let ids =
            person.digests.iter().zip(&person.kinds).filter(|(_, kind)| kind.changes_hands() == numbers);
        for (place, (digest, _)) in ids.enumerate() {
            let Some(subject) = known.get(digest).copied() else { continue };
            if settled.me == Some(subject) || settled.same.contains(&subject) {
                continue;
            }
            // The first number is the one they write with; a further one is theirs from now on, whoever had it.
            if numbers
                && (place > 0 && settled.me.is_some() || of(subject).any(|scope| mine.contains(&scope)))
            {
                settled.passed.push(*digest);
                continue;
            }
            mine.extend(of(subject));
            match settled.me {
                None => settled.me = Some(subject),
                Some(_) => settled.same.push(subject),
            }
        }
    }
    settled
}

impl Keyring {
    /// Identifiers of which it has to be asked anew whose they are: those of whoever has several people's, and numbers that
    /// may have changed hands, or had not yet.
    pub(crate) async fn doubtful(
        &self,
        people: &[&Asked],
        known: &HashMap<Digest, Led>,
        past: &Past,
    ) -> Result<HashSet<Digest>, KeyringError> {
        let mut doubtful = HashSet::new();
        // Of each number: which user id it is named with in each account.
        let mut named: HashMap<(Digest, Digest), Digest> = HashMap::new();
        // User ids that nobody is known by, with a number that somebody is.
        let mut asking: HashSet<(TenantId, SubjectId)> = HashSet::new();
        for person in people {
            if !person.is_one(known) {
                doubtful.extend(&person.digests);
            }
            for number in person.numbers() {
                if past.owner(number, person.occurred_ms).is_some() {
                    doubtful.insert(*number);
                }
                for (id, scope) in person.scoped() {
                    if named.insert((*number, *scope), *id).is_some_and(|other| other != *id) {
                        doubtful.insert(*number);
                    }
                    if let Some(led) = known.get(number).filter(|_| !known.contains_key(id)) {
                        asking.insert((person.tenant.clone(), led.person));
                    }
                }
            }
        }
        if asking.is_empty() {
            return Ok(doubtful);
        }
        let asking: Vec<_> = asking.into_iter().collect();
        let taken: HashSet<(SubjectId, Digest)> = self.db.scopes(&asking).await?.into_iter().collect();
        for person in people {
            for number in person.numbers() {
                let Some(led) = known.get(number) else { continue };
                let is_another = |(id, scope): (&Digest, &Digest)| {
                    !known.contains_key(id) && taken.contains(&(led.person, *scope))
                };
                if person.scoped().any(is_another) {
                    doubtful.insert(*number);
                }
            }
        }
        Ok(doubtful)
    }

    /// Who somebody is, by the database alone. Links what is new of them, and gives them the numbers that are theirs now.
    pub(crate) async fn settle(&self, person: &Asked) -> Result<Known, KeyringError> {
        loop {
            if let Some(known) = self.try_settle(person).await? {
                return Ok(known);
            }
        }
    }

    /// `None`: another process was first with an identifier that nobody had, so it leads to somebody else; now it is known.
    async fn try_settle(&self, person: &Asked) -> Result<Option<Known>, KeyringError> {
        let mut known = HashMap::new();
        let digests: Vec<_> = person.digests.iter().map(|digest| (person.tenant.clone(), *digest)).collect();
        let past = self.find(&digests, &mut known).await?;
        if past.forgets(person) {
            return Ok(Some(Known { whom: Whom::Forgotten, same: Vec::new() }));
        }
        // What was another's when this happened says nothing of who has it now.
        let owners: Vec<(Digest, SubjectId)> = person
            .digests
            .iter()
            .filter_map(|digest| Some((*digest, past.owner(digest, person.occurred_ms)?)))
            .collect();
        if let Some((_, owner)) = owners.first().filter(|_| owners.len() == person.digests.len()) {
            return self.past_owner(&person.tenant, *owner).await.map(Some);
        }
        let was_anothers = |digest: &Digest| owners.iter().any(|(one, _)| one == digest);
        known.retain(|digest, _| !was_anothers(digest));
        let people: HashSet<_> = known.values().map(|led| (person.tenant.clone(), led.person)).collect();
        let people: Vec<_> = people.into_iter().collect();
        let mut scopes: HashMap<SubjectId, HashSet<Digest>> = HashMap::new();
        for (subject, scope) in self.db.scopes(&people).await? {
            scopes.entry(subject).or_default().insert(scope);
        }
        let leads: HashMap<Digest, SubjectId> =
            known.iter().map(|(digest, led)| (*digest, led.person)).collect();
        let Settled { me, mut same, passed } = settled(person, &leads, &scopes);
        // Numbers that were another's, and what leads to others who are the same person: it stays where it is.
        let is_left_out = |digest: &Digest| {
            was_anothers(digest) || leads.get(digest).is_some_and(|person| Some(*person) != me)
        };
        known.retain(|digest, _| !is_left_out(digest));
        let theirs = Asked {
            tenant: person.tenant.clone(),
            digests: person.digests.iter().copied().filter(|digest| !is_left_out(digest)).collect(),
            kinds: zipped(&person.digests, &person.kinds, is_left_out),
            scopes: zipped(&person.digests, &person.scopes, is_left_out),
            occurred_ms: person.occurred_ms,
        };
        if theirs.digests.iter().any(|digest| !known.contains_key(digest)) {
            self.link(&[&theirs], &mut known).await?;
            if !theirs.is_one(&known) {
                return Ok(None);
            }
        }
        let led = theirs.digests.iter().find_map(|digest| known.get(digest));
        let led = *led.ok_or(KeyringError::Nobody)?;
        if !passed.is_empty() {
            self.db.pass_on(&person.tenant, &passed, led.own, person.occurred_ms).await?;
            passed.iter().for_each(|digest| self.subjects.invalidate(digest));
        }
        same.retain(|other| *other != led.person);
        let mut one = vec![led.person];
        for other in same {
            one.push(other);
            // Each is to be one with all of them.
            if self.db.are_kept_apart(&person.tenant, &one).await? {
                one.pop();
            }
        }
        Ok(Some(Known { whom: Whom::Subject(led.person), same: one.split_off(1) }))
    }

    /// Who had something before somebody else did, if they are there still.
    async fn past_owner(&self, tenant: &TenantId, owner: SubjectId) -> Result<Known, KeyringError> {
        let there = self.db.still_there(&[(tenant.clone(), owner)]).await?;
        let whom = match self.db.same_person(tenant, owner).await?.first() {
            Some(person) if !there.is_empty() => Whom::Subject(*person),
            _ => Whom::Forgotten,
        };
        Ok(Known { whom, same: Vec::new() })
    }

    /// Makes people one who turned out to be; answers whether it did: an operator may have said otherwise meanwhile. Whoever
    /// says so to others does it first: this is not asked again.
    ///
    /// # Errors
    /// The database is away, or one of them was forgotten meanwhile: look them up again.
    pub async fn merge(&self, tenant: &TenantId, subjects: &[SubjectId]) -> Result<bool, KeyringError> {
        let Some(same) = self.db.merge_people(tenant, subjects, false).await? else { return Ok(false) };
        if let Some(person) = same.first() {
            same.iter().for_each(|subject| self.merged.insert(*subject, *person));
        }
        Ok(true)
    }
}

/// Those of `values` whose digest is not left out.
fn zipped<T: Copy>(digests: &[Digest], values: &[T], left_out: impl Fn(&Digest) -> bool) -> Vec<T> {
    digests.iter().zip(values).filter(|(digest, _)| !left_out(digest)).map(|(_, value)| *value).collect()
}

#[cfg(test)]
mod tests {
    use schemas::IdentifierKind;

    use super::*;

    const NUMBER: IdentifierKind = IdentifierKind::Phone;
    const USER: IdentifierKind = IdentifierKind::Bsuid;

    fn subject(n: u8) -> SubjectId {
        SubjectId::from_bytes([n; 16])
    }

    /// Identifiers with the account they are scoped to (0: none); to whom they lead; who has one in which account; expected.
    #[track_caller]
    fn check(
        ids: &[(u8, IdentifierKind, u8)],
        known: &[(u8, u8)],
        scopes: &[(u8, u8)],
        me: Option<u8>,
        same: &[u8],
        passed: &[u8],
    ) {
        let person = Asked {
            tenant: "a".parse().unwrap(),
            digests: ids.iter().map(|(id, _, _)| [*id; 32]).collect(),
            kinds: ids.iter().map(|(_, kind, _)| *kind).collect(),
            scopes: ids.iter().map(|(_, _, scope)| (*scope > 0).then_some([*scope; 32])).collect(),
            occurred_ms: 0,
        };
        let known = known.iter().map(|(id, who)| ([*id; 32], subject(*who))).collect();
        let mut has: HashMap<SubjectId, HashSet<Digest>> = HashMap::new();
        for (who, scope) in scopes {
            has.entry(subject(*who)).or_default().insert([*scope; 32]);
        }
        let expected = Settled {
            me: me.map(subject),
            same: same.iter().copied().map(subject).collect(),
            passed: passed.iter().map(|id| [*id; 32]).collect(),
        };
        assert_eq!(settled(&person, &known, &has), expected);
    }

    #[test]
    fn who_is_named_together_is_one_unless_a_number_has_changed_hands() {
        let (user, other_user, number, other_number) =
            ((1, USER, 9), (2, USER, 9), (3, NUMBER, 0), (4, NUMBER, 0));
        // Two people named together are one, the user id's first.
        check(&[number, user], &[(1, 7), (3, 8)], &[(7, 9)], Some(7), &[8], &[]);
        // A user id before and after: one person, although both are of one account.
        check(&[user, other_user], &[(1, 7), (2, 8)], &[(7, 9), (8, 9)], Some(7), &[8], &[]);
        // A number of somebody with another user id of that account.
        check(&[user, number], &[(3, 8)], &[(8, 9)], None, &[], &[3]);
        check(&[user, number], &[(1, 7), (3, 8)], &[(7, 9), (8, 9)], Some(7), &[], &[3]);
        // Of another account it says nothing.
        check(&[user, number], &[(3, 8)], &[(8, 5)], Some(8), &[], &[]);
        check(&[user, number], &[(1, 7), (3, 8)], &[(7, 9), (8, 5)], Some(7), &[8], &[]);
        // A person tells of another number: theirs from now on, whoever had it.
        check(&[number, other_number], &[(3, 7), (4, 8)], &[(7, 9), (8, 9)], Some(7), &[], &[4]);
        check(&[number, other_number], &[(3, 7), (4, 8)], &[], Some(7), &[], &[4]);
        check(&[user, number, other_number], &[(1, 7), (3, 6), (4, 8)], &[(7, 9)], Some(7), &[6], &[4]);
        check(&[number, other_number], &[(4, 8)], &[], Some(8), &[], &[]);
        check(&[number], &[], &[], None, &[], &[]);
    }
}
