//! One person is one subject, whoever meets them first.

use std::collections::HashSet;
use std::sync::Arc;

use keyring::{Keyring, Whom};
use schemas::Field;
use seal::RootKey;
use store::KeyringRole::Router;

use crate::stage::{Stage, bsuid, event, key, person, phone, tenant, who};

#[tokio::test(flavor = "multi_thread")]
async fn one_person_is_one_subject() {
    let stage = Stage::start().await;
    // Two processes, each with its own cache.
    let rings = [stage.ring(Router).await, stage.ring(Router).await];

    // Everybody is met by many at once, in different orders.
    let mut tasks = Vec::new();
    for task in 0..16_u32 {
        let ring = rings[task as usize % 2].clone();
        tasks.push(tokio::spawn(async move {
            let mut people: Vec<_> = (0..50).map(|n| person("a", vec![phone(n)], 1)).collect();
            people.rotate_left(task as usize * 3);
            let subjects = ring.subjects(&people).await.unwrap();
            let mut pairs: Vec<_> =
                people.into_iter().map(|person| person.identifiers).zip(subjects).collect();
            pairs.sort();
            pairs
        }));
    }
    let mut answers = HashSet::new();
    for task in tasks {
        answers.insert(task.await.unwrap());
    }
    assert_eq!(answers.len(), 1, "all agree");
    assert_eq!(
        answers.iter().next().unwrap().iter().map(|(_, subject)| subject).collect::<HashSet<_>>().len(),
        50
    );

    // Another tenant's person of the same number is another subject; a new identifier beside a known one is the same person.
    let ring = &rings[0];
    let people = [
        person("a", vec![phone(7)], 1),
        person("b", vec![phone(7)], 1),
        person("a", vec![bsuid(7), phone(7)], 1),
    ];
    let known = ring.subjects(&people).await.unwrap();
    assert!(known.iter().all(|one| one.same.is_empty()));
    let subjects: Vec<_> = known.into_iter().map(|one| one.whom).collect();
    assert_ne!(subjects[0], subjects[1]);
    assert_eq!(subjects[0], subjects[2]);
    assert_eq!(who(&rings[1], person("a", vec![bsuid(7)], 1)).await, subjects[0]);
    // Who has not been seen is nobody, and asking does not make them.
    let [one, other] = [subjects[0], subjects[1]].map(|whom| match whom {
        Whom::Subject(subject) => subject,
        Whom::Forgotten => panic!("forgotten"),
    });
    let known = async |name, identifiers: &[_]| ring.known(&tenant(name), identifiers).await.unwrap();
    assert_eq!(known("a", &[phone(7), phone(777), bsuid(7)]).await, [one]);
    assert_eq!(known("b", &[phone(7), bsuid(7)]).await, [other]);
    assert_eq!(known("a", &[phone(777)]).await, []);
    assert!(ring.subjects(&[person("a", Vec::new(), 1)]).await.is_err());

    // A user name leads to people without making them one.
    let names = [(tenant("a"), one, "Ada".to_owned()), (tenant("b"), other, "ada".to_owned())];
    ring.hint(&names).await.unwrap();
    assert_eq!(rings[1].named(&tenant("a"), "ADA").await.unwrap(), [one]);
    assert_eq!(rings[1].named(&tenant("a"), "adam").await.unwrap(), []);
    let kinds = ring.db().identifiers(&tenant("a"), one).await.unwrap().unwrap();
    assert_eq!(kinds, ["bsuid", "phone", "username"]);

    // Keys are the same everywhere, and open with their root key only.
    assert_eq!(
        ring.tenant(&tenant("a")).await.unwrap().id_key.message(&"whatsapp:1".parse().unwrap(), "m"),
        rings[1].tenant(&tenant("a")).await.unwrap().id_key.message(&"whatsapp:1".parse().unwrap(), "m"),
    );
    let [here, there] = [key(ring, one).await.unwrap(), key(&rings[1], one).await.unwrap()];
    let sealed = here.seal(event(1), Field::Content, b"hello").unwrap();
    assert_eq!(there.open(event(1), Field::Content, &sealed).unwrap().as_slice(), b"hello");
    let stranger = Keyring::new(stage.db(Router).await, Arc::new(RootKey::generate().unwrap()));
    let refused = stranger.tenant(&tenant("a")).await.unwrap_err();
    assert!(refused.to_string().contains("--root-key"), "{refused}");

    // The two databases are not taken for one another.
    assert!(store::migrate_views(&stage.url).await.unwrap_err().to_string().contains("keyring database"));
}

/// Many meet new people at the same moment, each under other identifiers of theirs, all sharing one.
#[tokio::test(flavor = "multi_thread")]
async fn overlapping_identifiers_met_at_once_are_one_subject() {
    let stage = Stage::start().await;
    let mut tasks = Vec::new();
    for task in 0..12_u32 {
        let ring = stage.ring(Router).await;
        tasks.push(tokio::spawn(async move {
            let mut people: Vec<_> = (0..200_u32)
                .map(|n| {
                    let ids = match (task + n) % 3 {
                        0 => vec![phone(n)],
                        1 => vec![bsuid(n), phone(n)],
                        _ => vec![phone(n), bsuid(n)],
                    };
                    person("a", ids, 1)
                })
                .collect();
            people.rotate_left(task as usize * 16);
            let mut subjects = ring.subjects(&people).await.unwrap();
            subjects.rotate_right(task as usize * 16);
            subjects
        }));
    }
    let mut answers = HashSet::new();
    for task in tasks {
        answers.insert(task.await.unwrap());
    }
    assert_eq!(answers.len(), 1, "all agree");
    let later = stage.ring(Router).await;
    for n in 0..200 {
        let both = [person("a", vec![bsuid(n)], 1), person("a", vec![phone(n)], 1)];
        let both = later.subjects(&both).await.unwrap();
        assert_eq!(both[0], both[1]);
    }
    // Everybody, and the tenant itself, has one key; those who came too late left nothing behind.
    assert_eq!(stage.ask("SELECT count(*) FROM subject"), "201");
    let whole = later.keys(&[(tenant("a"), None)]).await.unwrap();
    assert!(whole[0].is_some());
    assert_eq!(stage.ask("SELECT count(*), count(DISTINCT subject_id) FROM subject_key"), "201|201");
}
