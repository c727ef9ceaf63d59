//! An event on its way out: sealed for its person in `events`, and in the form its tenant chose in the tenant's feed.
//!
//! Everything that makes events publishes them through here, so that nothing is ever written in clear by the way. It
//! appends nothing itself: callers wait for the log in their own manner.

mod form;
mod outlet;
mod record;

pub use form::{FeedForm, FormError};
pub use outlet::{Outlet, Outlets};
pub use record::{PublishError, Published, publish};
