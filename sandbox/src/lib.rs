//! A simulated Meta, for the demo, the tests and the benches.
//!
//! - [`World`] makes up organisations, their accounts and the people who write to them, all from a seed.
//! - [`Traffic`] turns a world into signed deliveries: the shapes, sizes, repeats and disorder of `meta-platform.md` and
//!   `performance.md` §4.
//! - [`Sender`] posts them, and posts them again until it reads 200, as Meta does.
//! - [`Ledger`] keeps what was sent and what was acknowledged, and [`Ledger::compare`] holds it against what a system shows.
//! - [`Graph`] answers as the Graph API would for media and profiles.
//!
//! It shares no code with what it judges: bodies are built, escaped and signed here, and what should be seen is worked out
//! here. Nobody in it exists.

mod channel;
mod compare;
mod effect;
mod expectation;
mod graph;
mod ids;
mod json;
mod ledger;
mod marker;
mod media;
mod mix;
mod names;
mod pack;
mod page;
mod people;
mod progress;
mod retry;
mod sender;
mod shown;
mod sign;
mod text;
mod thread;
mod traffic;
mod update;
mod verdict;
mod whatsapp;
mod work;
mod world;

pub use channel::Channel;
pub use graph::Graph;
pub use json::Json;
pub use ledger::{Ledger, Tally};
pub use media::Media;
pub use mix::Mix;
pub use progress::{Latency, Progress, ProgressCounts};
pub use retry::RetryPolicy;
pub use sender::{Pace, SendError, Sender, SenderConfig};
pub use shown::{Shown, ShownConversation, ShownMessage};
pub use sign::{Secret, sign};
pub use traffic::{Delivery, Traffic, TrafficConfig};
pub use verdict::Verdict;
pub use world::{Account, Organisation, World, WorldConfig};
