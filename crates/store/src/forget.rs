//! Removing a person's rows, or a whole tenant's, and looking whether anything is left.

use deadpool_postgres::Transaction;
use schemas::{SubjectId, TenantId};

use crate::conversation::FORGETTING;
use crate::offset::unsigned;
use crate::{StoreError, ViewsDb, rebuild};

/// Every row of a person: what hangs on their messages first, so that it can still be told whose it is. A message that they
/// reacted to stays; their reaction goes.
const OF_PERSON: [&str; 15] = [
    "DELETE FROM status s USING message m WHERE s.tenant_id = $1 AND m.tenant_id = $1 AND m.message_id = s.message_id AND m.subject_id = $2",
    "DELETE FROM message_deletion d USING message m WHERE d.tenant_id = $1 AND m.tenant_id = $1 AND m.message_id = d.message_id AND m.subject_id = $2",
    "DELETE FROM message_edit e USING message m WHERE e.tenant_id = $1 AND m.tenant_id = $1 AND m.message_id = e.message_id AND m.subject_id = $2",
    "DELETE FROM reaction r USING message m WHERE r.tenant_id = $1 AND m.tenant_id = $1 AND m.message_id = r.message_id AND m.subject_id = $2",
    "DELETE FROM watermark w USING conversation c WHERE w.tenant_id = $1 AND c.tenant_id = $1 AND c.conversation_id = w.conversation_id AND c.subject_id = $2",
    "DELETE FROM message WHERE tenant_id = $1 AND subject_id = $2",
    "DELETE FROM message_deletion WHERE tenant_id = $1 AND subject_id = $2",
    "DELETE FROM status WHERE tenant_id = $1 AND subject_id = $2",
    "DELETE FROM watermark WHERE tenant_id = $1 AND subject_id = $2",
    "DELETE FROM message_edit WHERE tenant_id = $1 AND subject_id = $2",
    "DELETE FROM reaction WHERE tenant_id = $1 AND (subject_id = $2 OR actor = $2)",
    "DELETE FROM conversation WHERE tenant_id = $1 AND subject_id = $2",
    "DELETE FROM contact WHERE tenant_id = $1 AND subject_id = $2",
    "DELETE FROM attachment WHERE tenant_id = $1 AND subject_id = $2",
    "DELETE FROM standing WHERE tenant_id = $1 AND (subject_id = $2 OR (side IN ('preference', 'address_book', 'person') AND holder = $2)
         OR (side = 'person' AND item = encode($2, 'hex')))",
];

const LEFT_OF_PERSON: &str = "SELECT (SELECT count(*) FROM message WHERE tenant_id = $1 AND subject_id = $2)
    + (SELECT count(*) FROM message_edit WHERE tenant_id = $1 AND subject_id = $2)
    + (SELECT count(*) FROM message_deletion WHERE tenant_id = $1 AND subject_id = $2)
    + (SELECT count(*) FROM status WHERE tenant_id = $1 AND subject_id = $2)
    + (SELECT count(*) FROM watermark WHERE tenant_id = $1 AND subject_id = $2)
    + (SELECT count(*) FROM reaction WHERE tenant_id = $1 AND (subject_id = $2 OR actor = $2))
    + (SELECT count(*) FROM conversation WHERE tenant_id = $1 AND subject_id = $2)
    + (SELECT count(*) FROM contact WHERE tenant_id = $1 AND subject_id = $2)
    + (SELECT count(*) FROM attachment WHERE tenant_id = $1 AND subject_id = $2)
    + (SELECT count(*) FROM standing WHERE tenant_id = $1 AND subject_id = $2)
    + (SELECT count(*) FROM attachment_job WHERE tenant_id = $1 AND subject_id = $2)";

/// Tables that hold a tenant's rows and are emptied of them when it ends. The audit stays its year, and so does the list of
/// who was forgotten.
const OF_TENANT: [&str; 13] = [
    "conversation",
    "contact",
    "message",
    "message_edit",
    "message_deletion",
    "reaction",
    "status",
    "watermark",
    "attachment",
    "standing",
    "attachment_job",
    "attachment_unsent",
    "coverage_tenant",
];

impl ViewsDb {
    /// Removes every row of a person in one transaction, and notes that none is to be written again. Answers how many there
    /// were. Doing it again is harmless.
    pub async fn forget(&self, tenant: &TenantId, subject: SubjectId) -> Result<u64, StoreError> {
        let mut connection = self.get().await?;
        let transaction = connection.transaction().await?;
        let rows = forget_in(&transaction, tenant, subject).await?;
        transaction.commit().await?;
        Ok(rows)
    }

    /// How many rows of a person there are.
    pub async fn rows_of(&self, tenant: &TenantId, subject: SubjectId) -> Result<u64, StoreError> {
        let connection = self.get().await?;
        let row =
            connection.query_one(LEFT_OF_PERSON, &[&tenant.as_str(), &subject.as_bytes().as_slice()]).await?;
        Ok(unsigned(row.get(0)))
    }

    /// Which of these people's rows might still be written: those that were not forgotten here.
    pub async fn not_forgotten(
        &self,
        people: &[(TenantId, SubjectId)],
    ) -> Result<Vec<(TenantId, SubjectId)>, StoreError> {
        let tenants: Vec<&str> = people.iter().map(|(tenant, _)| tenant.as_str()).collect();
        let subjects: Vec<&[u8]> = people.iter().map(|(_, subject)| subject.as_bytes().as_slice()).collect();
        let connection = self.get().await?;
        let rows = connection
            .query(
                "SELECT a.n FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS a (tenant_id, subject_id, n)
                 WHERE NOT EXISTS (SELECT FROM forgotten f WHERE f.tenant_id = a.tenant_id AND f.subject_id = a.subject_id)",
                &[&tenants, &subjects],
            )
            .await?;
        Ok(rows
            .iter()
            .filter_map(|row| {
                people.get(usize::try_from(row.get::<_, i64>(0)).ok()?.checked_sub(1)?).cloned()
            })
            .collect())
    }

    /// Removes every row of a tenant but its audit. Answers how many there were. Doing it again is harmless.
    pub async fn forget_tenant(&self, tenant: &TenantId) -> Result<u64, StoreError> {
        let mut connection = self.get().await?;
        let transaction = connection.transaction().await?;
        transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&FORGETTING]).await?;
        let mut rows = 0;
        for table in OF_TENANT {
            let sql = format!("DELETE FROM {table} WHERE tenant_id = $1");
            rows += transaction.execute(&sql, &[&tenant.as_str()]).await?;
        }
        // Nor is it to be left in a view that is being made anew beside this one.
        if rebuild::is_begun(&transaction).await? {
            rebuild::enter(&transaction).await?;
            for table in OF_TENANT {
                let sql = format!("DELETE FROM {table} WHERE tenant_id = $1");
                transaction.execute(&sql, &[&tenant.as_str()]).await?;
            }
        }
        transaction.commit().await?;
        Ok(rows)
    }

    /// How many rows of a tenant there are, its audit left out.
    pub async fn rows_of_tenant(&self, tenant: &TenantId) -> Result<u64, StoreError> {
        let connection = self.get().await?;
        let mut rows = 0;
        for table in OF_TENANT {
            let sql = format!("SELECT count(*) FROM {table} WHERE tenant_id = $1");
            rows += unsigned(connection.query_one(&sql, &[&tenant.as_str()]).await?.get(0));
        }
        Ok(rows)
    }
}

/// Removes a person's rows within a transaction that also does something else, such as filling tables from a backup.
pub(crate) async fn forget_in(
    transaction: &Transaction<'_>,
    tenant: &TenantId,
    subject: SubjectId,
) -> Result<u64, StoreError> {
    let (tenant, subject) = (tenant.as_str(), subject.as_bytes().as_slice());
    // Whoever writes rows now is waited for, and whoever comes after sees that the person is forgotten.
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&FORGETTING]).await?;
    transaction
        .execute(
            "INSERT INTO forgotten (tenant_id, subject_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            &[&tenant, &subject],
        )
        .await?;
    let mut rows = 0;
    for sql in OF_PERSON {
        rows += transaction.execute(sql, &[&tenant, &subject]).await?;
    }
    // A view that is being made anew beside this one may have their rows already.
    if rebuild::is_begun(transaction).await? {
        rebuild::enter(transaction).await?;
        for sql in OF_PERSON {
            transaction.execute(sql, &[&tenant, &subject]).await?;
        }
        rebuild::leave(transaction).await?;
    }
    // The queue is no row that anybody was shown.
    transaction
        .execute("DELETE FROM attachment_job WHERE tenant_id = $1 AND subject_id = $2", &[&tenant, &subject])
        .await?;
    Ok(rows)
}
