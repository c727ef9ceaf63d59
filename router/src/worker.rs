//! One partition's work, in order: do a batch, wait until it is durable, move the position.

use eventlog::{Batch, ConsumeError, ConsumerHandle, Disposition, TopicPartition};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::engine::Engine;
use crate::error::RouteError;
use crate::job::Job;
use crate::patience::Patience;

/// Works until its batches end, or it fails for good. Says after each batch that there is room for another.
///
/// While the log or the keyring is away the same batch is tried again, until `leaving`: then whoever reads on does it.
pub(crate) async fn work(
    job: Job,
    engine: Engine,
    mut batches: mpsc::Receiver<Batch>,
    handle: ConsumerHandle,
    room: mpsc::UnboundedSender<TopicPartition>,
    leaving: CancellationToken,
) -> Result<(), RouteError> {
    while let Some(batch) = batches.recv().await {
        let mut patience = Patience::long();
        while let Err(cause) = job.work(&engine, &batch).await {
            if !cause.is_passing() {
                return Err(cause);
            }
            engine.metrics.retries.inc();
            warn!(error = chain(&cause), group = job.group(), "a batch of {} waits", batch.source);
            tokio::select! {
                () = leaving.cancelled() => return Ok(()),
                () = patience.pause() => {}
            }
        }
        let next = batch.next_offset();
        debug!(next, "done with {} records of {}", batch.records.len(), batch.source);
        match handle.commit(&batch.source, next).await {
            Ok(()) => {}
            // The partition is being taken from us: whoever has it repeats the batch, which is harmless. If it is still
            // ours after all, or the log was away, the next commit covers this one.
            Err(cause @ (ConsumeError::NotOurs { .. } | ConsumeError::Unavailable { .. })) => {
                warn!(error = %cause, group = job.group(), "a position could not be committed");
            }
            Err(cause) if cause.disposition() == Disposition::Stop => return Err(cause.into()),
            Err(_) => {}
        }
        // Nobody listens any more when the router is stopping.
        let _ = room.send(batch.source);
    }
    Ok(())
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
