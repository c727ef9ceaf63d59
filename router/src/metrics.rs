//! What an operator learns about the router.

use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry, histogram_opts,
};
use schemas::{Outcome, Pointer, Reason};

/// What became of a delivery as a whole: the worst of what became of its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    Routed,
    Empty,
    Forgotten,
    Parked,
    Quarantined,
}

impl Fate {
    const ALL: [Self; 5] = [Self::Routed, Self::Empty, Self::Forgotten, Self::Parked, Self::Quarantined];

    pub(crate) const fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Parked { .. } => Self::Parked,
            Outcome::Quarantined { .. } => Self::Quarantined,
            Outcome::Forgotten => Self::Forgotten,
            Outcome::Empty => Self::Empty,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Routed => "routed",
            Self::Empty => "empty",
            Self::Forgotten => "forgotten",
            Self::Parked => "parked",
            Self::Quarantined => "quarantined",
        }
    }
}

/// Why items are routed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Their asset was connected, or their tenant resumed.
    Connect,
    /// They were parked while their asset was being connected.
    LatePointer,
    /// An operator sent them.
    Redrive,
    /// They were missing behind the router's position.
    Hole,
}

impl Cause {
    const ALL: [Self; 4] = [Self::Connect, Self::LatePointer, Self::Redrive, Self::Hole];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::LatePointer => "late_pointer",
            Self::Redrive => "redrive",
            Self::Hole => "hole",
        }
    }
}

#[derive(Clone)]
pub(crate) struct Metrics {
    deliveries: IntCounterVec,
    items: IntCounterVec,
    quarantined: IntCounterVec,
    rerouted: IntCounterVec,
    pub(crate) gone: IntCounter,
    pub(crate) retries: IntCounter,
    pub(crate) crashes: IntCounter,
    pub(crate) merges: IntCounter,
    pub(crate) batch_seconds: Histogram,
    pub(crate) lag_seconds: Gauge,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounter> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        // Every label is there from the start: a rate needs the zero.
        let counters =
            |name: &str, help: &str, label: &str, values: &[&str]| -> prometheus::Result<IntCounterVec> {
                let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
                for value in values {
                    counters.with_label_values(&[value]);
                }
                registry.register(Box::new(counters.clone()))?;
                Ok(counters)
            };
        let seconds: HistogramOpts = histogram_opts!(
            "router_batch_seconds",
            "How long a batch takes from being read until all it became is durable; long ones mean the log or the keyring is slow",
            vec![0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]
        );
        let batch_seconds = Histogram::with_opts(seconds)?;
        registry.register(Box::new(batch_seconds.clone()))?;
        let lag_seconds = Gauge::new(
            "router_lag_seconds",
            "How long ago the delivery routed last had arrived; rising means the router does not keep up",
        )?;
        registry.register(Box::new(lag_seconds.clone()))?;
        Ok(Self {
            deliveries: counters(
                "router_deliveries_total",
                "Deliveries read from the raw log, repeats included, by the worst that became of their items",
                "outcome",
                &Fate::ALL.map(Fate::as_str),
            )?,
            items: counters(
                "router_items_total",
                "What items of deliveries became: routed to a tenant, dropped because their person was forgotten, parked because no active tenant owns their asset, quarantined",
                "outcome",
                &[Fate::Routed, Fate::Forgotten, Fate::Parked, Fate::Quarantined].map(Fate::as_str),
            )?,
            quarantined: counters(
                "router_quarantined_total",
                "Pointers put into quarantine by reason; `tidings quarantine list` shows them",
                "reason",
                &Reason::ALL.map(Reason::as_str),
            )?,
            rerouted: counters(
                "router_rerouted_items_total",
                "Items routed after they had been parked, quarantined or missing, by what let them flow",
                "cause",
                &Cause::ALL.map(Cause::as_str),
            )?,
            gone: counter(
                "router_reroute_gone_total",
                "Deliveries that were to be routed again and are no longer in the raw log; their pointers stay",
            )?,
            retries: counter(
                "router_retries_total",
                "Batches tried again because the log or the keyring was away",
            )?,
            crashes: counter(
                "router_crashes_total",
                "Deliveries or items whose reading panicked; they are in quarantine, and the program has a fault",
            )?,
            merges: counter(
                "router_people_merged_total",
                "Times that two known people turned out to be one, because Meta named both together",
            )?,
            batch_seconds,
            lag_seconds,
        })
    }

    pub(crate) fn delivery(&self, fate: Fate) {
        self.deliveries.with_label_values(&[fate.as_str()]).inc();
    }

    pub(crate) fn routed(&self, items: u64) {
        self.items.with_label_values(&[Fate::Routed.as_str()]).inc_by(items);
    }

    pub(crate) fn rerouted(&self, cause: Cause, items: u64) {
        self.rerouted.with_label_values(&[cause.as_str()]).inc_by(items);
    }

    /// A pointer that is in quarantine now.
    pub(crate) fn pointer(&self, pointer: &Pointer) {
        let items = |fate: Fate, count: usize| {
            self.items.with_label_values(&[fate.as_str()]).inc_by(count as u64);
        };
        match &pointer.outcome {
            Outcome::Parked { .. } => items(Fate::Parked, pointer.items.len()),
            Outcome::Quarantined { reason } => {
                // A whole delivery that cannot be read counts as one item.
                items(Fate::Quarantined, pointer.items.len().max(1));
                self.quarantined.with_label_values(&[reason.as_str()]).inc();
            }
            Outcome::Forgotten => items(Fate::Forgotten, pointer.items.len()),
            Outcome::Empty => {}
        }
    }
}
