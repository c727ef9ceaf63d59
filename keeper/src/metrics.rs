//! What an operator learns about the keeper.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use schemas::ErasureReason;

/// From a second to thirty days.
const SECONDS: [f64; 9] = [1.0, 5.0, 30.0, 120.0, 600.0, 3_600.0, 86_400.0, 7.0 * 86_400.0, 30.0 * 86_400.0];

/// The keeper's instruments.
#[derive(Clone)]
pub(crate) struct Metrics {
    erased: IntCounterVec,
    erasure_seconds: Histogram,
    pub(crate) open: IntGauge,
    pub(crate) oldest_seconds: IntGauge,
    pub(crate) failures: IntCounter,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            erased: IntCounterVec::new(
                Opts::new("keeper_erasures_total", "People who were forgotten, by who asked for it."),
                &["reason"],
            )?,
            erasure_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "keeper_erasure_seconds",
                    "From the request until a person was forgotten and that was verified.",
                )
                .buckets(SECONDS.to_vec()),
            )?,
            open: IntGauge::new(
                "keeper_erasures_open",
                "Erasures that are asked for and not done; those of held people wait for their release.",
            )?,
            oldest_seconds: IntGauge::new(
                "keeper_erasure_oldest_seconds",
                "How long the oldest open erasure waits: page before 30 days are over.",
            )?,
            failures: IntCounter::new(
                "keeper_failures_total",
                "Rounds of the keeper that something kept from its end; each is begun again.",
            )?,
        };
        registry.register(Box::new(metrics.erased.clone()))?;
        registry.register(Box::new(metrics.erasure_seconds.clone()))?;
        registry.register(Box::new(metrics.open.clone()))?;
        registry.register(Box::new(metrics.oldest_seconds.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn erased(&self, reason: ErasureReason, took_ms: i64) {
        self.erased.with_label_values(&[reason.as_str()]).inc();
        self.erasure_seconds.observe(took_ms.max(0) as f64 / 1000.0);
    }
}
