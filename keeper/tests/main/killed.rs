//! The keeper's process is killed after each step of an erasure; the next one goes on where it was.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use keeper::Config;
use schemas::ErasureState;
use service::Clock;
use tokio_util::sync::CancellationToken;

use crate::rig::{DEADLINE, Places, Rig, until};

const STEPS: [&str; 8] = ["shredded", "told", "evicted", "rows", "objects", "records", "verified", "ledger"];
const SIGABRT: i32 = 6;

impl Places {
    fn to_environment(&self, command: &mut Command) {
        command
            .env("KEEPER_TEST_VIEWS", &self.views)
            .env("KEEPER_TEST_KEYRING", &self.keyring)
            .env("KEEPER_TEST_FOLDER", &self.folder)
            .env("KEEPER_TEST_S3", &self.s3)
            .env("KEEPER_TEST_ACCESS", format!("{} {}", self.access.0, self.access.1));
    }

    fn from_environment() -> Option<Self> {
        let of = |name: &str| std::env::var(format!("KEEPER_TEST_{name}")).ok();
        let access = of("ACCESS")?;
        let (key, secret) = access.split_once(' ')?;
        Some(Self {
            views: of("VIEWS")?,
            keyring: of("KEYRING")?,
            folder: PathBuf::from(of("FOLDER")?),
            s3: of("S3")?,
            access: (key.to_owned(), secret.to_owned()),
        })
    }
}

/// Not a test of its own: the process that the next one kills.
#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_of_its_own() {
    let Some(places) = Places::from_environment() else { return };
    let parts = places.open().await;
    let keeper = parts.keeper(Config::default(), Clock::system());
    let stop = CancellationToken::new();
    let running = tokio::spawn(keeper.run(stop.clone()));
    until("every erasure is done", || async {
        let state = parts.plane.state();
        state.people.erasures.values().all(|erasure| matches!(erasure.state, ErasureState::Done(_)))
    })
    .await;
    stop.cancel();
    running.await.unwrap().unwrap();
    parts.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_goes_on_after_a_kill_at_every_step() {
    let mut rig = Rig::start().await;
    let (router, projector) = (rig.route().await, rig.project().await);
    let acme = rig.tenant("acme", "111").await;
    let people = u32::try_from(STEPS.len()).unwrap();
    rig.write(&acme, "111", 0..people + 2, "a").await;
    let kept = rig.keep(&acme).await;
    router.stop().await;
    projector.stop().await;

    let mut forgotten = Vec::new();
    for (person, step) in (0..people).zip(STEPS) {
        forgotten.extend(rig.ask_to_forget(&acme, person..person + 1).await);
        rig.parts.end().await;
        let run = async |dies_after: Option<&str>| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "killed::a_keeper_of_its_own", "--test-threads", "1"]);
            rig.places.to_environment(&mut command);
            if let Some(step) = dies_after {
                command.env("TIDINGS_KEEPER_DIES_AFTER", step);
            }
            let ended = tokio::task::spawn_blocking(move || command.output().unwrap());
            tokio::time::timeout(DEADLINE + Duration::from_secs(10), ended).await.unwrap().unwrap()
        };
        let killed = run(Some(step)).await;
        assert_eq!(
            killed.status.signal(),
            Some(SIGABRT),
            "after {step}: {}",
            String::from_utf8_lossy(&killed.stdout)
        );
        let ended = run(None).await;
        assert!(ended.status.success(), "after {step}: {}", String::from_utf8_lossy(&ended.stdout));
        rig.parts = rig.places.open().await;
        assert!(forgotten.iter().all(|(id, _)| rig.is_done(*id)), "after {step}");
    }
    let of: Vec<_> = kept
        .iter()
        .filter(|one| forgotten.iter().any(|(_, subject)| Some(*subject) == one.subject))
        .cloned()
        .collect();
    let opened = rig.opens(&of).await;
    let objects = rig.objects("attachments/acme/").await.len();
    let events = rig.events(&acme).await.len();
    let mut rows = 0;
    for (_, subject) in &forgotten {
        rows += rig.parts.views.rows_of(&acme, *subject).await.unwrap();
    }
    println!(
        "promise=erasure-killed steps={} opened={opened} rows={rows} objects={} records={}",
        STEPS.len(),
        objects - 2,
        events - 6
    );
    assert_eq!((opened, rows, objects, events, of.len()), (0, 0, 2, 6, 24));
    assert_eq!(rig.shown(&acme).await.len(), 2, "nobody else is gone");
    assert_eq!(rig.objects("ledger/").await.len(), STEPS.len());
}
