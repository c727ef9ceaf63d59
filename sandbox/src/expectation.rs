//! What a view should show when everything has arrived, worked out from the ledger alone.

use std::collections::HashMap;

use crate::effect::{Effect, Says};
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

/// How far an outbound message came. No word for it counts as sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    Sent,
    Delivered,
    Read,
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
    for entry in entries.iter().filter(|entry| entry.sent) {
        touch(entry, &mut expected, &by_number);
    }
    expected
}

fn touch(entry: &Entry, expected: &mut [Expected], by_number: &HashMap<u32, usize>) {
    let told = &entry.told;
    match &told.effect {
        Effect::Edit { of, .. } | Effect::Delete { of } | Effect::React { of, .. } | Effect::Seen { of } => {
            let Some(at) = by_number.get(of) else { return };
            if !entry.acknowledged {
                expected[*at].certain = false;
            }
            let target = &mut expected[*at];
            match &told.effect {
                Effect::Edit { text, revision, .. } if target.edited < Some(*revision) => {
                    target.edited = Some(*revision);
                    target.says = Says::Exactly(text.clone());
                }
                Effect::Delete { .. } => target.deleted = true,
                Effect::React { emoji, .. }
                    if target.reaction.as_ref().is_none_or(|(at, _)| *at < told.at_ms) =>
                {
                    target.reaction = Some((told.at_ms, emoji.clone()));
                }
                Effect::Seen { .. } => {
                    target.status = (Reach::Read, Reach::Read);
                    // Whoever saw a message may be taken to have seen what came before it, or not.
                    let (person, upto_ms) = (target.person, target.at_ms);
                    for earlier in outbound(expected, person, upto_ms) {
                        earlier.status.1 = Reach::Read;
                    }
                }
                _ => {}
            }
        }
        Effect::Delivered { upto_ms } => raise(entry, expected, *upto_ms, Reach::Delivered),
        Effect::Read { upto_ms } => raise(entry, expected, *upto_ms, Reach::Read),
        Effect::Message { .. } | Effect::Postback { .. } | Effect::Nothing | Effect::Forged => {}
    }
}

fn raise(entry: &Entry, expected: &mut [Expected], upto_ms: i64, to: Reach) {
    for message in outbound(expected, entry.told.person, upto_ms) {
        if entry.acknowledged {
            message.status.0 = message.status.0.max(to);
        }
        message.status.1 = message.status.1.max(to);
    }
}

fn outbound(expected: &mut [Expected], person: u32, upto_ms: i64) -> impl Iterator<Item = &mut Expected> {
    expected
        .iter_mut()
        .filter(move |message| message.outbound && message.person == person && message.at_ms <= upto_ms)
}
