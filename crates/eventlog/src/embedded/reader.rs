//! A cursor in one partition.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::log::Shared;
use crate::backend::ReaderBackend;
use crate::{LogError, ReadError, Stored, TopicPartition};

pub(super) struct EmbeddedReader {
    shared: Arc<Shared>,
    at: TopicPartition,
    place: (u32, u32),
    next: u64,
}

impl EmbeddedReader {
    pub(super) fn open(shared: Arc<Shared>, at: TopicPartition, from: u64) -> Result<Self, LogError> {
        let (_, place) = shared.locate(&at)?;
        Ok(Self { shared, at, place, next: from })
    }

    async fn read(&mut self, max_records: usize) -> Result<Vec<Stored>, ReadError> {
        let fatal = |cause: &dyn std::fmt::Display| ReadError::Fatal { cause: cause.to_string() };
        let bounds = self.shared.bounds(&self.at).map_err(|cause| fatal(&cause))?;
        if self.next < bounds.earliest {
            return Err(ReadError::Gone { at: self.at.clone(), offset: self.next });
        }
        if self.next > bounds.end {
            let cause = format!("offset {} of {} is beyond its end {}", self.next, self.at, bounds.end);
            return Err(ReadError::Fatal { cause });
        }
        if self.next == bounds.end {
            return Ok(Vec::new());
        }
        let (store, place, from) = (self.shared.store.clone(), self.place, self.next);
        let read = tokio::task::spawn_blocking(move || store.read(place, from, bounds.end, max_records));
        let (records, next) = read.await.map_err(|cause| fatal(&cause))?.map_err(|cause| fatal(&cause))?;
        self.next = next;
        Ok(records)
    }
}

#[async_trait]
impl ReaderBackend for EmbeddedReader {
    async fn next(&mut self, max_records: usize, wait: Duration) -> Result<Vec<Stored>, ReadError> {
        let deadline = tokio::time::Instant::now() + wait;
        let mut appended = self.shared.appended.subscribe();
        loop {
            appended.mark_unchanged();
            let records = self.read(max_records).await?;
            if !records.is_empty() {
                return Ok(records);
            }
            if self.shared.is_closed() {
                return Err(ReadError::Fatal { cause: "the log was closed".into() });
            }
            match tokio::time::timeout_at(deadline, appended.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Ok(Vec::new()),
            }
        }
    }
}
