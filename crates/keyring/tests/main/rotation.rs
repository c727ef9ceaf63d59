//! Replacing keys: everything sealed before opens afterwards, and the old key is gone.

use std::sync::Arc;

use keyring::Keyring;
use schemas::{Asset, Field, SubjectId};
use seal::RootKey;
use secrecy::{ExposeSecret, SecretString};
use store::KeyringRole::{Keeper, Opener, Router};

use crate::stage::{Stage, event, key, opens, person, phone, subject, tenant};

const GENERATIONS: &str =
    "SELECT string_agg(generation::text, ',' ORDER BY generation) FROM tenant_key_generation
    WHERE tenant_id = 'a'";

async fn people(ring: &Keyring, numbers: std::ops::Range<u32>) -> Vec<(SubjectId, Vec<u8>)> {
    let mut people = Vec::new();
    for n in numbers {
        let one = subject(ring, person("a", vec![phone(n)], 1)).await;
        let sealed = key(ring, one).await.unwrap().seal(event(1), Field::Content, b"hello").unwrap();
        people.push((one, sealed));
    }
    people
}

async fn all_open(ring: &Keyring, people: &[(SubjectId, Vec<u8>)]) {
    for (one, sealed) in people {
        assert!(opens(&key(ring, *one).await.unwrap(), sealed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_key_is_replaced_under_everybody() {
    let stage = Stage::start().await;
    let asset: Asset = "whatsapp:1".parse().unwrap();
    let (router, keeper) = (stage.ring(Router).await, stage.ring(Keeper).await);
    let mut known = people(&router, 0..40).await;
    let other = subject(&router, person("b", vec![phone(1)], 1)).await;
    keeper.set_token(&tenant("a"), &asset, &SecretString::from("EAAG-token"), 1).await.unwrap();
    let rows = "SELECT md5(string_agg(sealed::text, '' ORDER BY tenant_id, subject_id)) FROM subject_key WHERE tenant_id = ";
    let (ours, theirs) = (stage.ask(&format!("{rows}'a'")), stage.ask(&format!("{rows}'b'")));

    assert_eq!(keeper.rotate_tenant(&tenant("a")).await.unwrap(), 40);
    assert_ne!(stage.ask(&format!("{rows}'a'")), ours);
    assert_eq!(stage.ask(&format!("{rows}'b'")), theirs);
    assert_eq!(stage.ask(GENERATIONS), "1,2");
    // One that has not been told seals somebody new with the key it knows: that one has to stay.
    known.extend(people(&router, 40..41).await);
    assert_eq!(keeper.retire_tenant(&tenant("a")).await.unwrap(), 0);
    assert_eq!(stage.ask(GENERATIONS), "1,2");
    for ring in [&router, &stage.ring(Router).await, &stage.ring(Opener).await] {
        all_open(ring, &known).await;
    }
    // Once more, and nobody uses the old ones.
    assert_eq!(keeper.rotate_tenant(&tenant("a")).await.unwrap(), 41);
    assert_eq!(keeper.retire_tenant(&tenant("a")).await.unwrap(), 2);
    assert_eq!(stage.ask(GENERATIONS), "3");
    let later = stage.ring(Opener).await;
    all_open(&later, &known).await;
    assert_eq!(later.token(&tenant("a"), &asset).await.unwrap().unwrap().expose_secret(), "EAAG-token");
    // Who is who has not changed, and ids have not.
    let later = stage.ring(Router).await;
    assert_eq!(subject(&later, person("a", vec![phone(3)], 1)).await, known[3].0);
    assert_eq!(subject(&later, person("b", vec![phone(1)], 1)).await, other);
    let of = async |ring: &Keyring| ring.tenant(&tenant("a")).await.unwrap().id_key.message(&asset, "m");
    assert_eq!(of(&later).await, of(&router).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_key_is_replaced_under_every_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root-key");
    let stage = Stage::with(RootKey::load_or_create(&path).unwrap()).await;
    let (router, keeper) = (stage.ring(Router).await, stage.ring(Keeper).await);
    let known = people(&router, 0..3).await;
    let other = subject(&router, person("b", vec![phone(1)], 1)).await;
    let old = stage.root.key_ids().remove(0);
    stage.root.rotate().unwrap();
    assert_eq!(keeper.reseal_tenants().await.unwrap(), 2);
    stage.root.retire(&old).unwrap();
    // Another process, which never had the old one.
    let root = Arc::new(RootKey::load(&path).unwrap());
    assert!(!root.key_ids().contains(&old));
    let later = Keyring::new(stage.db(Router).await, root);
    all_open(&later, &known).await;
    assert_eq!(subject(&later, person("b", vec![phone(1)], 1)).await, other);
}
