//! Logs: one line per request or batch to standard error, as text for people or JSON for programs.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging for the process. `filter` is in `RUST_LOG`'s syntax, such as `info` or `warn,router=debug`.
pub fn init_logs(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|cause| anyhow::anyhow!("the log filter {filter:?} is not in RUST_LOG's syntax: {cause}"))?;
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(true);
    // Colours are for a terminal; a file or a collector gets plain text.
    let lines = lines.with_ansi(std::io::stderr().is_terminal());
    let started = match format {
        LogFormat::Text => lines.compact().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|cause| anyhow::anyhow!("logging was started twice: {cause}"))?;
    // A panic's own text can quote what was being read: only its place is told.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        tracing::error!(place, "a fault in this program: it panicked at {place}");
    }));
    Ok(())
}
