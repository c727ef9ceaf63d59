//! What an operator learns from a projector.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use store::Coverage;

/// A projector's instruments. Clones share them.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) records: IntCounterVec,
    pub(crate) batches: IntCounterVec,
    pub(crate) retries: IntCounterVec,
    pub(crate) unreadable: IntCounterVec,
    pub(crate) apply: HistogramVec,
    pub(crate) visible: Histogram,
    pub(crate) holes: IntGauge,
    pub(crate) rerouted: IntCounter,
    coverage: IntGaugeVec,
    tenants: IntGaugeVec,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let seconds = || prometheus::exponential_buckets(0.001, 2.0, 16);
        let counter = |name, help, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            prometheus::Result::Ok(counter)
        };
        let metrics = Self {
            records: counter(
                "projector_records_total",
                "Records a projection applied. The rate is how much is shown; a flat line under traffic means it is stuck.",
                &["projection"],
            )?,
            batches: counter(
                "projector_batches_total",
                "Transactions by what became of them. Conflicts mean two projectors were at the same partition: a few at a hand-over, else look.",
                &["projection", "outcome"],
            )?,
            retries: counter(
                "projector_retries_total",
                "Batches that had to wait because PostgreSQL was away or busy.",
                &["projection"],
            )?,
            unreadable: counter(
                "projector_unreadable_records_total",
                "Records this version cannot read. Any at all: update the projector and rebuild.",
                &["projection"],
            )?,
            apply: HistogramVec::new(
                HistogramOpts::new("projector_apply_seconds", "How long one transaction of a projection takes.")
                    .buckets(seconds()?),
                &["projection"],
            )?,
            visible: Histogram::with_opts(
                HistogramOpts::new(
                    "projector_visible_seconds",
                    "From a delivery's arrival to its being shown, the slowest of each batch. What a person waits for.",
                )
                .buckets(seconds()?),
            )?,
            holes: IntGauge::new(
                "projector_coverage_holes",
                "Deliveries the router has passed of which parts are nowhere. Above 0 for more than a few minutes: page somebody.",
            )?,
            rerouted: IntCounter::new(
                "projector_holes_rerouted_total",
                "Deliveries sent through the router again because parts of them were nowhere.",
            )?,
            coverage: IntGaugeVec::new(
                Opts::new(
                    "projector_coverage_items",
                    "The loss equation: items = routed + unroutable + quarantined + forgotten, and routed = projected, up to what is in motion.",
                ),
                &["state"],
            )?,
            tenants: IntGaugeVec::new(
                Opts::new(
                    "projector_coverage_tenant_items",
                    "The loss equation of each tenant: routed = projected, up to what is in motion. Apart for minutes: that tenant's view is behind.",
                ),
                &["tenant", "state"],
            )?,
        };
        registry.register(Box::new(metrics.apply.clone()))?;
        registry.register(Box::new(metrics.visible.clone()))?;
        registry.register(Box::new(metrics.holes.clone()))?;
        registry.register(Box::new(metrics.rerouted.clone()))?;
        registry.register(Box::new(metrics.coverage.clone()))?;
        registry.register(Box::new(metrics.tenants.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn covers(&self, coverage: &Coverage) {
        let states = [
            ("items", coverage.items),
            ("routed", coverage.routed),
            ("unroutable", coverage.unroutable),
            ("quarantined", coverage.quarantined),
            ("forgotten", coverage.forgotten),
            ("projected", coverage.projected),
        ];
        for (state, items) in states {
            self.coverage.with_label_values(&[state]).set(gauge(items));
        }
        for of in &coverage.tenants {
            let tenant = of.tenant.as_str();
            self.tenants.with_label_values(&[tenant, "routed"]).set(gauge(of.routed));
            self.tenants.with_label_values(&[tenant, "projected"]).set(gauge(of.projected));
        }
    }
}

fn gauge(items: u64) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}
