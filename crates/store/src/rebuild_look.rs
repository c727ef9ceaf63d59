//! What a view that was made anew says otherwise than the one that is read.

use deadpool_postgres::Object;

use crate::offset::unsigned;
use crate::rebuild::{TABLES, Table};
use crate::{StoreError, ViewsRole};

/// Both views as they were at one moment.
pub struct Look(Object);

/// One table of both views.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDifference {
    /// Its name.
    pub table: &'static str,
    /// How many rows the new one has.
    pub rows: u64,
    /// How many rows are in one of them only, or not the same in both.
    pub differs: u64,
    /// How many of those say the same and are sealed otherwise: an event that came twice was sealed twice, and which of the
    /// two stands is chance.
    pub resealed: u64,
}

impl Look {
    /// Looks now. Everything asked afterwards is answered as of this moment.
    pub(crate) async fn begin(connection: Object) -> Result<Self, StoreError> {
        connection
            .batch_execute(&format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL ROLE {};
                 SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL work_mem = '64MB'; SELECT",
                ViewsRole::Projector.name()
            ))
            .await?;
        Ok(Self(connection))
    }

    /// Compares them, tenant by tenant: by sums of hashes first, and row by row where those are not the same.
    ///
    /// # Errors
    /// The database is away or refuses.
    pub async fn compare(self) -> Result<Vec<TableDifference>, StoreError> {
        let mut found = Vec::with_capacity(TABLES.len());
        for table in &TABLES {
            found.push(self.table(table).await?);
        }
        self.0.batch_execute("COMMIT").await?;
        Ok(found)
    }

    async fn table(&self, table: &Table) -> Result<TableDifference, StoreError> {
        let name = table.name;
        // A sum does not know the order of its rows.
        let sums = |schema: &str| {
            format!(
                "SELECT tenant_id, count(*) AS n, sum(hashtextextended(t::text, 0)::numeric) AS h
                 FROM {schema}.{name} t GROUP BY tenant_id"
            )
        };
        let sql = format!(
            "SELECT tenant_id, COALESCE(r.n, 0), (l.n, l.h) IS NOT DISTINCT FROM (r.n, r.h)
             FROM ({}) l FULL JOIN ({}) r USING (tenant_id)",
            sums("public"),
            sums("rebuild")
        );
        let mut difference = TableDifference { table: name, rows: 0, differs: 0, resealed: 0 };
        let mut differing: Vec<String> = Vec::new();
        for row in self.0.query(&sql, &[]).await? {
            difference.rows += unsigned(row.get(1));
            if !row.get::<_, bool>(2) {
                differing.push(row.get(0));
            }
        }
        if !differing.is_empty() {
            let row = self.0.query_one(&by_row(table), &[&differing]).await?;
            (difference.differs, difference.resealed) = (unsigned(row.get(0)), unsigned(row.get(1)));
        }
        Ok(difference)
    }
}

/// How many rows differ, and how many of them in what they are sealed as only.
fn by_row(table: &Table) -> String {
    let name = table.name;
    let on: String = table.key.iter().map(|column| format!(" AND l.{column} = r.{column}")).collect();
    let sealed_otherwise = if table.is_sealed {
        "to_jsonb(l) - 'content' = to_jsonb(r) - 'content'
             AND (l.content IS NULL, l.content = '') IS NOT DISTINCT FROM (r.content IS NULL, r.content = '')"
    } else {
        "false"
    };
    format!(
        "SELECT count(*), count(*) FILTER (WHERE {sealed_otherwise})
         FROM (SELECT * FROM public.{name} WHERE tenant_id = ANY($1)) l
         FULL JOIN (SELECT * FROM rebuild.{name} WHERE tenant_id = ANY($1)) r ON l.tenant_id = r.tenant_id{on}
         WHERE ROW(l.*) IS DISTINCT FROM ROW(r.*)"
    )
}
