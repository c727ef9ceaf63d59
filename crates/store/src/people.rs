//! Which subjects events have said to be one person.

use schemas::{SubjectId, TenantId};

use crate::connect::tenant_transaction;
use crate::{StoreError, ViewsDb};

impl ViewsDb {
    /// Every pair that stands as merged among these subjects, those merged with them, and so on.
    pub async fn merged(
        &self,
        tenant: &TenantId,
        subjects: &[SubjectId],
    ) -> Result<Vec<[SubjectId; 2]>, StoreError> {
        let subjects: Vec<&[u8]> = subjects.iter().map(|subject| subject.as_bytes().as_slice()).collect();
        let mut connection = self.get().await?;
        let transaction = tenant_transaction(&mut connection, tenant.as_str()).await?;
        let rows = transaction.query(MERGED, &[&tenant.as_str(), &subjects]).await?;
        let damaged = || StoreError::Damaged { table: "standing" };
        let subject = |bytes: &[u8]| bytes.try_into().map(SubjectId::from_bytes).map_err(|_| damaged());
        rows.iter().map(|row| Ok([subject(row.get(0))?, subject(row.get(1))?])).collect()
    }
}

const MERGED: &str = "WITH RECURSIVE reached (id) AS (
        SELECT unnest($2::bytea[])
        UNION
        SELECT n.id FROM reached r CROSS JOIN LATERAL (
            SELECT decode(s.item, 'hex') AS id FROM standing s
                WHERE s.tenant_id = $1 AND s.side = 'person' AND s.holder = r.id AND s.kind = 'person.merged'
            UNION ALL SELECT s.holder FROM standing s
                WHERE s.tenant_id = $1 AND s.side = 'person' AND s.item = encode(r.id, 'hex') AND s.kind = 'person.merged') AS n
    )
    SELECT s.holder, decode(s.item, 'hex') FROM reached r
    JOIN standing s ON s.tenant_id = $1 AND s.side = 'person' AND s.holder = r.id AND s.kind = 'person.merged'";
