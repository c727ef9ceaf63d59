//! The conversation view made anew, beside the one that is read: its tables stand in a schema of their own, are written by
//! the same statements, and take the others' place in one transaction.
//!
//! Both are at the same place of the log when they are compared, and when one takes the other's place: nobody writes
//! meanwhile. Readers only ever wait for the change of names. Who is forgotten while this goes on is forgotten in both
//! (`forget.rs`). It can be broken off anywhere, and goes on where it was.

use std::collections::{BTreeMap, HashSet};

use deadpool_postgres::{Object, Pool, Transaction};
use schemas::{SubjectId, TenantId};
use secrecy::SecretString;
use tokio_postgres::error::SqlState;
use tracing::warn;

use crate::connect::pool;
use crate::conversation::{FORGETTING, write};
use crate::migrate::{VIEWS, check};
use crate::offset::{advance, unsigned};
use crate::rebuild_look::Look;
use crate::{ConversationChanges, Moved, OffsetMove, StoreError, ViewsRole};

/// Who makes a view anew holds it.
const REBUILDING: i64 = 0x7469_6469_6e67_7303;
/// The projection that is being made; what reads it is in `LIVE`'s place afterwards.
const NAME: &str = "conversation-rebuild";
const LIVE: &str = "conversation";

/// The tables of the view, in the order in which reading comes to them: whoever locks them in this order waits for readers
/// in the middle of something, and they never for it.
pub(crate) const TABLES: [Table; 10] = [
    Table { name: "conversation", key: &["conversation_id"], is_sealed: false },
    Table { name: "contact", key: &["subject_id"], is_sealed: true },
    Table { name: "watermark", key: &["conversation_id", "rank"], is_sealed: false },
    Table { name: "message", key: &["message_id"], is_sealed: true },
    Table { name: "message_edit", key: &["message_id"], is_sealed: true },
    Table { name: "message_deletion", key: &["message_id"], is_sealed: false },
    Table { name: "status", key: &["message_id"], is_sealed: false },
    Table { name: "reaction", key: &["message_id", "actor"], is_sealed: true },
    Table { name: "attachment", key: &["attachment_id"], is_sealed: false },
    Table { name: "standing", key: &["side", "holder", "item"], is_sealed: true },
];

/// A table of the view.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// Its key, after the tenant.
    pub(crate) key: &'static [&'static str],
    /// It has sealed content.
    pub(crate) is_sealed: bool,
}

fn each(form: impl Fn(&str) -> String) -> String {
    TABLES.map(|table| form(table.name)).join("; ")
}

fn listed(schema: &str) -> String {
    TABLES.map(|table| format!("{schema}.{}", table.name)).join(", ")
}

/// Where statements of this transaction write from here on: into the tables beside.
const BESIDE: &str = "SET LOCAL search_path = rebuild, public";

/// Whether a view is being made beside the one that is read.
pub(crate) async fn is_begun(transaction: &Transaction<'_>) -> Result<bool, StoreError> {
    let row = transaction.query_one("SELECT to_regclass('rebuild.origin') IS NOT NULL", &[]).await?;
    Ok(row.get(0))
}

/// The statements of this transaction mean the tables beside, until [`leave`].
pub(crate) async fn enter(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    Ok(transaction.batch_execute(BESIDE).await?)
}

/// They mean the tables that are read again.
pub(crate) async fn leave(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    Ok(transaction.batch_execute("SET LOCAL search_path = public").await?)
}

/// The one turn at making the view anew; nobody else has it until this is dropped.
pub struct Rebuild {
    // Its session holds the lock.
    turn: Object,
    owner: Pool,
    writers: Pool,
    topic: String,
}

/// Writes the tables beside. Clones share a pool.
#[derive(Clone)]
pub struct RebuildWriter {
    pool: Pool,
    topic: String,
}

/// While it is held, nothing of the conversation view is written and nobody is forgotten; the view that is made anew can be
/// brought to the same place.
pub struct Held<'a>(&'a mut Rebuild);

impl Rebuild {
    /// Begins to make the view of this topic anew, or goes on where the last one was broken off: when it was of this version,
    /// and is not ahead of the view that is read, as after a restore. `None` when somebody else is at it. Uses up to
    /// `writers` connections for writing and two more; the URL's user has to own the tables.
    ///
    /// # Errors
    /// The database is away or refuses, or its schema is not this version's.
    pub async fn begin(url: &SecretString, topic: &str, writers: usize) -> Result<Option<Self>, StoreError> {
        let owner = pool(url, None, 2)?;
        let mut turn: Object = owner.get().await?;
        check(&turn, &VIEWS).await?;
        let is_ours = turn.query_one("SELECT pg_try_advisory_lock($1)", &[&REBUILDING]).await?;
        if !is_ours.get::<_, bool>(0) {
            return Ok(None);
        }
        let origin = format!("{}/{}", VIEWS.version(), env!("CARGO_PKG_VERSION"));
        let transaction = turn.transaction().await?;
        transaction.batch_execute(&each(|name| format!("DROP TABLE IF EXISTS retired.{name}"))).await?;
        if !can_go_on(&transaction, topic, &origin).await? {
            clear(&transaction).await?;
            for table in TABLES {
                transaction.execute("SELECT make_beside($1, 'rebuild')", &[&table.name]).await?;
            }
            transaction.batch_execute("CREATE TABLE rebuild.origin (made_by text NOT NULL)").await?;
            transaction.execute("INSERT INTO rebuild.origin VALUES ($1)", &[&origin]).await?;
        }
        transaction.commit().await?;
        let writers = pool(url, Some(ViewsRole::Projector.name()), writers)?;
        Ok(Some(Self { turn, owner, writers, topic: topic.to_owned() }))
    }

    /// What writes the tables beside.
    pub fn writer(&self) -> RebuildWriter {
        RebuildWriter { pool: self.writers.clone(), topic: self.topic.clone() }
    }

    /// How far the view that is made anew is, by partition.
    ///
    /// # Errors
    /// The database is away or refuses.
    pub async fn places(&self) -> Result<BTreeMap<u32, u64>, StoreError> {
        places(&self.turn, NAME, &self.topic).await
    }

    /// How far the view that is read is, by partition.
    ///
    /// # Errors
    /// The database is away or refuses.
    pub async fn live_places(&self) -> Result<BTreeMap<u32, u64>, StoreError> {
        places(&self.turn, LIVE, &self.topic).await
    }

    /// Lets PostgreSQL look at the new tables, and takes its cleaning away from the old ones: it would be waited for in the
    /// middle of the switch.
    ///
    /// # Errors
    /// The database is away or refuses.
    pub async fn prepare(&mut self) -> Result<(), StoreError> {
        self.turn.batch_execute(&format!("ANALYZE {}", listed("rebuild"))).await?;
        let transaction = self.turn.transaction().await?;
        // Whoever cleans gives way to whoever waits for this lock; readers and writers do not mind it.
        let lock = format!(
            "SET LOCAL lock_timeout = '10s'; LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE",
            listed("public")
        );
        transaction.batch_execute(&lock).await?;
        Ok(transaction.rollback().await?)
    }

    /// Waits for whoever writes the view or forgets people, and holds them up.
    ///
    /// # Errors
    /// The database is away or refuses, or somebody takes very long.
    pub async fn hold(&mut self) -> Result<Held<'_>, StoreError> {
        self.turn.batch_execute("SET lock_timeout = '30s'").await?;
        let locked = self.turn.execute("SELECT pg_advisory_lock($1)", &[&FORGETTING]).await;
        self.turn.batch_execute("SET lock_timeout = 0").await?;
        locked?;
        Ok(Held(self))
    }

    /// Removes what was made: the view that is read stays.
    ///
    /// # Errors
    /// The database is away or refuses.
    pub async fn discard(mut self) -> Result<(), StoreError> {
        let transaction = self.turn.transaction().await?;
        clear(&transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// Removes what was replaced.
    async fn drop_retired(&self) -> Result<(), StoreError> {
        Ok(self.turn.batch_execute(&each(|name| format!("DROP TABLE IF EXISTS retired.{name}"))).await?)
    }
}

async fn places(connection: &Object, name: &str, topic: &str) -> Result<BTreeMap<u32, u64>, StoreError> {
    let rows = connection
        .query(
            "SELECT partition, next FROM projection_offset WHERE projection = $1 AND topic = $2",
            &[&name, &topic],
        )
        .await?;
    let place =
        |row: &tokio_postgres::Row| (u32::try_from(row.get::<_, i32>(0)).unwrap_or(0), unsigned(row.get(1)));
    Ok(rows.iter().map(place).collect())
}

async fn can_go_on(transaction: &Transaction<'_>, topic: &str, origin: &str) -> Result<bool, StoreError> {
    if !is_begun(transaction).await? {
        return Ok(false);
    }
    let row = transaction
        .query_one(
            "SELECT (SELECT made_by FROM rebuild.origin) = $1 AND NOT EXISTS (
                 SELECT FROM projection_offset r LEFT JOIN projection_offset l
                     ON l.projection = $3 AND l.topic = r.topic AND l.partition = r.partition
                 WHERE r.projection = $2 AND (r.topic <> $4 OR r.next > COALESCE(l.next, 0)))",
            &[&origin, &NAME, &LIVE, &topic],
        )
        .await?;
    Ok(row.get::<_, Option<bool>>(0).unwrap_or(false))
}

async fn clear(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    transaction.batch_execute(&each(|name| format!("DROP TABLE IF EXISTS rebuild.{name}"))).await?;
    transaction.batch_execute("DROP TABLE IF EXISTS rebuild.origin").await?;
    transaction.execute("DELETE FROM projection_offset WHERE projection = $1", &[&NAME]).await?;
    Ok(())
}

/// Applies a batch to the tables beside, and moves their place. `fold` is told who of these people was forgotten: of those
/// nothing is written at all.
async fn apply(
    connection: &mut Object,
    step: &OffsetMove<'_>,
    people: &[(TenantId, SubjectId)],
    fold: impl FnOnce(&HashSet<(TenantId, SubjectId)>) -> ConversationChanges,
) -> Result<Moved, StoreError> {
    let transaction = connection.transaction().await?;
    transaction.batch_execute(&format!("{BESIDE}; SET LOCAL ROLE {}", ViewsRole::Projector.name())).await?;
    let step = OffsetMove { projection: NAME, ..*step };
    if !advance(&transaction, &step).await? {
        return Ok(Moved::Conflict);
    }
    // As `write` does, but before it is asked who was forgotten.
    transaction.execute("SELECT pg_advisory_xact_lock_shared($1)", &[&FORGETTING]).await?;
    let forgotten = forgotten(&transaction, people).await?;
    write(&transaction, &fold(&forgotten)).await?;
    transaction.commit().await?;
    Ok(Moved::Applied)
}

async fn forgotten(
    transaction: &Transaction<'_>,
    people: &[(TenantId, SubjectId)],
) -> Result<HashSet<(TenantId, SubjectId)>, StoreError> {
    let tenants: Vec<&str> = people.iter().map(|(tenant, _)| tenant.as_str()).collect();
    let subjects: Vec<&[u8]> = people.iter().map(|(_, subject)| subject.as_bytes().as_slice()).collect();
    let statement = transaction
        .prepare_cached(
            "SELECT a.n FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS a (tenant_id, subject_id, n)
             JOIN forgotten f ON f.tenant_id = a.tenant_id AND f.subject_id = a.subject_id",
        )
        .await?;
    let rows = transaction.query(&statement, &[&tenants, &subjects]).await?;
    let person = |row: &tokio_postgres::Row| {
        people.get(usize::try_from(row.get::<_, i64>(0)).ok()?.checked_sub(1)?).cloned()
    };
    Ok(rows.iter().filter_map(person).collect())
}

impl RebuildWriter {
    /// Applies a batch to the tables beside, and moves their place, in one transaction. `fold` is told who of these people was
    /// forgotten: of those nothing is to be written. The projection in `step` is not looked at.
    ///
    /// # Errors
    /// The database is away or refuses.
    pub async fn apply(
        &self,
        step: &OffsetMove<'_>,
        people: &[(TenantId, SubjectId)],
        fold: impl FnOnce(&HashSet<(TenantId, SubjectId)>) -> ConversationChanges,
    ) -> Result<Moved, StoreError> {
        apply(&mut self.pool.get().await?, step, people, fold).await
    }

    /// How far the view that is read is in one partition.
    ///
    /// # Errors
    /// The database is away or refuses.
    pub async fn live_place(&self, partition: u32) -> Result<u64, StoreError> {
        let connection: Object = self.pool.get().await?;
        Ok(places(&connection, LIVE, &self.topic).await?.get(&partition).copied().unwrap_or(0))
    }
}

impl Held<'_> {
    /// As [`Rebuild::live_places`]; it stays so while this is held.
    ///
    /// # Errors
    /// The database is away or refuses.
    pub async fn live_places(&self) -> Result<BTreeMap<u32, u64>, StoreError> {
        self.0.live_places().await
    }

    /// As [`RebuildWriter::apply`].
    ///
    /// # Errors
    /// The database is away or refuses.
    pub async fn apply(
        &mut self,
        step: &OffsetMove<'_>,
        people: &[(TenantId, SubjectId)],
        fold: impl FnOnce(&HashSet<(TenantId, SubjectId)>) -> ConversationChanges,
    ) -> Result<Moved, StoreError> {
        apply(&mut self.0.turn, step, people, fold).await
    }

    /// Removes every row of these tenants from the tables beside: of tenants that have ended nothing is to be left.
    ///
    /// # Errors
    /// The database is away or refuses.
    pub async fn leave_out(&mut self, ended: &[TenantId]) -> Result<(), StoreError> {
        if ended.is_empty() {
            return Ok(());
        }
        let ended: Vec<&str> = ended.iter().map(TenantId::as_str).collect();
        let transaction = self.0.turn.transaction().await?;
        transaction.batch_execute(&format!("SET LOCAL ROLE {}", ViewsRole::Projector.name())).await?;
        for table in TABLES {
            let sql = format!("DELETE FROM rebuild.{} WHERE tenant_id = ANY($1)", table.name);
            transaction.execute(&sql, &[&ended]).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Looks at both views as they are now, and lets everybody go on.
    ///
    /// # Errors
    /// The database is away or refuses.
    pub async fn look(self) -> Result<Look, StoreError> {
        let look = Look::begin(self.0.owner.get().await?).await?;
        self.release().await?;
        Ok(look)
    }

    /// Lets everybody go on.
    ///
    /// # Errors
    /// The database is away or refuses.
    pub async fn release(self) -> Result<(), StoreError> {
        self.0.turn.execute("SELECT pg_advisory_unlock($1)", &[&FORGETTING]).await?;
        Ok(())
    }

    /// Puts the new tables in the old ones' place, and lets everybody go on. False, and nothing has changed, when the tables
    /// were in use for so long.
    ///
    /// # Errors
    /// The database is away or refuses.
    pub async fn switch(self, patience_ms: u32) -> Result<bool, StoreError> {
        let switched = switch(&mut self.0.turn, patience_ms).await?;
        self.0.turn.execute("SELECT pg_advisory_unlock($1)", &[&FORGETTING]).await?;
        // What is not removed now is removed by the next one.
        if switched && let Err(cause) = self.0.drop_retired().await {
            warn!(error = %cause, "the view that was replaced takes room until the next one is made anew");
        }
        Ok(switched)
    }
}

async fn switch(connection: &mut Object, patience_ms: u32) -> Result<bool, StoreError> {
    let transaction = connection.transaction().await?;
    // The whole of it may take so long, not each table.
    transaction.batch_execute(&format!("SET LOCAL statement_timeout = {patience_ms}")).await?;
    let lock = format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", listed("public"));
    let change = each(|name| {
        format!("ALTER TABLE public.{name} SET SCHEMA retired; ALTER TABLE rebuild.{name} SET SCHEMA public")
    });
    let end = format!("DROP TABLE rebuild.origin; DELETE FROM projection_offset WHERE projection = '{NAME}'");
    let mut done = transaction.batch_execute(&lock).await;
    if done.is_ok() {
        // The time for the lock runs until the first statement of this is done.
        done = transaction.batch_execute(&format!("SET LOCAL statement_timeout = 0; {change}; {end}")).await;
    }
    if let Err(cause) = done {
        let gives_way =
            [SqlState::QUERY_CANCELED, SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED];
        if !cause.code().is_some_and(|code| gives_way.contains(code)) {
            return Err(cause.into());
        }
        transaction.rollback().await?;
        return Ok(false);
    }
    transaction.commit().await?;
    Ok(true)
}
