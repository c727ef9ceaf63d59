//! Real parts for tests: a throw-away PostgreSQL and a real Kafka. Never a dependency of anything that ships.

mod postgres;

pub use postgres::Postgres;
