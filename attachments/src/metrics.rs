//! What an operator learns from the attachments worker.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use schemas::FileState;
use store::Wanted;

/// The worker's instruments. Clones share them.
#[derive(Clone)]
pub(crate) struct Metrics {
    outcomes: IntCounterVec,
    retries: IntCounterVec,
    dropped: IntCounterVec,
    fetch_seconds: Histogram,
    pub(crate) queued: IntGauge,
    pub(crate) oldest_seconds: IntGauge,
    pub(crate) in_flight: IntGauge,
    pub(crate) stored_bytes: IntCounter,
    pub(crate) removed: IntCounter,
    pub(crate) unreadable: IntCounter,
    pub(crate) crashes: IntCounter,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name, help| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            prometheus::Result::Ok(gauge)
        };
        let counter = |name, help| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            prometheus::Result::Ok(counter)
        };
        let counters = |name, help, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            prometheus::Result::Ok(counters)
        };
        let fetch_seconds = Histogram::with_opts(
            HistogramOpts::new(
                "attachments_fetch_seconds",
                "From a file's being queued until its event was durable, retries included. What an agent waits for.",
            )
            .buckets(prometheus::exponential_buckets(0.05, 3.0, 14)?),
        )?;
        registry.register(Box::new(fetch_seconds.clone()))?;
        let metrics = Self {
            outcomes: counters(
                "attachments_outcomes_total",
                "What became of files, by state and, when they are not stored, the reason.",
                &["state", "reason"],
            )?,
            retries: counters(
                "attachments_retries_total",
                "Fetches that are tried again, by what was in the way. no_token or unauthorized: an asset's token has to be set.",
                &["reason"],
            )?,
            dropped: counters(
                "attachments_dropped_total",
                "Files that nobody wanted any more when they came: taken back, or of somebody who was forgotten; or another worker had them.",
                &["reason"],
            )?,
            fetch_seconds,
            queued: gauge("attachments_queued", "Files that wait to be fetched or are being fetched.")?,
            oldest_seconds: gauge(
                "attachments_oldest_pending_seconds",
                "How long the oldest of them waits; Meta keeps some for a day only.",
            )?,
            in_flight: gauge("attachments_in_flight", "Files that this process is fetching now.")?,
            stored_bytes: counter(
                "attachments_stored_bytes_total",
                "Bytes of files that were stored, before the seal.",
            )?,
            removed: counter(
                "attachments_removed_objects_total",
                "Objects that were removed because their message was taken back or their person forgotten.",
            )?,
            unreadable: counter(
                "attachments_unreadable_records_total",
                "Records of events that this version cannot read; their files are not fetched. Any at all: update.",
            )?,
            crashes: counter(
                "attachments_crashes_total",
                "Fetches that panicked; they are tried again, and the program has a fault.",
            )?,
        };
        // There from the start: a rate needs the zero.
        for state in FileState::ALL.map(FileState::as_str) {
            metrics.outcomes.with_label_values(&[state, ""]);
        }
        Ok(metrics)
    }

    pub(crate) fn settled(&self, state: FileState, reason: &str, waited: Duration) {
        self.outcomes.with_label_values(&[state.as_str(), reason]).inc();
        self.fetch_seconds.observe(waited.as_secs_f64());
    }

    pub(crate) fn retried(&self, reason: &str) {
        self.retries.with_label_values(&[reason]).inc();
    }

    pub(crate) fn dropped(&self, wanted: Wanted) {
        let reason = match wanted {
            Wanted::Yes => return,
            Wanted::Unsent => "unsent",
            Wanted::Forgotten => "forgotten",
            Wanted::Taken => "taken",
        };
        self.dropped.with_label_values(&[reason]).inc();
    }
}
