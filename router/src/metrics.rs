//! What an operator learns about the router.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, histogram_opts,
};

#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) deliveries: IntCounter,
    pub(crate) items: IntCounterVec,
    pub(crate) quarantined: IntCounterVec,
    pub(crate) rerouted: IntCounterVec,
    pub(crate) gone: IntCounter,
    pub(crate) retries: IntCounter,
    pub(crate) crashes: IntCounter,
    pub(crate) batch_seconds: Histogram,
    pub(crate) lag_ms: IntGauge,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounter> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let counters = |name: &str, help: &str, label: &str| -> prometheus::Result<IntCounterVec> {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
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
        let lag_ms = IntGauge::new(
            "router_lag_milliseconds",
            "How long ago the delivery routed last had arrived; rising means the router does not keep up",
        )?;
        registry.register(Box::new(lag_ms.clone()))?;
        Ok(Self {
            deliveries: counter("router_deliveries_total", "Deliveries read from the raw log, repeats included")?,
            items: counters(
                "router_items_total",
                "What items of deliveries became: routed to a tenant, parked because no active tenant owns their asset, quarantined",
                "outcome",
            )?,
            quarantined: counters(
                "router_quarantined_total",
                "Pointers put into quarantine by reason; `tidings quarantine list` shows them",
                "reason",
            )?,
            rerouted: counters(
                "router_rerouted_items_total",
                "Items routed after they had been parked or missing, by what let them flow",
                "cause",
            )?,
            gone: counter(
                "router_reroute_gone_total",
                "Deliveries that were to be routed again and are no longer in the raw log: their items are lost to the tenant",
            )?,
            retries: counter("router_retries_total", "Batches tried again because the log or the keyring was away")?,
            crashes: counter(
                "router_crashes_total",
                "Deliveries whose reading panicked; they are in quarantine, and the program has a fault",
            )?,
            batch_seconds,
            lag_ms,
        })
    }
}
