//! How a service's log lines look, on the command line.

use clap::{Args, ValueEnum};
use service::LogFormat;

/// Which lines, and in which form. They go to standard error.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs")]
pub(crate) struct LogArgs {
    /// Which log lines, in RUST_LOG's syntax, such as info or warn,router=debug
    #[arg(
        long,
        value_name = "FILTER",
        env = "RUST_LOG",
        default_value = "info,fjall=warn,lsm_tree=warn,s3s=off"
    )]
    log: String,
    /// How log lines look
    #[arg(long, value_name = "FORMAT", env = "TIDINGS_LOG_FORMAT", value_enum, default_value_t = Format::Text)]
    log_format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

impl LogArgs {
    /// Starts logging.
    pub(crate) fn init(&self) -> anyhow::Result<()> {
        let format = match self.log_format {
            Format::Text => LogFormat::Text,
            Format::Json => LogFormat::Json,
        };
        service::init_logs(format, &self.log)
    }
}
