//! How a projector is set.

use std::path::PathBuf;
use std::time::Duration;

/// Settings of a projector. Each has a default; give `member` a name of its own when several run.
#[derive(Debug, Clone)]
pub struct Config {
    /// This process's stable name in the projections' groups: unique among projectors, the same after a restart.
    /// Default: `projector`.
    pub member: String,
    /// The file that holds the key which signs the audit chains' heads; made, mode 0600, when missing. All projectors of a
    /// deployment share it. Default: `audit-key` in the working directory.
    pub audit_key: PathBuf,
    /// The most records that one transaction applies. Default: 5,000.
    pub max_batch: usize,
    /// How long a batch that is not full waits for more. Default: 5 ms.
    pub linger: Duration,
    /// How often the loss equation is looked at. Default: 5 s.
    pub check_every: Duration,
    /// From what age on a hole is re-routed. Default: 60 s.
    pub hole_age: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            member: "projector".to_owned(),
            audit_key: PathBuf::from("audit-key"),
            max_batch: 5_000,
            linger: Duration::from_millis(5),
            check_every: Duration::from_secs(5),
            hole_age: Duration::from_secs(60),
        }
    }
}
