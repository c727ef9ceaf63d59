//! The keyring on a real PostgreSQL: one person is one subject, whoever meets them first.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashSet;
use std::sync::Arc;

use keyring::Keyring;
use schemas::{Identifier, IdentifierKind, TenantId};
use seal::RootKey;
use store::KeyringDb;
use testkit::Postgres;

fn phone(number: u32) -> Identifier {
    Identifier { kind: IdentifierKind::Phone, value: format!("1555000{number:04}") }
}

fn bsuid(number: u32) -> Identifier {
    Identifier { kind: IdentifierKind::Bsuid, value: format!("waba:1/US.{number}") }
}

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_is_one_subject() {
    let postgres = Postgres::start().await.unwrap();
    let url = postgres.database().await.unwrap().into();
    store::migrate_keyring(&url).await.unwrap();
    let root = Arc::new(RootKey::generate().unwrap());
    // Two processes, each with its own cache.
    let mut rings = Vec::new();
    for _ in 0..2 {
        rings.push(Keyring::new(KeyringDb::connect(&url, 8).await.unwrap(), root.clone()));
    }

    // Everybody is met by many at once, in different orders.
    let mut tasks = Vec::new();
    for task in 0..16_u32 {
        let ring = rings[task as usize % 2].clone();
        tasks.push(tokio::spawn(async move {
            let mut people: Vec<_> = (0..50).map(|n| (tenant("a"), vec![phone(n)])).collect();
            people.rotate_left(task as usize * 3);
            let subjects = ring.subjects(&people).await.unwrap();
            let mut pairs: Vec<_> = people.into_iter().map(|(_, ids)| ids).zip(subjects).collect();
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
        (tenant("a"), vec![phone(7)]),
        (tenant("b"), vec![phone(7)]),
        (tenant("a"), vec![bsuid(7), phone(7)]),
    ];
    let subjects = ring.subjects(&people).await.unwrap();
    assert_ne!(subjects[0], subjects[1]);
    assert_eq!(subjects[0], subjects[2]);
    assert_eq!(rings[1].subjects(&[(tenant("a"), vec![bsuid(7)])]).await.unwrap(), [subjects[0]]);

    // Keys are the same everywhere, and open with their root key only.
    assert_eq!(
        ring.tenant(&tenant("a")).await.unwrap().id_key.message(&"whatsapp:1".parse().unwrap(), "m"),
        rings[1].tenant(&tenant("a")).await.unwrap().id_key.message(&"whatsapp:1".parse().unwrap(), "m"),
    );
    let stranger =
        Keyring::new(KeyringDb::connect(&url, 1).await.unwrap(), Arc::new(RootKey::generate().unwrap()));
    let refused = stranger.tenant(&tenant("a")).await.unwrap_err();
    assert!(refused.to_string().contains("--root-key"), "{refused}");

    // The two databases are not taken for one another.
    assert!(store::migrate_views(&url).await.unwrap_err().to_string().contains("keyring database"));
}

/// Many meet new people at the same moment, each under other identifiers of theirs, all sharing one.
#[tokio::test(flavor = "multi_thread")]
async fn overlapping_identifiers_met_at_once_are_one_subject() {
    let postgres = Postgres::start().await.unwrap();
    let url = postgres.database().await.unwrap().into();
    store::migrate_keyring(&url).await.unwrap();
    let root = Arc::new(RootKey::generate().unwrap());
    let mut tasks = Vec::new();
    for task in 0..12_u32 {
        let ring = Keyring::new(KeyringDb::connect(&url, 1).await.unwrap(), root.clone());
        tasks.push(tokio::spawn(async move {
            let mut people: Vec<_> = (0..200_u32)
                .map(|n| {
                    let ids = match (task + n) % 3 {
                        0 => vec![phone(n)],
                        1 => vec![bsuid(n), phone(n)],
                        _ => vec![phone(n), bsuid(n)],
                    };
                    (tenant("a"), ids)
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
    let later = Keyring::new(KeyringDb::connect(&url, 1).await.unwrap(), root);
    for n in 0..200 {
        let both =
            later.subjects(&[(tenant("a"), vec![bsuid(n)]), (tenant("a"), vec![phone(n)])]).await.unwrap();
        assert_eq!(both[0], both[1]);
    }
}
