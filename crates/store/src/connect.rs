//! Connections: one pool per role, each connection under that role's rights and nothing else.

use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Transaction,
};
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::{Config, NoTls};

use crate::StoreError;
use crate::migrate::{VIEWS, check};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

/// As whom the views are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewsRole {
    /// Writes every tenant's rows.
    Projector,
    /// Reads one tenant's rows at a time.
    Reader,
    /// Works off the queue of files to fetch, and sees nothing else.
    Attachments,
    /// Removes what is no longer kept, of every tenant.
    Keeper,
}

impl ViewsRole {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Projector => "tidings_projector",
            Self::Reader => "tidings_reader",
            Self::Attachments => "tidings_attachments",
            Self::Keeper => "tidings_keeper",
        }
    }
}

/// The views database, under one role. Clones share a pool.
#[derive(Clone)]
pub struct ViewsDb {
    pool: Pool,
}

impl ViewsDb {
    /// Connects. The schema must be there: [`crate::migrate_views`] makes it.
    ///
    /// Connections are in clear: reach a database on another machine through a private network or a tunnel.
    pub async fn connect(
        url: &SecretString,
        role: ViewsRole,
        max_connections: usize,
    ) -> Result<Self, StoreError> {
        let pool = pool(url, Some(role.name()), max_connections)?;
        drop(pool.get().await?);
        Ok(Self { pool })
    }

    /// Whether the schema is the one this program knows.
    pub async fn check_schema(&self) -> Result<(), StoreError> {
        check(&*self.get().await?, &VIEWS).await
    }

    pub(crate) async fn get(&self) -> Result<Object, StoreError> {
        Ok(self.pool.get().await?)
    }
}

/// Opens a transaction that sees this tenant's rows only.
pub(crate) async fn tenant_transaction<'a>(
    connection: &'a mut Object,
    tenant: &str,
) -> Result<Transaction<'a>, StoreError> {
    let transaction = connection.build_transaction().read_only(true).start().await?;
    transaction.execute("SELECT set_config('app.tenant', $1, true)", &[&tenant]).await?;
    Ok(transaction)
}

/// A pool whose connections begin with a rollback, so that nothing of a former borrower survives.
pub(crate) fn pool(url: &SecretString, role: Option<&'static str>, max: usize) -> Result<Pool, StoreError> {
    let manager = Manager::from_config(
        parse(url)?,
        NoTls,
        ManagerConfig { recycling_method: RecyclingMethod::Custom("ROLLBACK; RESET app.tenant".into()) },
    );
    // A projection's rows and its offset are committed together, so what a crash of the server takes back is read again.
    // Everything else is durable when it is answered.
    // And it finds rows by their keys only: a plan made while a table was empty must not read all of it once it is full.
    let projecting = if role == Some(ViewsRole::Projector.name()) {
        "SET synchronous_commit = off; SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;"
    } else {
        ""
    };
    let settle = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
        Box::pin(async move {
            let role = role.map(|role| format!("SET ROLE {role};")).unwrap_or_default();
            let settings = "SET idle_in_transaction_session_timeout = '60s'; SET jit = off; SET client_min_messages = 'error'; SET search_path = public;";
            client.batch_execute(&format!("{settings} {projecting} {role}")).await.map_err(HookError::Backend)
        })
    });
    Pool::builder(manager)
        .max_size(max.max(1))
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(WAIT_TIMEOUT))
        .create_timeout(Some(CONNECT_TIMEOUT))
        .post_create(settle)
        .build()
        .map_err(|cause| StoreError::Refused { cause: cause.to_string() })
}

pub(crate) fn parse(url: &SecretString) -> Result<Config, StoreError> {
    // The cause could quote the URL, which may hold a password.
    let mut config: Config = url.expose_secret().parse().map_err(|_| StoreError::Refused {
        cause: "the PostgreSQL URL is not one: write postgres://user:password@host/database or host=… user=… dbname=…".into(),
    })?;
    config
        .connect_timeout(CONNECT_TIMEOUT)
        .keepalives_idle(Duration::from_secs(30))
        .application_name("tidings");
    Ok(config)
}
