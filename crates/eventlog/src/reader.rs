//! Reading one partition from a position, outside any group.

use std::time::Duration;

use crate::backend::ReaderBackend;
use crate::{ReadError, Stored};

/// A cursor in one partition.
pub struct Reader(pub(crate) Box<dyn ReaderBackend>);

impl Reader {
    /// The next records, at most `max_records`; waits up to `wait` for the first and answers empty when none came in time.
    /// Empty does not mean the end, because fetching takes its time: [`crate::EventLog::bounds`] says where the end is.
    /// Cancel-safe.
    pub async fn next(&mut self, max_records: usize, wait: Duration) -> Result<Vec<Stored>, ReadError> {
        self.0.next(max_records, wait).await
    }
}
