//! What a view should show when everything has arrived, worked out from the ledger alone.

use std::collections::HashMap;

use crate::effect::{Effect, Reach, Says};
use crate::ledger::Entry;

/// A message as it should show.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) number: u32,
    pub(crate) person: u32,
    pub(crate) at_ms: i64,
    pub(crate) outbound: bool,
    pub(crate) says: Says,
    /// It was acknowledged: not showing it is a loss.
    pub(crate) required: bool,
    /// Everything that touches it was acknowledged or never sent, so how it shows is certain.
    pub(crate) certain: bool,
    pub(crate) deleted: bool,
    pub(crate) edited: Option<u32>,
    pub(crate) reaction: Option<(i64, Option<String>)>,
    /// The least and the most its status may be.
    pub(crate) status: (Reach, Reach),
}

/// Every message that may show, by the ledger.
pub(crate) fn expectations(entries: &[Entry]) -> Vec<Expected> {
    let mut expected = Vec::new();
    let mut by_number = HashMap::new();
    for (number, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.sent) {
        let number = number as u32;
        let (outbound, says, shows) = match &entry.told.effect {
            Effect::Message { outbound, says } => (*outbound, says.clone(), true),
            Effect::Postback { says } => (false, says.clone(), false),
            _ => continue,
        };
        by_number.insert(number, expected.len());
        expected.push(Expected {
            number,
            person: entry.told.person,
            at_ms: entry.told.at_ms,
            outbound,
            says,
            required: entry.acknowledged && shows,
            certain: true,
            deleted: false,
            edited: None,
            reaction: None,
            status: (Reach::Sent, Reach::Sent),
        });
    }
    let mut outbound: HashMap<u32, Vec<usize>> = HashMap::new();
    for (at, message) in expected.iter().enumerate().filter(|(_, message)| message.outbound) {
        outbound.entry(message.person).or_default().push(at);
    }
    let mut messages = Messages { expected, by_number, outbound };
    for entry in entries.iter().filter(|entry| entry.sent) {
        messages.touch(entry);
    }
    messages.expected
}

struct Messages {
    expected: Vec<Expected>,
    by_number: HashMap<u32, usize>,
    /// A person's outbound messages.
    outbound: HashMap<u32, Vec<usize>>,
}

impl Messages {
    fn touch(&mut self, entry: &Entry) {
        let told = &entry.told;
        match &told.effect {
            Effect::Edit { of, text, revision } => {
                let Some(target) = self.target(*of, entry.acknowledged) else { return };
                if target.edited < Some(*revision) {
                    target.edited = Some(*revision);
                    target.says = Says::Exactly(text.clone());
                }
            }
            Effect::Delete { of } => {
                let Some(target) = self.target(*of, entry.acknowledged) else { return };
                target.deleted = true;
            }
            Effect::React { of, emoji } => {
                let Some(target) = self.target(*of, entry.acknowledged) else { return };
                if target.reaction.as_ref().is_none_or(|(at, _)| *at < told.at_ms) {
                    target.reaction = Some((told.at_ms, emoji.clone()));
                }
            }
            Effect::Seen { of } => {
                let Some(target) = self.target(*of, entry.acknowledged) else { return };
                target.status = (Reach::Read, Reach::Read);
                let upto_ms = target.at_ms;
                // Whoever saw a message may be taken to have seen what came before it, or not.
                self.up_to(told.person, upto_ms, |earlier| earlier.status.1 = Reach::Read);
            }
            Effect::Status { of, to } => {
                let Some(at) = self.by_number.get(of) else { return };
                come(&mut self.expected[*at], *to, entry.acknowledged);
            }
            Effect::Delivered { upto_ms } => {
                self.up_to(told.person, *upto_ms, |message| {
                    come(message, Reach::Delivered, entry.acknowledged)
                });
            }
            Effect::Read { upto_ms } => {
                self.up_to(told.person, *upto_ms, |message| come(message, Reach::Read, entry.acknowledged));
            }
            Effect::Message { .. } | Effect::Postback { .. } | Effect::Nothing | Effect::Forged => {}
        }
    }

    /// The message that something was done to. How it shows is uncertain unless that was acknowledged.
    fn target(&mut self, of: u32, acknowledged: bool) -> Option<&mut Expected> {
        let target = &mut self.expected[*self.by_number.get(&of)?];
        target.certain &= acknowledged;
        Some(target)
    }

    /// The account's messages to a person, up to a time.
    fn up_to(&mut self, person: u32, upto_ms: i64, mut change: impl FnMut(&mut Expected)) {
        for at in self.outbound.get(&person).into_iter().flatten() {
            if self.expected[*at].at_ms <= upto_ms {
                change(&mut self.expected[*at]);
            }
        }
    }
}

fn come(message: &mut Expected, to: Reach, acknowledged: bool) {
    if acknowledged {
        message.status.0 = message.status.0.max(to);
    }
    message.status.1 = message.status.1.max(to);
}
