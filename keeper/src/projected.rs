//! How far the projections are: what they have not read yet may still become rows.

use std::time::Duration;

use tokio::time::Instant;

use crate::KeepError;
use crate::keeper::Keeper;
use crate::scan::partitions;

/// How long one look waits for a projection.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// Where the partitions of a topic end.
pub(crate) type Ends = Vec<(u32, u64)>;

impl Keeper {
    /// Where the partitions of a topic end now.
    pub(crate) async fn ends(&self, topic: &str) -> Result<Ends, KeepError> {
        let mut ends = Vec::new();
        for at in partitions(&self.log, topic).await? {
            ends.push((at.partition, self.log.bounds(&at).await?.end));
        }
        Ok(ends)
    }

    /// Waits a moment until a projection has read a topic up to there. False when it did not get there.
    pub(crate) async fn has_read(
        &self,
        projection: &str,
        topic: &str,
        ends: &Ends,
        unread: bool,
    ) -> Result<bool, KeepError> {
        let until = Instant::now() + PATIENCE;
        loop {
            if self.is_past(projection, topic, ends, unread).await? {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether a projection has read a topic up to there. `unread` is what a partition counts for that it never began.
    async fn is_past(
        &self,
        projection: &str,
        topic: &str,
        ends: &Ends,
        unread: bool,
    ) -> Result<bool, KeepError> {
        let offsets = self.views.offsets().await?;
        Ok(ends.iter().all(|(partition, end)| {
            offsets
                .iter()
                .find(|at| at.projection == projection && at.topic == topic && at.partition == *partition)
                .map_or(unread || *end == 0, |at| at.next >= *end)
        }))
    }
}
