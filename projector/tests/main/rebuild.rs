//! The conversation view made anew while it is written and read, broken off and gone on with.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use eventlog::{EmbeddedConfig, EventLog, Record};
use projector::{
    Config, RebuildConfig, RebuildError, RebuildParts, RebuildProgress, RebuildReport, RebuildStage, rebuild,
};
use schemas::{SealedEvent, SubjectId, Topics};
use secrecy::ExposeSecret;
use store::{ViewsDb, ViewsRole};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::history::{history, tenants, text};
use crate::rig::{Rig, Shown, shown, until, views};

fn parts(rig: &Rig) -> RebuildParts {
    RebuildParts {
        views: rig.url.clone(),
        log: rig.log.clone(),
        topics: rig.topics.clone(),
        ended: Arc::new(BTreeSet::new),
    }
}

/// Small batches: there is more to break off.
fn small() -> RebuildConfig {
    RebuildConfig { max_batch: 100, workers: 2, ..RebuildConfig::default() }
}

/// The view made anew, undisturbed.
async fn made(rig: &Rig, config: &RebuildConfig) -> RebuildReport {
    made_of(&parts(rig), config).await
}

async fn made_of(parts: &RebuildParts, config: &RebuildConfig) -> RebuildReport {
    in_turn(parts, config).await.unwrap()
}

/// What comes of making it anew, once nobody else holds the turn: a session that was ended may for a moment.
async fn in_turn(parts: &RebuildParts, config: &RebuildConfig) -> Result<RebuildReport, RebuildError> {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        match rebuild(parts, config, |_| {}).await {
            Err(RebuildError::Running) if Instant::now() < end => {
                tokio::time::sleep(Duration::from_millis(20)).await
            }
            ended => return ended,
        }
    }
}

/// The same events projected into a view of its own, without whoever was forgotten.
async fn expected(rig: &Rig, events: &[SealedEvent], forgotten: &[SubjectId]) -> Shown {
    let url = views(&rig.postgres).await;
    let keeper = ViewsDb::connect(&url, ViewsRole::Keeper, 1).await.unwrap();
    for person in forgotten {
        keeper.forget(&tenants()[0], *person).await.unwrap();
    }
    let db = ViewsDb::connect(&url, ViewsRole::Projector, 1).await.unwrap();
    let step =
        store::OffsetMove { projection: "conversation", topic: "events", partition: 0, expected: 0, next: 1 };
    db.apply_conversation(&step, &projector::fold(events)).await.unwrap();
    shown(&url).await
}

/// How many records the live projection has behind it.
async fn projected(db: &ViewsDb) -> u64 {
    let offsets = db.offsets().await.unwrap();
    offsets.iter().filter(|at| at.projection == "conversation").map(|at| at.next).sum()
}

/// Who is forgotten in the middle of it.
const FORGOTTEN: [SubjectId; 3] =
    [SubjectId::from_bytes([60; 16]), SubjectId::from_bytes([61; 16]), SubjectId::from_bytes([62; 16])];

/// Reads everything again and again until told to stop; how often, and the longest it took. Any failure fails the test.
async fn reads(reader: ViewsDb, stop: Arc<AtomicBool>) -> (u64, Duration) {
    let (mut reads, mut longest) = (0, Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        for tenant in tenants() {
            let began = Instant::now();
            let conversations = reader.conversations(&tenant, 50, None).await.expect("conversations");
            longest = longest.max(began.elapsed());
            for conversation in conversations.iter().take(3) {
                let began = Instant::now();
                let messages =
                    reader.messages(&tenant, &[conversation.id], 50, None).await.expect("messages");
                longest = longest.max(began.elapsed());
                let goes = conversation.subject.is_some_and(|person| FORGOTTEN.contains(&person));
                assert!(
                    goes || !messages.is_empty() || conversation.messages == 0,
                    "a conversation lost its messages"
                );
                reads += 1;
            }
            reads += 1;
        }
    }
    (reads, longest)
}

const WRONG: [&str; 4] = [
    "UPDATE message SET content = 'what nobody ever wrote' WHERE tenant_id = 'acme' AND message_id =
         (SELECT message_id FROM message WHERE tenant_id = 'acme' AND subject_id = '\\x63636363636363636363636363636363' ORDER BY 1 LIMIT 1)",
    "INSERT INTO conversation VALUES ('acme', '\\x0102030405060708090a0b0c0d0e0f10', 'whatsapp', 'whatsapp:10001', NULL, 1)",
    "DELETE FROM message WHERE tenant_id = 'acme' AND message_id =
         (SELECT message_id FROM message WHERE tenant_id = 'acme' AND subject_id = '\\x63636363636363636363636363636363' ORDER BY 1 DESC LIMIT 1)",
    "INSERT INTO attachment (tenant_id, attachment_id, rank, at_ms) VALUES ('other', '\\x0102030405060708090a0b0c0d0e0f10', 4, 1)",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_view_is_made_anew_while_it_is_written_and_read() {
    const READERS: usize = 3;
    let rig = Arc::new(Rig::start().await);
    let keeper = ViewsDb::connect(&rig.url, ViewsRole::Keeper, 2).await.unwrap();
    let projector = rig.project(Config::default()).await;
    let mut sent = history(3, 800);
    sent.extend((0..3_000).map(|n| text(n, 60 + (n % 40) as u8)));
    rig.events(&sent).await;
    rig.caught_up().await;

    // It goes on being written: nobody waits for the rebuild. Everybody who will be forgotten has written before.
    let stop = Arc::new(AtomicBool::new(false));
    let (written, before) = (Arc::new(AtomicU64::new(0)), sent.len());
    let writing = tokio::spawn({
        let (rig, stop, written) = (rig.clone(), stop.clone(), written.clone());
        async move {
            let db = rig.reader().await;
            let mut later: Vec<SealedEvent> = Vec::new();
            for n in 10_000.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let some: Vec<_> = (0..20).map(|i| text(n * 20 + i, 60 + ((n + i) % 40) as u8)).collect();
                rig.events(&some).await;
                later.extend(some);
                written.fetch_add(20, Ordering::Relaxed);
                // As fast as they are shown, and no faster.
                let all = (before + later.len()) as u64;
                until("they are shown", || async { projected(&db).await == all }).await;
            }
            later
        }
    });
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        readers.spawn(reads(rig.reader().await, stop.clone()));
    }

    // Broken off in the middle, three times; each goes on where the last one was.
    let mut broken_off = Vec::new();
    let end = Instant::now() + Duration::from_secs(60);
    while broken_off.len() < 3 {
        let (read, enough) = (AtomicU64::new(0), Notify::new());
        let (parts, config) = (parts(&rig), small());
        let making = rebuild(&parts, &config, |progress: RebuildProgress| {
            read.store(progress.read, Ordering::Relaxed);
            // Where little is left to read, it is broken off while it compares.
            if progress.read > 300 || progress.stage != RebuildStage::Reading {
                enough.notify_one();
            }
        });
        tokio::select! {
            biased;
            () = enough.notified() => broken_off.push(read.load(Ordering::Relaxed)),
            ended = making => match ended {
                // The last one still holds the turn, or was committing when this one looked.
                Err(cause) if cause.is_passing() && Instant::now() < end => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                ended => panic!("it was not broken off: {ended:?}"),
            },
        }
    }

    // Somebody is forgotten while it goes on: before their rows are beside, and after.
    for person in FORGOTTEN {
        assert!(keeper.forget(&tenants()[0], person).await.unwrap() > 0);
    }
    for wrong in WRONG {
        rig.ask(wrong);
    }
    let report = tokio::spawn({
        let rig = rig.clone();
        async move { made(&rig, &small()).await }
    });
    let report = report.await.unwrap();
    let reached = written.load(Ordering::Relaxed);
    until("it goes on being written", || async { written.load(Ordering::Relaxed) > reached + 200 }).await;
    stop.store(true, Ordering::Relaxed);
    sent.extend(writing.await.unwrap());
    let (mut done, mut longest) = (0, Duration::ZERO);
    while let Some(reader) = readers.join_next().await {
        let (each, slowest) = reader.unwrap();
        done += each;
        longest = longest.max(slowest);
    }
    rig.caught_up().await;

    assert!(report.switched);
    let differs: Vec<_> = report
        .tables
        .iter()
        .filter(|table| table.differs > 0)
        .map(|table| (table.table, table.differs, table.resealed))
        .collect();
    assert_eq!(differs, [("conversation", 1, 0), ("message", 2, 1), ("attachment", 1, 0)]);
    let live: BTreeSet<_> = sent.iter().map(|event| event.id).collect();
    assert_eq!(live.len(), sent.len());
    assert!(
        shown(&rig.url).await == expected(&rig, &sent, &FORGOTTEN).await,
        "the view says what the log says"
    );
    for person in FORGOTTEN {
        assert_eq!(keeper.rows_of(&tenants()[0], person).await.unwrap(), 0);
    }

    // Once more, with nothing wrong: the same.
    let again = made(&rig, &RebuildConfig::default()).await;
    assert_eq!((again.differs, again.unreadable, again.switched), (0, 0, true));
    assert_eq!(again.read, sent.len() as u64);
    // Nothing but rows hangs on it: every item was counted once, by the live one.
    let db = rig.reader().await;
    until("folded", || async { db.unfolded_coverage().await.unwrap().is_none() }).await;
    let projected: u64 = rig.ask("SELECT sum(projected) FROM coverage_tenant").parse().unwrap();
    let items: BTreeSet<_> = sent.iter().map(|event| event.raw).collect();
    assert_eq!(projected, items.len() as u64);
    println!(
        "promise=rebuild readers={READERS} reads={done} failed_reads=0 longest_read_ms={} rows={} differs={} then_differs={} \
         broken_off={} forgotten={} recovered=0 seconds={:.1}",
        longest.as_millis(),
        report.rows,
        report.differs,
        again.differs,
        broken_off.len(),
        FORGOTTEN.len(),
        report.seconds
    );
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_and_changes_nothing() {
    let rig = Rig::start().await;
    let projector = rig.project(Config::default()).await;
    let events: Vec<_> = (0..500).map(|n| text(n, 99 - (n % 3) as u8)).collect();
    rig.events(&events).await;
    rig.caught_up().await;
    for wrong in WRONG {
        rig.ask(wrong);
    }
    let before = shown(&rig.url).await;
    let mut stages = Vec::new();
    let config = RebuildConfig { dry_run: true, ..small() };
    let tell = |progress: RebuildProgress| {
        assert!(progress.read <= progress.total);
        stages.push(progress.stage);
    };
    let report = rebuild(&parts(&rig), &config, tell).await.unwrap();
    stages.dedup();
    assert_eq!(stages, [RebuildStage::Comparing], "so little is read at once");
    assert_eq!((report.differs, report.resealed, report.switched), (4, 1, false));
    assert!(shown(&rig.url).await == before);
    let left = "SELECT count(*) FROM pg_tables WHERE schemaname IN ('rebuild', 'retired')";
    assert_eq!(rig.ask(left), "0");
    // In earnest; a record that is none is passed over and told of.
    let record = Record { value: Some("{".into()), ..Record::default() };
    rig.log.append(&rig.at(rig.topics.events(), 0), record).unwrap().await.unwrap();
    rig.caught_up().await;
    let report = made(&rig, &RebuildConfig::default()).await;
    assert_eq!((report.differs, report.unreadable, report.switched), (4, 1, true));
    assert!(shown(&rig.url).await == expected(&rig, &events, &[]).await);
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_tenant_does_not_come_back_and_a_view_ahead_is_not_gone_on_with() {
    let rig = Rig::start().await;
    let projector = rig.project(Config::default()).await;
    let keeper = ViewsDb::connect(&rig.url, ViewsRole::Keeper, 1).await.unwrap();
    let [acme, other] = tenants();
    rig.events(&history(5, 800)).await;
    rig.caught_up().await;
    assert!(keeper.forget_tenant(&other).await.unwrap() > 0);
    let gone = BTreeSet::from([other.clone()]);
    let parts = RebuildParts { ended: Arc::new(move || gone.clone()), ..parts(&rig) };
    let report = rebuild(&parts, &RebuildConfig::default(), |_| {}).await.unwrap();
    assert_eq!((report.differs, report.switched), (0, true), "{:?}", report.tables);
    assert!(shown(&rig.url).await.iter().all(|(tenant, ..)| *tenant == acme.as_str()));
    let rows = "SELECT (SELECT count(*) FROM message WHERE tenant_id = 'other') + (SELECT count(*) FROM status WHERE tenant_id = 'other')";
    assert_eq!(rig.ask(rows), "0");
    projector.stop().await;

    // The live view is set back, as by a restore, while nobody brings it forward again: it is left as it is.
    let place = "projection = 'conversation' AND partition = 0";
    rig.ask(&format!("UPDATE projection_offset SET next = next - 5 WHERE {place}"));
    let at = rig.ask(&format!("SELECT next FROM projection_offset WHERE {place}"));
    let hasty = RebuildConfig { patience: Duration::from_millis(200), ..RebuildConfig::default() };
    let refused = in_turn(&parts, &hasty).await.unwrap_err();
    assert!(matches!(refused, RebuildError::Behind { records: 5 }) && !refused.is_passing(), "{refused}");
    assert_eq!(rig.ask(&format!("SELECT next FROM projection_offset WHERE {place}")), at);
    rig.ask(&format!("UPDATE projection_offset SET next = next - 5 WHERE {place}"));
    // What was made is ahead of it now, and begins anew; where the log ends is further than the live view is.
    let dry = RebuildConfig { dry_run: true, ..RebuildConfig::default() };
    assert_eq!(made_of(&parts, &dry).await.read, 790);
    // Whoever projects on brings both to the end.
    let projector = rig.project(Config::default()).await;
    rig.caught_up().await;
    assert_eq!(made_of(&parts, &RebuildConfig::default()).await.read, 800);
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_compacted_away_is_not_waited_for() {
    let rig = Rig::on(|config| {
        (config.sweep_every, config.compaction_lag) = (Duration::from_millis(20), Duration::ZERO);
    })
    .await;
    let projector = rig.project(Config::default()).await;
    let events: Vec<_> = (0..900).map(|n| text(n, (n % 30) as u8)).collect();
    rig.events(&events).await;
    rig.caught_up().await;
    projector.stop().await;
    let before = shown(&rig.url).await;
    let place = projected(&rig.reader().await).await;
    // All of it comes once more while nobody projects: what the view was made from leaves the log.
    rig.events(&events).await;
    let first = async |partition| {
        let at = rig.at(rig.topics.events(), partition);
        let mut reader = rig.log.reader(&at, 0).await.unwrap();
        let wait = Duration::from_secs(5);
        reader.next(1, wait).await.unwrap().first().map_or(0, |stored| stored.offset)
    };
    until("it is compacted", || async { first(0).await + first(1).await + first(2).await == place }).await;
    let dry = RebuildConfig { dry_run: true, ..RebuildConfig::default() };
    let report = made(&rig, &dry).await;
    assert_eq!((report.read, report.rows, report.differs), (place, 0, 930));
    // That must not take its place.
    let hasty = RebuildConfig { patience: Duration::from_millis(200), ..RebuildConfig::default() };
    let refused = in_turn(&parts(&rig), &hasty).await.unwrap_err();
    assert!(matches!(refused, RebuildError::Behind { records: 900 }), "{refused}");
    assert!(shown(&rig.url).await == before);
    // Once the live one has read on, both have everything.
    let projector = rig.project(Config::default()).await;
    rig.caught_up().await;
    let report = made(&rig, &RebuildConfig::default()).await;
    assert_eq!((report.rows, report.differs, report.switched), (930, 0, true));
    assert!(shown(&rig.url).await == before);
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lacks_its_beginning_is_refused() {
    let rig = Rig::start().await;
    let projector = rig.project(Config::default()).await;
    let events: Vec<_> = (0..50).map(|n| text(n, 99)).collect();
    rig.events(&events).await;
    rig.caught_up().await;
    let before = shown(&rig.url).await;
    for partition in 0..3 {
        rig.log.truncate(&rig.at(rig.topics.events(), partition)).await.unwrap();
    }
    let refused = rebuild(&parts(&rig), &RebuildConfig::default(), |_| {}).await.unwrap_err();
    assert!(matches!(refused, RebuildError::Shortened { earliest, .. } if earliest > 0), "{refused}");
    assert!(shown(&rig.url).await == before);
    projector.stop().await;
}

/// What a process does that is about to be killed. It is only one when its parent says so.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_makes_the_view_anew() {
    let (Ok(folder), Ok(url)) = (std::env::var("REBUILD_LOG"), std::env::var("REBUILD_URL")) else { return };
    let end = Instant::now() + Duration::from_secs(60);
    let log = loop {
        // Whoever had it a moment ago may not have let go of it.
        match EventLog::embedded(EmbeddedConfig::new(&folder)).await {
            Err(_) if Instant::now() < end => tokio::time::sleep(Duration::from_millis(20)).await,
            log => break log.unwrap(),
        }
    };
    let parts =
        RebuildParts { views: url.into(), log, topics: Topics::default(), ended: Arc::new(BTreeSet::new) };
    let config = RebuildConfig { max_batch: 20, workers: 2, ..RebuildConfig::default() };
    loop {
        match rebuild(&parts, &config, |_| {}).await {
            // The one that was killed is still believed to be there.
            Err(cause) if cause.is_passing() && Instant::now() < end => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            report => return assert!(report.unwrap().switched),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_leaves_what_the_next_one_goes_on_with() {
    const EVENTS: u64 = 8_000;
    let rig = Rig::start().await;
    let projector = rig.project(Config::default()).await;
    let events: Vec<_> = (0..EVENTS).map(|n| text(n, (n % 100) as u8)).collect();
    rig.events(&events).await;
    rig.caught_up().await;
    projector.stop().await;
    let before = shown(&rig.url).await;
    for wrong in WRONG {
        rig.ask(wrong);
    }
    let (url, postgres, folder) = rig.leave_log().await;
    let ask = |sql: &str| crate::rig::ask(&url, sql);
    let child = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "rebuild::child_that_makes_the_view_anew", "--nocapture"])
            .env("REBUILD_LOG", folder.path().join("log"))
            .env("REBUILD_URL", url.expose_secret())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let place = || -> u64 {
        let sql =
            "SELECT coalesce(sum(next), 0) FROM projection_offset WHERE projection = 'conversation-rebuild'";
        ask(sql).parse().unwrap()
    };
    let mut places = Vec::new();
    for wanted in [500, 2_500, 5_000] {
        let mut running = child();
        until("it is on its way", || {
            assert!(running.try_wait().unwrap().is_none(), "it ended before it was killed");
            std::future::ready(place() >= wanted)
        })
        .await;
        running.kill().unwrap();
        running.wait().unwrap();
        places.push(place());
        // Half made, it is nothing that anybody reads.
        assert_eq!(ask("SELECT count(*) FROM attachment WHERE tenant_id = 'other'"), "1");
    }
    assert!(places.is_sorted() && places.iter().all(|place| *place < EVENTS), "{places:?}");
    // The last one is killed wherever it is, and then as often as it takes: also around the switch.
    let mut kills = places.len();
    let mut pause = Duration::from_millis(100);
    loop {
        let mut running = child();
        let end = Instant::now() + pause;
        let ended = loop {
            if let Some(status) = running.try_wait().unwrap() {
                assert!(status.success());
                break true;
            }
            if Instant::now() > end {
                break false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        if ended {
            break;
        }
        running.kill().unwrap();
        running.wait().unwrap();
        kills += 1;
        pause = pause.mul_f64(1.5);
    }
    assert!(shown(&url).await == before);
    assert_eq!(ask("SELECT count(*) FROM pg_tables WHERE schemaname IN ('rebuild', 'retired')"), "0");
    assert_eq!(ask("SELECT count(*) FROM projection_offset WHERE projection LIKE '%rebuild'"), "0");
    println!("promise=rebuild-killed events={EVENTS} kills={kills} places={places:?} wrong_rows=0");
    drop(postgres);
}
