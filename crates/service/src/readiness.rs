//! Whether a process should be sent work: every named gate must be open.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The gates of one process. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, bool>>>);

/// One condition of readiness; closed until opened.
#[derive(Debug, Clone)]
pub struct Gate {
    name: &'static str,
    all: Readiness,
}

impl Readiness {
    /// A new gate, closed.
    pub fn gate(&self, name: &'static str) -> Gate {
        self.set(name, false);
        Gate { name, all: self.clone() }
    }

    /// The names of the gates that are closed; empty means ready.
    pub fn closed(&self) -> Vec<&'static str> {
        let gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gates.iter().filter(|(_, open)| !**open).map(|(name, _)| *name).collect()
    }

    fn set(&self, name: &'static str, open: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, open);
    }
}

impl Gate {
    /// Opens the gate.
    pub fn open(&self) {
        self.all.set(self.name, true);
    }

    /// Closes the gate.
    pub fn close(&self) {
        self.all.set(self.name, false);
    }
}
