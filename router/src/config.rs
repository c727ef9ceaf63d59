//! The router's settings.

use std::time::Duration;

use control::Partitions;

/// The router's settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// This process's stable name in the router's groups: unique among routers, the same after a restart.
    pub member: String,
    /// The most deliveries taken at once from a partition.
    pub max_batch: usize,
    /// How many partitions the feed of a new tenant gets.
    pub partitions: Partitions,
    /// How long a stop waits for the batches in hand.
    pub grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            member: "router-1".into(),
            max_batch: 500,
            partitions: Partitions::default(),
            grace: Duration::from_secs(10),
        }
    }
}
