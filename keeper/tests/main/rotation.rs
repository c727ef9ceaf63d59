//! Keys are replaced at every level while messages come in and are read: nothing fails, and everything old opens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use control::{AppKeys, NewApp};
use keeper::{BackupKind, Config};
use schemas::{Asset, Field, KeyLevel, SecretRole, TenantId};
use seal::EdgeKey;
use secrecy::{ExposeSecret, SecretString};
use store::KeyringRole;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::people::{Kept, body, delivery};
use crate::rig::{Rig, until};

/// Messages that come in and readers that open, without a pause.
struct Traffic {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    sent: Arc<AtomicU64>,
    opened: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

impl Traffic {
    async fn start(rig: &Rig, tenants: &[(TenantId, &'static str)], kept: &[Kept]) -> Self {
        let stop = CancellationToken::new();
        let [sent, opened, failed]: [Arc<AtomicU64>; 3] = Default::default();
        let mut tasks = Vec::new();
        {
            let (log, root, topics) =
                (rig.parts.log.clone(), rig.parts.root.clone(), rig.parts.topics.clone());
            let (stop, sent, failed) = (stop.clone(), sent.clone(), failed.clone());
            let tenants = tenants.to_vec();
            tasks.push(tokio::spawn(async move {
                let at = eventlog::TopicPartition::new(&eventlog::Topic::new(topics.raw()).unwrap(), 1);
                while !stop.is_cancelled() {
                    let number = sent.fetch_add(1, Ordering::Relaxed);
                    let (_, asset) = &tenants[number as usize % tenants.len()];
                    // Every third one is somebody new.
                    let person = 1_000 + (number % 3 * number) as u32;
                    let text = format!(
                        r#"{{"from":"{}","id":"wamid.t{number}","timestamp":"{}","type":"text","text":{{"body":"x"}}}}"#,
                        crate::people::phone(person),
                        service::Clock::system().now_ms() / 1000
                    );
                    let Ok(key) = root.edge().data_key() else {
                        failed.fetch_add(1, Ordering::Relaxed);
                        continue;
                    };
                    log.append(&at, delivery(&key, &body(asset, &[text]))).unwrap().await.unwrap();
                }
            }));
        }
        for _ in 0..2 {
            // What a console remembers goes when it is told, like everybody's.
            let ring = rig.places.ring(KeyringRole::Opener, &rig.parts.root).await;
            let fresh = rig.places.ring(KeyringRole::Opener, &rig.parts.root).await;
            let (kept, stop) = (kept.to_vec(), stop.clone());
            let (opened, failed) = (opened.clone(), failed.clone());
            tasks.push(tokio::spawn(async move {
                while !stop.is_cancelled() {
                    for one in &kept {
                        for ring in [&ring, &fresh] {
                            let keys = ring.keys(&[(one.tenant.clone(), one.subject)]).await;
                            let key = keys.ok().and_then(|mut keys| keys.pop().flatten());
                            let opens = |key: Arc<keyring::SubjectKey>| {
                                key.open(one.event.id, Field::Content, &one.event.content).is_ok()
                            };
                            let counter = if key.is_some_and(opens) { &opened } else { &failed };
                            counter.fetch_add(1, Ordering::Relaxed);
                        }
                        tokio::task::yield_now().await;
                    }
                }
            }));
        }
        Self { stop, tasks, sent, opened, failed }
    }

    async fn end(self) -> (u64, u64, u64) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
        let [sent, opened, failed] =
            [self.sent, self.opened, self.failed].map(|counter| counter.load(Ordering::Relaxed));
        (sent, opened, failed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_level_is_replaced_under_traffic_and_nothing_fails() {
    let rig = Rig::start().await;
    let (router, projector) = (rig.route().await, rig.project().await);
    let tenants = [(rig.tenant("acme", "111").await, "111"), (rig.tenant("other", "222").await, "222")];
    for (tenant, number) in &tenants {
        rig.write(tenant, number, 0..5, "a").await;
    }
    let acme = &tenants[0].0;
    let (asset, token): (Asset, _) = ("whatsapp:111".parse().unwrap(), SecretString::from("EAAG-token"));
    rig.parts.ring.set_token(acme, &asset, &token, 1).await.unwrap();
    let mut kept = rig.keep(acme).await;
    kept.extend(rig.keep(&tenants[1].0).await);

    // Ingest holds the edge key, in a file of its own.
    let edge_file = rig.places.folder.join("edge-key");
    rig.parts.root.edge().write(&edge_file).unwrap();
    let ingest = EdgeKey::load(&edge_file).unwrap();
    let app = NewApp {
        id: "app".parse().unwrap(),
        verify_tokens: vec!["token".into()],
        secrets: vec![(SecretRole::Current, "secret".into()), (SecretRole::Next, "next".into())],
    };
    rig.act(schemas::Action::AppAdded(app.seal(&rig.parts.root.edge()).unwrap())).await;
    let first = rig.parts.root.key_ids()[0].clone();
    let keeper = rig.keeper_with(Config { edge_key_file: Some(edge_file), ..Config::default() });
    let backup = keeper.backup_create(BackupKind::Daily).await.unwrap();
    assert_eq!(backup.roots.iter().collect::<Vec<_>>(), [&first]);

    let traffic = Traffic::start(&rig, &tenants, &kept).await;
    let mut reports = Vec::new();
    for level in [KeyLevel::Data, KeyLevel::Tenant, KeyLevel::Root, KeyLevel::Tenant] {
        let (keeper, since) = (keeper.clone(), traffic.sent.load(Ordering::Relaxed));
        reports.push(tokio::spawn(async move { keeper.rotate(level, None).await }).await.unwrap().unwrap());
        until("traffic goes on", || async { traffic.sent.load(Ordering::Relaxed) > since + 20 }).await;
    }
    // One tenant's alone.
    let alone = keeper.rotate(KeyLevel::Tenant, Some(acme.clone())).await.unwrap();
    assert_eq!(alone.tenants, 1);
    let (sent, opened, failed) = traffic.end().await;
    // Five deliveries brought the ten people's messages; each of the others is one.
    until("everything that was sent is an event", || async {
        let mut events = 0;
        for (tenant, _) in &tenants {
            let of = rig.events(tenant).await;
            events += of.iter().filter(|event| event.facts.kind.as_deref() == Some("text")).count();
        }
        events as u64 == sent + 10
    })
    .await;
    let old = rig.opens(&kept).await;
    println!(
        "promise=rotation rotations=5 sent={sent} opened={opened} failed={failed} old_opened={old}/{}",
        kept.len()
    );
    assert_eq!((failed, old), (0, kept.len()));
    assert_eq!(rig.records(rig.parts.topics.quarantine()).await.len(), 0);
    assert_eq!((reports[1].tenants, reports[2].apps, reports[2].backups), (2, 1, 1));
    assert!(reports[1].keys >= 10 && reports[2].tenants == 2);
    assert!(rig.parts.plane.state().data_keys > 0);
    let read = rig.places.ring(KeyringRole::Opener, &rig.parts.root).await.token(acme, &asset).await.unwrap();
    assert_eq!(read.unwrap().expose_secret(), "EAAG-token");

    // Everything is sealed with the newest generation, and ingest has followed.
    let newest = rig.parts.root.key_ids()[0].clone();
    assert_ne!(newest, first);
    let app = rig.parts.plane.state().apps[&app.id].clone();
    assert!(app.secrets.iter().all(|secret| seal::key_id(&secret.sealed) == Some(newest.as_str())));
    let opened = AppKeys::open(&app, &ingest).unwrap();
    assert_eq!(opened.secrets[1].1.expose_secret(), b"next");
    let texts = "SELECT count(*) FROM (SELECT id_key AS t FROM tenant_key UNION ALL SELECT pepper FROM tenant_key UNION ALL SELECT sealed FROM tenant_key_generation) s";
    assert_eq!(rig.count_keys(&format!("{texts} WHERE t NOT LIKE 'v2.{newest}.%'")), 0);

    // The old one stays for the bodies and for the backup, and then goes.
    for (day, left) in [(7, 2), (9, 2), (29, 2), (31, 1)] {
        rig.set_day(day);
        keeper.sweep(false).await.unwrap();
        assert_eq!(rig.parts.root.key_ids().len(), left, "on day {day}");
    }
    assert_eq!(rig.opens(&kept).await, kept.len());
    assert!(AppKeys::open(&app, &EdgeKey::load(&rig.places.folder.join("edge-key")).unwrap()).is_ok());
    router.stop().await;
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_rotation_that_is_broken_off_is_ended_by_the_sweep() {
    let rig = Rig::start().await;
    let (router, projector) = (rig.route().await, rig.project().await);
    let acme = rig.tenant("acme", "111").await;
    rig.write(&acme, "111", 0..3, "a").await;
    let kept = rig.keep(&acme).await;
    let keeper = rig.keeper();
    let backup = keeper.backup_create(BackupKind::Monthly).await.unwrap();
    // As far as the file, and no further.
    let first = rig.parts.root.key_ids()[0].clone();
    rig.parts.root.rotate().unwrap();
    let of_first = format!("SELECT count(*) FROM tenant_key WHERE id_key LIKE 'v2.{first}.%'");
    assert_eq!(rig.count_keys(&of_first), 1);
    let plan = keeper.plan().await.unwrap();
    assert_eq!(plan.iter().find(|row| row.class == "root_generation").unwrap().due, 0);
    keeper.sweep(false).await.unwrap();
    assert_eq!(rig.count_keys(&of_first), 0);
    assert_eq!(rig.opens(&kept).await, kept.len());
    rig.set_day(9);
    keeper.sweep(false).await.unwrap();
    assert_eq!(rig.parts.root.key_ids().len(), 1, "a monthly backup needs no old generation");
    // Its key was sealed again.
    keeper.backup_restore(&backup.id).await.unwrap();
    assert_eq!(rig.shown(&acme).await.len(), 3);
    router.stop().await;
    projector.stop().await;
}
