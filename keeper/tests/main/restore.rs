//! An older backup comes back while everything runs: nobody who was forgotten since is seen, and nobody else is lost.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use keeper::{BackupKind, KeepError};
use schemas::SubjectId;
use store::{BackupError, ViewsRole};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::rig::{Rig, until};

const KEYS: &str = "TRUNCATE tenant_key, tenant_key_generation, subject, subject_key, lookup, hint, merged, kept_apart, tombstone, asset_token";

/// Reads without a pause, and counts what must not be.
struct Readers {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    reads: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    recovered: Arc<AtomicU64>,
    lost: Arc<AtomicU64>,
}

impl Readers {
    async fn start(
        rig: &Rig,
        tenant: &schemas::TenantId,
        gone: BTreeSet<SubjectId>,
        there: BTreeSet<SubjectId>,
    ) -> Self {
        let stop = CancellationToken::new();
        let counters: [Arc<AtomicU64>; 4] = Default::default();
        let mut tasks = Vec::new();
        for _ in 0..3 {
            let db = rig.places.views(ViewsRole::Reader).await;
            let (stop, tenant) = (stop.clone(), tenant.clone());
            let (gone, there) = (gone.clone(), there.clone());
            let [reads, failed, recovered, lost] = counters.clone();
            tasks.push(tokio::spawn(async move {
                while !stop.is_cancelled() {
                    reads.fetch_add(1, Ordering::Relaxed);
                    let read = async {
                        let conversations = db.conversations(&tenant, 1000, None).await?;
                        for conversation in conversations.iter().take(2) {
                            db.messages(&tenant, &[conversation.id], 1000, None).await?;
                        }
                        Ok::<_, store::StoreError>(conversations)
                    };
                    let Ok(conversations) = read.await else {
                        failed.fetch_add(1, Ordering::Relaxed);
                        continue;
                    };
                    let seen: BTreeSet<SubjectId> =
                        conversations.iter().filter_map(|conversation| conversation.subject).collect();
                    recovered.fetch_add(seen.intersection(&gone).count() as u64, Ordering::Relaxed);
                    lost.fetch_add(there.difference(&seen).count() as u64, Ordering::Relaxed);
                }
            }));
        }
        let [reads, failed, recovered, lost] = counters;
        Self { stop, tasks, reads, failed, recovered, lost }
    }

    async fn end(self) -> [u64; 4] {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
        [self.reads, self.failed, self.recovered, self.lost].map(|counter| counter.load(Ordering::Relaxed))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_people_forgotten_since_stay_forgotten_and_nobody_else_is_lost() {
    let rig = Rig::start().await;
    let (router, projector) = (rig.route().await, rig.project().await);
    let (acme, other) = (rig.tenant("acme", "111").await, rig.tenant("other", "222").await);
    rig.write(&acme, "111", 0..25, "a").await;
    rig.write(&other, "222", 0..3, "a").await;
    let keeper = rig.keeper();
    let backup = keeper.backup_create(BackupKind::Daily).await.unwrap();
    let kept = rig.keep(&acme).await;

    // After the backup: somebody new, more of everybody, and ten who are forgotten.
    rig.write(&acme, "111", 5..30, "b").await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(keeper.clone().run(stop.clone()));
    let erasures = rig.ask_to_forget(&acme, 0..10).await;
    until("ten are forgotten", || async { erasures.iter().all(|(id, _)| rig.is_done(*id)) }).await;
    rig.caught_up().await;
    let gone: BTreeSet<SubjectId> = erasures.iter().map(|(_, subject)| *subject).collect();
    let shown = rig.shown(&acme).await;
    assert_eq!(shown.len(), 20);
    // The newest five are not in the backup: a projector brings them from the log.
    let mut there = BTreeSet::new();
    for person in 10..25 {
        there.insert(rig.subject(&acme, person).await.unwrap());
    }

    // The keyring is lost, and the views are not what they were.
    rig.places.ask(&rig.places.keyring, KEYS);
    rig.places.ask(&rig.places.views, "UPDATE message SET direction = 'out'");
    let readers = Readers::start(&rig, &acme, gone.clone(), there).await;
    let before = readers.reads.load(Ordering::Relaxed);
    let report = keeper.backup_restore(&backup.id).await.unwrap();
    let during = readers.reads.load(Ordering::Relaxed) - before;
    rig.caught_up().await;
    let [reads, failed, recovered, lost] = readers.end().await;
    assert_eq!(report.forgotten, 10);
    // Twenty-five and three wrote by then, and each tenant has its own place; ten are gone.
    assert_eq!(report.people, 15 + 3 + 2);

    let of = |known: bool| {
        let of = |one: &&crate::people::Kept| gone.contains(&one.subject.unwrap()) == known;
        kept.iter().filter(of).cloned().collect::<Vec<_>>()
    };
    let opened = rig.opens(&of(true)).await;
    let mut rows = 0;
    for subject in &gone {
        rows += rig.parts.views.rows_of(&acme, *subject).await.unwrap();
    }
    println!(
        "promise=restore erased=10 recovered={} rows={rows} opened={opened} readers={reads} during={during} failed_reads={failed} lost={lost}",
        recovered
    );
    assert_eq!((recovered, rows, opened, failed, lost), (0, 0, 0, 0, 0));
    assert_eq!(rig.opens(&of(false)).await, of(false).len(), "everybody else's opens again");
    // Those who came after the backup have lost their keys with the keyring; everybody else is as before.
    let again = rig.shown(&acme).await;
    for (subject, texts) in &again {
        assert_eq!(texts, &shown[subject]);
    }
    assert_eq!(again.len(), 15);
    assert_eq!(rig.count("SELECT count(*) FROM message WHERE direction = 'out'"), 0);
    assert_eq!(rig.count("SELECT count(DISTINCT subject_id) FROM message WHERE tenant_id = 'acme'"), 20);
    assert_eq!(rig.shown(&other).await.len(), 3);

    // What the ten wrote comes once more: it is known as a repeat although the keyring was lost.
    let forgotten = rig.records(rig.parts.topics.quarantine()).await.len();
    rig.repeat(&acme, "111", 0..10, "a").await;
    until("the repeats are dropped", || async {
        rig.records(rig.parts.topics.quarantine()).await.len() > forgotten
    })
    .await;
    rig.caught_up().await;
    assert_eq!(rig.shown(&acme).await.len(), 15);
    for person in 0..10 {
        assert!(rig.subject(&acme, person).await.is_none());
    }
    stop.cancel();
    running.await.unwrap().unwrap();
    router.stop().await;
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_is_filled_and_other_keys_are_refused() {
    let rig = Rig::start().await;
    let (router, projector) = (rig.route().await, rig.project().await);
    let acme = rig.tenant("acme", "111").await;
    rig.write(&acme, "111", 0..6, "a").await;
    let keeper = rig.keeper();
    let shown = rig.shown(&acme).await;
    until("deliveries are summed up", || async { rig.count("SELECT count(*) FROM coverage_mark") == 0 })
        .await;
    let verify = |rig: &Rig| rig.count("SELECT coalesce(sum(routed), 0) FROM coverage_total");
    let routed = verify(&rig);
    assert!(routed > 0);
    let backup = keeper.backup_create(BackupKind::Daily).await.unwrap();
    projector.stop().await;
    router.stop().await;
    rig.places.ask(
        &rig.places.views,
        "DO $$ DECLARE t text; BEGIN FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_version'
         LOOP EXECUTE format('TRUNCATE %I', t); END LOOP; END $$",
    );
    rig.places.ask(&rig.places.keyring, KEYS);
    assert!(rig.shown(&acme).await.is_empty());
    keeper.backup_restore(&backup.id).await.unwrap();
    assert_eq!(rig.shown(&acme).await, shown);
    assert_eq!(verify(&rig), routed, "the loss equation is there, too");

    // Everything goes on from there.
    let (router, projector) = (rig.route().await, rig.project().await);
    rig.write(&acme, "111", 4..8, "b").await;
    assert_eq!(rig.shown(&acme).await.len(), 8);

    // A router that was faster has made other keys: then nothing is mixed.
    rig.places.ask(&rig.places.keyring, KEYS);
    let fresh = rig.places.ring(store::KeyringRole::Router, &rig.parts.root).await;
    fresh.tenant(&acme).await.unwrap();
    let people = rig.count_keys("SELECT count(*) FROM subject");
    let answer = keeper.backup_restore(&backup.id).await;
    assert!(matches!(answer, Err(KeepError::Backup(BackupError::OtherKeys { .. }))), "{answer:?}");
    assert_eq!(rig.count_keys("SELECT count(*) FROM subject"), people);
    router.stop().await;
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_one_person_since_the_backup_stays_so_and_who_is_not_does_not_become_it() {
    let rig = Rig::start().await;
    let (router, projector) = (rig.route().await, rig.project().await);
    let acme = rig.tenant("acme", "111").await;
    rig.write(&acme, "111", 0..4, "a").await;
    let mut met = Vec::new();
    for person in 0..4 {
        met.push(rig.subject(&acme, person).await.unwrap());
    }
    met.sort();
    let [one, two, three, four] = met[..] else { panic!("four people") };
    let keeper = rig.keeper();
    let ring = keeper.keyring().db().clone();
    let same = async |subject| ring.same_person(&acme, subject).await.unwrap();
    ring.merge_people(&acme, &[one, two], true).await.unwrap();
    ring.merge_people(&acme, &[three, four], true).await.unwrap();
    ring.split_person(&acme, four).await.unwrap();
    let backup = keeper.backup_create(BackupKind::Daily).await.unwrap();
    // Afterwards an operator says the contrary of both.
    ring.split_person(&acme, two).await.unwrap();
    ring.merge_people(&acme, &[three, four], true).await.unwrap();
    keeper.backup_restore(&backup.id).await.unwrap();
    assert_eq!((same(two).await, same(four).await), (vec![two], vec![three, four]));
    assert!(ring.are_kept_apart(&acme, &[one, two]).await.unwrap());
    assert!(!ring.are_kept_apart(&acme, &[three, four]).await.unwrap());
    // Where nothing is left, it is as it was.
    rig.places.ask(&rig.places.keyring, KEYS);
    keeper.backup_restore(&backup.id).await.unwrap();
    assert_eq!((same(two).await, same(four).await), (vec![one, two], vec![four]));
    assert!(ring.are_kept_apart(&acme, &[three, four]).await.unwrap());
    router.stop().await;
    projector.stop().await;
}
