//! The control plane as every service sees it: follows the `control` topic live, and writes to it.
//!
//! One [`ControlPlane`] per process. [`ControlPlane::watch`] is the folded state and never goes back; a write returns
//! only after it is durable *and* folded here, so whoever wrote it reads it.

mod error;
mod plane;
mod secret;
mod topics;

pub use error::ControlError;
pub use plane::ControlPlane;
pub use secret::{AppKeys, NewApp};
pub use topics::{CALLBACKS_KEPT, Partitions, ensure_inbox, ensure_topics};
