//! What every service needs to run: a lifecycle, a clock, logs, readiness, and the monitoring listener.
//!
//! Nothing here is global: `main` makes each of these and passes it on.

mod clock;
mod lifecycle;
mod monitor;
mod readiness;
mod telemetry;

pub use clock::Clock;
pub use lifecycle::Lifecycle;
pub use monitor::{monitor_router, serve_monitor};
pub use readiness::{Gate, Readiness};
pub use telemetry::{LogFormat, init_logs};
