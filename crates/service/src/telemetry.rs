//! Logs: one line per request or batch to standard error, as text for people or JSON for programs.

use std::io::IsTerminal;

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Whose lines may be finer than `info`.
const OURS: [&str; 21] = [
    "attachments",
    "bench",
    "blob",
    "console",
    "control",
    "eventlog",
    "graph",
    "ingest",
    "keeper",
    "keyring",
    "kms",
    "localpg",
    "projector",
    "publish",
    "router",
    "sandbox",
    "schemas",
    "seal",
    "service",
    "store",
    "tidings",
];

/// Whether a line may be written, whatever the filter says: libraries write whole requests, statements and their values when
/// they are asked for that much, and in these are secrets and what people wrote.
fn may_be_told(line: &Metadata<'_>) -> bool {
    let krate = line.target().split("::").next().unwrap_or_default();
    *line.level() <= Level::INFO || OURS.contains(&krate)
}

/// Starts logging for the process. `filter` is in `RUST_LOG`'s syntax, such as `info` or `warn,router=debug`.
pub fn init_logs(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|cause| anyhow::anyhow!("the log filter {filter:?} is not in RUST_LOG's syntax: {cause}"))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(true);
    // Colours are for a terminal; a file or a collector gets plain text.
    let lines = lines.with_ansi(std::io::stderr().is_terminal());
    let all = tracing_subscriber::registry().with(filter).with(filter_fn(may_be_told));
    let started = match format {
        LogFormat::Text => all.with(lines.compact()).try_init(),
        LogFormat::Json => all.with(lines.json().flatten_event(true)).try_init(),
    };
    started.map_err(|cause| anyhow::anyhow!("logging was started twice: {cause}"))?;
    // A panic's own text can quote what was being read: only its place is told.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        tracing::error!(place, "a fault in this program: it panicked at {place}");
    }));
    Ok(())
}
