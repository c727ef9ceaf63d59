//! How a keeper is set.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::retention::Class;

const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Settings of a keeper. Each has a default.
#[derive(Debug, Clone)]
pub struct Config {
    /// How often it looks for work that `control` did not announce. Default: 1 s.
    pub look_every: Duration,
    /// How long it waits for a process that remembers keys and does not say that it forgot them: whoever holds keys believes
    /// them for half of this. Default: twice [`keyring::BELIEVED`].
    pub evict_within: Duration,
    /// How many sealed records of a forgotten person, or of an ended tenant, are tried afterwards. Default: 20.
    pub tries: usize,
    /// How often it looks for what was kept for long enough. Default: a day.
    pub sweep_every: Duration,
    /// How long things are kept, where not as [`crate::RETENTION`] says. Default: none.
    pub keep: BTreeMap<Class, Duration>,
    /// How long a clock that jumped ahead is not believed. Default: a day.
    pub settle: Duration,
    /// The edge key file to write anew when the root key changes, where ingest reads one on this machine. Default: none.
    pub edge_key_file: Option<PathBuf>,
}

impl Config {
    /// How long things of this class are kept.
    pub fn keep(&self, class: Class) -> Duration {
        self.keep.get(&class).copied().unwrap_or_else(|| match class {
            // As long as any backup could bring somebody back, and a month.
            Class::Ledger => self.keep(Class::BackupDaily).max(self.keep(Class::BackupMonthly)) + MONTH,
            _ => class.rule().keep,
        })
    }

    pub(crate) fn keep_ms(&self, class: Class) -> i64 {
        i64::try_from(self.keep(class).as_millis()).unwrap_or(i64::MAX)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            look_every: Duration::from_secs(1),
            evict_within: keyring::BELIEVED * 2,
            tries: 20,
            sweep_every: Duration::from_secs(24 * 60 * 60),
            keep: BTreeMap::new(),
            settle: Duration::from_secs(24 * 60 * 60),
            edge_key_file: None,
        }
    }
}
