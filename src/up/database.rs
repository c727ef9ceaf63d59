//! The two databases of `up`: a PostgreSQL child in the data folder, or a server that runs already.

use anyhow::Context;
use secrecy::SecretString;
use tracing::info;

use crate::up::folder::DataFolder;

const VIEWS: &str = "tidings_views";
const KEYRING: &str = "tidings_keyring";

const KEYRING_SUFFIX: &str = "_keyring";

/// A PostgreSQL that runs already.
#[derive(Debug, Clone)]
pub(crate) struct Postgres {
    /// The views' database.
    pub(crate) views: SecretString,
    /// The keyring's; unless given, one is made beside the views', its name followed by `_keyring`.
    pub(crate) keyring: Option<SecretString>,
}

/// Both databases, migrated.
pub(crate) struct Databases {
    /// How to reach the views.
    pub(crate) views: SecretString,
    /// How to reach the keyring.
    pub(crate) keyring: SecretString,
    server: Option<localpg::Server>,
}

impl Databases {
    /// Starts the child unless a server is given, and migrates both databases.
    pub(crate) async fn open(given: Option<Postgres>, folder: &DataFolder) -> anyhow::Result<Self> {
        let databases = match given {
            Some(Postgres { views, keyring: Some(keyring) }) => Self { views, keyring, server: None },
            Some(Postgres { views, keyring: None }) => {
                let keyring = store::ensure_sibling_database(&views, KEYRING_SUFFIX).await.context(
                    "making the keyring's database beside the views' (--keyring names one that is there)",
                )?;
                Self { views, keyring, server: None }
            }
            None => {
                let server = localpg::Server::start(localpg::Config::new(folder.join("pg"))).await?;
                server.ensure_database(VIEWS).await?;
                server.ensure_database(KEYRING).await?;
                info!("PostgreSQL runs in {}", folder.join("pg").display());
                let [views, keyring] = [VIEWS, KEYRING].map(|name| SecretString::from(server.url(name)));
                Self { views, keyring, server: Some(server) }
            }
        };
        store::migrate_views(&databases.views).await.context("migrating the views")?;
        store::migrate_keyring(&databases.keyring).await.context("migrating the keyring")?;
        Ok(databases)
    }

    /// Stops the child, if there is one.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        match self.server {
            Some(server) => Ok(server.stop().await?),
            None => Ok(()),
        }
    }
}
