//! Following and writing the `control` topic.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use eventlog::{Disposition, EventLog, Record, Retention, Topic, TopicPartition, TopicSpec};
use schemas::{Action, ControlRecord, ControlState};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::ControlError;

const CATCH_UP: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(500);

/// The folded state of `control`, kept up to date by [`ControlPlane::follow`], and the way to add to it.
#[derive(Clone)]
pub struct ControlPlane {
    log: EventLog,
    at: TopicPartition,
    state: Arc<watch::Sender<Arc<ControlState>>>,
}

impl ControlPlane {
    /// Makes the topic unless it is there, and folds everything it holds.
    pub async fn open(log: EventLog, topic: &Topic) -> Result<Self, ControlError> {
        log.ensure(&TopicSpec { topic: topic.clone(), partitions: 1, retention: Retention::Forever }).await?;
        let plane = Self {
            log,
            at: TopicPartition::new(topic, 0),
            state: Arc::new(watch::Sender::new(Arc::new(ControlState::default()))),
        };
        plane.catch_up().await?;
        Ok(plane)
    }

    /// The state now.
    pub fn state(&self) -> Arc<ControlState> {
        self.state.borrow().clone()
    }

    /// The state as it changes.
    pub fn watch(&self) -> watch::Receiver<Arc<ControlState>> {
        self.state.subscribe()
    }

    /// Waits until everything that `control` held when this was called is folded.
    pub async fn caught_up(&self) -> Result<Arc<ControlState>, ControlError> {
        let end = self.log.bounds(&self.at).await?.end;
        self.reached(end).await
    }

    /// Adds a record. Returns the state that has it folded in, and the record's offset.
    pub async fn write(&self, record: &ControlRecord) -> Result<(Arc<ControlState>, u64), ControlError> {
        let value = serde_json::to_vec(record).expect("a control record is plain data");
        let record = Record { key: None, value: Some(Bytes::from(value)), headers: Vec::new() };
        let offset = self.log.append(&self.at, record)?.await?;
        Ok((self.reached(offset + 1).await?, offset))
    }

    /// Convenience for [`ControlPlane::write`].
    pub async fn act(
        &self,
        at_ms: i64,
        actor: &str,
        action: Action,
    ) -> Result<(Arc<ControlState>, u64), ControlError> {
        self.write(&ControlRecord { at_ms, actor: actor.to_owned(), action }).await
    }

    /// Follows the topic until stopped. Run exactly one of these per process.
    pub async fn follow(self, stop: CancellationToken) -> Result<(), ControlError> {
        loop {
            // Apart from the call, so that the borrow is over before the wait.
            let position = self.state.borrow().position;
            let mut reader = self.log.reader(&self.at, position).await?;
            loop {
                let records = tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    records = reader.next(1000, POLL) => records,
                };
                match records {
                    Ok(records) => self.fold(&records),
                    Err(cause) if cause.disposition() == Disposition::Retry => {
                        warn!(error = %cause, "the control topic is away; this process goes on with what it knows");
                        tokio::select! {
                            () = stop.cancelled() => return Ok(()),
                            () = tokio::time::sleep(POLL) => break,
                        }
                    }
                    Err(cause) => return Err(cause.into()),
                }
            }
        }
    }

    async fn reached(&self, position: u64) -> Result<Arc<ControlState>, ControlError> {
        let mut watch = self.state.subscribe();
        let state = tokio::time::timeout(CATCH_UP, watch.wait_for(|state| state.position >= position)).await;
        match state {
            Ok(Ok(state)) => Ok(state.clone()),
            Ok(Err(_)) | Err(_) => Err(ControlError::Behind),
        }
    }

    async fn catch_up(&self) -> Result<(), ControlError> {
        let bounds = self.log.bounds(&self.at).await?;
        let mut reader = self.log.reader(&self.at, bounds.earliest).await?;
        while self.state.borrow().position < bounds.end {
            let records = reader.next(1000, POLL).await?;
            self.fold(&records);
        }
        Ok(())
    }

    fn fold(&self, records: &[eventlog::Stored]) {
        if records.is_empty() {
            return;
        }
        self.state.send_modify(|state| {
            let state = Arc::make_mut(state);
            for stored in records {
                let value = stored.record.value.as_deref().unwrap_or_default();
                match serde_json::from_slice::<ControlRecord>(value) {
                    Ok(record) => state.apply(stored.offset, &record),
                    Err(cause) => {
                        error!(offset = stored.offset, error = %cause, "a control record of a newer version was passed over; update this process");
                        state.skip(stored.offset);
                    }
                }
            }
        });
    }
}
