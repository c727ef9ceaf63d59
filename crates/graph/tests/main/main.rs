//! The real client against servers that behave, that fail and that attack.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it should be")]

mod bodies;
mod fetching;
mod hostile;
mod servers;
