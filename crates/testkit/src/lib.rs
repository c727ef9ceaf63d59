//! Real parts for tests: a throw-away PostgreSQL and a real Kafka. Never a dependency of anything that ships.

mod kafka;
mod postgres;

pub use kafka::Kafka;
pub use postgres::Postgres;
