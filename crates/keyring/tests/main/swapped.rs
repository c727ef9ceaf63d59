//! What was sealed for one place opens in no other: another tenant's, another person's, another event's, another field's.

use std::sync::Arc;

use keyring::{KeyringError, SubjectKey};
use schemas::{Asset, AttachmentId, EventId, Field, SubjectId, TenantId};
use secrecy::SecretString;
use store::KeyringRole::{Keeper, Opener, Router};
use store::SubjectKeyRow;

use crate::stage::{Stage, event, key, person, phone, subject, tenant};

const FIELDS: [Field; 3] = [Field::Content, Field::Contact, Field::Source];

/// A place that something is sealed for.
type Place = (usize, EventId, Field);

#[tokio::test(flavor = "multi_thread")]
async fn no_ciphertext_opens_in_another_place() {
    let stage = Stage::start().await;
    let router = stage.ring(Router).await;
    // The same two people with two tenants, and the tenants themselves.
    let mut whom: Vec<(TenantId, Option<SubjectId>)> = Vec::new();
    for name in ["a", "b"] {
        for n in [1, 2] {
            whom.push((tenant(name), Some(subject(&router, person(name, vec![phone(n)], 1)).await)));
        }
        whom.push((tenant(name), None));
    }
    let keys: Vec<Arc<SubjectKey>> =
        router.keys(&whom).await.unwrap().into_iter().map(Option::unwrap).collect();
    let places: Vec<Place> = (0..keys.len())
        .flat_map(|owner| [event(1), event(2)].map(|event| (owner, event)))
        .flat_map(|(owner, event)| FIELDS.map(|field| (owner, event, field)))
        .collect();
    let sealed: Vec<Vec<u8>> = places
        .iter()
        .map(|(owner, event, field)| keys[*owner].seal(*event, *field, b"hello").unwrap())
        .collect();
    let (mut tried, mut opened) = (0, 0);
    for (here, bytes) in places.iter().zip(&sealed) {
        for (owner, event, field) in &places {
            let result = keys[*owner].open(*event, *field, bytes);
            if here == &(*owner, *event, *field) {
                assert_eq!(result.unwrap().as_slice(), b"hello");
            } else {
                tried += 1;
                opened += u32::from(result.is_ok());
            }
        }
        // Nor as a profile that an operator corrected.
        tried += 1;
        opened += u32::from(keys[here.0].open_correction(bytes).is_ok());
        // Changed anywhere, or cut.
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            for wrong in [&changed, &bytes[..at].to_vec()] {
                tried += 1;
                opened += u32::from(keys[here.0].open(here.1, here.2, wrong).is_ok());
            }
        }
    }
    // A correction opens for its person only; a file's key is that file's.
    let corrected: Vec<Vec<u8>> = keys.iter().map(|key| key.seal_correction(b"Ada").unwrap()).collect();
    let file = |key: &SubjectKey, n: u8| key.file(AttachmentId::from_bytes([n; 16])).0.expose().to_owned();
    for (one, bytes) in corrected.iter().enumerate() {
        for (other, key) in keys.iter().enumerate() {
            assert_eq!(key.open_correction(bytes).is_ok(), one == other);
            tried += u32::from(one != other);
            assert_ne!(file(&keys[one], 1), file(key, 2));
            assert_eq!(file(&keys[one], 1) == file(key, 1), one == other);
        }
    }
    assert_eq!(opened, 0);
    println!("promise=swapped-ciphertexts tried={tried} opened={opened}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_opens_in_another_row() {
    let stage = Stage::start().await;
    let router = stage.ring(Router).await;
    let mut people = Vec::new();
    for (name, n) in [("a", 1), ("a", 2), ("b", 1)] {
        people.push((tenant(name), subject(&router, person(name, vec![phone(n)], 1)).await));
    }
    let keeper = stage.db(Keeper).await;
    let mut rows = keeper.subject_keys(&people).await.unwrap();
    rows.sort_by_key(|row| people.iter().position(|one| *one == (row.tenant.clone(), row.subject)));
    // Whoever can write to the database puts one person's key into another's row, also across tenants.
    let mut refused = 0;
    for from in 0..rows.len() {
        for to in (0..rows.len()).filter(|to| *to != from) {
            keeper
                .reseal_subjects(&[SubjectKeyRow { sealed: rows[from].sealed.clone(), ..rows[to].clone() }])
                .await
                .unwrap();
            let opener = stage.ring(Opener).await;
            let asked = [(people[to].0.clone(), Some(people[to].1))];
            assert!(matches!(opener.keys(&asked).await, Err(KeyringError::Keys { .. })));
            keeper.reseal_subjects(&[rows[to].clone()]).await.unwrap();
            refused += 1;
        }
    }
    assert_eq!(refused, 6);
    assert!(key(&stage.ring(Opener).await, people[0].1).await.is_some());

    // An asset's token is that asset's and that tenant's.
    let ring = stage.ring(Keeper).await;
    let asset = |n: u8| -> Asset { format!("whatsapp:{n}").parse().unwrap() };
    ring.set_token(&tenant("a"), &asset(1), &SecretString::from("EAAG-token"), 1).await.unwrap();
    let sealed = keeper.token(&tenant("a"), &asset(1)).await.unwrap().unwrap();
    for (name, to) in [("a", 2), ("b", 1)] {
        keeper.put_token(&tenant(name), &asset(to), &sealed, 1).await.unwrap();
        let refused = ring.token(&tenant(name), &asset(to)).await.unwrap_err();
        assert!(matches!(refused, KeyringError::Keys { .. }));
        assert!(!format!("{refused} {refused:?}").contains("EAAG"));
    }
    // And a tenant's keys are that tenant's.
    let row = keeper.tenant_keys(&tenant("b")).await.unwrap().unwrap();
    keeper.reseal_tenant(&tenant("a"), &row).await.unwrap();
    let refused = stage.ring(Opener).await.tenant(&tenant("a")).await.unwrap_err();
    assert!(matches!(refused, KeyringError::Keys { .. }));
}
