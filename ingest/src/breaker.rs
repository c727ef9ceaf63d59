//! The breaker: once an append to a partition fails, further ones are not tried until the log answers again.
//!
//! Without it every delivery would hold Meta for the whole answer deadline while the log is away; with it they get their
//! 503 at once (`design.md` §7). Each partition has its own, because brokers fail one by one. When the log answers a
//! probe, one delivery is let through on trial; its success closes the breaker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use eventlog::EventLog;
use service::Gate;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::metrics::Metrics;

/// Appends are tried.
const CLOSED: u8 = 0;
/// Appends are not tried.
const OPEN: u8 = 1;
/// The log answers again: the next append is tried.
const READY: u8 = 2;
/// One append is being tried.
const TRYING: u8 = 3;

/// The breakers of all partitions of `raw`.
pub(crate) struct Breaker {
    partitions: Box<[AtomicU8]>,
    metrics: Arc<Metrics>,
    opened: Notify,
}

/// Leave to append to one partition. Dropped without a verdict, it leaves the breaker as it was.
pub(crate) struct Attempt<'a> {
    breaker: &'a Breaker,
    partition: u32,
    trial: bool,
}

impl Breaker {
    pub(crate) fn new(partitions: u32, metrics: Arc<Metrics>) -> Self {
        let partitions = (0..partitions).map(|_| AtomicU8::new(CLOSED)).collect();
        Self { partitions, metrics, opened: Notify::new() }
    }

    /// How many partitions there are.
    pub(crate) fn partitions(&self) -> u32 {
        u32::try_from(self.partitions.len()).unwrap_or(u32::MAX)
    }

    /// Leave to append, unless the log is known to be away.
    pub(crate) fn attempt(&self, partition: u32) -> Option<Attempt<'_>> {
        let state = self.state(partition);
        match state.compare_exchange(READY, TRYING, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Some(Attempt { breaker: self, partition, trial: true }),
            Err(CLOSED) => Some(Attempt { breaker: self, partition, trial: false }),
            Err(_) => None,
        }
    }

    /// Asks the log, while any breaker is open, whether it is back. Closes the gate meanwhile.
    pub(crate) async fn probe(&self, log: &EventLog, gate: &Gate, every: Duration, stop: &CancellationToken) {
        stop.run_until_cancelled(async {
            loop {
                self.opened.notified().await;
                gate.close();
                while self.any(OPEN) {
                    tokio::time::sleep(every).await;
                    if matches!(tokio::time::timeout(Duration::from_secs(1), log.ping()).await, Ok(Ok(()))) {
                        // Open again before any delivery succeeded, because none comes while the gate is closed.
                        gate.open();
                        self.all(OPEN, READY);
                    }
                }
            }
        })
        .await;
    }

    fn state(&self, partition: u32) -> &AtomicU8 {
        static NONE: AtomicU8 = AtomicU8::new(OPEN);
        usize::try_from(partition).ok().and_then(|number| self.partitions.get(number)).unwrap_or(&NONE)
    }

    fn any(&self, wanted: u8) -> bool {
        self.partitions.iter().any(|state| state.load(Ordering::Acquire) == wanted)
    }

    fn all(&self, from: u8, to: u8) {
        for state in &self.partitions {
            let _ = state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed);
        }
    }
}

impl Attempt<'_> {
    /// The append is durable.
    pub(crate) fn confirm(mut self) {
        if !std::mem::take(&mut self.trial) {
            return;
        }
        // Another one's failure may have come between: the newest verdict stands, and the gauge is moved once for each change.
        if self.breaker.state(self.partition).swap(CLOSED, Ordering::AcqRel) != CLOSED {
            self.breaker.metrics.breakers_open.dec();
            info!(
                partition = self.partition,
                "the log takes deliveries of partition {} again", self.partition
            );
        }
    }

    /// The append failed, or was not confirmed in time. `cause` holds nothing of the delivery.
    pub(crate) fn fail(mut self, cause: &dyn std::fmt::Display) {
        let before = self.breaker.state(self.partition).swap(OPEN, Ordering::AcqRel);
        if before == CLOSED {
            self.breaker.metrics.breakers_open.inc();
            self.breaker.metrics.breaker_opened.inc();
            warn!(
                partition = self.partition,
                error = %cause,
                "the log does not take deliveries of partition {}; answering 503 until it does",
                self.partition
            );
        }
        self.trial = false;
        self.breaker.opened.notify_one();
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.trial {
            let state = self.breaker.state(self.partition);
            let _ = state.compare_exchange(TRYING, READY, Ordering::AcqRel, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;

    #[test]
    fn one_failure_opens_and_one_trial_closes() {
        let metrics = Arc::new(Metrics::new(&Registry::new()).unwrap());
        let breaker = Breaker::new(2, metrics.clone());
        let (first, second) = (breaker.attempt(0).unwrap(), breaker.attempt(0).unwrap());
        first.fail(&"away");
        second.fail(&"away");
        assert_eq!((metrics.breakers_open.get(), metrics.breaker_opened.get()), (1, 1));
        assert!(breaker.attempt(0).is_none());
        breaker.attempt(1).expect("the other partition goes on").confirm();

        breaker.all(OPEN, READY);
        let trial = breaker.attempt(0).unwrap();
        assert!(breaker.attempt(0).is_none(), "one trial at a time");
        drop(trial);
        let trial = breaker.attempt(0).expect("a client that left decides nothing");
        trial.fail(&"away");
        assert!(breaker.attempt(0).is_none());
        assert_eq!(metrics.breakers_open.get(), 1);

        breaker.all(OPEN, READY);
        breaker.attempt(0).unwrap().confirm();
        assert!(breaker.attempt(0).is_some() && breaker.attempt(0).is_some());
        assert_eq!((metrics.breakers_open.get(), metrics.breaker_opened.get()), (0, 1));
        assert!(breaker.attempt(7).is_none(), "there is no such partition");
    }
}
