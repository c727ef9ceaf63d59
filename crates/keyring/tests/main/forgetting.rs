//! Forgetting a person: their key goes, their past stays gone, and what they do afterwards is somebody new's.

use std::collections::BTreeMap;

use keyring::{Disposition, KeyringError, Whom};
use schemas::{Field, SubjectId};
use store::KeyringRole::{Keeper, Opener, Router};

use crate::stage::{Stage, bsuid, event, key, opens, person, phone, subject, tenant, who};

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_is_forgotten_and_what_comes_after_is_somebody_new() {
    let stage = Stage::start().await;
    let keeper = stage.ring(Keeper).await;
    let before = stage.ring(Router).await;
    let old = subject(&before, person("a", vec![phone(1), bsuid(1)], 100)).await;
    before.hint(&[(tenant("a"), old, "ada".to_owned())]).await.unwrap();
    let old_key = key(&before, old).await.unwrap();
    let written = old_key.seal(event(1), Field::Content, b"what they wrote").unwrap();
    let other = subject(&before, person("a", vec![phone(2)], 100)).await;

    assert_eq!(keeper.shred(&tenant("a"), old, 1_000).await.unwrap(), 1);
    assert_eq!(keeper.shred(&tenant("a"), old, 1_000).await.unwrap(), 0, "again is harmless");
    let router = stage.ring(Router).await;
    // By whichever identifier, alone or beside one that nobody has seen: a repeat is dropped, and makes nobody.
    for identifiers in [vec![phone(1)], vec![bsuid(1)], vec![bsuid(1), phone(1)], vec![phone(9), bsuid(1)]] {
        for occurred_ms in [-5, 100, 1_000] {
            let repeated = person("a", identifiers.clone(), occurred_ms);
            assert_eq!(who(&router, repeated).await, Whom::Forgotten);
        }
    }
    assert_eq!(router.known(&tenant("a"), &[phone(1), bsuid(1), phone(9)]).await.unwrap(), []);
    assert_eq!(router.named(&tenant("a"), "ada").await.unwrap(), []);
    assert!(key(&router, old).await.is_none(), "nobody makes a key for who is gone");
    assert!(key(&stage.ring(Opener).await, old).await.is_none());

    // They write again: somebody new, with a new key. What they wrote before stays closed, and its repeats stay dropped.
    let new = subject(&router, person("a", vec![phone(1)], 1_001)).await;
    assert_ne!(new, old);
    let new_key = key(&router, new).await.unwrap();
    let anew = new_key.seal(event(1), Field::Content, b"what they write now").unwrap();
    assert!(opens(&new_key, &anew) && !opens(&new_key, &written) && !opens(&old_key, &anew));
    assert_eq!(who(&router, person("a", vec![phone(1)], 1_000)).await, Whom::Forgotten);
    assert_eq!(subject(&router, person("a", vec![phone(1)], 2_000)).await, new);
    assert_eq!(subject(&stage.ring(Router).await, person("a", vec![bsuid(1), phone(1)], 2_000)).await, new);

    // Nobody else noticed: not another person, not the same number of another tenant.
    assert_eq!(subject(&router, person("a", vec![phone(2)], 100)).await, other);
    assert!(matches!(who(&router, person("b", vec![phone(1)], 100)).await, Whom::Subject(_)));

    // Forgotten once more: the later time counts.
    keeper.shred(&tenant("a"), new, 3_000).await.unwrap();
    let router = stage.ring(Router).await;
    assert_eq!(who(&router, person("a", vec![phone(1)], 2_500)).await, Whom::Forgotten);
    assert_ne!(subject(&router, person("a", vec![phone(1)], 3_001)).await, new);
    // Nothing in the database leads to the old ones any more.
    let gone = format!("('\\x{old}', '\\x{new}')");
    for table in ["subject", "subject_key", "lookup", "hint"] {
        let left = format!("SELECT count(*) FROM {table} WHERE subject_id IN {gone}");
        assert_eq!(stage.ask(&left), "0", "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_tenant_has_no_keys_left() {
    let stage = Stage::start().await;
    let router = stage.ring(Router).await;
    let old = subject(&router, person("a", vec![phone(1)], 1)).await;
    let kept = subject(&router, person("b", vec![phone(1)], 1)).await;
    let sealed = key(&router, old).await.unwrap().seal(event(1), Field::Content, b"hello").unwrap();
    // The person, and the tenant itself.
    assert_eq!(stage.db(Keeper).await.shred_tenant(&tenant("a")).await.unwrap(), 2);
    for table in ["tenant_key", "tenant_key_generation", "subject", "subject_key", "lookup", "tombstone"] {
        assert_eq!(stage.ask(&format!("SELECT count(*) FROM {table} WHERE tenant_id = 'a'")), "0", "{table}");
    }
    let opener = stage.ring(Opener).await;
    assert!(matches!(opener.tenant(&tenant("a")).await, Err(KeyringError::NoKeys { .. })));
    assert_eq!(subject(&router, person("b", vec![phone(1)], 1)).await, kept);
    // A tenant of the same name begins anew.
    let later = stage.ring(Router).await;
    let new = subject(&later, person("a", vec![phone(1)], 1)).await;
    assert_ne!(new, old);
    assert!(!opens(&key(&later, new).await.unwrap(), &sealed));
}

/// Somebody is forgotten at the very moment when another identifier of theirs is met for the first time.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_revived_by_a_link_that_races_with_their_end() {
    const PEOPLE: u32 = 100;
    let stage = Stage::start().await;
    let first = stage.ring(Router).await;
    let mut olds = BTreeMap::new();
    for n in 0..PEOPLE {
        olds.insert(n, subject(&first, person("a", vec![phone(n)], 1)).await);
    }
    let keeper = stage.ring(Keeper).await;
    let (mut retried, mut late) = (0, 0);
    for (n, old) in &olds {
        // A process that does not remember them, nor is told.
        let router = stage.ring(Router).await;
        let linking = async {
            let both = [person("a", vec![phone(*n), bsuid(*n)], 2_000)];
            loop {
                match router.subjects(&both).await {
                    Ok(known) => break known[0].whom,
                    Err(cause) => {
                        assert_eq!(cause.disposition(), Disposition::Retry, "{cause}");
                        retried += 1;
                    }
                }
            }
        };
        let ending = async {
            for _ in 0..n % 12 {
                tokio::task::yield_now().await;
            }
            keeper.shred(&tenant("a"), *old, 1_000).await.unwrap();
        };
        let (linked, ()) = tokio::join!(linking, ending);
        let Whom::Subject(linked) = linked else { panic!("it happened after they were forgotten") };
        late += u32::from(linked != *old);
    }
    // Whoever asks now finds somebody new by either identifier, and the old ones nowhere.
    let later = stage.ring(Router).await;
    for (n, old) in &olds {
        let both = [person("a", vec![phone(*n)], 2_000), person("a", vec![bsuid(*n), phone(*n)], 2_000)];
        let both = later.subjects(&both).await.unwrap();
        assert_eq!(both[0], both[1]);
        assert_ne!(both[0].whom, Whom::Subject(*old));
        assert_eq!(who(&later, person("a", vec![phone(*n)], 1_000)).await, Whom::Forgotten);
    }
    let gone: Vec<(_, Option<SubjectId>)> = olds.values().map(|old| (tenant("a"), Some(*old))).collect();
    assert!(later.keys(&gone).await.unwrap().iter().all(Option::is_none));
    let olds: Vec<String> = olds.values().map(|old| format!("'\\x{old}'")).collect();
    let revived = format!("SELECT count(*) FROM subject WHERE subject_id IN ({})", olds.join(","));
    assert_eq!(stage.ask(&revived), "0");
    assert!(late > 0, "they never met");
    println!("promise=no-revival people={PEOPLE} came_late={late} retried={retried} revived=0");
}
