//! One person's conversation with one account, as far as the next update depends on it.

use std::collections::VecDeque;

use rand::Rng;
use rand::rngs::StdRng;

/// How many messages back people edit, react and unsend.
const MEMORY: usize = 24;

#[derive(Debug)]
pub(crate) struct Thread {
    /// Meta's time of the newest update, Unix milliseconds.
    pub(crate) clock_ms: i64,
    pub(crate) recent: VecDeque<Message>,
    /// WhatsApp messages the account sent, whose statuses are still to come.
    pub(crate) outbox: VecDeque<Outgoing>,
    /// The person's user id by now, when it is another than at first.
    pub(crate) user_id: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) number: u32,
    pub(crate) meta_id: String,
    pub(crate) marker: String,
    pub(crate) at_ms: i64,
    pub(crate) outbound: bool,
    /// It has a text, so it can be edited.
    pub(crate) text: bool,
    pub(crate) edits: u32,
    pub(crate) reacted: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    /// The message, when it was told as an echo; of one sent through the API only statuses are told.
    pub(crate) number: Option<u32>,
    pub(crate) meta_id: String,
    pub(crate) stage: usize,
}

impl Thread {
    pub(crate) fn new(start_ms: i64) -> Self {
        Self { clock_ms: start_ms, recent: VecDeque::new(), outbox: VecDeque::new(), user_id: None }
    }

    /// The time of the next update. No two updates of one thread share a second, so whole seconds keep their order.
    pub(crate) fn tick(&mut self, random: &mut StdRng, whole_seconds: bool) -> i64 {
        let at = self.clock_ms + random.random_range(1_000..25_000);
        self.clock_ms = if whole_seconds { at / 1000 * 1000 + 1000 } else { at };
        self.clock_ms
    }

    pub(crate) fn remember(&mut self, message: Message) {
        if self.recent.len() == MEMORY {
            self.recent.pop_front();
        }
        self.recent.push_back(message);
    }

    /// One of the recent messages that this holds for.
    pub(crate) fn pick(
        &mut self,
        random: &mut StdRng,
        wanted: impl Fn(&Message) -> bool,
    ) -> Option<&mut Message> {
        let count = self.recent.iter().filter(|message| wanted(message)).count();
        if count == 0 {
            return None;
        }
        let nth = random.random_range(0..count);
        self.recent.iter_mut().filter(|message| wanted(message)).nth(nth)
    }

    /// Takes a message out: it was unsent, and nothing refers to it any more.
    pub(crate) fn take(&mut self, random: &mut StdRng, wanted: impl Fn(&Message) -> bool) -> Option<Message> {
        let picked = self.pick(random, wanted)?.number;
        let at = self.recent.iter().position(|message| message.number == picked)?;
        self.recent.remove(at)
    }
}
