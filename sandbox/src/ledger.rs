//! The record of what was told, what was sent and what was acknowledged. It is the judge's own: nothing in it comes from
//! the system that is judged.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::effect::{Effect, Told};
use crate::{Delivery, World, marker};

/// What was sent and what was acknowledged, update by update.
#[derive(Debug)]
pub struct Ledger {
    pub(crate) world: Arc<World>,
    entries: Mutex<Vec<Entry>>,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) told: Told,
    pub(crate) sent: bool,
    pub(crate) acknowledged: bool,
}

/// How many updates there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Sent at least once.
    pub sent: u64,
    /// Answered 200 at least once.
    pub acknowledged: u64,
}

impl Ledger {
    /// An empty ledger for a world's traffic.
    pub fn new(world: Arc<World>) -> Self {
        Self { world, entries: Mutex::default() }
    }

    /// How many updates were sent and acknowledged so far; forged ones do not count.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for entry in self.entries().iter().filter(|entry| entry.told.effect != Effect::Forged) {
            tally.sent += u64::from(entry.sent);
            tally.acknowledged += u64::from(entry.acknowledged);
        }
        tally
    }

    /// A delivery is on its way: from here on its updates may show.
    pub fn sent(&self, delivery: &Delivery) {
        self.mark(delivery, |entry| entry.sent = true);
    }

    /// A delivery was answered 200: from here on its updates must show.
    pub fn acknowledged(&self, delivery: &Delivery) {
        self.mark(delivery, |entry| entry.acknowledged = true);
    }

    /// Writes it out, one JSON object a line: tenant, channel, asset, person, Meta's message id, time, what happened,
    /// whether it was sent and acknowledged.
    pub fn write(&self, mut out: impl Write) -> io::Result<()> {
        for (number, entry) in self.entries().iter().enumerate() {
            let person = &self.world.people[entry.told.person as usize];
            let account = &self.world.accounts()[person.account];
            let line = serde_json::json!({
                "number": number,
                "marker": self.marker(number as u32),
                "tenant": self.world.tenant(account),
                "channel": account.channel.as_str(),
                "asset": account.id,
                "person": person.id.as_ref().or(person.bsuid.as_ref()),
                "names": entry.told.names,
                "message": entry.told.meta_id,
                "at_ms": entry.told.at_ms,
                "what": format!("{:?}", entry.told.effect),
                "sent": entry.sent,
                "acknowledged": entry.acknowledged,
            });
            writeln!(out, "{line}")?;
        }
        Ok(())
    }

    /// The number of an update that is about to be made.
    pub(crate) fn reserve(&self) -> u32 {
        let mut entries = self.entries();
        let number = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let told =
            Told { person: 0, names: Vec::new(), at_ms: 0, meta_id: String::new(), effect: Effect::Nothing };
        entries.push(Entry { told, sent: false, acknowledged: false });
        number
    }

    pub(crate) fn tell(&self, number: u32, told: Told) {
        if let Some(entry) = self.entries().get_mut(number as usize) {
            entry.told = told;
        }
    }

    pub(crate) fn marker(&self, number: u32) -> String {
        marker::marker(self.world.seed, u64::from(number))
    }

    pub(crate) fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark(&self, delivery: &Delivery, mark: impl Fn(&mut Entry)) {
        let mut entries = self.entries();
        for number in delivery.updates.iter() {
            if let Some(entry) = entries.get_mut(*number as usize) {
                mark(entry);
            }
        }
    }
}
