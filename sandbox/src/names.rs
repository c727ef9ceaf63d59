//! What updates call a person, and who those that judge by it must take for one.

use std::collections::{HashMap, HashSet};

use crate::effect::Effect;
use crate::ledger::Entry;

/// What one update calls its person.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    /// PSID, IGSID or phone number.
    pub(crate) id: Option<String>,
    /// WhatsApp's business-scoped user id (`meta-platform.md` §3c.5).
    pub(crate) user_id: Option<String>,
    /// The user id that this one came after.
    pub(crate) previous: Option<String>,
}

impl Names {
    pub(crate) fn all(&self) -> Vec<String> {
        [&self.id, &self.user_id, &self.previous].into_iter().flatten().cloned().collect()
    }
}

/// What is known of people by what they were called in all.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Called by names that no acknowledged update connects: nobody can know that it is one person.
    apart: HashSet<u32>,
    /// One, though some of their updates have no name in common.
    joined: HashSet<u32>,
}

impl Known {
    pub(crate) fn of(entries: &[Entry]) -> Self {
        let mut called: HashMap<u32, HashMap<&[String], bool>> = HashMap::new();
        let names = |entry: &&Entry| {
            entry.sent && entry.told.effect != Effect::Forged && !entry.told.names.is_empty()
        };
        for entry in entries.iter().filter(names) {
            let called = called.entry(entry.told.person).or_default();
            *called.entry(entry.told.names.as_slice()).or_default() |= entry.acknowledged;
        }
        let mut known = Self::default();
        for (person, called) in called {
            if !is_connected(&called) {
                known.apart.insert(person);
            } else if called.keys().any(|one| called.keys().any(|other| is_disjoint(one, other))) {
                known.joined.insert(person);
            }
        }
        known
    }

    /// Whether all that was told of this person must be taken for one person's.
    pub(crate) fn is_one(&self, person: u32) -> bool {
        !self.apart.contains(&person)
    }

    /// Whether that takes more than looking at a single update.
    pub(crate) fn is_joined(&self, person: u32) -> bool {
        self.joined.contains(&person)
    }
}

fn is_disjoint(one: &[String], other: &[String]) -> bool {
    !one.iter().any(|name| other.contains(name))
}

/// Whether names told together, and acknowledged, connect all. A number that came with two user ids does not connect
/// those as long as what says so is not acknowledged, so it must be.
fn is_connected(called: &HashMap<&[String], bool>) -> bool {
    if called.iter().any(|(names, acknowledged)| names.len() > 1 && !acknowledged) {
        return false;
    }
    let mut left: Vec<&[String]> = called.keys().copied().collect();
    let mut reached: Vec<&String> = left.pop().into_iter().flatten().collect();
    while let Some(next) = left.iter().position(|names| names.iter().any(|name| reached.contains(&name))) {
        reached.extend(left.swap_remove(next));
    }
    left.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::Told;

    fn entry(names: &[&str], acknowledged: bool) -> Entry {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let told = Told { person: 0, names, at_ms: 0, meta_id: String::new(), effect: Effect::Nothing };
        Entry { told, sent: true, acknowledged }
    }

    #[track_caller]
    fn check(entries: &[Entry], one: bool, joined: bool) {
        let known = Known::of(entries);
        assert_eq!((known.is_one(0), known.is_joined(0)), (one, joined));
    }

    #[test]
    fn people_are_one_when_acknowledged_updates_connect_their_names() {
        check(&[], true, false);
        check(&[entry(&["1"], false)], true, false);
        check(&[entry(&["1"], true), entry(&["1", "u"], true)], true, false);
        check(&[entry(&["1"], true), entry(&["u"], true)], false, false);
        check(&[entry(&["1"], true), entry(&["u"], true), entry(&["1", "u"], true)], true, true);
        check(&[entry(&["1"], true), entry(&["u"], true), entry(&["1", "u"], false)], false, false);
        check(&[entry(&["u"], true), entry(&["v"], true), entry(&["v", "u"], true)], true, true);
    }
}
