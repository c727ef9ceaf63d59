//! Who of a batch is whom, decided from what is known; pure, so that it can be tested without a database.

use std::collections::{HashMap, VecDeque};

use schemas::SubjectId;

use crate::tenant_keys::Digest;

/// Decides a subject for every person. `known` are digests that have one. Persons of the batch who share a digest become
/// one, also through others; `fresh` makes a subject for those nobody knows. Returns every digest's subject, as it is to be.
pub(crate) fn plan(
    people: &[Vec<Digest>],
    known: &HashMap<Digest, SubjectId>,
    mut fresh: impl FnMut() -> SubjectId,
) -> HashMap<Digest, SubjectId> {
    let mut who_has: HashMap<Digest, Vec<usize>> = HashMap::new();
    for (person, digests) in people.iter().enumerate() {
        for digest in digests {
            who_has.entry(*digest).or_default().push(person);
        }
    }
    let mut decided = known.clone();
    let mut done = vec![false; people.len()];
    let mut next: VecDeque<usize> = (0..people.len())
        .filter(|person| people[*person].iter().any(|digest| known.contains_key(digest)))
        .collect();
    let mut strangers = 0..people.len();
    loop {
        let person = match next.pop_front() {
            Some(person) => person,
            // Nobody left who is connected with a known one: the next one is new, and those connected with them follow.
            None => match strangers.find(|person| !done[*person]) {
                Some(person) => person,
                None => return decided,
            },
        };
        if std::mem::replace(&mut done[person], true) {
            continue;
        }
        let digests = &people[person];
        let Some(subject) = subject_of(digests, &decided).or_else(|| (!digests.is_empty()).then(&mut fresh))
        else {
            continue;
        };
        for digest in digests {
            if !decided.contains_key(digest) {
                decided.insert(*digest, subject);
                next.extend(who_has.get(digest).into_iter().flatten());
            }
        }
    }
}

/// A person is whoever the first of their identifiers says.
fn subject_of(digests: &[Digest], known: &HashMap<Digest, SubjectId>) -> Option<SubjectId> {
    digests.iter().find_map(|digest| known.get(digest)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: u8) -> Digest {
        [n; 32]
    }

    fn subject(n: u8) -> SubjectId {
        SubjectId::from_bytes([n; 16])
    }

    /// People by their digests, known digests by subject; expected subjects, where 100 and up are fresh.
    #[track_caller]
    fn check(people: &[&[u8]], known: &[(u8, u8)], expected: &[u8]) {
        let people: Vec<Vec<Digest>> =
            people.iter().map(|ids| ids.iter().copied().map(digest).collect()).collect();
        let known = known.iter().map(|(id, who)| (digest(*id), subject(*who))).collect();
        let mut made = 99;
        let decided = plan(&people, &known, || {
            made += 1;
            subject(made)
        });
        let got: Vec<SubjectId> = people.iter().map(|ids| subject_of(ids, &decided).unwrap()).collect();
        assert_eq!(got, expected.iter().copied().map(subject).collect::<Vec<_>>());
        assert!(people.iter().flatten().all(|digest| decided.contains_key(digest)));
    }

    #[test]
    fn known_identifiers_decide_and_shared_ones_connect() {
        check(&[&[1], &[2]], &[], &[100, 101]);
        check(&[&[1], &[1]], &[], &[100, 100]);
        // A person seen under two identifiers, then under each alone; and the other way round.
        check(&[&[1, 2], &[2], &[1]], &[], &[100, 100, 100]);
        check(&[&[1], &[2], &[1, 2]], &[], &[100, 100, 100]);
        // Connected through others, in any order.
        check(&[&[3, 4], &[1, 2], &[2, 3]], &[], &[100, 100, 100]);
        // A known identifier wins, also over persons met before in the batch.
        check(&[&[1], &[1, 2]], &[(2, 7)], &[7, 7]);
        // Two known subjects stay two: the first identifier decides.
        check(&[&[1, 2], &[2, 1]], &[(1, 7), (2, 8)], &[7, 8]);
        check(&[&[3, 1, 2]], &[(1, 7), (2, 8)], &[7]);
    }
}
