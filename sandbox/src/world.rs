//! Organisations, their accounts at Meta, and the people who write to them. All made up from a seed.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::{Channel, ids, people, text};

/// How big a world is.
#[derive(Debug, Clone, Copy)]
pub struct WorldConfig {
    /// The same seed makes the same world.
    pub seed: u64,
    /// How many client organisations; each has one account per channel. The first three have names of their own.
    pub organisations: usize,
    /// How many people, in all. Each writes to one account.
    pub people: usize,
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self { seed: 1, organisations: 3, people: 120 }
    }
}

/// A client organisation.
#[derive(Debug, Clone)]
pub struct Organisation {
    /// A short name of `a-z` and `-`, fit for a tenant id.
    pub tenant: String,
    /// Its full name.
    pub name: String,
}

/// An organisation's account on one channel.
#[derive(Debug, Clone)]
pub struct Account {
    /// Whose, as an index into [`World::organisations`].
    pub organisation: usize,
    /// On which channel.
    pub channel: Channel,
    /// Page id, Instagram account id or `phone_number_id`.
    pub id: String,
    /// The WhatsApp business account that the number belongs to.
    pub waba: Option<String>,
    /// The number as WhatsApp displays it.
    pub(crate) number: String,
}

/// Somebody who writes to one account.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) account: usize,
    pub(crate) name: String,
    /// Which language they write.
    pub(crate) tongue: usize,
    pub(crate) username: Option<String>,
    /// PSID, IGSID, or the phone number; `None` for a WhatsApp person who hides it.
    pub(crate) id: Option<String>,
    /// WhatsApp's business-scoped user id at first (`meta-platform.md` §3c.5).
    pub(crate) bsuid: Option<String>,
}

/// Everybody there is.
#[derive(Debug)]
pub struct World {
    pub(crate) seed: u64,
    organisations: Vec<Organisation>,
    accounts: Vec<Account>,
    pub(crate) people: Vec<Person>,
    pub(crate) media_base: Option<String>,
}

const NAMED: [(&str, &str); 3] = [
    ("harbour-ministry", "Harbour Light Ministry"),
    ("northgate-foodbank", "Northgate Food Bank"),
    ("corner-bakery", "Corner Street Bakery"),
];

impl World {
    /// Makes a world.
    pub fn new(config: WorldConfig) -> Self {
        let mut random = StdRng::seed_from_u64(config.seed ^ 0x776f_726c_6400);
        let organisations: Vec<_> = (0..config.organisations.max(1)).map(organisation).collect();
        let accounts: Vec<_> = (0..organisations.len())
            .flat_map(|organisation| Channel::ALL.map(|channel| (organisation, channel)))
            .map(|(organisation, channel)| account(&mut random, organisation, channel))
            .collect();
        // Every account has somebody before the busy ones get more (Zipf with exponent 1.1, `performance.md` §4).
        let weights: Vec<f64> = (1..=organisations.len()).map(|rank| (rank as f64).powf(-1.1)).collect();
        let total: f64 = weights.iter().sum();
        let people = (0..config.people.max(accounts.len()))
            .map(|number| {
                let account = if number < accounts.len() {
                    number
                } else {
                    let mut left = random.random_range(0.0..total);
                    let busy = weights.iter().position(|weight| {
                        left -= weight;
                        left < 0.0
                    });
                    busy.unwrap_or(0) * Channel::ALL.len() + random.random_range(0..Channel::ALL.len())
                };
                person(&mut random, account, &accounts[account])
            })
            .collect();
        Self { seed: config.seed, organisations, accounts, people, media_base: None }
    }

    /// The same world, its files of Messenger and Instagram at this simulated Graph API instead of Meta's own hosts.
    #[must_use]
    pub fn with_media_at(mut self, base: &str) -> Self {
        self.media_base = Some(base.trim_end_matches('/').to_owned());
        self
    }

    /// The organisations.
    pub fn organisations(&self) -> &[Organisation] {
        &self.organisations
    }

    /// The accounts of all of them.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// Whose the account is.
    pub fn tenant(&self, account: &Account) -> &str {
        &self.organisations[account.organisation].tenant
    }

    /// An organisation's account on a channel.
    pub fn account(&self, tenant: &str, channel: Channel) -> Option<&Account> {
        self.accounts.iter().find(|account| account.channel == channel && self.tenant(account) == tenant)
    }
}

fn organisation(number: usize) -> Organisation {
    match NAMED.get(number) {
        Some((tenant, name)) => Organisation { tenant: (*tenant).to_owned(), name: (*name).to_owned() },
        None => Organisation {
            tenant: format!("client-{:04}", number + 1),
            name: format!("Client {}", number + 1),
        },
    }
}

fn account(random: &mut StdRng, organisation: usize, channel: Channel) -> Account {
    let whatsapp = channel == Channel::Whatsapp;
    Account {
        organisation,
        channel,
        id: ids::numeric(random, if channel == Channel::Instagram { 17 } else { 15 }),
        waba: whatsapp.then(|| ids::numeric(random, 15)),
        number: format!("1555{}", ids::numeric(random, 7)),
    }
}

fn person(random: &mut StdRng, at: usize, account: &Account) -> Person {
    let name = people::name(random);
    let mut person =
        Person { account: at, name, tongue: text::tongue(random), username: None, id: None, bsuid: None };
    match account.channel {
        Channel::Messenger => person.id = Some(ids::numeric(random, 16)),
        Channel::Instagram => person.id = Some(ids::numeric(random, 17)),
        Channel::Whatsapp => {
            let style = random.random_range(0..10);
            if style < 9 {
                person.id = Some(format!("1555{}", ids::numeric(random, 7)));
            } else {
                person.username = Some(people::username(random));
            }
            if style >= 3 {
                person.bsuid = Some(format!("US.{}", ids::numeric(random, 17)));
            }
        }
    }
    person
}
