//! Who is one person by the view is who is one by what was said, in whatever order it is read.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use schemas::{Asset, IdKey, Kind, PeopleSaid, PersonLink, RawPosition, SealedEvent, SubjectId};
use store::{ViewsDb, ViewsRole};
use testkit::Postgres;

use crate::history::{shuffled, tenants, unsealed};
use crate::order::projected;
use crate::rig::views;

const SUBJECTS: u8 = 7;

type People = BTreeSet<BTreeSet<u8>>;

/// The plain model: sets of subjects, and pairs that an operator keeps apart. What routers and keepers would say of it.
struct Model {
    people: People,
    apart: BTreeSet<[u8; 2]>,
    said: Vec<SealedEvent>,
}

fn subject(n: u8) -> SubjectId {
    SubjectId::from_bytes([n + 1; 16])
}

fn pair(one: u8, other: u8) -> [u8; 2] {
    [one.min(other), one.max(other)]
}

impl Model {
    fn new() -> Self {
        let alone = (0..SUBJECTS).map(|n| BTreeSet::from([n])).collect();
        Self { people: alone, apart: BTreeSet::new(), said: Vec::new() }
    }

    fn of(&self, subject: u8) -> BTreeSet<u8> {
        self.people.iter().find(|person| person.contains(&subject)).unwrap().clone()
    }

    fn join(&mut self, one: u8, other: u8) {
        let all: BTreeSet<u8> = self.of(one).union(&self.of(other)).copied().collect();
        self.people.retain(|person| person.is_disjoint(&all));
        self.people.insert(all);
    }

    fn say(&mut self, kind: Kind, [one, other]: [u8; 2], evidence: &str, at_ms: i64) {
        let (asset, tenant): (Asset, _) = ("whatsapp:10001".parse().unwrap(), &tenants()[0]);
        let said = PeopleSaid {
            tenant,
            asset: &asset,
            route: &asset,
            at_ms,
            received_ms: at_ms,
            raw: RawPosition::NOWHERE,
            cause: &at_ms.to_be_bytes(),
            evidence,
        };
        let pair = [subject(one), subject(other)];
        self.said.push(unsealed(&said.event(kind, pair, pair[0], &IdKey::new(&[1; 32]))));
    }

    /// A payload, whose time may be any.
    fn payload(&mut self, one: u8, other: u8, at_ms: i64) {
        let (these, those) = (self.of(one), self.of(other));
        let is_kept_apart =
            these.iter().any(|one| those.iter().any(|other| self.apart.contains(&pair(*one, *other))));
        if these != those && !is_kept_apart {
            // Each is named by their smallest subject.
            let named = pair(*these.first().unwrap(), *those.first().unwrap());
            self.say(Kind::PersonMerged, named, PersonLink::PAYLOAD, at_ms);
            self.join(one, other);
        }
    }

    fn merge(&mut self, one: u8, other: u8, at_ms: i64) {
        if one != other {
            self.say(Kind::PersonMerged, pair(one, other), PersonLink::OPERATOR, at_ms);
            self.join(one, other);
            let all = self.of(one);
            self.apart.retain(|[one, other]| !(all.contains(one) && all.contains(other)));
        }
    }

    fn split(&mut self, out: u8, at_ms: i64) {
        let all = self.of(out);
        let others: Vec<u8> = all.iter().copied().filter(|other| *other != out).collect();
        let Some((first, rest)) = others.split_first() else { return };
        for other in &others {
            self.say(Kind::PersonSplit, pair(out, *other), PersonLink::OPERATOR, at_ms);
            self.apart.insert(pair(out, *other));
        }
        for other in rest {
            self.say(Kind::PersonMerged, [*first, *other], PersonLink::OPERATOR, at_ms);
        }
        self.people.remove(&all);
        self.people.insert(BTreeSet::from([out]));
        self.people.insert(others.into_iter().collect());
    }
}

/// Who is connected by pairs that stand merged.
async fn connected(db: &ViewsDb) -> People {
    let all: Vec<SubjectId> = (0..SUBJECTS).map(subject).collect();
    let mut model = Model::new();
    for merged in db.merged(&tenants()[0], &all).await.unwrap() {
        let [one, other] = merged.map(|subject| subject.as_bytes()[0] - 1);
        model.join(one, other);
    }
    model.people
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_what_was_said_of_them_in_any_order() {
    const CASES: u64 = 12;
    let postgres = Postgres::start().await.unwrap();
    let (mut said, mut several) = (0, 0);
    for seed in 0..CASES {
        let random = &mut StdRng::seed_from_u64(seed);
        let mut model = Model::new();
        for now_ms in 1_000..1_000 + random.random_range(5..60) {
            let (one, other) = (random.random_range(0..SUBJECTS), random.random_range(0..SUBJECTS));
            match random.random_range(0..10) {
                0 => model.merge(one, other, now_ms),
                1 | 2 => model.split(one, now_ms),
                _ => model.payload(one, other, random.random_range(0..3_000)),
            }
        }
        said += model.said.len();
        several += model.people.iter().filter(|person| person.len() > 1).count();
        for order in 0..2 {
            let url = views(&postgres).await;
            projected(&url, &shuffled(&model.said, seed * 2 + order), order).await;
            let db = ViewsDb::connect(&url, ViewsRole::Reader, 1).await.unwrap();
            assert_eq!(connected(&db).await, model.people, "case {seed}, order {order}");
        }
    }
    assert!(several as u64 > CASES, "{several}");
    println!("promise=people-in-any-order cases={CASES} said={said} people_of_several={several} differ=0");
}
