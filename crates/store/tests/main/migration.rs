//! Bringing the schema to this version.

use secrecy::SecretString;
use store::{ViewsDb, ViewsRole};

use crate::stage::stage;

#[tokio::test(flavor = "multi_thread")]
async fn many_migrate_at_once_and_a_newer_schema_is_refused() {
    let stage = stage().await;
    let url: SecretString = stage.postgres.database().await.unwrap().into();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { store::migrate_views(&url).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let db = ViewsDb::connect(&url, ViewsRole::Reader, 1).await.unwrap();
    db.check_schema().await.unwrap();
    let text = secrecy::ExposeSecret::expose_secret(&url).to_owned();
    assert!(
        std::process::Command::new("psql")
            .args([&text, "-Xqc", "UPDATE schema_version SET version = 99"])
            .status()
            .unwrap()
            .success()
    );
    let refused = db.check_schema().await.unwrap_err().to_string();
    assert!(refused.contains("99") && refused.contains("update this program"), "{refused}");
    assert!(store::migrate_views(&url).await.is_err());
    // Errors do not repeat the address, which may hold a password.
    let wrong: SecretString = "postgres://user:hunter2@:::".to_owned().into();
    let refused = store::migrate_views(&wrong).await.unwrap_err();
    assert!(!format!("{refused} {refused:?}").contains("hunter2"));
}
