//! What stands until something newer is said: who answers in a conversation, calls, preferences, the address book, the state
//! of accounts, numbers and templates, and who is one person. Order-free like every other merge of the view.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use schemas::{ConversationId, EventId, Field, SubjectId, TenantId};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::connect::tenant_transaction;
use crate::conversation::{run, subjects, tenants};
use crate::{SealedPart, StoreError, ViewsDb};

/// What kind of thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Who answers in a conversation.
    Thread,
    /// How far a call is.
    Call,
    /// Which messages a person wants.
    Preference,
    /// How the business calls a person.
    AddressBook,
    /// How an account, number or template is.
    Asset,
    /// Whether two subjects are one person.
    Person,
}

impl Side {
    /// The side as its one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Thread => "thread",
            Self::Call => "call",
            Self::Preference => "preference",
            Self::AddressBook => "address_book",
            Self::Asset => "asset",
            Self::Person => "person",
        }
    }
}

/// Which thing stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StandingKey {
    /// What kind of thing.
    pub side: Side,
    /// The conversation, call, person or asset.
    pub holder: Vec<u8>,
    /// Which of its things; empty when it has one.
    pub item: String,
}

/// How it stands; the greater wins, fields in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StandingChange {
    /// What comes before time: a call that ended does not ring.
    pub rank: i16,
    /// When it was said, Unix milliseconds.
    pub at_ms: i64,
    /// The event that said so.
    pub event: EventId,
    /// Its kind, in one word.
    pub kind: &'static str,
    /// Where it was said.
    pub conversation: Option<ConversationId>,
    /// For whom it is sealed; nobody: for the tenant itself.
    pub subject: Option<SubjectId>,
    /// What was said, sealed.
    pub content: Vec<u8>,
}

/// Something that stands, as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingRow {
    /// What kind of thing, in one word.
    pub side: String,
    /// Which of its things.
    pub item: String,
    /// Since when, Unix milliseconds.
    pub at_ms: i64,
    /// The kind of event that said so.
    pub kind: String,
    /// What was said, sealed.
    pub content: SealedPart,
}

pub(crate) async fn write(
    transaction: &Transaction<'_>,
    rows: &BTreeMap<(TenantId, StandingKey), StandingChange>,
) -> Result<(), StoreError> {
    let tenants = tenants(rows.keys().map(|(tenant, _)| tenant));
    let sides: Vec<&str> = rows.keys().map(|(_, key)| key.side.as_str()).collect();
    let holders: Vec<&[u8]> = rows.keys().map(|(_, key)| key.holder.as_slice()).collect();
    let items: Vec<&str> = rows.keys().map(|(_, key)| key.item.as_str()).collect();
    let ranks: Vec<i16> = rows.values().map(|row| row.rank).collect();
    let at: Vec<i64> = rows.values().map(|row| row.at_ms).collect();
    let events: Vec<&[u8]> = rows.values().map(|row| row.event.as_bytes().as_slice()).collect();
    let kinds: Vec<&str> = rows.values().map(|row| row.kind).collect();
    let conversations: Vec<Option<&[u8]>> =
        rows.values().map(|row| row.conversation.as_ref().map(|id| id.as_bytes().as_slice())).collect();
    let subjects = subjects(rows.values().map(|row| row.subject.as_ref()));
    let content: Vec<&[u8]> = rows.values().map(|row| row.content.as_slice()).collect();
    let sql = "INSERT INTO standing AS s (tenant_id, side, holder, item, rank, at_ms, event_id, kind, conversation_id, subject_id, content)
         SELECT n.* FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::smallint[], $6::bigint[], $7::bytea[], $8::text[], $9::bytea[], $10::bytea[], $11::bytea[])
              AS n (tenant_id, side, holder, item, rank, at_ms, event_id, kind, conversation_id, subject_id, content)
         WHERE NOT EXISTS (SELECT FROM forgotten f WHERE f.tenant_id = n.tenant_id AND f.subject_id = n.subject_id)
           AND NOT (n.side = 'person' AND EXISTS (SELECT FROM forgotten f
               WHERE f.tenant_id = n.tenant_id AND (f.subject_id = n.holder OR encode(f.subject_id, 'hex') = n.item)))
         ON CONFLICT (tenant_id, side, holder, item) DO UPDATE
         SET rank = excluded.rank, at_ms = excluded.at_ms, event_id = excluded.event_id, kind = excluded.kind,
             conversation_id = excluded.conversation_id, subject_id = excluded.subject_id, content = excluded.content
         WHERE (excluded.rank, excluded.at_ms, excluded.event_id) > (s.rank, s.at_ms, s.event_id)";
    let columns: [&(dyn ToSql + Sync); 11] = [
        &tenants,
        &sides,
        &holders,
        &items,
        &ranks,
        &at,
        &events,
        &kinds,
        &conversations,
        &subjects,
        &content,
    ];
    run(transaction, sql, rows.len(), &columns).await
}

impl ViewsDb {
    /// What stands of this holder, by item.
    pub async fn standing(
        &self,
        tenant: &TenantId,
        side: Side,
        holder: &[u8],
    ) -> Result<Vec<StandingRow>, StoreError> {
        let mut connection = self.get().await?;
        let transaction = tenant_transaction(&mut connection, tenant.as_str()).await?;
        let sql = format!("{SELECT} AND side = $2 AND holder = $3 ORDER BY item");
        let rows = transaction.query(&sql, &[&tenant.as_str(), &side.as_str(), &holder]).await?;
        rows.iter().map(standing).collect()
    }

    /// Who answers in these conversations, which are shown as one, and their calls, the earliest first.
    pub async fn standing_in(
        &self,
        tenant: &TenantId,
        conversations: &[ConversationId],
    ) -> Result<Vec<StandingRow>, StoreError> {
        let mut connection = self.get().await?;
        let transaction = tenant_transaction(&mut connection, tenant.as_str()).await?;
        let sql = format!(
            "{SELECT} AND side IN ('thread', 'call') AND conversation_id = ANY($2) ORDER BY side DESC, at_ms, event_id"
        );
        let ids: Vec<&[u8]> = conversations.iter().map(|id| id.as_bytes().as_slice()).collect();
        let rows = transaction.query(&sql, &[&tenant.as_str(), &ids]).await?;
        rows.iter().map(standing).collect()
    }

    /// Everything that stands of a person.
    pub async fn standing_of(
        &self,
        tenant: &TenantId,
        subject: SubjectId,
    ) -> Result<Vec<StandingRow>, StoreError> {
        let mut connection = self.get().await?;
        let transaction = tenant_transaction(&mut connection, tenant.as_str()).await?;
        let sql = format!("{SELECT} AND subject_id = $2 ORDER BY side, item, at_ms, event_id");
        let id = subject.as_bytes().as_slice();
        let rows = transaction.query(&sql, &[&tenant.as_str(), &id]).await?;
        rows.iter().map(standing).collect()
    }
}

const SELECT: &str =
    "SELECT side, item, at_ms, kind, subject_id, event_id, content FROM standing WHERE tenant_id = $1";

fn standing(row: &Row) -> Result<StandingRow, StoreError> {
    let damaged = || StoreError::Damaged { table: "standing" };
    let subject: Option<&[u8]> = row.get(4);
    let subject =
        subject.map(|id| id.try_into().map(SubjectId::from_bytes)).transpose().map_err(|_| damaged())?;
    let event = EventId::from_bytes(row.get::<_, &[u8]>(5).try_into().map_err(|_| damaged())?);
    Ok(StandingRow {
        side: row.get(0),
        item: row.get(1),
        at_ms: row.get(2),
        kind: row.get(3),
        content: SealedPart { subject, event, field: Field::Content, bytes: row.get(6) },
    })
}
