//! The one writer: group commit over everything that waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

use tokio::sync::oneshot;
use tracing::error;

use super::log::{Shared, TopicState};
use crate::append::Confirm;
use crate::{AppendError, ConsumeError};

/// The most commands, and about the most bytes, that one sync covers.
const BATCH_COMMANDS: usize = 2_000;
const BATCH_BYTES: usize = 16 * 1024 * 1024;

pub(super) enum Command {
    Append { topic: Arc<TopicState>, partition: u32, bytes: Vec<u8>, confirm: Confirm },
    Commit { group: String, at: (u32, u32), next: u64, confirm: oneshot::Sender<Result<(), ConsumeError>> },
    End,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    waiting: Receiver<Command>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, waiting: Receiver<Command>) -> Self {
        Self { shared, waiting }
    }

    pub(super) fn run(self) {
        let mut ended = false;
        while !ended {
            let Ok(first) = self.waiting.recv() else { return };
            let mut commands = Vec::new();
            let mut size_bytes = 0;
            let mut next = Some(first);
            while let Some(command) = next.take() {
                match command {
                    Command::End => {
                        ended = true;
                        break;
                    }
                    Command::Append { ref bytes, .. } => size_bytes += bytes.len(),
                    Command::Commit { .. } => {}
                }
                commands.push(command);
                if commands.len() < BATCH_COMMANDS && size_bytes < BATCH_BYTES {
                    next = self.waiting.try_recv().ok();
                }
            }
            self.shared.queued_bytes.fetch_sub(size_bytes, Ordering::Relaxed);
            if !commands.is_empty() && !self.write(commands) {
                return;
            }
        }
    }

    /// Writes and syncs, then confirms. After a failure nobody knows what the store holds: the log closes.
    fn write(&self, commands: Vec<Command>) -> bool {
        let store = &self.shared.store;
        let mut batch = store.batch();
        let mut ends: HashMap<(u32, u32), (Arc<TopicState>, u64)> = HashMap::new();
        let mut appends = Vec::new();
        let mut commits = Vec::new();
        for command in commands {
            match command {
                Command::Append { topic, partition, bytes, confirm } => {
                    let at = (topic.facts.id, partition);
                    let known = topic.partitions[partition as usize].end.load(Ordering::Acquire);
                    let (_, end) = ends.entry(at).or_insert((topic, known));
                    store.put_record(&mut batch, at, *end, bytes);
                    appends.push((confirm, *end));
                    *end += 1;
                }
                Command::Commit { group, at, next, confirm } => {
                    store.put_position(&mut batch, &group, at, next);
                    commits.push(confirm);
                }
                Command::End => {}
            }
        }
        match batch.commit() {
            Ok(()) => {
                for ((_, partition), (topic, end)) in ends {
                    topic.partitions[partition as usize].end.store(end, Ordering::Release);
                }
                for (confirm, offset) in appends {
                    let _ = confirm.send(Ok(offset));
                }
                for confirm in commits {
                    let _ = confirm.send(Ok(()));
                }
                self.shared.appended.send_modify(|version| *version += 1);
                true
            }
            Err(cause) => {
                error!(error = %cause, "the embedded log cannot write; it closes, and nothing of this batch is acknowledged");
                self.shared.closed.store(true, Ordering::Release);
                let cause = cause.to_string();
                for (confirm, _) in appends {
                    let _ = confirm.send(Err(AppendError::Closed { cause: cause.clone() }));
                }
                for confirm in commits {
                    let _ = confirm.send(Err(ConsumeError::Fatal { cause: cause.clone() }));
                }
                false
            }
        }
    }
}
