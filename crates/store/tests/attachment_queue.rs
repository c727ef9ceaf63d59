//! The attachments worker's queue on a real PostgreSQL: who gets which job, how often, and what is never queued.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use schemas::{Asset, AttachmentId, MessageKey, SubjectId, TenantId};
use secrecy::{ExposeSecret, SecretString};
use store::{DueJob, QueueJob, QueueLook, QueueWork, QueuedFile, UnsentMessage, ViewsDb, ViewsRole, Wanted};
use testkit::Postgres;

struct Stage {
    _postgres: Postgres,
    url: SecretString,
    db: ViewsDb,
}

async fn stage() -> Stage {
    let postgres = Postgres::start().await.unwrap();
    let url: SecretString = postgres.database().await.unwrap().into();
    store::migrate_views(&url).await.unwrap();
    let db = ViewsDb::connect(&url, ViewsRole::Attachments, 8).await.unwrap();
    Stage { _postgres: postgres, url, db }
}

impl Stage {
    /// Claims what is due of this work, for a tenth of a second.
    async fn claim_of(&self, work: QueueWork, now_ms: i64) -> Vec<QueueJob> {
        let due = self.db.due_attachments(&look(work, i64::MIN, now_ms)).await.unwrap();
        self.db.claim_attachments(&due, now_ms, now_ms + 100).await.unwrap()
    }

    async fn claim(&self, now_ms: i64) -> Vec<QueueJob> {
        self.claim_of(QueueWork::Fetch, now_ms).await
    }

    async fn removals(&self, now_ms: i64) -> Vec<QueueJob> {
        self.claim_of(QueueWork::Remove, now_ms).await
    }

    async fn queued(&self) -> u64 {
        self.db.attachment_backlog().await.unwrap().files
    }

    /// Whether a statement is refused to the worker's role.
    fn is_refused(&self, statement: &str) -> bool {
        let statement = format!("SET ROLE tidings_attachments; {statement}");
        let output = std::process::Command::new("psql")
            .args([self.url.expose_secret(), "-XqtAc", &statement])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stderr).contains("permission denied")
    }
}

const fn look(work: QueueWork, after_ms: i64, now_ms: i64) -> QueueLook {
    QueueLook { work, after_ms, now_ms, per_asset: 100, limit: 1_000 }
}

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

fn asset(number: u32) -> Asset {
    format!("whatsapp:{number}").parse().unwrap()
}

fn id(number: u32) -> [u8; 16] {
    let mut id = [0; 16];
    id[12..].copy_from_slice(&number.to_be_bytes());
    id
}

/// A file of a message, both of this number.
fn file(of: &str, number: u32, asset_number: u32) -> QueuedFile {
    QueuedFile {
        tenant: tenant(of),
        attachment: AttachmentId::from_bytes(id(number)),
        subject: Some(SubjectId::from_bytes([3; 16])),
        message: MessageKey::from_bytes(id(1_000_000 + number)),
        position: 0,
        asset: asset(asset_number),
        event: format!("event {number}").into_bytes(),
        expires_ms: 9_000,
    }
}

fn unsent(file: &QueuedFile) -> UnsentMessage {
    UnsentMessage { tenant: file.tenant.clone(), message: file.message, subject: file.subject }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_its_claimants_until_its_time_is_over() {
    let stage = stage().await;
    let (one, two) = (file("a", 1, 1), QueuedFile { subject: None, ..file("a", 2, 1) });
    assert_eq!(
        stage.db.queue_attachments(&[one.clone(), two.clone(), one.clone()], &[], 1_000).await.unwrap(),
        2
    );
    assert_eq!(
        stage.db.queue_attachments(std::slice::from_ref(&one), &[], 1_500).await.unwrap(),
        0,
        "it is there"
    );
    assert_eq!(stage.claim(999).await, [], "not due yet");

    let mut jobs = stage.claim(1_000).await;
    jobs.sort_by_key(|job| job.ticket.attachment);
    let [first, second] = jobs.try_into().unwrap();
    assert_eq!(
        (
            first.asset.as_ref(),
            first.event.as_slice(),
            first.expires_ms,
            first.queued_ms,
            first.ticket.attempts
        ),
        (Some(&one.asset), b"event 1".as_slice(), 9_000, 1_000, 1)
    );
    assert_eq!((first.subject, second.subject), (one.subject, None));
    assert_eq!(stage.claim(1_099).await, [], "both are somebody's");

    stage.db.keep_attachments(std::slice::from_ref(&first.ticket), 2_000).await.unwrap();
    let again = stage.claim(1_100).await.pop().unwrap();
    assert_eq!(
        (again.ticket.attachment, again.ticket.attempts),
        (two.attachment, 2),
        "only the other's time is over"
    );
    // Its first claimant has nothing to say any more.
    let wanted = async |job: &QueueJob| {
        stage.db.is_attachment_wanted(&job.ticket, job.subject, job.message).await.unwrap()
    };
    assert_eq!((wanted(&second).await, wanted(&again).await), (Wanted::Taken, Wanted::Yes));
    stage.db.finish_attachment(&second.ticket).await.unwrap();
    stage.db.put_back_attachment(&second.ticket, 0).await.unwrap();
    stage.db.keep_attachments(&[second.ticket], 0).await.unwrap();
    assert_eq!((stage.queued().await, stage.claim(1_150).await.len()), (2, 0));

    stage.db.put_back_attachment(&again.ticket, 5_000).await.unwrap();
    stage.db.finish_attachment(&first.ticket).await.unwrap();
    assert_eq!((stage.claim(4_999).await.len(), stage.claim(5_000).await.len()), (0, 1));
    assert_eq!(wanted(&first).await, Wanted::Taken);
    for statement in ["SELECT 1 FROM message", "SELECT 1 FROM attachment", "DELETE FROM forgotten"] {
        assert!(stage.is_refused(statement), "{statement}");
    }
    assert!(!stage.is_refused("SELECT 1 FROM attachment_job"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_or_forgotten_is_not_queued() {
    let stage = stage().await;
    let files: Vec<QueuedFile> = (1..=4).map(|number| file("a", number, 1)).collect();
    // One together with its message, one before it, one after it.
    stage.db.queue_attachments(&files[..1], &[unsent(&files[0]), unsent(&files[1])], 1_000).await.unwrap();
    assert_eq!(stage.db.queue_attachments(&files[1..], &[], 1_000).await.unwrap(), 2);
    let jobs = stage.claim(1_000).await;
    assert_eq!(jobs.len(), 2);
    stage.db.queue_attachments(&[], &[unsent(&files[2])], 1_001).await.unwrap();
    assert_eq!(stage.queued().await, 1);
    let taken_back = jobs.iter().find(|job| job.message == files[2].message).unwrap();
    let wanted =
        stage.db.is_attachment_wanted(&taken_back.ticket, taken_back.subject, taken_back.message).await;
    assert_eq!(wanted.unwrap(), Wanted::Unsent);

    let removals = stage.removals(1_001).await;
    let messages: BTreeSet<MessageKey> = removals.iter().map(|job| job.message).collect();
    assert_eq!(messages, files[..3].iter().map(|file| file.message).collect());
    assert!(removals.iter().all(|job| job.asset.is_none() && job.subject == files[0].subject));
    // Said again, it is being done already.
    stage.db.queue_attachments(&[], &[unsent(&files[2])], 1_002).await.unwrap();
    assert_eq!(stage.removals(1_050).await, []);
    assert_eq!(stage.claim(1_050).await, [], "no removal is a fetch");
    for job in removals {
        stage.db.finish_attachment(&job.ticket).await.unwrap();
    }
    assert_eq!(stage.removals(2_000).await, []);

    let keeper = ViewsDb::connect(&stage.url, ViewsRole::Keeper, 1).await.unwrap();
    keeper.forget(&files[3].tenant, files[3].subject.unwrap()).await.unwrap();
    assert_eq!(stage.queued().await, 0);
    let gone = jobs.iter().find(|job| job.message == files[3].message).unwrap();
    let wanted = stage.db.is_attachment_wanted(&gone.ticket, gone.subject, gone.message).await;
    assert_eq!(wanted.unwrap(), Wanted::Forgotten);
    let late = file("a", 5, 1);
    assert_eq!(
        stage.db.queue_attachments(std::slice::from_ref(&late), &[unsent(&late)], 1_000).await.unwrap(),
        0
    );
    assert_eq!(stage.removals(2_000).await, [], "nor is there anything to remove");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_assets_thousands_hide_nobody_and_of_many_claimants_one_has_each() {
    let stage = stage().await;
    // Tenant a has thousands that are due first, on two assets; b and c have few.
    let many: Vec<QueuedFile> = (0..3_000).map(|n| file("a", n, 1 + n % 2)).collect();
    stage.db.queue_attachments(&many, &[], 1_000).await.unwrap();
    let few = [file("a", 5_000, 3), file("b", 5_001, 1), file("b", 5_002, 1), file("c", 5_003, 1)];
    stage.db.queue_attachments(&few, &[], 2_000).await.unwrap();

    let count = async |look: QueueLook| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for job in stage.db.due_attachments(&look).await.unwrap() {
            let lane = format!("{}/{}", job.tenant, job.asset.unwrap().id());
            *counts.entry(lane).or_default() += 1;
        }
        counts.into_iter().map(|(lane, count)| format!("{lane}={count}")).collect::<Vec<_>>().join(" ")
    };
    let all = look(QueueWork::Fetch, i64::MIN, 2_000);
    assert_eq!(count(all).await, "a/1=100 a/2=100 a/3=1 b/1=2 c/1=1");
    assert_eq!(
        count(QueueLook { limit: 5, ..all }).await,
        "a/1=1 a/2=1 a/3=1 b/1=1 c/1=1",
        "one of each first"
    );
    assert_eq!(count(QueueLook { after_ms: 1_000, ..all }).await, "a/3=1 b/1=2 c/1=1", "what is new");
    assert_eq!(count(QueueLook { now_ms: 1_999, ..all }).await, "a/1=100 a/2=100", "what is due");
    let first = stage.db.due_attachments(&QueueLook { per_asset: 2, limit: 1, ..all }).await.unwrap();
    assert_eq!((first[0].attachment, first[0].due_ms), (many[0].attachment, 1_000));

    // Many at once, after the same jobs.
    let look = QueueLook { per_asset: 9_999, limit: 9_999, ..all };
    let due = stage.db.due_attachments(&look).await.unwrap();
    assert_eq!(due.len(), 3_004);
    let mut claimants = Vec::new();
    for _ in 0..8 {
        let (db, due) = (stage.db.clone(), due.clone());
        claimants.push(tokio::spawn(async move {
            let mut ids = Vec::new();
            for some in due.chunks(100) {
                let jobs = db.claim_attachments(some, 2_000, i64::MAX).await.unwrap();
                ids.extend(jobs.into_iter().map(|job| job.ticket.attachment));
            }
            ids
        }));
    }
    let mut claimed = Vec::new();
    for claimant in claimants {
        claimed.extend(claimant.await.unwrap());
    }
    let distinct: BTreeSet<_> = claimed.iter().collect();
    assert_eq!((claimed.len(), distinct.len()), (3_004, 3_004));
    let nobodys = DueJob { attachment: AttachmentId::from_bytes([9; 16]), ..due[0].clone() };
    assert_eq!(stage.db.claim_attachments(&[nobodys], 2_000, 3_000).await.unwrap(), []);
}
