//! What happens when partitions come and go. Runs on the polling thread, inside librdkafka's callback.
//!
//! An assignment is shown to the async side, which says where each partition begins; a revocation waits a few seconds for
//! the work on its partitions to end. While it waits, the thread does what it is asked to: else a commit, seek or pause of
//! another partition would have to wait too.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, warn};

use super::admin::{committed, list, watermarks};
use super::consumer::{Owned, Shared};
use super::membership::Client;
use super::pump::Command;
use crate::{Assignment, ConsumeError, Delivery, Revocation, Start, Topic, TopicPartition};

/// How long the async side may take to say where to begin; without an answer it is the committed position.
pub(super) const ANSWER: Duration = Duration::from_secs(30);
/// How long it may take to finish the work of partitions that go.
const HAND_OVER: Duration = Duration::from_secs(5);
/// How long committed positions are asked for while the coordinator is busy.
const POSITIONS: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(5);

type Told = Result<Delivery, ConsumeError>;

/// What a member is beyond its client: librdkafka's calls into our code, and what its threads share.
pub(super) struct Member {
    pub(super) shared: Arc<Shared>,
    tell: mpsc::UnboundedSender<Told>,
    commands: Mutex<Receiver<Command>>,
    /// Partitions that are paused in librdkafka, for whatever reason.
    pub(super) silenced: Mutex<HashSet<TopicPartition>>,
    /// Gone with the last client: that tells who closes it.
    _open: oneshot::Sender<()>,
}

impl Member {
    pub(super) fn new(
        shared: Arc<Shared>,
        tell: mpsc::UnboundedSender<Told>,
        commands: Receiver<Command>,
        open: oneshot::Sender<()>,
    ) -> Self {
        Self { shared, tell, commands: Mutex::new(commands), silenced: Mutex::default(), _open: open }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.shared.stopping.load(Ordering::Acquire)
    }

    pub(super) fn owns(&self, at: &TopicPartition) -> bool {
        self.shared.owned().contains_key(at)
    }

    pub(super) fn tell(&self, what: Told) {
        // A consumer that was dropped does not listen.
        let _ = self.tell.send(what);
    }

    pub(super) fn silenced(&self) -> MutexGuard<'_, HashSet<TopicPartition>> {
        self.silenced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what is asked for, waiting up to `wait` for the first.
    pub(super) fn serve(&self, client: &Client, wait: Duration) {
        let commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wait = wait;
        loop {
            match commands.recv_timeout(wait) {
                Ok(command) => command.run(client),
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => {
                    std::thread::sleep(wait);
                    return;
                }
            }
            wait = Duration::ZERO;
        }
    }

    /// The answer; `None` when it was dropped, or did not come in time.
    fn wait<T>(&self, client: &Client, answer: &mut oneshot::Receiver<T>, patience: Duration) -> Option<T> {
        let until = Instant::now() + patience;
        loop {
            match answer.try_recv() {
                Ok(answer) => return Some(answer),
                Err(TryRecvError::Closed) => return None,
                Err(TryRecvError::Empty) if Instant::now() >= until || self.is_stopping() => {
                    // Who answers from here on learns that it is too late.
                    answer.close();
                    return answer.try_recv().ok();
                }
                Err(TryRecvError::Empty) => self.serve(client, TICK),
            }
        }
    }

    fn assign(&self, client: &Client, partitions: Vec<TopicPartition>) -> Result<(), KafkaError> {
        if partitions.is_empty() || self.is_stopping() {
            // librdkafka waits for the call all the same.
            return client.incremental_assign(&TopicPartitionList::new());
        }
        let (answer, mut answered) = oneshot::channel();
        self.tell(Ok(Delivery::Assigned(Assignment {
            partitions: partitions.clone(),
            answer: Some(answer),
        })));
        let starts = self.wait(client, &mut answered, ANSWER).unwrap_or_default();
        let mut begins = Vec::new();
        for (at, position) in self.positions(client, partitions, &starts) {
            match position {
                Ok(offset) => begins.push((at, offset)),
                // Reported, and not read: the service stops on it.
                Err(cause) => self.tell(Err(cause)),
            }
        }
        {
            let mut owned = self.shared.owned();
            for (at, _) in &begins {
                owned.insert(at.clone(), Owned { epoch: self.shared.epoch(), paused: false, leaving: false });
            }
        }
        client.incremental_assign(&list(begins.iter().map(|(at, offset)| (at, *offset)))?)
    }

    /// Where each partition begins, checked against what the log holds.
    fn positions(
        &self,
        client: &Client,
        partitions: Vec<TopicPartition>,
        starts: &HashMap<TopicPartition, Start>,
    ) -> Vec<(TopicPartition, Result<Offset, ConsumeError>)> {
        let start = |at: &TopicPartition| starts.get(at).copied().unwrap_or(Start::Committed);
        let unsaid: Vec<_> = partitions.iter().filter(|at| start(at) == Start::Committed).cloned().collect();
        let known = if unsaid.is_empty() { Ok(HashMap::new()) } else { self.committed(client, &unsaid) };
        let mut positions = Vec::with_capacity(partitions.len());
        for at in partitions {
            let offset = match (start(&at), &known) {
                (Start::Offset(offset), _) => Some(offset),
                (Start::Committed, Ok(known)) => known.get(&at).copied(),
                (Start::Committed, Err(cause)) => {
                    let cause = ConsumeError::Fatal { cause: format!("no committed position: {cause}") };
                    positions.push((at, Err(cause)));
                    continue;
                }
            };
            let bounds = watermarks(client, &at);
            let position = match (offset, bounds) {
                (None, _) => Ok(Offset::Beginning),
                (Some(offset), Ok(bounds)) if offset < bounds.earliest || offset > bounds.end => {
                    Err(ConsumeError::PositionGone { at: at.clone() })
                }
                // Bounds that cannot be had now are checked again by the first fetch.
                (Some(offset), _) => Ok(Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX))),
            };
            positions.push((at, position));
        }
        positions
    }

    /// Never taken for "none" because the coordinator is busy.
    fn committed(
        &self,
        client: &Client,
        partitions: &[TopicPartition],
    ) -> Result<HashMap<TopicPartition, u64>, KafkaError> {
        let until = Instant::now() + POSITIONS;
        loop {
            match committed(client, partitions, Duration::from_secs(5)) {
                Err(cause) if Instant::now() < until && !self.is_stopping() => {
                    debug!(error = %cause, "committed positions are not to be had yet");
                    self.serve(client, TICK * 10);
                }
                answer => return answer,
            }
        }
    }

    fn revoke(&self, client: &Client, partitions: Vec<TopicPartition>) -> Result<(), KafkaError> {
        let lost = client.assignment_lost();
        let ours: Vec<TopicPartition> = {
            let mut owned = self.shared.owned();
            let ours: Vec<_> = partitions.into_iter().filter(|at| owned.contains_key(at)).collect();
            for at in &ours {
                if let Some(owned) = owned.get_mut(at) {
                    owned.leaving = true;
                }
                if lost {
                    owned.remove(at);
                }
            }
            ours
        };
        if !ours.is_empty() && !self.is_stopping() {
            let (release, mut released) = oneshot::channel();
            let revocation = Revocation { partitions: ours.clone(), lost, _release: Some(release) };
            self.tell(Ok(Delivery::Revoked(revocation)));
            if !lost {
                self.wait(client, &mut released, HAND_OVER);
            }
        }
        // A paused partition would still be paused when it comes back.
        let silenced: Vec<_> = {
            let mut silenced = self.silenced();
            ours.iter().filter(|at| silenced.remove(at)).cloned().collect()
        };
        if !silenced.is_empty() {
            client.resume(&list(silenced.iter().map(|at| (at, Offset::Invalid)))?)?;
        }
        {
            let mut owned = self.shared.owned();
            for at in &ours {
                owned.remove(at);
            }
        }
        client.incremental_unassign(&list(ours.iter().map(|at| (at, Offset::Invalid)))?)
    }

    /// Lets go of everything at once, as when the group has lost us.
    pub(super) fn lose(&self) {
        let ours: Vec<TopicPartition> = self.shared.owned().drain().map(|(at, _)| at).collect();
        self.silenced().clear();
        if !ours.is_empty() {
            self.tell(Ok(Delivery::Revoked(Revocation { partitions: ours, lost: true, _release: None })));
        }
    }

    pub(super) fn rebalance(&self, client: &Client, what: RDKafkaRespErr, partitions: &TopicPartitionList) {
        let elements = partitions.elements();
        let partitions = elements.iter().filter_map(|element| {
            let topic = Topic::new(element.topic()).ok()?;
            Some(TopicPartition { topic, partition: u32::try_from(element.partition()).ok()? })
        });
        let partitions = partitions.collect();
        let done = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(client, partitions),
            _ => self.revoke(client, partitions),
        };
        if let Err(cause) = done {
            warn!(error = %cause, "a rebalance could not be carried out");
            self.tell(Err(ConsumeError::Fatal { cause: cause.to_string() }));
        }
    }
}
