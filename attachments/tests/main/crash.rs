//! A worker that ends in the middle, at each place where something is durable and the next is not: once in effect.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use secrecy::ExposeSecret;

use crate::meta::File;
use crate::stage::{Sent, Stage, by_id, eventually, quick};

/// A session of the database's owner that holds a lock until it is dropped.
struct Lock {
    session: Child,
    input: ChildStdin,
}

impl Lock {
    fn take(stage: &Stage, statement: &str) -> Self {
        let mut session = Command::new("psql")
            .args([stage.views.expose_secret(), "-Xq"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = session.stdin.take().unwrap();
        writeln!(input, "BEGIN; {statement};\n\\echo locked").unwrap();
        let mut output = BufReader::new(session.stdout.take().unwrap());
        let mut line = String::new();
        while line.trim() != "locked" {
            line.clear();
            assert!(output.read_line(&mut line).unwrap() > 0, "the lock was refused");
        }
        Self { session, input }
    }

    fn release(mut self) {
        drop(self.input);
        self.session.wait().unwrap();
    }
}

/// One file on its way, held up by Meta.
async fn begun(stage: &Stage) -> (File, Sent, crate::stage::Running) {
    let file = File::picture("1001", 300_000).gated();
    stage.meta.has(&file);
    stage.tenant("acme").await;
    let running = stage.worker(quick()).await;
    let sent = stage.say("acme", "whatsapp:111", "15550001", vec![by_id(&file)]).await;
    eventually("it is on its way", async || file.asked() == 1).await;
    (file, sent, running)
}

async fn once_in_effect(stage: &Stage, sent: &Sent, file: &File) {
    stage.leases_end();
    let running = stage.worker(quick()).await;
    stage.idle().await;
    stage.stored(sent.files[0]).await;
    let ids: std::collections::BTreeSet<_> =
        stage.outcomes().await.iter().map(|(event, _)| event.id).collect();
    assert_eq!((ids.len(), stage.objects().await), (1, 1));
    assert!(stage.opened(sent, 0).await.unwrap() == file.bytes);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_the_object() {
    let stage = Stage::new().await;
    let (file, sent, running) = begun(&stage).await;
    running.kill().await;
    assert_eq!((stage.objects().await, stage.outcomes().await.len()), (0, 0));
    file.gate.send_replace(true);
    once_in_effect(&stage, &sent, &file).await;
    assert_eq!(file.asked(), 2);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_the_object_and_its_event() {
    let stage = Stage::new().await;
    let (file, sent, running) = begun(&stage).await;
    // Whether it is still wanted cannot be asked.
    let lock = Lock::take(&stage, "LOCK TABLE attachment_unsent IN ACCESS EXCLUSIVE MODE");
    file.gate.send_replace(true);
    eventually("the object is there", async || stage.objects().await == 1).await;
    assert!(stage.outcomes().await.is_empty());
    running.kill().await;
    lock.release();
    // Not even Meta has it any more.
    stage.meta.has_no_longer(&file);
    once_in_effect(&stage, &sent, &file).await;
    assert_eq!((file.asked(), stage.outcomes().await.len()), (1, 1));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_the_event_and_the_end_of_the_job() {
    let stage = Stage::new().await;
    let (file, sent, running) = begun(&stage).await;
    // It cannot be removed from the queue.
    let lock = Lock::take(&stage, "SELECT 1 FROM attachment_job FOR UPDATE");
    file.gate.send_replace(true);
    stage.stored(sent.files[0]).await;
    assert_eq!(stage.queue.attachment_backlog().await.unwrap().files, 1);
    running.kill().await;
    // What the server was asked already it would do.
    stage.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'");
    lock.release();
    once_in_effect(&stage, &sent, &file).await;
    assert_eq!(stage.outcomes().await.len(), 2, "said twice, as one event");
    stage.end().await;
}
