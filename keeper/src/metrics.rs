//! What an operator learns about the keeper.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use schemas::ErasureReason;

use crate::retention::Class;

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
    oldest_age: IntGaugeVec,
    swept: IntCounterVec,
    pub(crate) missing: IntGauge,
    pub(crate) purges_held: IntGauge,
    pub(crate) callbacks_shut: IntGauge,
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
            oldest_age: IntGaugeVec::new(
                Opts::new(
                    "keeper_oldest_age_seconds",
                    "How old the oldest of a class is that is still kept, as of the last sweep: page when it is days over its time.",
                ),
                &["class"],
            )?,
            swept: IntCounterVec::new(
                Opts::new("keeper_swept_total", "What was kept for long enough and removed, by class."),
                &["class"],
            )?,
            missing: IntGauge::new(
                "keeper_attachments_missing",
                "Files that are said to be stored and are not in the store of objects: any is a loss.",
            )?,
            purges_held: IntGauge::new(
                "keeper_purges_held",
                "Tenants whose time is over and that wait for the release of people who are held.",
            )?,
            callbacks_shut: IntGauge::new(
                "keeper_callbacks_shut",
                "Meta's deletion callbacks that do not open because the root key file here is not the one of ingest's edge key \
                 file: page, somebody waits.",
            )?,
        };
        registry.register(Box::new(metrics.oldest_age.clone()))?;
        registry.register(Box::new(metrics.swept.clone()))?;
        registry.register(Box::new(metrics.missing.clone()))?;
        registry.register(Box::new(metrics.purges_held.clone()))?;
        registry.register(Box::new(metrics.callbacks_shut.clone()))?;
        registry.register(Box::new(metrics.erased.clone()))?;
        registry.register(Box::new(metrics.erasure_seconds.clone()))?;
        registry.register(Box::new(metrics.open.clone()))?;
        registry.register(Box::new(metrics.oldest_seconds.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn oldest(&self, class: Class, seconds: i64) {
        self.oldest_age.with_label_values(&[class.as_str()]).set(seconds);
    }

    pub(crate) fn swept(&self, class: Class, count: u64) {
        self.swept.with_label_values(&[class.as_str()]).inc_by(count);
    }

    pub(crate) fn erased(&self, reason: ErasureReason, took_ms: i64) {
        self.erased.with_label_values(&[reason.as_str()]).inc();
        self.erasure_seconds.observe(took_ms.max(0) as f64 / 1000.0);
    }
}
