//! Backups: what each holds, that nobody opens it without its key, and that it goes in time.

use bytes::Bytes;
use futures::StreamExt;
use keeper::{BackupKind, KeepError};
use store::BackupError;

use crate::people::{CANARY, phone};
use crate::rig::Rig;

impl Rig {
    async fn object(&self, key: &str) -> Option<Bytes> {
        let mut body = self.parts.blobs.get(key).await.unwrap()?;
        let mut whole = Vec::new();
        while let Some(piece) = body.next().await {
            whole.extend_from_slice(&piece.unwrap());
        }
        Some(Bytes::from(whole))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_hold_what_they_may_and_expire() {
    let rig = Rig::start().await;
    let (router, projector) = (rig.route().await, rig.project().await);
    let acme = rig.tenant("acme", "111").await;
    rig.write(&acme, "111", 0..5, "a").await;
    let keeper = rig.keeper();
    // From any task.
    let making = keeper.clone();
    let daily =
        tokio::spawn(async move { making.backup_create(BackupKind::Daily).await }).await.unwrap().unwrap();
    let monthly = keeper.backup_create(BackupKind::Monthly).await.unwrap();
    assert_eq!(keeper.backup_list().await.unwrap(), [daily.clone(), monthly.clone()]);
    assert_eq!(daily.views.tables["message"], 10);
    assert_eq!(daily.keyring.as_ref().unwrap().tables["subject_key"], 5);
    assert!(monthly.keyring.is_none() && monthly.roots.is_empty());

    // A monthly one outlives who may ask to be forgotten: it has no key of anybody's.
    let of = |info: &keeper::BackupInfo| format!("backups/{}/", info.id);
    let parts = |names: &[&str], of: &str| names.iter().map(|name| format!("{of}{name}")).collect::<Vec<_>>();
    assert_eq!(rig.objects(&of(&monthly)).await, parts(&["key", "manifest.json", "views"], &of(&monthly)));
    assert_eq!(
        rig.objects(&of(&daily)).await,
        parts(&["key", "keyring", "manifest.json", "views"], &of(&daily))
    );
    for object in rig.objects("backups/").await {
        let text = String::from_utf8_lossy(&rig.object(&object).await.unwrap()).into_owned();
        assert!(!text.contains(CANARY) && !text.contains(&phone(1)), "{object}");
        // Nor does it say who is in it.
        let subject = rig.subject(&acme, 1).await.unwrap().to_string();
        assert!(!text.contains(&subject), "{object}");
    }

    // What is begun and not ended is no backup, and goes after a day.
    rig.parts.blobs.put("backups/begun/key", Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(keeper.backup_list().await.unwrap().len(), 2);
    rig.set_day(2);
    keeper.sweep(false).await.unwrap();
    assert!(rig.objects("backups/begun/").await.is_empty());
    assert_eq!(keeper.backup_list().await.unwrap().len(), 2);

    let mut openable = 0;
    for (day, gone, left) in [(31, &daily, 1), (366, &monthly, 0)] {
        let mut copies = Vec::new();
        for object in rig.objects(&of(gone)).await.into_iter().filter(|object| !object.ends_with("/key")) {
            copies.push((object.clone(), rig.object(&object).await.unwrap()));
        }
        rig.set_day(day - 2);
        keeper.sweep(false).await.unwrap();
        assert_eq!(keeper.backup_list().await.unwrap().len(), left + 1, "not before its time");
        rig.set_day(day);
        keeper.sweep(false).await.unwrap();
        assert_eq!(keeper.backup_list().await.unwrap().len(), left);
        assert!(rig.objects(&of(gone)).await.is_empty());
        assert!(matches!(keeper.backup_restore(&gone.id).await, Err(KeepError::NoBackup { .. })));
        // Copied elsewhere in time and brought back, it does not open either.
        for (object, whole) in copies {
            rig.parts.blobs.put(&object, whole).await.unwrap();
        }
        let answer = keeper.backup_restore(&gone.id).await;
        openable += usize::from(answer.is_ok());
        assert!(matches!(answer, Err(KeepError::BackupClosed { .. })), "{answer:?}");
        rig.parts.blobs.delete_prefix(&of(gone)).await.unwrap();
    }
    println!("promise=backup-expiry expired=2 openable={openable} monthly_keys=0");
    router.stop().await;
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_whole_or_of_another_version_changes_nothing() {
    let rig = Rig::start().await;
    let (router, projector) = (rig.route().await, rig.project().await);
    let acme = rig.tenant("acme", "111").await;
    rig.write(&acme, "111", 0..3, "a").await;
    let keeper = rig.keeper();
    let made = keeper.backup_create(BackupKind::Daily).await.unwrap();
    let other = keeper.backup_create(BackupKind::Daily).await.unwrap();
    rig.write(&acme, "111", 3..5, "b").await;
    let shown = rig.shown(&acme).await;

    let views = format!("backups/{}/views", made.id);
    let whole = rig.object(&views).await.unwrap();
    let mut changed = whole.to_vec();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    let swapped = rig.object(&format!("backups/{}/views", other.id)).await.unwrap();
    for wrong in [Bytes::from(changed), whole.slice(..whole.len() - 20), whole.slice(..11), swapped] {
        rig.parts.blobs.put(&views, wrong).await.unwrap();
        let answer = keeper.backup_restore(&made.id).await;
        assert!(matches!(answer, Err(KeepError::Seal(_))), "{answer:?}");
        assert_eq!(rig.shown(&acme).await, shown);
    }
    rig.parts.blobs.put(&views, whole).await.unwrap();

    let version = rig.count("SELECT version FROM schema_version");
    rig.places.ask(&rig.places.views, "UPDATE schema_version SET version = 99");
    let answer = keeper.backup_restore(&made.id).await.unwrap_err();
    let KeepError::Backup(BackupError::Schema { found, known, .. }) = &answer else { panic!("{answer:?}") };
    assert_eq!((i64::from(*found), *known), (version, 99));
    let cause = std::error::Error::source(&answer).unwrap().to_string();
    assert!(cause.contains("restore it with the program that made it"), "{cause}");
    rig.places.ask(&rig.places.views, &format!("UPDATE schema_version SET version = {version}"));
    assert_eq!(rig.shown(&acme).await, shown);

    // A view that had read more than there is was made from another log.
    rig.places
        .ask(&rig.places.views, "UPDATE projection_offset SET next = 1000000 WHERE projection = 'audit'");
    let ahead = keeper.backup_create(BackupKind::Monthly).await.unwrap();
    let answer = keeper.backup_restore(&ahead.id).await;
    assert!(matches!(answer, Err(KeepError::Backup(BackupError::OtherLog { .. }))), "{answer:?}");
    router.stop().await;
    drop(projector);
}
