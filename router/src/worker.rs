//! One partition's work, in order: route a batch, wait until it is durable, move the position.

use std::time::Duration;

use eventlog::{Batch, ConsumeError, ConsumerHandle, Disposition};
use schemas::RawRef;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::engine::{Delivery, Engine};
use crate::error::RouteError;
use crate::judge::Wanted;

const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Works until its batches end or it fails for good. Tells `freed` after each batch.
pub(crate) async fn work(
    engine: Engine, mut batches: mpsc::Receiver<Batch>, handle: ConsumerHandle,
    freed: mpsc::UnboundedSender<eventlog::TopicPartition>,
) -> Result<(), RouteError> {
    while let Some(batch) = batches.recv().await {
        let (source, next) = (batch.source.clone(), batch.next_offset());
        let deliveries: Vec<Delivery> = batch
            .records
            .into_iter()
            .map(|stored| Delivery {
                raw: RawRef { partition: source.partition, offset: stored.offset },
                record: stored.record,
                wanted: Wanted::All { attempts: 0 },
            })
            .collect();
        let mut patience = Patience::default();
        while let Err(cause) = engine.route(&deliveries).await {
            patience.wait(&engine, cause).await?;
        }
        engine.metrics.deliveries.inc_by(deliveries.len() as u64);
        debug!(partition = source.partition, next, "routed {} deliveries", deliveries.len());
        match handle.commit(&source, next).await {
            Ok(()) => {}
            Err(ConsumeError::NotOurs { .. }) => return Ok(()),
            // The next commit covers this one; a restart before it repeats the batch, which is harmless.
            Err(cause) if cause.disposition() == Disposition::Retry => {
                warn!(error = %cause, "the router's position could not be committed");
            }
            Err(cause) => return Err(cause.into()),
        }
        // Nobody listens any more when the router is stopping.
        let _ = freed.send(source);
    }
    Ok(())
}

/// Growing pauses between attempts, for as long as the trouble is a passing one.
pub(crate) struct Patience(Duration);

impl Default for Patience {
    fn default() -> Self {
        Self(PAUSE)
    }
}

impl Patience {
    /// Waits before the next attempt; gives the cause back when another attempt cannot help.
    pub(crate) async fn wait(&mut self, engine: &Engine, cause: RouteError) -> Result<(), RouteError> {
        if !cause.is_passing() {
            return Err(cause);
        }
        engine.metrics.retries.inc();
        warn!(error = chain(&cause), "routing waits {} ms", self.0.as_millis());
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
