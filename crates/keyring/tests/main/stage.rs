//! A keyring's database, and processes that use it.

use std::sync::Arc;
use std::time::Duration;

use keyring::{Keyring, Person, SubjectKey, Whom};
use schemas::{EventId, Field, Identifier, IdentifierKind, SubjectId, TenantId};
use seal::RootKey;
use secrecy::{ExposeSecret, SecretString};
use store::{KeyringDb, KeyringRole};
use testkit::Postgres;
use tokio::time::Instant;

const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Stage {
    _postgres: Postgres,
    pub(crate) url: SecretString,
    pub(crate) root: Arc<RootKey>,
}

impl Stage {
    pub(crate) async fn start() -> Self {
        Self::with(RootKey::generate().unwrap()).await
    }

    pub(crate) async fn with(root: RootKey) -> Self {
        let postgres = Postgres::start().await.unwrap();
        let url = postgres.database().await.unwrap().into();
        store::migrate_keyring(&url).await.unwrap();
        Self { _postgres: postgres, url, root: Arc::new(root) }
    }

    pub(crate) async fn db(&self, role: KeyringRole) -> KeyringDb {
        KeyringDb::connect(&self.url, role, 8).await.unwrap()
    }

    /// A process with this role and a memory of its own.
    pub(crate) async fn ring(&self, role: KeyringRole) -> Keyring {
        Keyring::new(self.db(role).await, self.root.clone())
    }

    /// What the database says, asked as its owner.
    pub(crate) fn ask(&self, sql: &str) -> String {
        self.try_ask(sql).unwrap()
    }

    /// The same, or what the database has against it.
    pub(crate) fn try_ask(&self, sql: &str) -> Result<String, String> {
        let output = std::process::Command::new("psql")
            .args([self.url.expose_secret(), "-XqtAc", sql])
            .output()
            .unwrap();
        let said = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim().to_owned();
        if output.status.success() { Ok(said(output.stdout)) } else { Err(said(output.stderr)) }
    }
}

pub(crate) fn phone(number: u32) -> Identifier {
    Identifier { kind: IdentifierKind::Phone, value: format!("1555000{number:04}") }
}

pub(crate) fn bsuid(number: u32) -> Identifier {
    Identifier { kind: IdentifierKind::Bsuid, value: format!("waba:1/US.{number}") }
}

pub(crate) fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

pub(crate) const fn event(n: u8) -> EventId {
    EventId::from_bytes([n; 16])
}

/// Somebody of whom something is said that happened then.
pub(crate) fn person(tenant_name: &str, identifiers: Vec<Identifier>, occurred_ms: i64) -> Person {
    Person { tenant: tenant(tenant_name), identifiers, occurred_ms }
}

/// Who that is.
pub(crate) async fn who(ring: &Keyring, person: Person) -> Whom {
    ring.subjects(&[person]).await.unwrap().remove(0).whom
}

/// Who that is, who is somebody.
pub(crate) async fn subject(ring: &Keyring, person: Person) -> SubjectId {
    match who(ring, person).await {
        Whom::Subject(subject) => subject,
        Whom::Forgotten => panic!("forgotten"),
    }
}

/// The key of a person of tenant `a`, if they have one.
pub(crate) async fn key(ring: &Keyring, subject: SubjectId) -> Option<Arc<SubjectKey>> {
    ring.keys(&[(tenant("a"), Some(subject))]).await.unwrap().remove(0)
}

/// Whether what one key sealed opens with another.
pub(crate) fn opens(key: &SubjectKey, sealed: &[u8]) -> bool {
    key.open(event(1), Field::Content, sealed).is_ok()
}

/// Waits for a condition, with a deadline.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds().await {
        assert!(Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
