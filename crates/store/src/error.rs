//! What can go wrong with PostgreSQL, by what a caller may do about it. No error holds a row's content.

use tokio_postgres::error::{DbError, SqlState};

/// What a caller does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Wait and do the same again.
    Retry,
    /// Our mistake or a broken database: stop loudly, lose nothing.
    Stop,
}

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is away, busy, or chose us as a deadlock's victim.
    #[error("PostgreSQL is away or busy: {cause}")]
    Unavailable {
        /// In its own words, without values.
        cause: String,
    },
    /// The schema is not the one this version knows.
    #[error("the {database} schema is at version {found}, this program knows {known}; {advice}")]
    Schema {
        /// Which database.
        database: &'static str,
        /// What is there.
        found: u32,
        /// What this program knows.
        known: u32,
        /// What to do.
        advice: &'static str,
    },
    /// It refuses us, or a statement is wrong.
    #[error("PostgreSQL refused: {cause}")]
    Refused {
        /// In its own words, without values.
        cause: String,
    },
    /// A row is not what this program writes.
    #[error("a row of {table} is damaged")]
    Damaged {
        /// The table.
        table: &'static str,
    },
}

impl StoreError {
    /// No `_` arm: a new variant has to be classified here.
    pub const fn disposition(&self) -> Disposition {
        match self {
            Self::Unavailable { .. } => Disposition::Retry,
            Self::Schema { .. } | Self::Refused { .. } | Self::Damaged { .. } => Disposition::Stop,
        }
    }
}

/// The message and code only: `DETAIL` would show a row's values.
fn words(error: &DbError) -> String {
    format!("{} ({})", error.message(), error.code().code())
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            return Self::Unavailable { cause: error.to_string() };
        };
        let code = db.code();
        let passing = [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::QUERY_CANCELED,
            SqlState::TOO_MANY_CONNECTIONS,
            SqlState::DISK_FULL,
            SqlState::OUT_OF_MEMORY,
            SqlState::READ_ONLY_SQL_TRANSACTION,
        ];
        // Class 08 is the connection, 57 an operator or a crash, 53 resources.
        let class = code.code().get(..2).unwrap_or_default();
        if passing.contains(code) || matches!(class, "08" | "57" | "53") {
            Self::Unavailable { cause: words(db) }
        } else {
            Self::Refused { cause: words(db) }
        }
    }
}

impl From<deadpool_postgres::PoolError> for StoreError {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        match error {
            deadpool_postgres::PoolError::Backend(error) => error.into(),
            other => Self::Unavailable { cause: other.to_string() },
        }
    }
}
