//! The worker's settings.

use std::time::Duration;

use control::Partitions;

/// The worker's settings. Each has a default.
#[derive(Debug, Clone)]
pub struct Config {
    /// This process's stable name in the worker's group: unique among workers, the same after a restart. Default:
    /// `attachments-1`.
    pub member: String,
    /// The most events taken at once from a partition. Default: 500.
    pub max_batch: usize,
    /// How many files are fetched at the same time. Each may take 20 MiB of memory while it is a large one. Default: 8.
    pub at_once: usize,
    /// How many of them may be of one asset. Default: 2.
    pub per_asset: usize,
    /// For how long a job is this process's without a sign of life: after a crash, this is how long its jobs wait.
    /// Default: 60 s.
    pub lease: Duration,
    /// How often the queue is looked at when nothing says that there is something. Default: 1 s.
    pub poll: Duration,
    /// The pause after the first failure; each further one doubles it. Default: 2 s.
    pub retry_first: Duration,
    /// The longest such pause. Default: 15 min.
    pub retry_longest: Duration,
    /// The shortest pause after Graph said that there is no such file or that the token does not see it: it seldom changes.
    /// Default: 1 h.
    pub unseen_every: Duration,
    /// How long an asset rests whose token is missing or refused, or that made too many calls without being told how long to
    /// wait. The first rest; the longest is ten times this. Default: 30 s.
    pub rest: Duration,
    /// When the files of a message that was taken back are removed a second time: behind every fetch that might have been on
    /// its way. Default: 30 min.
    pub remove_again: Duration,
    /// How many partitions the feed of a new tenant gets.
    pub partitions: Partitions,
    /// How long a stop waits for what is being fetched. Default: 10 s.
    pub grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            member: "attachments-1".into(),
            max_batch: 500,
            at_once: 8,
            per_asset: 2,
            lease: Duration::from_secs(60),
            poll: Duration::from_secs(1),
            retry_first: Duration::from_secs(2),
            retry_longest: Duration::from_secs(15 * 60),
            unseen_every: Duration::from_secs(60 * 60),
            rest: Duration::from_secs(30),
            remove_again: Duration::from_secs(30 * 60),
            partitions: Partitions::default(),
            grace: Duration::from_secs(10),
        }
    }
}
