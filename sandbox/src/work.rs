//! What to send next: a retry that is due, else the next fresh delivery when the pace allows it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::{Delivery, Pace};

/// A delivery on its way.
pub(crate) struct Job {
    pub(crate) delivery: Delivery,
    /// When it should first have gone out; answers are timed from here, so a sender that lags does not flatter.
    pub(crate) due: Instant,
    pub(crate) failed: u32,
}

pub(crate) enum Next {
    Send(Box<Job>),
    /// Ask again then.
    At(Instant),
    /// Ask again when an answer has come.
    Later,
    Done,
}

pub(crate) struct Work {
    source: Box<dyn Iterator<Item = Delivery> + Send>,
    pace: Pace,
    started: Instant,
    taken: u64,
    /// Waiting to go out again, by when; the second number keeps the keys apart.
    retries: BTreeMap<(Instant, u64), Box<Job>>,
    sequence: u64,
    most_waiting: usize,
    under_way: usize,
    ended: bool,
}

impl Work {
    pub(crate) fn new(
        source: Box<dyn Iterator<Item = Delivery> + Send>,
        pace: Pace,
        most_waiting: usize,
    ) -> Self {
        Self {
            source,
            pace,
            started: Instant::now(),
            taken: 0,
            retries: BTreeMap::new(),
            sequence: 0,
            most_waiting,
            under_way: 0,
            ended: false,
        }
    }

    pub(crate) fn next(&mut self, now: Instant) -> Next {
        let retry = self.retries.first_key_value().map(|((at, _), _)| *at);
        if retry.is_some_and(|at| at <= now)
            && let Some((_, job)) = self.retries.pop_first()
        {
            self.under_way += 1;
            return Next::Send(job);
        }
        let fresh = match self.pace {
            // While the other side is away, no more is taken than can be held.
            _ if self.ended || self.retries.len() >= self.most_waiting => None,
            Pace::AsFastAsAnswered => Some(now),
            Pace::PerSecond(rate) => {
                Some(self.started + Duration::from_secs_f64(self.taken as f64 / rate.max(0.001)))
            }
        };
        if let Some(due) = fresh
            && due <= now
        {
            match self.source.next() {
                Some(delivery) => {
                    self.taken += 1;
                    self.under_way += 1;
                    return Next::Send(Box::new(Job { delivery, due, failed: 0 }));
                }
                None => self.ended = true,
            }
        }
        match (retry, fresh.filter(|_| !self.ended)) {
            (Some(one), Some(other)) => Next::At(one.min(other)),
            (Some(at), None) | (None, Some(at)) => Next::At(at),
            (None, None) if self.ended && self.under_way == 0 => Next::Done,
            (None, None) => Next::Later,
        }
    }

    /// Takes no more fresh deliveries; what is on its way or waiting goes on.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    pub(crate) fn finished(&mut self) {
        self.under_way -= 1;
    }

    pub(crate) fn failed(&mut self, mut job: Box<Job>, at: Instant) {
        self.under_way -= 1;
        self.sequence += 1;
        job.failed += 1;
        self.retries.insert((at, self.sequence), job);
    }
}
