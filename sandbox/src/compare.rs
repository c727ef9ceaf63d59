//! Holding the ledger against what is shown. A message is known again by the marker in its text; one without any text, such
//! as an image or a deleted message, by account, time and direction.

use std::collections::HashMap;

use crate::effect::{Reach, Says};
use crate::expectation::{Expected, expectations};
use crate::names::Known;
use crate::{Ledger, Shown, ShownConversation, ShownMessage, Verdict, marker};

impl Ledger {
    /// Says how what is shown differs from what was sent.
    pub fn compare(&self, shown: &Shown) -> Verdict {
        let tally = self.tally();
        let (expected, known) = {
            let entries = self.entries();
            (expectations(&entries), Known::of(&entries))
        };
        let mut judge = Judge::new(self, &expected, known);
        judge.verdict.sent = tally.sent;
        judge.verdict.acknowledged = tally.acknowledged;
        let everything =
            || shown.tenants.iter().flat_map(|(tenant, all)| all.iter().map(move |one| (tenant, one)));
        for (at, (tenant, conversation)) in everything().enumerate() {
            judge.marked(at, tenant, conversation);
        }
        for (at, (tenant, conversation)) in everything().enumerate() {
            judge.unmarked(at, tenant, conversation);
        }
        judge.missing();
        judge.verdict.joined =
            judge.home.keys().filter(|person| judge.known.is_joined(**person)).count() as u64;
        judge.verdict
    }
}

struct Judge<'a> {
    ledger: &'a Ledger,
    expected: &'a [Expected],
    by_marker: HashMap<String, usize>,
    by_place: HashMap<Place, Vec<usize>>,
    matched: Vec<bool>,
    known: Known,
    /// Which conversation shows a person's messages. Not of those whom nobody can know to be one.
    home: HashMap<u32, usize>,
    verdict: Verdict,
}

/// Account, time, direction.
type Place = (usize, i64, bool);

impl<'a> Judge<'a> {
    fn new(ledger: &'a Ledger, expected: &'a [Expected], known: Known) -> Self {
        let mut by_marker = HashMap::with_capacity(expected.len());
        let mut by_place: HashMap<Place, Vec<usize>> = HashMap::new();
        for (at, message) in expected.iter().enumerate() {
            by_marker.insert(ledger.marker(message.number), at);
            let account = ledger.world.people[message.person as usize].account;
            by_place.entry((account, message.at_ms, message.outbound)).or_default().push(at);
        }
        Self {
            ledger,
            expected,
            by_marker,
            by_place,
            matched: vec![false; expected.len()],
            known,
            home: HashMap::new(),
            verdict: Verdict::default(),
        }
    }

    /// Messages whose text holds a marker, and the order of all.
    fn marked(&mut self, at: usize, tenant: &str, conversation: &ShownConversation) {
        self.verdict.shown += conversation.messages.len() as u64;
        if !conversation.messages.is_sorted_by_key(|message| message.at_ms) {
            self.wrong(|| format!("a {} conversation of {tenant} is not in order", conversation.channel));
        }
        for message in &conversation.messages {
            let Some(token) = message.text.as_deref().and_then(marker::find) else { continue };
            match self.by_marker.get(token) {
                None => self.invented(token),
                Some(&known) if self.matched[known] => self.duplicated(token),
                Some(&known) => self.matches(known, at, tenant, conversation, message),
            }
        }
    }

    /// Messages that show no marker.
    fn unmarked(&mut self, at: usize, tenant: &str, conversation: &ShownConversation) {
        let account = self.ledger.world.accounts().iter().position(|account| {
            account.channel.as_str() == conversation.channel && account.id == conversation.asset
        });
        for message in &conversation.messages {
            if message.text.as_deref().and_then(marker::find).is_some() {
                continue;
            }
            let name = || format!("{} message without text at {}", conversation.channel, message.at_ms);
            let here =
                account.and_then(|account| self.by_place.get(&(account, message.at_ms, message.outbound)));
            let Some(here) = here else {
                self.invented(&name());
                continue;
            };
            // Of several at the same time, rather one that belongs into this conversation.
            let free = |home: bool| {
                here.iter().copied().find(|known| {
                    let person = self.expected[*known].person;
                    !self.matched[*known] && (!home || self.home.get(&person) == Some(&at))
                })
            };
            match free(true).or_else(|| free(false)) {
                Some(known) => self.matches(known, at, tenant, conversation, message),
                None => self.duplicated(&name()),
            }
        }
    }

    fn missing(&mut self) {
        for (message, matched) in self.expected.iter().zip(&self.matched) {
            if message.required && !matched {
                self.verdict.lost += 1;
                let token = self.ledger.marker(message.number);
                self.verdict.find(|| format!("lost: {token}, at {}", message.at_ms));
            }
        }
    }

    fn matches(
        &mut self,
        known: usize,
        at: usize,
        tenant: &str,
        conversation: &ShownConversation,
        message: &ShownMessage,
    ) {
        self.matched[known] = true;
        let expected = &self.expected[known];
        let world = &self.ledger.world;
        let account = &world.accounts()[world.people[expected.person as usize].account];
        let mut wrong = Vec::new();
        if world.tenant(account) != tenant {
            wrong.push(format!("it shows at tenant {tenant}"));
        }
        if (account.channel.as_str(), account.id.as_str()) != (&*conversation.channel, &*conversation.asset) {
            wrong.push("it shows at another account".to_owned());
        }
        let is_one = self.known.is_one(expected.person);
        if is_one && *self.home.entry(expected.person).or_insert(at) != at {
            wrong.push("its person's messages are in more than one conversation".to_owned());
        }
        if expected.at_ms != message.at_ms || expected.outbound != message.outbound {
            wrong.push(format!("time or direction is {} {}", message.at_ms, message.outbound));
        }
        if expected.certain {
            differences(expected, message, is_one, &mut wrong);
        }
        if !wrong.is_empty() {
            let token = self.ledger.marker(expected.number);
            self.wrong(|| format!("{token}: {}", wrong.join(", ")));
        }
    }

    fn invented(&mut self, what: &str) {
        self.verdict.invented += 1;
        self.verdict.find(|| format!("invented: {what}"));
    }

    fn duplicated(&mut self, what: &str) {
        self.verdict.duplicated += 1;
        self.verdict.find(|| format!("duplicated: {what}"));
    }

    fn wrong(&mut self, finding: impl FnOnce() -> String) {
        self.verdict.wrong += 1;
        self.verdict.find(|| format!("wrong: {}", finding()));
    }
}

fn differences(expected: &Expected, shown: &ShownMessage, is_one: bool, wrong: &mut Vec<String>) {
    if expected.deleted {
        if shown.text.as_ref().is_some_and(|text| !text.is_empty()) {
            wrong.push("it was deleted and its text still shows".to_owned());
        }
        return;
    }
    if let Says::Exactly(text) = &expected.says
        && shown.text.as_ref() != Some(text)
    {
        wrong.push(format!("text is {:?}, not {text:?}", shown.text));
    }
    let reaction = expected.reaction.as_ref().and_then(|(_, emoji)| emoji.as_deref());
    if is_one && !shown.reactions.iter().map(String::as_str).eq(reaction) {
        wrong.push(format!("reactions are {:?}, not {reaction:?}", shown.reactions));
    }
    if expected.outbound {
        let progress = match shown.status.as_deref() {
            Some("read" | "played") => Reach::Read,
            Some("delivered") => Reach::Delivered,
            Some("failed") => Reach::Failed,
            _ => Reach::Sent,
        };
        if progress < expected.status.0 || expected.status.1 < progress {
            wrong.push(format!("status is {:?}, not {:?}", shown.status, expected.status));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::{Mix, Secret, Traffic, TrafficConfig, World, WorldConfig};

    /// Traffic that was all acknowledged, and a view that shows it as it should be.
    fn perfect() -> (Arc<Ledger>, Shown) {
        let world = Arc::new(World::new(WorldConfig::default()));
        let ledger = Arc::new(Ledger::new(world.clone()));
        let config = TrafficConfig {
            mix: Mix::LIVELY,
            repeats: 0.1,
            disorder: 50,
            forged: 0.01,
            partly_named: 0.5,
            ..TrafficConfig::new(3, 2_000, 1_780_000_000_000, Secret::new(b"s"))
        };
        for delivery in Traffic::new(world.clone(), ledger.clone(), config) {
            ledger.sent(&delivery);
            if !delivery.forged {
                ledger.acknowledged(&delivery);
            }
        }
        let mut people: BTreeMap<u32, Vec<ShownMessage>> = BTreeMap::new();
        for expected in expectations(&ledger.entries()) {
            let text = match &expected.says {
                _ if expected.deleted => None,
                Says::Exactly(text) => Some(text.clone()),
                Says::Something => None,
            };
            people.entry(expected.person).or_default().push(ShownMessage {
                text,
                outbound: expected.outbound,
                at_ms: expected.at_ms,
                status: Some(format!("{:?}", expected.status.0).to_lowercase()),
                reactions: expected.reaction.and_then(|(_, emoji)| emoji).into_iter().collect(),
            });
        }
        let mut shown = Shown::default();
        for (person, mut messages) in people {
            messages.sort_by_key(|message| message.at_ms);
            let account = &world.accounts()[world.people[person as usize].account];
            shown.tenants.entry(world.tenant(account).to_owned()).or_default().push(ShownConversation {
                channel: account.channel.as_str().to_owned(),
                asset: account.id.clone(),
                messages,
            });
        }
        (ledger, shown)
    }

    /// Spoils a perfect view and checks that exactly this is found: lost, duplicated, invented, wrong.
    #[track_caller]
    fn check(spoil: impl FnOnce(&mut Vec<ShownConversation>), expected: [u64; 4]) {
        let (ledger, mut shown) = perfect();
        spoil(shown.tenants.values_mut().next().unwrap());
        let verdict = ledger.compare(&shown);
        let found = [verdict.lost, verdict.duplicated, verdict.invented, verdict.wrong];
        assert_eq!(found, expected, "{verdict} {:#?}", verdict.findings);
    }

    fn with_text(all: &mut [ShownConversation]) -> &mut Vec<ShownMessage> {
        let has_text = |message: &ShownMessage| message.text.is_some();
        &mut all.iter_mut().find(|one| has_text(&one.messages[0]) && one.messages.len() > 1).unwrap().messages
    }

    #[test]
    fn finds_what_is_amiss_and_nothing_else() {
        check(|_| {}, [0, 0, 0, 0]);
        check(|all| drop(with_text(all).remove(0)), [1, 0, 0, 0]);
        check(
            |all| {
                let messages = with_text(all);
                messages.insert(0, messages[0].clone());
            },
            [0, 1, 0, 0],
        );
        check(|all| with_text(all)[0].text = Some("hello #00000000".into()), [1, 0, 1, 0]);
        check(|all| with_text(all)[0].text.as_mut().unwrap().insert(0, 'x'), [0, 0, 0, 1]);
        check(|all| with_text(all)[0].reactions.push("🦊".into()), [0, 0, 0, 1]);
        check(|all| with_text(all).swap(0, 1), [0, 0, 0, 1]);
        check(
            |all| {
                let messages = with_text(all);
                let moved = messages.remove(0);
                all.push(ShownConversation { messages: vec![moved], ..all[0].clone() });
            },
            [0, 0, 0, 1],
        );
    }

    #[test]
    fn finds_what_was_forged_and_what_another_tenant_sees() {
        let (ledger, mut shown) = perfect();
        let (first, second) = {
            let mut names = shown.tenants.keys().cloned();
            (names.next().unwrap(), names.next().unwrap())
        };
        let leaked = shown.tenants.get_mut(&first).unwrap().remove(0);
        let count = leaked.messages.len() as u64;
        shown.tenants.get_mut(&second).unwrap().push(leaked);
        assert_eq!(ledger.compare(&shown).wrong, count);

        let forged = ledger
            .entries()
            .iter()
            .position(|entry| entry.told.effect == crate::effect::Effect::Forged)
            .unwrap();
        let text = Some(ledger.marker(forged as u32));
        let conversation = &mut shown.tenants.get_mut(&first).unwrap()[0];
        let at_ms = conversation.messages.last().unwrap().at_ms;
        conversation.messages.push(ShownMessage { text, at_ms, ..ShownMessage::default() });
        assert_eq!(ledger.compare(&shown).invented, 1);
    }
}
