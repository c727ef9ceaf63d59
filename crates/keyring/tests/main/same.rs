//! Who turns out to be one person, who does not, and what an operator says of it.

use std::collections::{BTreeMap, BTreeSet};

use keyring::{Keyring, Known, Whom};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use schemas::{Identifier, IdentifierKind, SubjectId};
use store::KeyringRole::{Keeper, Router};

use crate::stage::{Stage, bsuid, person, phone, subject, tenant};

fn parent(number: u32) -> Identifier {
    Identifier { kind: IdentifierKind::ParentBsuid, value: format!("US.ENT.{number}") }
}

/// A user id in another business account.
fn elsewhere(number: u32) -> Identifier {
    Identifier { kind: IdentifierKind::Bsuid, value: format!("waba:2/US.{number}") }
}

/// What a payload with these tells, and as a router would: who turns out to be one is made one.
async fn told(ring: &Keyring, identifiers: Vec<Identifier>, at_ms: i64) -> Known {
    let known = ring.subjects(&[person("a", identifiers, at_ms)]).await.unwrap().remove(0);
    if let (Whom::Subject(me), false) = (known.whom, known.same.is_empty()) {
        let all: Vec<_> = [me].into_iter().chain(known.same.iter().copied()).collect();
        ring.merge(&tenant("a"), &all).await.unwrap();
    }
    known
}

/// Whose it is now.
async fn who(ring: &Keyring, identifier: Identifier) -> SubjectId {
    subject(ring, person("a", vec![identifier], 1_000)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_payload_names_together_is_one_person() {
    let stage = Stage::start().await;
    let (ring, other) = (stage.ring(Router).await, stage.ring(Router).await);
    let mut met = Vec::new();
    for identifier in [phone(1), bsuid(1), parent(1)] {
        met.push(subject(&ring, person("a", vec![identifier], 1)).await);
    }
    assert_eq!(met.iter().collect::<BTreeSet<_>>().len(), 3);
    // The first named says who it is until that is known to everybody; all of them are said to be one.
    let known = told(&ring, vec![bsuid(1), phone(1)], 2).await;
    assert_eq!(known, Known { whom: Whom::Subject(met[1]), same: vec![met[0]] });
    let known = told(&ring, vec![parent(1), phone(1)], 3).await;
    let root = met[0].min(met[1]);
    assert_eq!(known, Known { whom: Whom::Subject(met[2]), same: vec![root] });
    let smallest = *met.iter().min().unwrap();
    for ring in [&ring, &other] {
        for identifier in [phone(1), bsuid(1), parent(1)] {
            assert_eq!(who(ring, identifier).await, smallest);
        }
    }
    let again = told(&ring, vec![bsuid(1), parent(1), phone(1)], 4).await;
    assert_eq!(again, Known { whom: Whom::Subject(smallest), same: Vec::new() });
    let mut all = met.clone();
    all.sort();
    assert_eq!(ring.db().same_person(&tenant("a"), met[1]).await.unwrap(), all);
    let kinds = stage.ring(Keeper).await.db().identifiers(&tenant("a"), met[0]).await.unwrap().unwrap();
    assert_eq!(kinds, ["bsuid", "parent_bsuid", "phone"]);
    // Another tenant's are others.
    assert_eq!(ring.db().same_person(&tenant("b"), met[1]).await.unwrap(), [met[1]]);

    // Who is forgotten takes nobody along that is not told; the keeper tells every subject.
    let keeper = stage.ring(Keeper).await;
    for gone in &all {
        keeper.shred(&tenant("a"), *gone, 10).await.unwrap();
    }
    assert_eq!(stage.ask("SELECT count(*) FROM merged"), "0");
    let fresh = stage.ring(Router).await;
    for identifier in [phone(1), bsuid(1), parent(1)] {
        let repeat = fresh.subjects(&[person("a", vec![identifier], 9)]).await.unwrap().remove(0);
        assert_eq!(repeat.whom, Whom::Forgotten);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_changed_hands_leads_to_whoever_has_it_now() {
    let stage = Stage::start().await;
    let (ring, other) = (stage.ring(Router).await, stage.ring(Router).await);
    let old = subject(&ring, person("a", vec![bsuid(1), phone(1)], 10)).await;
    // Another process remembers whose it was.
    assert_eq!(who(&other, phone(1)).await, old);
    let new = told(&ring, vec![bsuid(2), phone(1)], 20).await;
    assert!(new.same.is_empty());
    let Whom::Subject(new) = new.whom else { panic!("forgotten") };
    assert_ne!(new, old);
    assert_eq!((who(&ring, phone(1)).await, who(&ring, bsuid(1)).await), (new, old));
    assert_eq!(told(&other, vec![bsuid(2), phone(1)], 21).await.whom, Whom::Subject(new));
    assert_eq!(told(&other, vec![bsuid(1)], 21).await.whom, Whom::Subject(old));
    // A late word from before does not take it back; a later one would.
    let late = told(&ring, vec![bsuid(1), phone(1)], 15).await;
    assert_eq!(late, Known { whom: Whom::Subject(old), same: Vec::new() });
    assert_eq!(who(&ring, phone(1)).await, new);
    // What was written with it before is not the new one's: it is whose the number was, or a forgotten one's.
    let before = |at_ms| [person("a", vec![phone(1)], at_ms)];
    let whose = async |at_ms| stage.ring(Router).await.subjects(&before(at_ms)).await.unwrap().remove(0).whom;
    assert_eq!((whose(19).await, whose(20).await), (Whom::Subject(old), Whom::Subject(new)));
    told(&ring, vec![bsuid(1), phone(1)], 30).await;
    assert_eq!(subject(&stage.ring(Router).await, person("a", vec![phone(1)], 30)).await, old);
    stage.ring(Keeper).await.shred(&tenant("a"), new, 25).await.unwrap();
    assert_eq!((whose(29).await, whose(30).await), (Whom::Forgotten, Whom::Subject(old)));

    // Met in one batch, they are two as well, whoever was met before; a number known alone before is the first one's.
    let had = subject(&ring, person("a", vec![phone(30)], 0)).await;
    for (number, ids, had) in [(5, [5, 6], None), (30, [31, 32], Some(had))] {
        let batch = [
            person("a", vec![bsuid(ids[0]), phone(number)], 1),
            person("a", vec![phone(number)], 2),
            person("a", vec![bsuid(ids[1]), phone(number)], 3),
            person("a", vec![phone(number)], 4),
        ];
        let known = stage.ring(Router).await.subjects(&batch).await.unwrap();
        assert!(known.iter().all(|one| one.same.is_empty()));
        let who: Vec<_> = known.iter().map(|one| one.whom).collect();
        assert_eq!((who[0] == who[1], who[2] == who[3], who[1] == who[2]), (true, true, false));
        assert!(had.is_none_or(|had| who[0] == Whom::Subject(had)));
    }

    // Two business accounts each have a user id of one person.
    let here = subject(&ring, person("a", vec![bsuid(8), phone(8)], 1)).await;
    assert_eq!(subject(&ring, person("a", vec![elsewhere(9), phone(8)], 2)).await, here);
    // Told by Meta: another number, which somebody else had, of whom no more is known. It is theirs from now on; they are not one.
    let [one, other] = [phone(20), phone(21)];
    let had = subject(&ring, person("a", vec![other.clone()], 1)).await;
    let moves = subject(&ring, person("a", vec![one.clone()], 1)).await;
    let told_so = told(&ring, vec![one, other.clone()], 5).await;
    assert_eq!(told_so, Known { whom: Whom::Subject(moves), same: Vec::new() });
    assert_eq!(subject(&ring, person("a", vec![other.clone()], 5)).await, moves);
    assert_eq!(subject(&ring, person("a", vec![other], 4)).await, had);
    // And another user id.
    let stranger = subject(&ring, person("a", vec![bsuid(7), phone(7)], 1)).await;
    let moved = told(&ring, vec![bsuid(18), bsuid(8), phone(7)], 3).await;
    assert_eq!(moved, Known { whom: Whom::Subject(here), same: Vec::new() });
    assert_eq!((self::who(&ring, phone(7)).await, self::who(&ring, bsuid(7)).await), (here, stranger));
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_an_operator_took_apart_no_payload_brings_together() {
    let stage = Stage::start().await;
    let (ring, keeper) = (stage.ring(Router).await, stage.ring(Keeper).await);
    let mut met = Vec::new();
    for n in 1..=3 {
        met.push(subject(&ring, person("a", vec![phone(n)], 1)).await);
    }
    met.sort();
    let [first, second, third] = met[..] else { panic!("three") };
    let a = tenant("a");
    assert_eq!(
        keeper.db().merge_people(&a, &[third, second], false).await.unwrap(),
        Some(vec![second, third])
    );
    assert_eq!(keeper.db().merge_people(&a, &[third, first], false).await.unwrap(), Some(met.clone()));
    // The one that stands for all is somebody else: the others stay together.
    assert_eq!(keeper.db().split_person(&a, first).await.unwrap(), [second, third]);
    assert_eq!(keeper.db().same_person(&a, third).await.unwrap(), [second, third]);
    assert_eq!(keeper.db().same_person(&a, first).await.unwrap(), [first]);
    let fresh = stage.ring(Router).await;
    let both = fresh.subjects(&[person("a", vec![phone(1), phone(2), phone(3)], 2)]).await.unwrap().remove(0);
    assert_eq!(both.same, []);
    assert_eq!(keeper.db().merge_people(&a, &[first, third], false).await.unwrap(), None);
    assert_eq!(keeper.db().merge_people(&a, &[first, third], true).await.unwrap(), Some(met.clone()));
    assert_eq!(keeper.db().same_person(&a, second).await.unwrap(), met);
    assert_eq!(stage.ask("SELECT count(*) FROM kept_apart"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_with_a_subject_goes_with_it_when_it_is_taken_out() {
    let stage = Stage::start().await;
    let (ring, keeper, a) = (stage.ring(Router).await, stage.ring(Keeper).await, tenant("a"));
    let one = subject(&ring, person("a", vec![phone(1)], 1)).await;
    let other = subject(&ring, person("a", vec![phone(2)], 1)).await;
    keeper.db().merge_people(&a, &[one, other], true).await.unwrap();
    // While they are one, either tells of a user id.
    let fresh = stage.ring(Router).await;
    let came = [(elsewhere(1), phone(1), one), (bsuid(2), phone(2), other)];
    for (id, number, _) in came.clone() {
        let known = fresh.subjects(&[person("a", vec![id, number], 2)]).await.unwrap().remove(0);
        assert_eq!(known, Known { whom: Whom::Subject(one.min(other)), same: Vec::new() });
    }
    keeper.db().split_person(&a, one.max(other)).await.unwrap();
    let later = stage.ring(Router).await;
    for (id, number, whose) in came {
        assert_eq!((who(&later, id).await, who(&later, number).await), (whose, whose));
    }
    // A third who is named with both is one with the first of them only, however that comes about.
    let third = subject(&later, person("a", vec![parent(9)], 3)).await;
    let known =
        later.subjects(&[person("a", vec![parent(9), elsewhere(1), bsuid(2)], 4)]).await.unwrap().remove(0);
    assert_eq!(known, Known { whom: Whom::Subject(third), same: vec![one] });
    assert!(later.merge(&a, &[third, one]).await.unwrap());
    assert!(!later.merge(&a, &[third, other]).await.unwrap(), "they are kept apart");

    // Who was forgotten a moment ago is, also where this process has not been told.
    let old = [person("a", vec![parent(9), bsuid(2)], 5)];
    assert_ne!(later.subjects(&old).await.unwrap().remove(0).whom, Whom::Forgotten);
    for gone in [third, one] {
        keeper.shred(&a, gone, 10).await.unwrap();
    }
    assert_eq!(later.subjects(&old).await.unwrap().remove(0).whom, Whom::Forgotten);
}

/// Three payloads at one moment: two tell of one identifier each, the third of both. Whoever is first, it is one person.
#[tokio::test(flavor = "multi_thread")]
async fn payloads_at_one_moment_connect_what_they_name() {
    const ROUNDS: u32 = 150;
    let stage = Stage::start().await;
    let rings = [stage.ring(Router).await, stage.ring(Router).await, stage.ring(Router).await];
    let mut merged = 0;
    for round in 0..ROUNDS {
        let (old, new) = (bsuid(2 * round), bsuid(2 * round + 1));
        // Half of the time it is somebody who is known already.
        if round % 2 == 0 {
            told(&rings[0], vec![old.clone()], 1).await;
        }
        let payloads = [vec![new.clone(), old.clone()], vec![new.clone()], vec![old.clone()]];
        let at_once = payloads.map(|payload| [person("a", payload, 2)]);
        let (both, one, other) = tokio::join!(
            rings[0].subjects(&at_once[0]),
            rings[1].subjects(&at_once[1]),
            rings[2].subjects(&at_once[2])
        );
        let (both, one, other) = (both.unwrap().remove(0), one.unwrap().remove(0), other.unwrap().remove(0));
        let Whom::Subject(me) = both.whom else { panic!("forgotten") };
        let same: BTreeSet<_> = [me].into_iter().chain(both.same).map(Whom::Subject).collect();
        assert!(same.contains(&one.whom) && same.contains(&other.whom), "round {round}: said to be {same:?}");
        merged += usize::from(same.len() > 1);
    }
    println!("promise=identities rounds={ROUNDS} merged={merged}");
    assert!(merged > 0, "they never met");
}

/// Payloads in any order, in batches of any size, by processes that remember other things: whoever is connected is one.
#[tokio::test(flavor = "multi_thread")]
async fn people_are_what_payloads_connect_in_any_order() {
    const CASES: usize = 20;
    let stage = Stage::start().await;
    // Nobody's number changes hands here: a person has one number, and one user id in each account.
    let payload = (0..4_u32, prop::sample::subsequence(vec![0_u32, 1, 2, 3], 1..=2));
    let case = prop::collection::vec((payload, any::<u32>(), any::<bool>()), 10..30);
    let mut runner =
        TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[5; 32]));
    let (mut payloads, mut merged) = (0, 0);
    for number in 0..CASES {
        let mut case = case.new_tree(&mut runner).unwrap().current();
        let mut groups: Vec<BTreeSet<BTreeSet<Identifier>>> = Vec::new();
        for order in 0..2 {
            if order == 1 {
                case.sort_by_key(|(_, key, _)| *key);
            }
            let name = format!("t{number}-{order}");
            let rings = [stage.ring(Router).await, stage.ring(Router).await];
            let mut connected = Connected::default();
            for (at_ms, ((who, which), _, process)) in (1..).zip(&case) {
                let ids: Vec<_> = which
                    .iter()
                    .map(|kind| match kind {
                        0 => phone(*who),
                        1 => elsewhere(*who),
                        2 => bsuid(*who),
                        _ => parent(*who),
                    })
                    .collect();
                let ring = &rings[usize::from(*process)];
                let known = ring.subjects(&[person(&name, ids.clone(), at_ms)]).await.unwrap().remove(0);
                if let (Whom::Subject(me), false) = (known.whom, known.same.is_empty()) {
                    let all: Vec<_> = [me].into_iter().chain(known.same).collect();
                    ring.merge(&tenant(&name), &all).await.unwrap();
                    merged += 1;
                }
                connected.add(&ids);
                payloads += 1;
            }
            let fresh = stage.ring(Router).await;
            let mut people: BTreeMap<SubjectId, BTreeSet<Identifier>> = BTreeMap::new();
            for identifier in connected.all() {
                let who = subject(&fresh, person(&name, vec![identifier.clone()], 99)).await;
                people.entry(who).or_default().insert(identifier);
            }
            let people: BTreeSet<_> = people.into_values().collect();
            assert_eq!(people, connected.groups(), "case {number}, order {order}");
            groups.push(people);
        }
        assert_eq!(groups[0], groups[1]);
    }
    assert!(merged > CASES, "{merged}");
    println!("promise=identities cases={CASES} payloads={payloads} merged={merged} differ=0");
}

/// The plain model: identifiers that were named together, and those named with them.
#[derive(Default)]
struct Connected(Vec<BTreeSet<Identifier>>);

impl Connected {
    fn add(&mut self, ids: &[Identifier]) {
        let mut all: BTreeSet<Identifier> = ids.iter().cloned().collect();
        self.0.retain(|group| {
            let apart = group.is_disjoint(&all);
            if !apart {
                all.extend(group.iter().cloned());
            }
            apart
        });
        self.0.push(all);
    }

    fn all(&self) -> Vec<Identifier> {
        self.0.iter().flatten().cloned().collect()
    }

    fn groups(&self) -> BTreeSet<BTreeSet<Identifier>> {
        self.0.iter().cloned().collect()
    }
}
