//! Who may do what is PostgreSQL's own rule, whatever this program asks.

use keyring::KeyringError;
use schemas::{Asset, Field, SubjectId};
use store::KeyringRole::{Keeper, Opener, Router};
use store::{KeyringDb, KeyringRole, Lookup, StoreError, SubjectKeyRow, TenantKeyRow};

use crate::stage::{Stage, event, key, person, phone, subject, tenant};

/// What a process might try to do.
#[derive(Debug, Clone, Copy)]
enum Deed {
    MakeTenant,
    MakePerson,
    MakeKey,
    Hint,
    Shred,
    ShredTenant,
    SweepTombstones,
    PutToken,
    ReadToken,
    RemoveToken,
    AddTenantKey,
    DropTenantKey,
    ResealTenant,
    ResealPeople,
    Merge,
    PassOn,
    Split,
    FindPeople,
    ReadKeys,
    Hold,
}

async fn attempt(db: &KeyringDb, deed: Deed, person: SubjectId) -> Result<(), StoreError> {
    let a = tenant("a");
    let asset: Asset = "whatsapp:1".parse().unwrap();
    let row = TenantKeyRow { id_key: "x".into(), pepper: "x".into(), generations: vec![(9, "x".into())] };
    let of = |subject| SubjectKeyRow { tenant: tenant("a"), subject, generation: 9, sealed: vec![1] };
    match deed {
        Deed::MakeTenant => db.make_tenant_keys(&tenant("c"), &row).await,
        Deed::MakePerson => {
            let fresh = SubjectId::from_bytes([9; 16]);
            let lookup = Lookup {
                tenant: a,
                digest: [9; 32],
                kind: "phone".into(),
                scope: None,
                told_ms: None,
                subject: fresh,
            };
            db.link(&[lookup], &[of(fresh)]).await.map(drop)
        }
        Deed::MakeKey => db.make_subject_keys(&[of(person)]).await,
        Deed::Hint => db.hint(&[(a, [8; 32], person)]).await,
        Deed::Shred => db.shred(&a, person, 1).await.map(drop),
        Deed::ShredTenant => db.shred_tenant(&a).await.map(drop),
        Deed::SweepTombstones => db.sweep_tombstones(1, false).await.map(drop),
        Deed::PutToken => db.put_token(&a, &asset, b"sealed", 1).await,
        Deed::ReadToken => db.token(&a, &asset).await.map(drop),
        Deed::RemoveToken => db.remove_token(&a, &asset).await.map(drop),
        Deed::AddTenantKey => db.add_tenant_key(&a, if db.role() == Router { 7 } else { 8 }, "x").await,
        Deed::DropTenantKey => db.drop_tenant_key(&a, 8).await,
        Deed::ResealTenant => db.reseal_tenant(&tenant("c"), &row).await,
        Deed::ResealPeople => db.reseal_subjects(&[of(SubjectId::from_bytes([7; 16]))]).await.map(drop),
        Deed::Merge => db.merge_people(&a, &[person, SubjectId::from_bytes([9; 16])], false).await.map(drop),
        Deed::PassOn => db.pass_on(&a, &[[9; 32]], person, 1).await,
        Deed::Split => db.split_person(&a, person).await.map(drop),
        Deed::FindPeople => db.find(&[(a, [9; 32])]).await.map(drop),
        Deed::ReadKeys => db.subject_keys(&[(a, person)]).await.map(drop),
        Deed::Hold => db.hold("somebody", 1, 1).await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_does_its_own_and_nothing_else() {
    use Deed::{
        AddTenantKey, DropTenantKey, FindPeople, Hint, Hold, MakeKey, MakePerson, MakeTenant, Merge, PassOn,
        PutToken, ReadKeys, ReadToken, RemoveToken, ResealPeople, ResealTenant, Shred, ShredTenant, Split,
        SweepTombstones,
    };
    let stage = Stage::start().await;
    let person = subject(&stage.ring(Router).await, person("a", vec![phone(1)], 1)).await;
    let everybody = [FindPeople, ReadKeys, Hold];
    let makes = [MakeTenant, MakePerson, MakeKey, Hint, AddTenantKey, Merge, PassOn];
    // In this order: what destroys comes last.
    let keeps = [
        PutToken,
        RemoveToken,
        ResealTenant,
        ResealPeople,
        DropTenantKey,
        SweepTombstones,
        Split,
        Shred,
        ShredTenant,
    ];
    let may = |role: KeyringRole| match role {
        Router => [&everybody[..], &makes].concat(),
        Opener => [&everybody[..], &[ReadToken]].concat(),
        Keeper => [&everybody[..], &makes, &[ReadToken], &keeps].concat(),
    };
    for role in [Opener, Router, Keeper] {
        let db = stage.db(role).await;
        for deed in [&everybody[..], &makes, &[ReadToken], &keeps].concat() {
            let done = attempt(&db, deed, person).await;
            let allowed =
                may(role).iter().any(|one| std::mem::discriminant(one) == std::mem::discriminant(&deed));
            match done {
                Ok(()) => assert!(allowed, "{role:?} did {deed:?}"),
                Err(cause) => {
                    assert!(!allowed, "{role:?} could not do {deed:?}: {cause}");
                    assert!(cause.to_string().contains("permission denied"), "{role:?} {deed:?}: {cause}");
                }
            }
        }
        let left = stage.ask("SELECT count(*) FROM subject WHERE tenant_id = 'a'") != "0";
        assert_eq!(left, !matches!(role, Keeper), "{role:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_makes_people_cannot_unmake_them() {
    let stage = Stage::start().await;
    let ada = subject(&stage.ring(Router).await, person("a", vec![phone(1)], 1)).await;
    let bob = subject(&stage.ring(Router).await, person("a", vec![phone(2)], 1)).await;
    let as_router = |sql: &str| stage.try_ask(&format!("SET ROLE tidings_keyring_router; {sql}"));
    let mut refused = 0;
    for sql in [
        "DELETE FROM subject",
        "UPDATE subject SET subject_id = subject_id",
        "DELETE FROM lookup",
        "UPDATE lookup SET subject_id = subject_id",
        "DELETE FROM merged",
        "DELETE FROM kept_apart",
        "DELETE FROM subject_key",
        "UPDATE subject_key SET generation = 2",
        "INSERT INTO tombstone VALUES ('a', decode(repeat('00', 32), 'hex'), 1)",
        "SELECT * FROM asset_token",
        "TRUNCATE subject CASCADE",
    ] {
        let said = as_router(sql).expect_err(sql);
        assert!(said.contains("permission denied"), "{sql}: {said}");
        refused += 1;
    }
    // What it may take back is what its own transaction has made.
    let take = format!("SELECT take_back(ARRAY['a'], ARRAY['\\x{ada}'::bytea], ARRAY['\\x{bob}'::bytea])");
    as_router(&take).unwrap();
    assert_eq!(stage.ask("SELECT count(*) FROM subject s JOIN lookup l USING (tenant_id, subject_id)"), "2");
    let opener =
        stage.try_ask(&format!("SET ROLE tidings_keyring_opener; {take}")).expect_err("not the opener");
    assert!(opener.contains("permission denied"), "{opener}");
    println!("promise=router-role refused={refused} taken_back=0");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opener_opens_what_there_is_and_makes_nothing() {
    let stage = Stage::start().await;
    let router = stage.ring(Router).await;
    let known = subject(&router, person("a", vec![phone(1)], 1)).await;
    let sealed = key(&router, known).await.unwrap().seal(event(1), Field::Content, b"hello").unwrap();
    let opener = stage.ring(Opener).await;
    let opened = key(&opener, known).await.unwrap().open(event(1), Field::Content, &sealed).unwrap();
    assert_eq!(opened.as_slice(), b"hello");
    assert!(key(&opener, SubjectId::from_bytes([7; 16])).await.is_none());
    assert!(matches!(opener.tenant(&tenant("nobody")).await, Err(KeyringError::NoKeys { .. })));
    // Whoever it has not met it does not make either.
    let refused = opener.subjects(&[person("a", vec![phone(2)], 1)]).await.unwrap_err();
    assert!(matches!(refused, KeyringError::Store(_)));
    assert!(opener.shred(&tenant("a"), known, 1).await.is_err());
    assert_eq!(stage.ask("SELECT count(*) FROM subject"), "2");
    // What it tells of a failure shows neither an identifier nor a key.
    assert!(!format!("{refused} {refused:?}").contains("1555000"));
}
