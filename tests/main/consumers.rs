//! The example consumers of `docs/examples`: killed, fed repeats, refused. Each event counts once in what they keep.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use eventlog::{EventLog, Header, KafkaConfig, Record, Retention, Topic, TopicPartition, TopicSpec};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::broker::Broker;
use crate::feed::python;
use crate::process::free_port;
use crate::rig::{Up, delivery, whatsapp};

const FEED: &str = "inbox.mine";
const PATIENCE: Duration = Duration::from_secs(120);
/// More than what can be read between all the kills.
const MESSAGES: usize = 2000;
/// What the pipe of its lines holds: a consumer whose lines nobody reads is stopped in the middle.
const PIPE_BYTES: i32 = 4096;
/// When it is killed, each time begun again.
const KILLS: [Kill; 6] =
    [Kill::Blocked(1), Kill::Writing, Kill::Writing, Kill::Blocked(60), Kill::Writing, Kill::Writing];

#[derive(Debug, Clone, Copy)]
enum Kill {
    /// When it has printed this many lines, and waits for more of them to be read.
    Blocked(usize),
    /// While all its lines are read, at the moment its files change.
    Writing,
}

#[derive(Debug, Clone, Copy)]
enum Language {
    Python,
    Node,
}

/// One of the examples on a state of its own.
struct Example {
    language: Language,
    folder: TempDir,
}

impl Example {
    fn new(language: Language) -> Self {
        Self { language, folder: tempfile::tempdir().unwrap() }
    }

    fn command(&self, args: &[&str]) -> Command {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples");
        let mut command = match self.language {
            Language::Python => {
                let mut command = Command::new(python());
                command.env("PYTHONDONTWRITEBYTECODE", "1").arg(examples.join("follow_feed.py"));
                command
            }
            Language::Node => {
                for package in ["@platformatic/kafka", "cloudevents"] {
                    let is_there = examples.join("node_modules").join(package).exists();
                    assert!(is_there, "the package {package} is missing: run `make setup`");
                }
                let mut command = Command::new("node");
                command.arg(examples.join("follow_feed.mjs"));
                command
            }
        };
        // A test's own settings must not reach the process.
        for name in ["BROKERS", "STATE", "USERNAME", "PASSWORD", "PASSWORD_FILE", "MECHANISM", "CA_FILE"] {
            command.env_remove(format!("FEED_{name}"));
        }
        command.arg(FEED).args(["--state", self.state().to_str().unwrap()]).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        command
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Runs to the end of the feed, or to what it stops at.
    async fn run(&self, args: &[&str]) -> Output {
        let mut command = self.command(args);
        let run = command.args(["--exit-after-idle", "0"]).stderr(Stdio::piped()).output();
        let output =
            timeout(PATIENCE, run).await.unwrap_or_else(|_| panic!("{:?} did not end", self.language));
        output.expect("the tool is there: run `make setup`")
    }

    /// Runs to the end of the feed; what it printed.
    async fn lines(&self, args: &[&str]) -> Vec<Value> {
        let output = self.run(args).await;
        assert!(output.status.success(), "{:?}: {}", self.language, said(&output));
        String::from_utf8(output.stdout).unwrap().lines().map(parse).collect()
    }

    /// Starts it and kills it; what it printed.
    async fn killed(&self, broker: &Broker, kill: Kill) -> Vec<Value> {
        let mut child = self
            .command(&["--brokers", &broker.address])
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the tool is there: run `make setup`");
        let stdout = child.stdout.take().unwrap();
        nix::fcntl::fcntl(&stdout, nix::fcntl::FcntlArg::F_SETPIPE_SZ(PIPE_BYTES)).unwrap();
        let mut lines = BufReader::new(stdout).lines();
        let mut printed = Vec::new();
        let until_it_is_time = async {
            let mut before = None;
            loop {
                tokio::select! {
                    line = lines.next_line() => {
                        let line = line.unwrap().unwrap_or_else(|| panic!("{:?} ended early", self.language));
                        printed.push(parse(&line));
                        before.get_or_insert_with(|| self.files());
                    }
                    () = tokio::time::sleep(Duration::from_millis(1)), if before.is_some() => {}
                }
                let is_time = match kill {
                    Kill::Blocked(count) => printed.len() >= count,
                    Kill::Writing => before.as_ref().is_some_and(|before| *before != self.files()),
                };
                if is_time {
                    break;
                }
            }
        };
        timeout(PATIENCE, until_it_is_time).await.unwrap_or_else(|_| panic!("{kill:?}: it never came to it"));
        child.kill().await.unwrap();
        // What was on its way when it was killed; the last line may be cut short.
        while let Some(line) = lines.next_line().await.unwrap() {
            printed.extend(serde_json::from_str::<Value>(&line).ok());
        }
        printed
    }

    /// Its files, with what changes when they are written.
    fn files(&self) -> BTreeMap<std::ffi::OsString, (u64, SystemTime)> {
        let files = std::fs::read_dir(self.folder.path()).unwrap().flatten();
        // One that is renamed meanwhile is there again the next time.
        let files = files.filter_map(|file| Some((file.file_name(), file.metadata().ok()?)));
        files.map(|(name, metadata)| (name, (metadata.len(), metadata.modified().unwrap()))).collect()
    }

    /// What it keeps, as another program would read it: the ids of its inbox, as often as they are in it.
    async fn kept(&self) -> Vec<String> {
        match self.language {
            Language::Python => {
                let read = "import sqlite3, sys
for row in sqlite3.connect(sys.argv[1]).execute('SELECT id FROM inbox'): print(*row)";
                let output =
                    Command::new(python()).args(["-c", read]).arg(self.state()).output().await.unwrap();
                assert!(output.status.success(), "{}", said(&output));
                String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
            }
            Language::Node => {
                let text = std::fs::read_to_string(self.state()).unwrap();
                // A line without its end does not count.
                let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
                let lines = whole.lines().map(parse);
                lines.filter(|line| line["entry"].is_object()).map(|line| id(&line)).collect()
            }
        }
    }
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))
}

fn id(event: &Value) -> String {
    event["id"].as_str().unwrap().to_owned()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// These ids, none of them twice.
#[track_caller]
fn once(ids: Vec<String>) -> BTreeSet<String> {
    let count = ids.len();
    let ids: BTreeSet<String> = ids.into_iter().collect();
    assert_eq!(ids.len(), count, "an id is there twice");
    ids
}

/// Exactly these ids: none missing, none that should not be there, none twice.
#[track_caller]
fn exactly(ids: Vec<String>, expected: &BTreeSet<String>, language: Language) {
    let ids = once(ids);
    let (missing, more) = (expected - &ids, &ids - expected);
    assert!(
        missing.is_empty() && more.is_empty(),
        "{language:?}: {} missing, {} more",
        missing.len(),
        more.len()
    );
}

fn messages(numbers: std::ops::Range<usize>) -> String {
    let entries = numbers.map(|i| {
        let status = json!({ "id": "900", "changes": [{ "field": "messages", "value": {
            "messaging_product": "whatsapp",
            "metadata": { "display_phone_number": "15550001111", "phone_number_id": "111" },
            "statuses": [{ "id": format!("wamid.OUT{i}"), "status": "delivered", "recipient_id": "15550100001",
                           "timestamp": jiff::Timestamp::now().as_second().to_string() }],
        }}]});
        let text = whatsapp("111", &format!("155501000{:02}", i % 50), &format!("wamid.IN{i}"), "hello · ñ שלום 🙏");
        if i % 8 == 7 { status } else { text }
    });
    delivery(entries.collect())
}

/// The ids that the feed holds, and how many records.
async fn fed(up: &Up) -> (BTreeSet<String>, usize) {
    let listed = up.admin.lines(&["event", "list", "mine"]).await;
    (listed.iter().map(id).collect(), listed.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_consumers_count_every_event_once() {
    let broker = Broker::start().await;
    let up = Up::start(&["--kafka", &broker.address]).await;
    up.admin.app(up.folder()).await;
    up.admin.cli(&["tenant", "add", "mine", "--name", "Mine"]).await;
    up.admin.cli(&["asset", "connect", "mine", "whatsapp", "111"]).await;
    for from in (0..MESSAGES).step_by(200) {
        // Every other delivery comes twice, as Meta sends it when an answer was late; the others must not be missed.
        for _ in 0..=(from / 200 % 2) {
            assert_eq!(up.post(messages(from..from + 200)).await, 200);
        }
    }
    up.admin.cli(&["verify", "--wait", "120"]).await;
    let (ids, records) = fed(&up).await;
    assert_eq!(ids.len(), MESSAGES);
    assert!(records > MESSAGES * 4 / 3, "{records} records of {MESSAGES} events: too few repeats");

    let examples = [Language::Python, Language::Node].map(Example::new);
    let mut printed = [const { Vec::new() }; 2];
    for (example, printed) in examples.iter().zip(&mut printed) {
        for kill in KILLS {
            printed.extend(example.killed(&broker, kill).await);
            let kept = once(example.kept().await).len();
            assert!(kept < MESSAGES, "{kept} events: {:?} was to be killed in the middle", example.language);
        }
        printed.extend(example.lines(&["--brokers", &broker.address]).await);
        exactly(example.kept().await, &ids, example.language);
    }

    // What comes later, after everything was sent again.
    up.admin.cli(&["replay", "--all"]).await;
    assert_eq!(up.post(messages(MESSAGES..MESSAGES + 100)).await, 200);
    up.admin.cli(&["verify", "--wait", "120"]).await;
    let (all, records) = fed(&up).await;
    for (example, printed) in examples.iter().zip(&mut printed) {
        let new = example.lines(&["--brokers", &broker.address]).await;
        exactly(new.iter().map(id).collect(), &(&all - &ids), example.language);
        exactly(example.kept().await, &all, example.language);
        printed.extend(new);
        // A line is printed after its event is durable: a kill loses lines, and repeats none.
        let shown = once(printed.iter().map(id).collect());
        assert!(shown.is_subset(&all));
        for line in printed {
            assert_eq!(line["notify"], line["type"] == "org.tidings.message.received.v1", "{line}");
            assert!(line.get("text").is_none(), "{line}");
        }
        println!(
            "promise=example-consumers language={:?} kills={} records={records} events={} kept={} twice=0 missed=0 printed={}",
            example.language,
            KILLS.len(),
            all.len(),
            example.kept().await.len(),
            shown.len(),
        );
    }
    up.stop().await;
}

/// A record of the feed as Tidings writes it.
fn record(id: &str, kind: &str, more: &[(&str, &str)], data: &Value) -> Record {
    let headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", id),
        ("ce_type", &format!("org.tidings.{kind}.v1")),
        ("ce_source", "urn:tidings:whatsapp:111"),
        ("ce_subject", "13c48f7d840f5ef05eaa465eb8980b4c"),
        ("ce_time", "2026-05-28T20:26:40.000Z"),
        ("ce_tenant", "mine"),
        ("content-type", "application/json"),
    ];
    let mut headers: BTreeMap<&str, &str> = headers.into();
    headers.extend(more.iter().copied());
    Record {
        key: Some(Bytes::copy_from_slice(id.as_bytes())),
        value: Some(data.as_str().map_or_else(|| data.to_string(), str::to_owned).into()),
        headers: headers.into_iter().map(|(name, value)| Header::new(name, value.to_owned())).collect(),
    }
}

async fn append(log: &EventLog, records: Vec<Record>) {
    let at = TopicPartition::new(&Topic::new(FEED).unwrap(), 0);
    for record in records {
        log.append(&at, record).unwrap().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_heed_marks_and_say_what_they_cannot_do() {
    let broker = Broker::start().await;
    let examples = [Language::Python, Language::Node].map(Example::new);
    let away = format!("127.0.0.1:{}", free_port());
    for example in &examples {
        refused(example, &["--brokers", &away], 3, "no broker answers").await;
        refused(example, &["--brokers", &broker.address], 1, "there is no topic inbox.mine").await;
        refused(example, &["--brokers", &broker.address, "--nonsense"], 2, "usage").await;
        refused(example, &["--brokers", &broker.address, "--username", "me"], 2, "needs a password").await;
    }

    let log = EventLog::kafka(KafkaConfig::new(&broker.address)).await.unwrap();
    let topic = Topic::new(FEED).unwrap();
    let retention = Retention::CompactedAge(Duration::from_secs(7 * 24 * 60 * 60));
    log.ensure(&TopicSpec { topic: topic.clone(), partitions: 1, retention }).await.unwrap();
    let text = |more: Value| {
        let mut data = json!({ "direction": "in", "content": { "kind": "text", "text": "hello ñ 🙏" } });
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        data
    };
    let received = |id: &str, more: Value| record(id, "message.received", &[], &text(more));
    append(
        &log,
        vec![
            received("plain", json!({})),
            received("plain", json!({})),
            received("imported", json!({ "imported": true })),
            received("standby", json!({ "standby": true })),
            record("restricted", "message.received", &[("ce_restricted", "true")], &text(json!({}))),
            record("sent", "message.sent", &[], &text(json!({ "direction": "out", "new_member": [1] }))),
            record("unknown", "message.translated", &[], &text(json!({}))),
            record(
                "sealed",
                "message.received",
                &[("content-type", "application/jose")],
                &json!("a.b.c.d.e"),
            ),
            Record { key: Some("strange".into()), value: Some("{".into()), headers: Vec::new() },
            received("forgotten", json!({})),
            Record { key: Some("forgotten".into()), ..Record::default() },
            received("forgotten", json!({})),
        ],
    )
    .await;
    let shown = ["plain", "imported", "standby", "restricted", "sent", "sealed", "forgotten", "forgotten"];
    let mut printed = Vec::new();
    for example in &examples {
        let output = example.run(&["--brokers", &broker.address, "--show-text"]).await;
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains("offset 8 is no CloudEvent"), "{}", said(&output));
        let lines: Vec<Value> = String::from_utf8(output.stdout).unwrap().lines().map(parse).collect();
        assert_eq!(lines.iter().map(id).collect::<Vec<_>>(), shown, "{:?}", example.language);
        exactly(
            example.kept().await,
            &shown[..6].iter().map(|id| (*id).to_owned()).collect(),
            example.language,
        );
        let marked = |mark: &str| lines.iter().filter(|line| line[mark] == true).map(id).collect::<Vec<_>>();
        for mark in ["imported", "standby", "restricted"] {
            assert_eq!(marked(mark), [mark]);
        }
        assert_eq!(marked("notify"), ["plain", "forgotten"]);
        let texts = lines.iter().filter(|line| line["text"] == "hello ñ 🙏").count();
        assert_eq!(texts, 5, "of all but what is restricted, sealed or a tombstone");
        printed.push(lines);
    }
    assert_eq!(printed[0], printed[1], "both say the same");

    // Everything goes before it was read: they say so, and go on with what is there.
    append(&log, vec![received("missed", json!({}))]).await;
    log.truncate(&TopicPartition::new(&topic, 0)).await.unwrap();
    append(&log, vec![received("later", json!({}))]).await;
    for example in &examples {
        let output = example.run(&["--brokers", &broker.address]).await;
        assert!(output.status.success(), "{}", said(&output));
        let missed = "offsets 12 to 12 are no longer kept: up to 1 events were missed; going on at the oldest kept, 13";
        assert!(said(&output).contains(missed), "{}", said(&output));
        let lines: Vec<Value> = String::from_utf8(output.stdout).unwrap().lines().map(parse).collect();
        assert_eq!(lines.iter().map(id).collect::<Vec<_>>(), ["later"]);
    }
    println!("promise=example-consumers-marks languages=2 shown={} refusals=8 missed_told=2", shown.len());
}

async fn refused(example: &Example, args: &[&str], code: i32, what: &str) {
    let output = example.run(args).await;
    let language = example.language;
    assert_eq!(output.status.code(), Some(code), "{language:?} {args:?}: {}", said(&output));
    assert!(said(&output).contains(what), "{language:?} {args:?}: {}", said(&output));
    assert!(output.stdout.is_empty());
}
