//! A stream of deliveries: fresh ones in the shapes of a [`Mix`], repeats whole or packed anew, and disorder.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::effect::{Effect, Told};
use crate::json::object;
use crate::mix::Shape;
use crate::names::Names;
use crate::pack::pack;
use crate::thread::Thread;
use crate::update::{Place, Update};
use crate::world::Person;
use crate::{Account, Channel, Json, Ledger, Mix, Secret, World, page, sign, whatsapp};

/// What traffic to make of a world.
#[derive(Debug, Clone)]
pub struct TrafficConfig {
    /// The same seed on the same world makes the same traffic.
    pub seed: u64,
    /// How many updates to make before the stream ends; repeats come on top.
    pub updates: u64,
    /// Meta's time of the first updates, Unix milliseconds. Every conversation's own clock runs on from there by some
    /// seconds per update, so leave it some hours.
    pub start_ms: i64,
    /// How often which shape comes.
    pub mix: Mix,
    /// Share of deliveries whose updates come again: half of them as the same body, half packed with others.
    pub repeats: f64,
    /// Deliveries wait among this many others and leave in any order; 0 keeps the order.
    pub disorder: usize,
    /// Share of deliveries signed with a wrong secret.
    pub forged: f64,
    /// Share of updates that call whoever has a phone number and a user id by one of them only. Above 0, user ids also
    /// change now and then. At 0, a person is called the same every time.
    pub partly_named: f64,
    /// What to sign with.
    pub secret: Secret,
}

impl TrafficConfig {
    /// `meta-mix v1` with a little of everything that goes wrong at Meta; nothing forged, nobody partly named.
    pub fn new(seed: u64, updates: u64, start_ms: i64, secret: Secret) -> Self {
        Self {
            seed,
            updates,
            start_ms,
            mix: Mix::META,
            repeats: 0.005,
            disorder: 0,
            forged: 0.0,
            partly_named: 0.0,
            secret,
        }
    }
}

/// One POST.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The exact bytes.
    pub body: Bytes,
    /// `X-Hub-Signature-256` for them.
    pub signature: String,
    /// Signed with a wrong secret: 401 is the right answer.
    pub forged: bool,
    /// It tells only what was told before.
    pub repeat: bool,
    /// Numbers of its updates in the ledger.
    pub(crate) updates: Arc<[u32]>,
}

impl Delivery {
    /// How many updates it holds.
    pub fn updates(&self) -> usize {
        self.updates.len()
    }
}

/// The stream. It ends after [`TrafficConfig::updates`] and what was held back.
pub struct Traffic {
    world: Arc<World>,
    ledger: Arc<Ledger>,
    config: TrafficConfig,
    wrong_secret: Secret,
    random: StdRng,
    threads: Vec<Thread>,
    people: HashMap<Channel, Vec<usize>>,
    made: u64,
    /// Waiting to leave in any order.
    waiting: Vec<Delivery>,
    /// Repeats that come much later.
    late: Vec<Delivery>,
    /// Updates that are to come again in new company.
    again: HashMap<Channel, Vec<Update>>,
}

impl Traffic {
    /// Traffic of this world, recorded in this ledger.
    pub fn new(world: Arc<World>, ledger: Arc<Ledger>, config: TrafficConfig) -> Self {
        let mut people: HashMap<Channel, Vec<usize>> = HashMap::new();
        for (at, person) in world.people.iter().enumerate() {
            people.entry(world.accounts()[person.account].channel).or_default().push(at);
        }
        Self {
            threads: world.people.iter().map(|_| Thread::new(config.start_ms)).collect(),
            people,
            random: StdRng::seed_from_u64(config.seed),
            wrong_secret: Secret::new(b"not the secret"),
            made: 0,
            waiting: Vec::new(),
            late: Vec::new(),
            again: HashMap::new(),
            world,
            ledger,
            config,
        }
    }

    fn deliver(&self, channel: Channel, updates: &[Update], repeat: bool) -> Delivery {
        let body = Bytes::from(pack(channel, updates));
        let signature = sign(&self.config.secret, &body);
        let updates = updates.iter().map(|update| update.number).collect();
        Delivery { body, signature, forged: false, repeat, updates }
    }

    fn fresh(&mut self) {
        if self.random.random_bool(self.config.forged) {
            let forged = self.forge();
            self.waiting.push(forged);
        }
        let shape = self.config.mix.shape(self.random.random_range(0..1000));
        let left = usize::try_from(self.config.updates - self.made).unwrap_or(usize::MAX);
        let (channel, updates) = self.make(shape, left);
        self.made += updates.len() as u64;
        let delivery = self.deliver(channel, &updates, false);
        if self.random.random_bool(self.config.repeats) {
            if self.random.random_bool(0.5) {
                let again = Delivery { repeat: true, ..delivery.clone() };
                if self.random.random_bool(0.5) { self.waiting.push(again) } else { self.late.push(again) }
            } else {
                self.again.entry(channel).or_default().extend(updates);
            }
        }
        self.waiting.push(delivery);
        self.repack(false);
        if !self.late.is_empty() && self.random.random_ratio(1, 40) {
            let at = self.random.random_range(0..self.late.len());
            let late = self.late.swap_remove(at);
            self.waiting.push(late);
        }
    }

    /// Packs updates that are to come again, in another order and company than before.
    fn repack(&mut self, all: bool) {
        for channel in Channel::ALL {
            let Some(pool) = self.again.get_mut(&channel) else { continue };
            while !pool.is_empty() && (all || pool.len() >= 12) {
                let wanted = self.random.random_range(1..=8).min(pool.len());
                let updates: Vec<_> =
                    (0..wanted).map(|_| pool.swap_remove(self.random.random_range(0..pool.len()))).collect();
                let body = Bytes::from(pack(channel, &updates));
                self.waiting.push(Delivery {
                    signature: sign(&self.config.secret, &body),
                    body,
                    forged: false,
                    repeat: true,
                    updates: updates.iter().map(|update| update.number).collect(),
                });
            }
        }
    }

    fn make(&mut self, shape: Shape, left: usize) -> (Channel, Vec<Update>) {
        let page = if self.random.random_bool(0.5) { Channel::Messenger } else { Channel::Instagram };
        let (channel, wanted) = match shape {
            Shape::WhatsappMessage | Shape::WhatsappStatus => (Channel::Whatsapp, 1),
            Shape::Page => (page, 1),
            Shape::Attachment => (if self.random.random_bool(0.6) { Channel::Whatsapp } else { page }, 1),
            Shape::Batch => (self.any(page), self.random.random_range(10..=30)),
            Shape::LargeBatch => (self.any(page), self.random.random_range(200..=260)),
        };
        let updates = (0..wanted.min(left.max(1))).map(|_| self.update(channel, shape)).collect();
        (channel, updates)
    }

    fn any(&mut self, page: Channel) -> Channel {
        if self.random.random_bool(0.6) { Channel::Whatsapp } else { page }
    }

    fn update(&mut self, channel: Channel, shape: Shape) -> Update {
        let mut scene = self.scene(channel, false);
        match (channel, shape) {
            (Channel::Whatsapp, Shape::WhatsappStatus) => whatsapp::status(&mut scene),
            (Channel::Whatsapp, Shape::Attachment) => whatsapp::media(&mut scene),
            (Channel::Whatsapp, Shape::WhatsappMessage) => whatsapp::message(&mut scene),
            (Channel::Whatsapp, _) => match scene.random.random_range(0..100) {
                0..=29 => whatsapp::status(&mut scene),
                30..=33 => whatsapp::media(&mut scene),
                34 => whatsapp::account_update(&mut scene),
                _ => whatsapp::message(&mut scene),
            },
            (_, Shape::Attachment) => page::attachment(&mut scene),
            (_, _) => page::item(&mut scene),
        }
    }

    fn forge(&mut self) -> Delivery {
        let mut scene = self.scene(Channel::Whatsapp, true);
        let update = whatsapp::plain(&mut scene);
        let delivery = self.deliver(Channel::Whatsapp, std::slice::from_ref(&update), false);
        Delivery { signature: sign(&self.wrong_secret, &delivery.body), forged: true, ..delivery }
    }

    fn scene(&mut self, channel: Channel, forged: bool) -> Scene<'_> {
        let people = &self.people[&channel];
        let person_at = people[self.random.random_range(0..people.len())];
        let person = &self.world.people[person_at];
        let user_id = self.threads[person_at].user_id.as_ref().or(person.bsuid.as_ref());
        let mut names = Names { id: person.id.clone(), user_id: user_id.cloned(), previous: None };
        let partly = self.config.partly_named;
        if partly > 0.0 && names.id.is_some() && names.user_id.is_some() && self.random.random_bool(partly) {
            if self.random.random_bool(0.5) { names.id = None } else { names.user_id = None }
        }
        Scene {
            names,
            user_ids_change: partly > 0.0,
            random: &mut self.random,
            ledger: &self.ledger,
            person_at,
            person,
            account: &self.world.accounts()[self.world.people[person_at].account],
            thread: &mut self.threads[person_at],
            forged,
            media_base: self.world.media_base.as_deref(),
        }
    }
}

impl Iterator for Traffic {
    type Item = Delivery;

    fn next(&mut self) -> Option<Delivery> {
        while self.made < self.config.updates && self.waiting.len() <= self.config.disorder {
            self.fresh();
        }
        if self.made >= self.config.updates {
            self.repack(true);
            self.waiting.append(&mut self.late);
        }
        if self.waiting.is_empty() {
            return None;
        }
        if self.config.disorder == 0 {
            return Some(self.waiting.remove(0));
        }
        let at = self.random.random_range(0..self.waiting.len());
        Some(self.waiting.swap_remove(at))
    }
}

/// What an update is made from: one person, their account, what was said before.
pub(crate) struct Scene<'a> {
    pub(crate) random: &'a mut StdRng,
    pub(crate) ledger: &'a Ledger,
    pub(crate) account: &'a Account,
    pub(crate) thread: &'a mut Thread,
    pub(crate) forged: bool,
    /// What the update calls the person.
    pub(crate) names: Names,
    pub(crate) user_ids_change: bool,
    /// Where files are, when not at Meta's own hosts.
    pub(crate) media_base: Option<&'a str>,
    person: &'a Person,
    person_at: usize,
}

impl<'a> Scene<'a> {
    pub(crate) fn person(&self) -> &'a Person {
        self.person
    }

    /// The person's id in digits, also for one whose number is hidden.
    pub(crate) fn digits(&self) -> String {
        match (&self.person.id, &self.person.bsuid) {
            (Some(id), _) => id.clone(),
            (None, Some(bsuid)) => bsuid.chars().filter(char::is_ascii_digit).collect(),
            (None, None) => String::new(),
        }
    }

    /// Writes the update into the ledger.
    pub(crate) fn tell(&self, number: u32, at_ms: i64, meta_id: &str, effect: Effect) {
        let effect = if self.forged { Effect::Forged } else { effect };
        let person = u32::try_from(self.person_at).unwrap_or(u32::MAX);
        let names = self.names.all();
        self.ledger.tell(number, Told { person, names, at_ms, meta_id: meta_id.to_owned(), effect });
    }

    /// A WhatsApp number's list of messages, statuses or echoes.
    pub(crate) fn place(&self, field: &'static str, list: &'static str, profile: bool) -> Place {
        let person = self.person;
        let contact = profile.then(|| {
            let profile =
                object([("name", (&person.name).into())]).with_some("username", person.username.as_ref());
            let contact = object([("profile", profile)])
                .with_some("wa_id", self.names.id.as_ref())
                .with_some("user_id", self.names.user_id.as_ref());
            Arc::<Json>::new(contact)
        });
        Place::Number {
            waba: self.account.waba.clone().unwrap_or_default(),
            phone_number_id: self.account.id.clone(),
            display: self.account.number.clone(),
            field,
            list,
            contact,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::WorldConfig;

    fn traffic(config: TrafficConfig) -> Vec<Delivery> {
        let world = Arc::new(World::new(WorldConfig { seed: 5, organisations: 20, people: 400 }));
        Traffic::new(world.clone(), Arc::new(Ledger::new(world)), config).collect()
    }

    fn config() -> TrafficConfig {
        TrafficConfig::new(9, 20_000, 1_780_000_000_000, Secret::new(b"s"))
    }

    #[test]
    fn is_the_same_for_the_same_seed() {
        let all = || traffic(TrafficConfig { repeats: 0.1, disorder: 30, ..config() });
        assert!(all().iter().map(|one| &one.body).eq(all().iter().map(|one| &one.body)));
    }

    /// `performance.md` §4: a mean of about 1.0 KB and 1.4 updates a delivery.
    #[test]
    fn has_the_sizes_of_the_mix() {
        let all = traffic(config());
        let bytes: usize = all.iter().map(|one| one.body.len()).sum();
        let updates: usize = all.iter().map(Delivery::updates).sum();
        let (size, per) = (bytes / all.len(), updates as f64 / all.len() as f64);
        println!(
            "mean {size} bytes, {per:.2} updates, largest {:?}",
            all.iter().map(|one| one.body.len()).max()
        );
        assert!((800..1400).contains(&size), "{size} bytes");
        assert!((1.2..2.2).contains(&per), "{per} updates");
    }

    #[test]
    fn is_valid_escaped_json_and_holds_every_update_once_unless_repeated() {
        let all = traffic(TrafficConfig { repeats: 0.1, disorder: 100, mix: Mix::LIVELY, ..config() });
        let (mut fresh, mut again) = (HashSet::new(), 0);
        for delivery in &all {
            assert!(delivery.body.is_ascii());
            serde_json::from_slice::<&serde_json::value::RawValue>(&delivery.body).unwrap();
            for update in delivery.updates.iter() {
                if delivery.repeat {
                    again += 1;
                } else {
                    assert!(fresh.insert(*update));
                }
            }
        }
        assert_eq!(fresh.len(), 20_000);
        assert!((1_000..4_000).contains(&again), "{again} repeated");
    }
}
