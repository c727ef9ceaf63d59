//! Making a view anew: done elsewhere, asked for here.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::wire::Rebuilt;

/// A rebuild on its way.
pub type Rebuilding = Pin<Box<dyn Future<Output = Result<Rebuilt, RebuildRefusal>> + Send>>;

/// Makes the conversation view anew; told whether it is only to be compared. The projector's code, given by whoever puts the
/// process together: services do not depend on one another.
#[derive(Clone)]
pub struct Rebuilder(Arc<dyn Fn(bool) -> Rebuilding + Send + Sync>);

/// Why it was not made anew.
#[derive(Debug, thiserror::Error)]
pub enum RebuildRefusal {
    /// It cannot be, as things are.
    #[error("{0}")]
    Conflict(String),
    /// Something does not answer.
    #[error("something that a rebuild needs does not answer")]
    Away(#[source] anyhow::Error),
}

impl Rebuilder {
    /// One that does this.
    pub fn new(rebuild: impl Fn(bool) -> Rebuilding + Send + Sync + 'static) -> Self {
        Self(Arc::new(rebuild))
    }

    pub(crate) fn rebuild(&self, dry_run: bool) -> Rebuilding {
        (self.0)(dry_run)
    }
}

impl std::fmt::Debug for Rebuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rebuilder(..)")
    }
}
