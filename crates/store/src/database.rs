//! Making a database beside one that is there.

use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

use crate::StoreError;
use crate::connect::parse;

/// Makes the database whose name is that of `url` followed by `suffix`, on the same server, unless it is there. Tells
/// how to reach it: as `url` does.
pub async fn ensure_sibling_database(url: &SecretString, suffix: &str) -> Result<SecretString, StoreError> {
    let config = parse(url)?;
    // Without a name, PostgreSQL takes the user's.
    let name = config
        .get_dbname()
        .or(config.get_user())
        .ok_or_else(|| StoreError::Refused { cause: "the PostgreSQL URL names no database".into() })?;
    let name = format!("{name}{suffix}");
    let (client, connection) = config.connect(NoTls).await?;
    let running = tokio::spawn(connection);
    let made = async {
        let there = client.query_one("SELECT count(*) FROM pg_database WHERE datname = $1", &[&name]).await?;
        if there.get::<_, i64>(0) == 0 {
            client.batch_execute(&format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\""))).await?;
        }
        Ok::<(), tokio_postgres::Error>(())
    }
    .await;
    drop(client);
    // The connection ends with its client; how it ended was told to the statement that waited.
    let _ = running.await;
    match made {
        Err(cause) if cause.code() != Some(&SqlState::DUPLICATE_DATABASE) => Err(cause.into()),
        _ => Ok(SecretString::from(with_database(url.expose_secret(), &name))),
    }
}

/// The same address with another database.
fn with_database(url: &str, name: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (place, query) = rest
                .split_once('?')
                .map_or((rest, String::new()), |(place, query)| (place, format!("?{query}")));
            let authority = place.split('/').next().unwrap_or_default();
            format!("{scheme}://{authority}/{name}{query}")
        }
        // Of two settings of one name the later one holds.
        None => format!("{url} dbname='{}'", name.replace('\\', "\\\\").replace('\'', "\\'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, host: &str) {
        let url = with_database(url, "views_keyring");
        let config = parse(&SecretString::from(url)).unwrap();
        assert_eq!(config.get_dbname(), Some("views_keyring"));
        assert_eq!(config.get_user(), Some("me"));
        assert!(format!("{:?}", config.get_hosts()).contains(host));
    }

    #[test]
    fn only_the_database_changes() {
        check("postgres://me:p%2Fw@db1:5433/views?application_name=x", "db1");
        check("postgresql://me@db1", "db1");
        check("host=db1 user=me dbname=views password='a b'", "db1");
        check("host=/run/pg user=me", "/run/pg");
    }
}
