//! What only the embedded log can show: one process, killed; one folder; a torn file.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use eventlog::{
    Delivery, EmbeddedConfig, EventLog, LogError, Retention, Start, Topic, TopicPartition, TopicSpec,
};

use crate::stage::{Stage, append, batch, read_from, record, soon, subscription, text};

const FOLDER: &str = "TIDINGS_TEST_APPEND_IN";
const PARTITIONS: u32 = 3;

fn topic() -> Topic {
    Topic::new("raw").unwrap()
}

async fn open(folder: &Path) -> EventLog {
    EventLog::embedded(EmbeddedConfig::new(folder)).await.unwrap()
}

/// The process that the tests below kill: run by hand it has nothing to do. It appends numbered records as fast as it can
/// and prints `partition offset number` only once the log has confirmed one.
#[tokio::test(flavor = "multi_thread")]
async fn the_child_that_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let log = open(Path::new(&folder)).await;
    log.ensure(&TopicSpec { topic: topic(), partitions: PARTITIONS, retention: Retention::Forever })
        .await
        .unwrap();
    let (waiting, mut confirmed) = tokio::sync::mpsc::channel(2_000);
    tokio::spawn(async move {
        let run = std::process::id();
        for number in 0_u64.. {
            let at = TopicPartition::new(&topic(), u32::try_from(number % u64::from(PARTITIONS)).unwrap());
            let body = format!("{run}-{number}-{}", "x".repeat(usize::try_from(number % 700).unwrap()));
            let pending = log.append(&at, record(body.clone())).unwrap();
            waiting.send((at.partition, body, pending)).await.unwrap();
        }
    });
    while let Some((partition, body, pending)) = confirmed.recv().await {
        let offset = pending.await.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nconfirmed {partition} {offset} {body}").unwrap();
        out.flush().unwrap();
    }
}

/// What the child was told is durable.
struct Confirmed {
    partition: u32,
    offset: u64,
    body: String,
}

/// Starts the child and kills it -9 after so many confirmations; all that it was told until then.
fn append_and_die(folder: &Path, after: usize) -> Vec<Confirmed> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "embedded::the_child_that_is_killed", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = Vec::new();
    for line in lines {
        let line = line.unwrap();
        let Some(rest) = line.strip_prefix("confirmed ") else { continue };
        let mut words = rest.split(' ');
        // The last line may be cut.
        let (Some(partition), Some(offset), Some(body)) = (words.next(), words.next(), words.next()) else {
            break;
        };
        let (Ok(partition), Ok(offset)) = (partition.parse(), offset.parse()) else { break };
        told.push(Confirmed { partition, offset, body: body.to_owned() });
        if told.len() == after {
            kill(&mut child);
        }
    }
    kill(&mut child);
    assert!(told.len() >= after, "the child ended by itself after {} confirmations", told.len());
    // The very last body may have been cut while it was printed.
    told.pop();
    told
}

fn kill(child: &mut Child) {
    // SIGKILL; it may be dead already.
    let _ = child.kill();
    let _ = child.wait();
}

/// Everything confirmed is there, at its offset; offsets are dense; nothing is there that was not appended.
async fn check(log: &EventLog, told: &[Confirmed]) {
    for partition in 0..PARTITIONS {
        let found = read_from(log, &TopicPartition::new(&topic(), partition), 0).await;
        for (expected, stored) in (0..).zip(&found) {
            assert_eq!(stored.offset, expected);
            let body = text(stored);
            let mut words = body.split('-');
            let number: u64 = words.nth(1).unwrap().parse().unwrap();
            assert_eq!(number % u64::from(PARTITIONS), u64::from(partition), "invented: {body}");
            assert_eq!(words.next().unwrap().len() as u64, number % 700, "cut: {body}");
        }
        for told in told.iter().filter(|told| told.partition == partition) {
            let kept = found.get(usize::try_from(told.offset).unwrap()).map(text);
            assert_eq!(kept.as_ref(), Some(&told.body), "lost at {partition}/{}", told.offset);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_confirmed_is_lost_when_the_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("log");
    let mut told = Vec::new();
    for after in [1, 700, 3_000, 20_000, 50] {
        let store = store.clone();
        let more = tokio::task::spawn_blocking(move || append_and_die(&store, after)).await.unwrap();
        told.extend(more);
    }
    let log = open(&store).await;
    check(&log, &told).await;
    // And it goes on.
    let at = TopicPartition::new(&topic(), 0);
    let end = log.bounds(&at).await.unwrap().end;
    assert_eq!(append(&log, &at, record("after")).await, end);
}

/// What every batch in a journal ends with.
const TRAILER: &[u8] = b"FJL\x03";

/// The newest journal of the store, and how many of its bytes hold whole batches: a kill may have cut the last one.
fn journal(store: &Path) -> (PathBuf, u64) {
    let number = |path: &Path| path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
    let journals = std::fs::read_dir(store.join("store")).unwrap().map(|entry| entry.unwrap().path());
    let journals = journals.filter(|path| path.extension().is_some_and(|extension| extension == "jnl"));
    let newest = journals.max_by_key(|path| number(path)).expect("a journal");
    let bytes = std::fs::read(&newest).unwrap();
    let used = bytes.windows(TRAILER.len()).rposition(|window| window == TRAILER).expect("a batch");
    (newest, (used + TRAILER.len()) as u64)
}

/// A store that was killed, its confirmations, and its journal.
async fn killed() -> (tempfile::TempDir, PathBuf, Vec<Confirmed>) {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("log");
    let at = store.clone();
    let told = tokio::task::spawn_blocking(move || append_and_die(&at, 20_000)).await.unwrap();
    (folder, store, told)
}

/// What a crash in the middle of a write leaves: part of a batch that nobody was told of.
#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_costs_nothing_that_was_confirmed() {
    let (_folder, store, told) = killed().await;
    // A real batch, cut: the store's own bytes, from its beginning.
    let (path, used) = journal(&store);
    let bytes = std::fs::read(&path).unwrap();
    let whole = &bytes[..usize::try_from(used).unwrap()];
    for torn in
        [&whole[..1], &whole[..9], &whole[..40], b"garbage that is no batch".as_slice(), &[0xFF; 5_000]]
    {
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(used).unwrap();
        drop(file);
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(torn).unwrap();
        drop(file);
        let log = open(&store).await;
        check(&log, &told).await;
        log.close(Duration::from_secs(5)).await;
        drop(log);
        // Opening may have moved on to the next journal, or cut the torn part off.
        let (now, _) = journal(&store);
        if now != path {
            return;
        }
    }
}

/// The first whole batch of a journal, with one byte of its last value changed: a page that never reached the disk.
fn damaged_batch(journal: &[u8]) -> Vec<u8> {
    let trailer = journal.windows(TRAILER.len()).position(|window| window == TRAILER).expect("a batch");
    let mut batch = journal[..trailer + TRAILER.len()].to_vec();
    // The end: its tag, a checksum of eight bytes, the trailer.
    let last_of_value = trailer - 8 - 1 - 1;
    batch[last_of_value] ^= 0x55;
    batch
}

/// What a power cut may leave: the last batch is all there but for a page.
#[tokio::test(flavor = "multi_thread")]
async fn a_last_batch_with_a_missing_page_is_set_aside() {
    let (_folder, store, told) = killed().await;
    let (path, used) = journal(&store);
    let whole = std::fs::read(&path).unwrap();
    let whole = &whole[..usize::try_from(used).unwrap()];
    let torn = [whole, &damaged_batch(whole)].concat();
    std::fs::write(&path, &torn).unwrap();
    let log = open(&store).await;
    check(&log, &told).await;
    append(&log, &TopicPartition::new(&topic(), 0), record("after")).await;
    assert_eq!(std::fs::read(path.with_extension("torn")).unwrap(), torn, "kept for whoever wants to know");
    log.close(Duration::from_secs(5)).await;
    drop(log);
    check_with_after(&open(&store).await, &told).await;
}

async fn check_with_after(log: &EventLog, told: &[Confirmed]) {
    let at = TopicPartition::new(&topic(), 0);
    let found = read_from(log, &at, 0).await;
    assert_eq!(found.last().map(text).as_deref(), Some("after"));
    for told in told.iter().filter(|told| told.partition == 0) {
        assert_eq!(text(&found[usize::try_from(told.offset).unwrap()]), told.body);
    }
}

/// Damage to what was confirmed is never mended by throwing it away.
#[tokio::test(flavor = "multi_thread")]
async fn damage_before_the_last_batch_is_said_and_left_alone() {
    let (_folder, store, _) = killed().await;
    let (path, used) = journal(&store);
    let whole = std::fs::read(&path).unwrap();
    let whole = &whole[..usize::try_from(used).unwrap()];
    let damaged = damaged_batch(whole);
    let first = damaged.len();
    let damaged = [&damaged, &whole[first..]].concat();
    std::fs::write(&path, &damaged).unwrap();
    let refused = EventLog::embedded(EmbeddedConfig::new(&store)).await.err().unwrap();
    assert!(matches!(refused, LogError::Fatal { .. }), "{refused}");
    assert!(std::fs::read(&path).unwrap() == damaged, "the journal was changed");
}

/// A file that lost its end loses what was in it, and nothing before.
#[tokio::test(flavor = "multi_thread")]
async fn a_shortened_store_keeps_what_is_before_the_cut() {
    let (_folder, store, told) = killed().await;
    let (path, used) = journal(&store);
    let cut = used - used / 10;
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(cut).unwrap();
    let log = open(&store).await;
    let mut kept = 0;
    for partition in 0..PARTITIONS {
        let found = read_from(&log, &TopicPartition::new(&topic(), partition), 0).await;
        assert!((0..).zip(&found).all(|(expected, stored)| stored.offset == expected), "a hole");
        let told = told.iter().filter(|told| told.partition == partition && told.offset < found.len() as u64);
        for told in told {
            assert_eq!(text(&found[usize::try_from(told.offset).unwrap()]), told.body);
        }
        kept += found.len();
    }
    assert!(kept >= told.len() / 2, "only {kept} of {} are left", told.len());
    append(&log, &TopicPartition::new(&topic(), 0), record("after")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_folder_belongs_to_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("log");
    let log = open(&store).await;
    let refused = soon("a refusal", EventLog::embedded(EmbeddedConfig::new(&store))).await.err().unwrap();
    assert!(matches!(refused, LogError::InUse { .. }), "{refused}");
    assert!(refused.to_string().contains("--kafka"), "{refused}");
    log.close(Duration::from_secs(5)).await;
    drop(log);
    open(&store).await;
}

/// A member that is slow to say where to begin loses a partition meanwhile and gets it back. Kafka's waits for the answer before it
/// takes anything back.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_what_was_taken_back_begins_nothing() {
    let stage = Stage::embedded();
    let log = stage.open().await;
    let topic = stage.topic(&log, 2, Retention::Forever).await;
    for number in 0..100 {
        append(&log, &TopicPartition::new(&topic, number % 2), record(number.to_string())).await;
    }
    let mut member = log.subscribe(subscription("g", "a", &topic)).await.unwrap();
    let next = async |member: &mut eventlog::Consumer| soon("a delivery", member.next()).await.unwrap();
    let Delivery::Assigned(first) = next(&mut member).await else { panic!("both are this one's") };
    let both = first.partitions.clone();
    assert_eq!(both.len(), 2);
    let other = log.subscribe(subscription("g", "b", &topic)).await.unwrap();
    let Delivery::Revoked(revocation) = next(&mut member).await else { panic!("one goes to the other") };
    let moved = revocation.partitions[0].clone();
    drop(revocation);
    drop(other);
    let Delivery::Assigned(again) = next(&mut member).await else { panic!("it comes back") };
    assert_eq!(again.partitions, std::slice::from_ref(&moved));

    // Only the one that stayed begins by the first answer.
    first.start(both.into_iter().map(|at| (at, Start::Offset(0))).collect());
    let stayed = batch(&mut member).await;
    assert_ne!(stayed.source, moved);
    // What comes later of the one overtakes all that the other holds.
    append(&log, &stayed.source, record("later")).await;
    let later = batch(&mut member).await;
    assert_eq!((later.source, text(&later.records[0])), (stayed.source, "later".to_owned()));
    again.start(HashMap::from([(moved.clone(), Start::Offset(40))]));
    let came_back = batch(&mut member).await;
    assert_eq!((came_back.source, came_back.records[0].offset), (moved, 40));
}
