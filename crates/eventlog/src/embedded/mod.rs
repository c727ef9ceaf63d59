//! The log embedded in one process, on `fjall`.
//!
//! One writer thread takes everything that waits, writes it as one batch, syncs once, and only then confirms. Groups are
//! coordinated in memory, their positions are kept in the store. Its folder belongs to one process.

mod codec;
mod consumer;
mod group;
mod journal;
mod log;
mod reader;
mod store;
mod sweep;
mod writer;

pub use log::EmbeddedConfig;
pub(crate) use log::EmbeddedLog;
