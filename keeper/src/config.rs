//! How a keeper is set.

use std::time::Duration;

/// Settings of a keeper. Each has a default.
#[derive(Debug, Clone)]
pub struct Config {
    /// How often it looks for work that `control` did not announce. Default: 1 s.
    pub look_every: Duration,
    /// How long it waits for a process that remembers keys and does not say that it forgot them: whoever holds keys believes
    /// them for half of this. Default: twice [`keyring::BELIEVED`].
    pub evict_within: Duration,
    /// How many sealed records of a forgotten person are tried afterwards. Default: 20.
    pub tries: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { look_every: Duration::from_secs(1), evict_within: keyring::BELIEVED * 2, tries: 20 }
    }
}
