//! What the edge counts.

use std::time::Duration;

use anyhow::Context;
use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use schemas::{CallbackKind, SecretRole};

use crate::outcome::{Called, Greeting, Outcome};
use crate::pace::Step;
use crate::status::Progress;

/// Why a connection was not served. The `outcome` label of `ingest_connections_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is served.
    Served,
    /// Too many connections.
    Full,
    /// Too many of its address.
    AddressFull,
    /// The TLS handshake failed or took too long; a missing or wrong client certificate too.
    TlsRefused,
}

impl Arrival {
    const ALL: [Self; 4] = [Self::Served, Self::Full, Self::AddressFull, Self::TlsRefused];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Full => "full",
            Self::AddressFull => "address_full",
            Self::TlsRefused => "tls_refused",
        }
    }
}

const ROLES: [SecretRole; 3] = [SecretRole::Current, SecretRole::Next, SecretRole::Instagram];
const KINDS: [CallbackKind; 2] = [CallbackKind::DataDeletion, CallbackKind::Deauthorize];

/// Every metric of the edge. Counters are looked up once, here, and not on a request's way.
pub(crate) struct Metrics {
    deliveries: Vec<IntCounter>,
    handshakes: Vec<IntCounter>,
    arrivals: Vec<IntCounter>,
    closed: Vec<IntCounter>,
    closed_protocol: IntCounter,
    secrets: Vec<IntCounter>,
    callbacks: Vec<Vec<IntCounter>>,
    status_pages: Vec<IntCounter>,
    pub(crate) answer_seconds: Histogram,
    pub(crate) append_seconds: Histogram,
    pub(crate) connections: IntGauge,
    pub(crate) inflight_bytes: IntGauge,
    pub(crate) body_bytes: IntCounter,
    pub(crate) breakers_open: IntGauge,
    pub(crate) breaker_opened: IntCounter,
    pub(crate) apps: IntGauge,
    pub(crate) apps_broken: IntGauge,
    pub(crate) data_keys: IntCounter,
    pub(crate) data_key_failures: IntCounter,
    pub(crate) tls_reloads: IntCounter,
    pub(crate) tls_reload_failures: IntCounter,
    pub(crate) accept_failures: IntCounter,
}

/// Up to 10 s: a request is over by then.
const SECONDS: [f64; 14] =
    [0.000_25, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 4.0, 10.0];

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> anyhow::Result<Self> {
        let made = Maker(registry);
        let mut closed = made.counters(
            "ingest_connections_closed_total",
            "Connections that the edge closed, by what they were late with; protocol: what came was not HTTP/1.1. \
             Many: somebody is holding connections open, or a proxy is set up wrongly.",
            "reason",
            Step::ALL.map(Step::as_str).into_iter().chain(["protocol"]),
        )?;
        let closed_protocol = closed.pop().context("a counter for every label")?;
        Ok(Self {
            deliveries: made.counters(
                "ingest_deliveries_total",
                "What became of deliveries, and of whatever came in place of one. wrong_signature for most: the app's secret \
                 is not the one Meta uses. log_away, log_full, unconfirmed: the log does not take deliveries, Meta will repeat them.",
                "outcome",
                Outcome::ALL.map(Outcome::as_str),
            )?,
            handshakes: made.counters(
                "ingest_handshakes_total",
                "Verification requests (GET). wrong_token: the verify token in Meta's dashboard is not one of the app's.",
                "outcome",
                Greeting::ALL.map(Greeting::as_str),
            )?,
            arrivals: made.counters(
                "ingest_connections_total",
                "Connections that came. full, address_full: a cap is reached, and Meta may be among those turned away.",
                "outcome",
                Arrival::ALL.map(Arrival::as_str),
            )?,
            closed,
            closed_protocol,
            secrets: made.counters(
                "ingest_secret_used_total",
                "Which of its secrets signed a delivery. A rotation is over when current stands still and next grows.",
                "role",
                ROLES.map(SecretRole::as_str),
            )?,
            callbacks: made.callbacks()?,
            status_pages: made.counters(
                "ingest_callback_status_total",
                "Answers to whoever asked how far a data deletion is. Many of unknown: somebody is guessing codes.",
                "outcome",
                Progress::ALL.map(Progress::as_str).into_iter().chain(["unknown"]),
            )?,
            answer_seconds: made.histogram(
                "ingest_answer_seconds",
                "From a delivery's headers to its answer, 200 or 5xx. Meta wants half of them under 0.25 s and 99 % under 1 s.",
            )?,
            append_seconds: made.histogram(
                "ingest_append_seconds",
                "From handing a delivery to the log to its confirmation: the log's part of the answer.",
            )?,
            connections: made.gauge("ingest_connections", "Connections being served.")?,
            inflight_bytes: made.gauge(
                "ingest_inflight_bytes",
                "Bytes of bodies that are being read or wait for the log. Near its limit, deliveries are refused with 503.",
            )?,
            body_bytes: made.counter("ingest_body_bytes_total", "Bytes of the bodies that were appended.")?,
            breakers_open: made.gauge(
                "ingest_breakers_open",
                "Partitions of the raw topic whose appends are not tried because the last one failed. Above 0: page.",
            )?,
            breaker_opened: made.counter(
                "ingest_breaker_opened_total",
                "How often a partition's breaker opened. Growing while the log looks well: it confirms too slowly.",
            )?,
            apps: made.gauge("ingest_apps", "Apps that may deliver.")?,
            apps_broken: made.gauge(
                "ingest_apps_broken",
                "Apps whose secrets, as they are now, do not open with this process's edge key, or are empty. Those that it had \
                 opened before go on with the secrets of then, the others get 503. Above 0: page.",
            )?,
            data_keys: made.counter(
                "ingest_data_keys_total",
                "Keys made to seal bodies with: one at the start, one an hour, and one each time an operator asks for fresh ones.",
            )?,
            data_key_failures: made.counter(
                "ingest_data_key_failures_total",
                "Times no fresh key could be made. The one before goes on for up to 24 hours, then deliveries get 503. Growing: page.",
            )?,
            tls_reloads: made.counter("ingest_tls_reloads_total", "Changed certificates or keys now in use.")?,
            tls_reload_failures: made.counter(
                "ingest_tls_reload_failures_total",
                "Changed certificates or keys that cannot be used; the ones before are still served. Look before they expire.",
            )?,
            accept_failures: made.counter(
                "ingest_accept_failures_total",
                "Connections that the system could not hand over, such as for lack of file descriptors.",
            )?,
        })
    }

    pub(crate) fn delivery(&self, outcome: Outcome) {
        count(&self.deliveries, outcome as usize);
    }

    pub(crate) fn handshake(&self, greeting: Greeting) {
        count(&self.handshakes, greeting as usize);
    }

    pub(crate) fn callback(&self, kind: CallbackKind, called: Called) {
        let counters =
            KINDS.iter().position(|known| *known == kind).and_then(|kind| self.callbacks.get(kind));
        let word = Called::WORDS.iter().position(|word| *word == called.as_str());
        count(counters.map_or(&[], Vec::as_slice), word.unwrap_or(usize::MAX));
    }

    /// `None`: nothing is known under that code.
    pub(crate) fn status_page(&self, progress: Option<Progress>) {
        count(&self.status_pages, progress.map_or(Progress::ALL.len(), |progress| progress as usize));
    }

    pub(crate) fn arrival(&self, arrival: Arrival) {
        count(&self.arrivals, arrival as usize);
    }

    pub(crate) fn closed(&self, step: Step) {
        count(&self.closed, step as usize);
    }

    pub(crate) fn closed_protocol(&self) {
        self.closed_protocol.inc();
    }

    pub(crate) fn secret(&self, role: SecretRole) {
        count(&self.secrets, ROLES.iter().position(|known| *known == role).unwrap_or(usize::MAX));
    }
}

fn count(counters: &[IntCounter], number: usize) {
    if let Some(counter) = counters.get(number) {
        counter.inc();
    }
}

/// Observes a time.
pub(crate) fn observe(histogram: &Histogram, took: Duration) {
    histogram.observe(took.as_secs_f64());
}

struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn kept<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> anyhow::Result<C> {
        let made = made.context("making a metric")?;
        self.0.register(Box::new(made.clone())).context("registering the edge's metrics twice")?;
        Ok(made)
    }

    fn counter(&self, name: &str, help: &str) -> anyhow::Result<IntCounter> {
        self.kept(IntCounter::new(name, help))
    }

    fn gauge(&self, name: &str, help: &str) -> anyhow::Result<IntGauge> {
        self.kept(IntGauge::new(name, help))
    }

    fn histogram(&self, name: &str, help: &str) -> anyhow::Result<Histogram> {
        self.kept(Histogram::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec())))
    }

    fn callbacks(&self) -> anyhow::Result<Vec<Vec<IntCounter>>> {
        let help = "Meta's privacy callbacks. wrong_signature: the app's secret is not the one Meta uses. failed: they could not be \
                    written down and were answered with 503; Meta may not come again. Growing: page.";
        let all =
            self.kept(IntCounterVec::new(Opts::new("ingest_callbacks_total", help), &["kind", "outcome"]))?;
        let of = |kind: CallbackKind| {
            Called::WORDS.map(|word| all.with_label_values(&[kind.as_str(), word])).to_vec()
        };
        Ok(KINDS.map(of).to_vec())
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = &'static str>,
    ) -> anyhow::Result<Vec<IntCounter>> {
        let all = self.kept(IntCounterVec::new(Opts::new(name, help), &[label]))?;
        Ok(values.into_iter().map(|value| all.with_label_values(&[value])).collect())
    }
}
