//! The queue of the attachments worker: files to fetch, and messages that were taken back, whose files are to go.
//!
//! A worker looks at what is due, decides what to do next, and claims that. Whoever claims a job has it until a time; a later
//! time keeps it, and a job whose time has passed is anybody's again. Each claim counts, and what a worker says of a job holds
//! only while the count is still its own.

use schemas::{Asset, AttachmentId, MessageKey, SubjectId, TenantId};
use tokio_postgres::Row;

use crate::conversation::FORGETTING;
use crate::offset::unsigned;
use crate::{NOBODY, StoreError, ViewsDb};

/// What stands for a place in an event when the job is to remove what a whole message had.
const WHOLE_MESSAGE: i16 = -1;

/// Which asset's a job is: in front of what it has to remember, with its length as the first byte.
const ASSET: &str = "substring(event FROM 2 FOR get_byte(event, 0))";

/// A file to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedFile {
    /// Whose it is.
    pub tenant: TenantId,
    /// The file.
    pub attachment: AttachmentId,
    /// Whom the message is sealed for; nobody: the tenant itself.
    pub subject: Option<SubjectId>,
    /// The message.
    pub message: MessageKey,
    /// Its place among the event's files.
    pub position: i16,
    /// Whose budget it is fetched on.
    pub asset: Asset,
    /// The event that names it; opaque here.
    pub event: Vec<u8>,
    /// Until when fetching it is tried, Unix milliseconds.
    pub expires_ms: i64,
}

/// A message that was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsentMessage {
    /// Whose it is.
    pub tenant: TenantId,
    /// The message.
    pub message: MessageKey,
    /// Whom it was sealed for.
    pub subject: Option<SubjectId>,
}

/// What a job asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueWork {
    /// Fetching a file.
    Fetch,
    /// Removing what a message had that was taken back.
    Remove,
}

/// Which due jobs are looked at.
#[derive(Debug, Clone, Copy)]
pub struct QueueLook {
    /// Which work.
    pub work: QueueWork,
    /// Those that became due after this, Unix milliseconds.
    pub after_ms: i64,
    /// Now, Unix milliseconds.
    pub now_ms: i64,
    /// How many of one asset at most, those that are due longest.
    pub per_asset: usize,
    /// How many in all: the first of each asset, then the second.
    pub limit: usize,
}

/// A job that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueJob {
    /// Whose it is.
    pub tenant: TenantId,
    /// The file; of a removal, the message's bytes.
    pub attachment: AttachmentId,
    /// As [`QueuedFile::asset`]; none for removals.
    pub asset: Option<Asset>,
    /// Since when, Unix milliseconds.
    pub due_ms: i64,
}

/// A claimed job, by which its claimant is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QueueTicket {
    /// Whose job it is.
    pub tenant: TenantId,
    /// The file; of a removal, the message's bytes.
    pub attachment: AttachmentId,
    /// How often it was claimed, this time included.
    pub attempts: i32,
}

/// A claimed job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueJob {
    /// What its claimant shows.
    pub ticket: QueueTicket,
    /// Whom the message is sealed for.
    pub subject: Option<SubjectId>,
    /// The message.
    pub message: MessageKey,
    /// Its place among the event's files.
    pub position: i16,
    /// As [`QueuedFile::asset`]; none for removals.
    pub asset: Option<Asset>,
    /// As [`QueuedFile::event`].
    pub event: Vec<u8>,
    /// When it was queued, Unix milliseconds.
    pub queued_ms: i64,
    /// As [`QueuedFile::expires_ms`].
    pub expires_ms: i64,
}

/// Whether a job's result is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// It is.
    Yes,
    /// The message was taken back.
    Unsent,
    /// The person was forgotten.
    Forgotten,
    /// Another worker has the job, or had it and is done: nothing here is ours to say.
    Taken,
}

/// How much waits to be fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueBacklog {
    /// How many files.
    pub files: u64,
    /// Since when the oldest waits, Unix milliseconds.
    pub oldest_ms: Option<i64>,
}

impl QueueTicket {
    fn key(&self) -> (&str, &[u8]) {
        (self.tenant.as_str(), self.attachment.as_bytes())
    }
}

impl ViewsDb {
    /// Queues files, and takes back the files of messages that were taken back, in one transaction that is durable when it
    /// returns. What is queued already stays as it is; what is taken back, or of somebody who was forgotten, is not queued.
    /// Answers how many files are new.
    pub async fn queue_attachments(
        &self,
        files: &[QueuedFile],
        unsent: &[UnsentMessage],
        now_ms: i64,
    ) -> Result<u64, StoreError> {
        let mut connection = self.get().await?;
        let transaction = connection.transaction().await?;
        transaction.execute("SELECT pg_advisory_xact_lock_shared($1)", &[&FORGETTING]).await?;
        // First: a batch may hold a message and its being taken back.
        let tenants: Vec<&str> = unsent.iter().map(|one| one.tenant.as_str()).collect();
        let messages: Vec<&[u8]> = unsent.iter().map(|one| one.message.as_bytes().as_slice()).collect();
        let subjects: Vec<&[u8]> = unsent.iter().map(|one| bytes(one.subject.as_ref())).collect();
        if !unsent.is_empty() {
            transaction
                .execute(
                    "INSERT INTO attachment_unsent (tenant_id, message_id, at_ms)
                     SELECT n.tenant_id, n.message_id, $3 FROM unnest($1::text[], $2::bytea[]) AS n (tenant_id, message_id)
                     ON CONFLICT DO NOTHING",
                    &[&tenants, &messages, &now_ms],
                )
                .await?;
            transaction
                .execute(
                    "DELETE FROM attachment_job j USING unnest($1::text[], $2::bytea[]) AS n (tenant_id, message_id)
                     WHERE j.tenant_id = n.tenant_id AND j.message_id = n.message_id AND j.position <> $3",
                    &[&tenants, &messages, &WHOLE_MESSAGE],
                )
                .await?;
            transaction
                .execute(
                    "INSERT INTO attachment_job
                         (tenant_id, attachment_id, subject_id, message_id, position, event, queued_ms, due_ms, expires_ms)
                     SELECT n.tenant_id, n.message_id, n.subject_id, n.message_id, $4, '\\x00', $5, $5, $6
                     FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS n (tenant_id, message_id, subject_id)
                     WHERE NOT EXISTS (SELECT FROM forgotten f WHERE f.tenant_id = n.tenant_id AND f.subject_id = n.subject_id)
                     ON CONFLICT (tenant_id, attachment_id) DO NOTHING",
                    &[&tenants, &messages, &subjects, &WHOLE_MESSAGE, &now_ms, &i64::MAX],
                )
                .await?;
        }
        let mut queued = 0;
        if !files.is_empty() {
            let tenants: Vec<&str> = files.iter().map(|file| file.tenant.as_str()).collect();
            let ids: Vec<&[u8]> = files.iter().map(|file| file.attachment.as_bytes().as_slice()).collect();
            let subjects: Vec<&[u8]> = files.iter().map(|file| bytes(file.subject.as_ref())).collect();
            let messages: Vec<&[u8]> = files.iter().map(|file| file.message.as_bytes().as_slice()).collect();
            let positions: Vec<i16> = files.iter().map(|file| file.position).collect();
            let events: Vec<Vec<u8>> = files.iter().map(event).collect();
            let expires: Vec<i64> = files.iter().map(|file| file.expires_ms).collect();
            queued = transaction
                .execute(
                    "INSERT INTO attachment_job
                         (tenant_id, attachment_id, subject_id, message_id, position, event, queued_ms, due_ms, expires_ms)
                     SELECT n.tenant_id, n.attachment_id, n.subject_id, n.message_id, n.position, n.event, $8, $8, n.expires_ms
                     FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bytea[], $5::smallint[], $6::bytea[], $7::bigint[])
                          AS n (tenant_id, attachment_id, subject_id, message_id, position, event, expires_ms)
                     WHERE NOT EXISTS (SELECT FROM attachment_unsent u WHERE u.tenant_id = n.tenant_id AND u.message_id = n.message_id)
                       AND NOT EXISTS (SELECT FROM forgotten f WHERE f.tenant_id = n.tenant_id AND f.subject_id = n.subject_id)
                     ON CONFLICT (tenant_id, attachment_id) DO NOTHING",
                    &[&tenants, &ids, &subjects, &messages, &positions, &events, &expires, &now_ms],
                )
                .await?;
        }
        transaction.commit().await?;
        Ok(queued)
    }

    /// Looks at jobs that are due. One asset's thousands hide nobody's one.
    ///
    /// Every job that became due in that time is read, so whoever looks often looks at what is new, and seldom at all.
    pub async fn due_attachments(&self, look: &QueueLook) -> Result<Vec<DueJob>, StoreError> {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let sql = format!(
            "SELECT tenant_id, attachment_id, asset, due_ms
             FROM (SELECT *, row_number() OVER (PARTITION BY tenant_id COLLATE \"C\", asset ORDER BY due_ms, attachment_id) AS place
                   FROM (SELECT tenant_id, attachment_id, due_ms, {ASSET} AS asset FROM attachment_job
                         WHERE due_ms > $1 AND due_ms <= $2 AND (position = {WHOLE_MESSAGE}) = $3) due) placed
             WHERE place <= $4 ORDER BY place, due_ms, attachment_id LIMIT $5"
        );
        let connection = self.get().await?;
        let statement = connection.prepare_cached(&sql).await?;
        let is_removal = look.work == QueueWork::Remove;
        let (per_asset, limit) = (number(look.per_asset), number(look.limit));
        let rows = connection
            .query(&statement, &[&look.after_ms, &look.now_ms, &is_removal, &per_asset, &limit])
            .await?;
        rows.iter()
            .map(|row| {
                Ok(DueJob {
                    tenant: tenant(row)?,
                    attachment: AttachmentId::from_bytes(id(row, 1)?),
                    asset: asset(row.get(2))?,
                    due_ms: row.get(3),
                })
            })
            .collect()
    }

    /// Claims those of these jobs that are due, until that time. Nobody waits for anybody: what another claimant has is
    /// passed over.
    pub async fn claim_attachments(
        &self,
        jobs: &[DueJob],
        now_ms: i64,
        until_ms: i64,
    ) -> Result<Vec<QueueJob>, StoreError> {
        let tenants: Vec<&str> = jobs.iter().map(|job| job.tenant.as_str()).collect();
        let ids: Vec<&[u8]> = jobs.iter().map(|job| job.attachment.as_bytes().as_slice()).collect();
        let connection = self.get().await?;
        let statement = connection
            .prepare_cached(
                "WITH ours AS (
                     SELECT j.tenant_id, j.attachment_id FROM attachment_job j
                     JOIN unnest($1::text[], $2::bytea[]) AS n (tenant_id, attachment_id) USING (tenant_id, attachment_id)
                     WHERE j.due_ms <= $3 FOR UPDATE OF j SKIP LOCKED
                 )
                 UPDATE attachment_job j SET due_ms = $4, attempts = j.attempts + 1
                 FROM ours WHERE j.tenant_id = ours.tenant_id AND j.attachment_id = ours.attachment_id
                 RETURNING j.tenant_id, j.attachment_id, j.attempts, j.subject_id, j.message_id, j.position, j.event, j.queued_ms, j.expires_ms",
            )
            .await?;
        let rows = connection.query(&statement, &[&tenants, &ids, &now_ms, &until_ms]).await?;
        rows.iter().map(job).collect()
    }

    /// Keeps claimed jobs until that time, those that are still their claimant's.
    pub async fn keep_attachments(&self, tickets: &[QueueTicket], until_ms: i64) -> Result<(), StoreError> {
        let tenants: Vec<&str> = tickets.iter().map(|ticket| ticket.tenant.as_str()).collect();
        let ids: Vec<&[u8]> = tickets.iter().map(|ticket| ticket.attachment.as_bytes().as_slice()).collect();
        let attempts: Vec<i32> = tickets.iter().map(|ticket| ticket.attempts).collect();
        let connection = self.get().await?;
        connection
            .execute(
                "UPDATE attachment_job j SET due_ms = $4
                 FROM unnest($1::text[], $2::bytea[], $3::integer[]) AS n (tenant_id, attachment_id, attempts)
                 WHERE j.tenant_id = n.tenant_id AND j.attachment_id = n.attachment_id AND j.attempts = n.attempts",
                &[&tenants, &ids, &attempts, &until_ms],
            )
            .await?;
        Ok(())
    }

    /// Whether what came of a claimed job is wanted.
    pub async fn is_attachment_wanted(
        &self,
        ticket: &QueueTicket,
        subject: Option<SubjectId>,
        message: MessageKey,
    ) -> Result<Wanted, StoreError> {
        let (tenant, attachment) = ticket.key();
        let connection = self.get().await?;
        let row = connection
            .query_one(
                "SELECT EXISTS (SELECT FROM forgotten WHERE tenant_id = $1 AND subject_id = $4),
                        EXISTS (SELECT FROM attachment_unsent WHERE tenant_id = $1 AND message_id = $5),
                        EXISTS (SELECT FROM attachment_job WHERE tenant_id = $1 AND attachment_id = $2 AND attempts = $3)",
                &[
                    &tenant,
                    &attachment,
                    &ticket.attempts,
                    &bytes(subject.as_ref()),
                    &message.as_bytes().as_slice(),
                ],
            )
            .await?;
        Ok(match (row.get(0), row.get(1), row.get(2)) {
            (true, _, _) => Wanted::Forgotten,
            (false, true, _) => Wanted::Unsent,
            (false, false, true) => Wanted::Yes,
            (false, false, false) => Wanted::Taken,
        })
    }

    /// Puts a claimed job back, to be done not before that time. Nothing happens when it is another's by now.
    pub async fn put_back_attachment(&self, ticket: &QueueTicket, due_ms: i64) -> Result<(), StoreError> {
        let (tenant, attachment) = ticket.key();
        let connection = self.get().await?;
        connection
            .execute(
                "UPDATE attachment_job SET due_ms = $4 WHERE tenant_id = $1 AND attachment_id = $2 AND attempts = $3",
                &[&tenant, &attachment, &ticket.attempts, &due_ms],
            )
            .await?;
        Ok(())
    }

    /// Ends a claimed job. Nothing happens when it is another's by now.
    pub async fn finish_attachment(&self, ticket: &QueueTicket) -> Result<(), StoreError> {
        let (tenant, attachment) = ticket.key();
        let connection = self.get().await?;
        connection
            .execute(
                "DELETE FROM attachment_job WHERE tenant_id = $1 AND attachment_id = $2 AND attempts = $3",
                &[&tenant, &attachment, &ticket.attempts],
            )
            .await?;
        Ok(())
    }

    /// How much waits to be fetched.
    pub async fn attachment_backlog(&self) -> Result<QueueBacklog, StoreError> {
        let connection = self.get().await?;
        let row = connection
            .query_one(
                "SELECT count(*), min(queued_ms) FROM attachment_job WHERE position <> $1",
                &[&WHOLE_MESSAGE],
            )
            .await?;
        Ok(QueueBacklog { files: unsigned(row.get(0)), oldest_ms: row.get(1) })
    }
}

/// Whom a message is sealed for, as a column.
fn bytes(subject: Option<&SubjectId>) -> &[u8] {
    subject.unwrap_or(&NOBODY).as_bytes()
}

/// What a job remembers, with its asset in front: [`ASSET`] reads it, and [`job`].
fn event(file: &QueuedFile) -> Vec<u8> {
    let asset = file.asset.to_string();
    let length = u8::try_from(asset.len()).expect("an asset is shorter than 80 characters");
    let mut event = Vec::with_capacity(1 + asset.len() + file.event.len());
    event.push(length);
    event.extend_from_slice(asset.as_bytes());
    event.extend_from_slice(&file.event);
    event
}

const fn damaged() -> StoreError {
    StoreError::Damaged { table: "attachment_job" }
}

fn id(row: &Row, index: usize) -> Result<[u8; 16], StoreError> {
    row.get::<_, &[u8]>(index).try_into().map_err(|_| damaged())
}

fn tenant(row: &Row) -> Result<TenantId, StoreError> {
    row.get::<_, &str>(0).parse().map_err(|_| damaged())
}

/// The asset that stands in front of what a job remembers; nothing for removals.
fn asset(text: &[u8]) -> Result<Option<Asset>, StoreError> {
    if text.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(text).map_err(|_| damaged())?;
    text.parse().map(Some).map_err(|_| damaged())
}

fn job(row: &Row) -> Result<QueueJob, StoreError> {
    let event: &[u8] = row.get(6);
    let (length, rest) = event.split_first().ok_or_else(damaged)?;
    let (text, event) = rest.split_at_checked(usize::from(*length)).ok_or_else(damaged)?;
    let subject = SubjectId::from_bytes(id(row, 3)?);
    Ok(QueueJob {
        ticket: QueueTicket {
            tenant: tenant(row)?,
            attachment: AttachmentId::from_bytes(id(row, 1)?),
            attempts: row.get(2),
        },
        subject: (subject != NOBODY).then_some(subject),
        message: MessageKey::from_bytes(id(row, 4)?),
        position: row.get(5),
        asset: asset(text)?,
        event: event.to_vec(),
        queued_ms: row.get(7),
        expires_ms: row.get(8),
    })
}
