//! Telling who somebody is whose identifiers lead to several people, or whose number may have changed hands: rare, so it is
//! done one by one and asks the database anew.

use std::collections::{HashMap, HashSet};

use schemas::{IdentifierKind, SubjectId, TenantId};

use crate::keyring::{Asked, Known, Whom};
use crate::tenant_keys::Digest;
use crate::{Keyring, KeyringError};

impl Asked {
    /// Identifiers that lead to whoever has them now, and to somebody else later.
    fn numbers(&self) -> impl Iterator<Item = &Digest> {
        self.digests.iter().zip(&self.kinds).filter(|(_, kind)| is_number(**kind)).map(|(digest, _)| digest)
    }

    fn scoped(&self) -> impl Iterator<Item = (&Digest, &Digest)> {
        self.digests.iter().zip(&self.scopes).filter_map(|(digest, scope)| Some((digest, scope.as_ref()?)))
    }

    /// Whether one of its identifiers is among these.
    pub(crate) fn shares(&self, digests: &HashSet<Digest>) -> bool {
        !digests.is_empty() && self.digests.iter().any(|digest| digests.contains(digest))
    }
}

fn is_number(kind: IdentifierKind) -> bool {
    kind == IdentifierKind::Phone
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
        let ids = person.digests.iter().zip(&person.kinds).filter(|(_, kind)| is_number(**kind) == numbers);
        for (digest, _) in ids {
            let Some(subject) = known.get(digest).copied() else { continue };
            if settled.me == Some(subject) || settled.same.contains(&subject) {
                continue;
            }
            if numbers && of(subject).any(|scope| mine.contains(&scope)) {
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
    /// may have changed hands.
    pub(crate) async fn doubtful(
        &self,
        people: &[&Asked],
        known: &HashMap<Digest, SubjectId>,
    ) -> Result<HashSet<Digest>, KeyringError> {
        let mut doubtful = HashSet::new();
        // Of each number that nobody is known by: which user id it is named with in each account.
        let mut named: HashMap<(Digest, Digest), Digest> = HashMap::new();
        // User ids that nobody is known by, with a number that somebody is.
        let mut asking: HashSet<(TenantId, SubjectId)> = HashSet::new();
        for person in people {
            let mut leads = person.digests.iter().filter_map(|digest| known.get(digest));
            let first = leads.next();
            if leads.any(|other| Some(other) != first) {
                doubtful.extend(&person.digests);
            }
            for number in person.numbers() {
                for (id, scope) in person.scoped() {
                    match known.get(number) {
                        None if named.insert((*number, *scope), *id).is_some_and(|other| other != *id) => {
                            doubtful.insert(*number);
                        }
                        Some(subject) if !known.contains_key(id) => {
                            asking.insert((person.tenant.clone(), *subject));
                        }
                        _ => {}
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
                let Some(subject) = known.get(number) else { continue };
                let is_another = |(id, scope): (&Digest, &Digest)| {
                    !known.contains_key(id) && taken.contains(&(*subject, *scope))
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
        let mut known = HashMap::new();
        let digests: Vec<_> = person.digests.iter().map(|digest| (person.tenant.clone(), *digest)).collect();
        self.find(&digests, &mut known).await?;
        let people: HashSet<_> = known.values().map(|subject| (person.tenant.clone(), *subject)).collect();
        let people: Vec<_> = people.into_iter().collect();
        let mut scopes: HashMap<SubjectId, HashSet<Digest>> = HashMap::new();
        for (subject, scope) in self.db.scopes(&people).await? {
            scopes.entry(subject).or_default().insert(scope);
        }
        let Settled { me, mut same, passed } = settled(person, &known, &scopes);
        // Whoever has the number now is not whom it led to.
        known.retain(|digest, _| !passed.contains(digest));
        let is_passed = |digest: &Digest| passed.contains(digest);
        let theirs = Asked {
            tenant: person.tenant.clone(),
            digests: person.digests.iter().copied().filter(|digest| !is_passed(digest)).collect(),
            kinds: zipped(&person.digests, &person.kinds, is_passed),
            scopes: zipped(&person.digests, &person.scopes, is_passed),
            occurred_ms: person.occurred_ms,
        };
        // Whatever is unknown leads to the one it is, before any other that it turned out to be.
        if let Some(me) = me {
            known.values_mut().for_each(|subject| *subject = me);
        }
        if theirs.digests.iter().any(|digest| !known.contains_key(digest)) {
            self.link(&[&theirs], &mut known).await?;
        }
        let me = theirs.digests.iter().find_map(|digest| known.get(digest)).copied();
        let me = me.ok_or(KeyringError::Nobody)?;
        if !passed.is_empty() {
            self.db.pass_on(&person.tenant, &passed, me, person.occurred_ms).await?;
            passed.iter().for_each(|digest| self.subjects.invalidate(digest));
        }
        same.retain(|other| *other != me);
        let mut one = Vec::new();
        for other in same {
            if !self.db.are_kept_apart(&person.tenant, &[me, other]).await? {
                one.push(other);
            }
        }
        Ok(Known { whom: Whom::Subject(me), same: one })
    }

    /// Makes people one who turned out to be. Whoever says so to others does it first: this is not asked again.
    ///
    /// # Errors
    /// The database is away, or one of them was forgotten meanwhile: look them up again.
    pub async fn merge(&self, tenant: &TenantId, subjects: &[SubjectId]) -> Result<(), KeyringError> {
        self.db.merge_people(tenant, subjects, false).await?;
        self.subjects.invalidate_all();
        Ok(())
    }
}

/// Those of `values` whose digest is not left out.
fn zipped<T: Copy>(digests: &[Digest], values: &[T], left_out: impl Fn(&Digest) -> bool) -> Vec<T> {
    digests.iter().zip(values).filter(|(digest, _)| !left_out(digest)).map(|(_, value)| *value).collect()
}

#[cfg(test)]
mod tests {
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
        check(&[number, other_number], &[(3, 7), (4, 8)], &[(7, 9)], Some(7), &[8], &[]);
        check(&[number], &[], &[], None, &[], &[]);
    }
}
