//! The polling thread of a group member: it serves librdkafka's callbacks, gathers records into batches per partition, and
//! never waits for the async side longer than its group allows.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::Offset;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

use super::admin::{list, watermarks};
use super::consumer::Queued;
use super::error;
use super::membership::{Client, Membership};
use crate::{Batch, ConsumeError, Header, Record, Stored, TopicPartition};

/// How long the group waits for a member that does not poll.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(60);
/// An async side that takes nothing for this long is not polled for any more; with [`POLL_INTERVAL`] it makes two minutes.
const NEGLECT: Duration = Duration::from_secs(60);
/// librdkafka wakes the thread; this is for what it does not tell.
const IDLE: Duration = Duration::from_millis(100);
/// A full queue is first waited for, because a pause throws away what was fetched ahead.
const BEFORE_SILENCE: Duration = Duration::from_millis(500);
const GATHER_BYTES: usize = 4 * 1024 * 1024;
const SEEK: Duration = Duration::from_secs(5);

pub(super) enum Command {
    Seek {
        at: TopicPartition,
        offset: u64,
        confirm: oneshot::Sender<Result<(), ConsumeError>>,
    },
    /// Some partition was paused or resumed.
    Pauses,
}

impl Command {
    pub(super) fn run(self, client: &Client) {
        match self {
            Self::Seek { at, offset, confirm } => {
                let _ = confirm.send(seek(client, &at, offset));
            }
            Self::Pauses => hush(client, false),
        }
    }
}

/// After this, nothing that was fetched before comes out of librdkafka any more.
fn seek(client: &Client, at: &TopicPartition, offset: u64) -> Result<(), ConsumeError> {
    let bounds = watermarks(client, at).map_err(|cause| error::consume(&cause))?;
    if offset < bounds.earliest || offset > bounds.end {
        return Err(ConsumeError::PositionGone { at: at.clone() });
    }
    let position = Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX));
    let partition = i32::try_from(at.partition).unwrap_or(i32::MAX);
    let until = Instant::now() + SEEK;
    // Refused for a moment after an assignment, until fetching has begun.
    while let Err(cause) = client.seek(at.topic.as_str(), partition, position, SEEK) {
        if Instant::now() > until {
            return Err(ConsumeError::Unavailable { cause: cause.to_string() });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let member = client.context();
    let mut owned = member.shared.owned();
    let owned = owned.get_mut(at).ok_or_else(|| ConsumeError::NotOurs { at: at.clone() })?;
    owned.epoch = member.shared.epoch();
    Ok(())
}

/// Makes librdkafka's pauses what they should be: those asked for, or all of them.
fn hush(client: &Client, all: bool) {
    let member = client.context();
    let wanted: Vec<(TopicPartition, bool)> = {
        let owned = member.shared.owned();
        owned.iter().map(|(at, owned)| (at.clone(), all || owned.paused)).collect()
    };
    let mut silenced = member.silenced();
    for (at, silent) in wanted {
        if silenced.contains(&at) == silent {
            continue;
        }
        let done = list([(&at, Offset::Invalid)]).map_err(|cause| cause.to_string()).and_then(|one| {
            if silent { client.pause(&one) } else { client.resume(&one) }.map_err(|e| e.to_string())
        });
        match done {
            Ok(()) if silent => drop(silenced.insert(at)),
            Ok(()) => drop(silenced.remove(&at)),
            // Not assigned yet, or not any more; tried again with the next change.
            Err(cause) => debug!(error = %cause, "a partition could not be paused or resumed"),
        }
    }
}

/// Runs until the consumer is stopped, with one client after another.
pub(super) fn run(membership: &Membership, queue: &mpsc::UnboundedSender<Queued>, max_batch: usize) {
    while !membership.member().is_stopping() {
        let client = membership.client();
        let pump =
            Pump { membership, client: &client, queue, max_batch, gathered: Vec::new(), is_over: false };
        poll(pump);
        if membership.member().is_stopping() {
            return;
        }
        if let Err(cause) = membership.again(client) {
            membership.member().tell(Err(ConsumeError::Fatal { cause: cause.to_string() }));
            return;
        }
    }
}

/// Polls until the consumer is stopped, or its client is over.
fn poll(mut pump: Pump<'_>) {
    let client = pump.client;
    let member = pump.membership.member();
    let mut full_since: Option<Instant> = None;
    let mut silent = false;
    while !member.is_stopping() && !pump.is_over {
        member.serve(client, Duration::ZERO);
        if member.shared.neglected() > NEGLECT {
            std::thread::park_timeout(IDLE);
            continue;
        }
        if member.shared.is_full() {
            if full_since.get_or_insert_with(Instant::now).elapsed() < BEFORE_SILENCE {
                std::thread::park_timeout(IDLE);
                continue;
            }
            // Callbacks have to be served, and polling serves records too: so there must be none.
            silent = true;
            hush(client, true);
        } else {
            full_since = None;
            if std::mem::take(&mut silent) {
                hush(client, false);
            }
        }
        let got = pump.gather();
        pump.hand_over();
        if !got {
            std::thread::park_timeout(IDLE);
        }
    }
}

struct Pump<'a> {
    membership: &'a Membership,
    client: &'a Client,
    queue: &'a mpsc::UnboundedSender<Queued>,
    max_batch: usize,
    gathered: Vec<Queued>,
    /// The group shut this client out.
    is_over: bool,
}

impl Pump<'_> {
    /// Takes what is there now; whether there was anything.
    fn gather(&mut self) -> bool {
        let mut size_bytes = 0;
        let mut got = false;
        while size_bytes < GATHER_BYTES {
            match self.client.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) => {
                    got = true;
                    let size =
                        message.payload().map_or(0, <[u8]>::len) + message.key().map_or(0, <[u8]>::len);
                    size_bytes += size;
                    if self.keep(&message, size) >= self.max_batch {
                        break;
                    }
                }
                Some(Err(cause)) => {
                    got = true;
                    self.trouble(&cause);
                }
            }
        }
        got
    }

    /// Puts the record to its batch; how many that holds now.
    fn keep(&mut self, message: &BorrowedMessage<'_>, size_bytes: usize) -> usize {
        let is_source = |at: &TopicPartition| {
            u32::try_from(message.partition()) == Ok(at.partition) && at.topic.as_str() == message.topic()
        };
        // Records come in runs of one partition: the last batch is nearly always the one.
        if let Some(queued) = self.gathered.iter_mut().rev().find(|queued| is_source(&queued.batch.source)) {
            queued.batch.records.push(stored(message));
            queued.size_bytes += size_bytes;
            return queued.batch.records.len();
        }
        let found = {
            let owned = self.client.context().shared.owned();
            owned.iter().find(|(at, _)| is_source(at)).map(|(at, owned)| (at.clone(), owned.epoch))
        };
        // Not ours any more: whoever has it reads it.
        let Some((source, epoch)) = found else { return 0 };
        self.gathered.push(Queued {
            epoch,
            size_bytes,
            batch: Batch { source, records: vec![stored(message)] },
        });
        1
    }

    fn hand_over(&mut self) {
        for queued in self.gathered.drain(..) {
            self.client.context().shared.queue(queued.size_bytes);
            // A consumer that was dropped does not listen.
            let _ = self.queue.send(queued);
        }
    }

    fn trouble(&mut self, cause: &KafkaError) {
        let member = self.client.context();
        match cause {
            KafkaError::MessageConsumption(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                self.lost_positions()
            }
            KafkaError::MessageConsumption(Code::PollExceeded | Code::PartitionEOF) => {}
            shut_out if self.membership.is_over(shut_out) => self.is_over = true,
            other => match error::consume(other) {
                // librdkafka comes back by itself; whoever asks whether the log is there uses `ping`.
                ConsumeError::Unavailable { cause } => debug!(error = %cause, "the log is away"),
                fatal => member.tell(Err(fatal)),
            },
        }
    }

    /// librdkafka does not say which position is gone.
    fn lost_positions(&self) {
        let member = self.client.context();
        let Ok(positions) = self.client.position() else { return };
        let owned: Vec<TopicPartition> = member.shared.owned().keys().cloned().collect();
        let mut told = false;
        for at in owned {
            let next = positions
                .elements()
                .iter()
                .find(|e| e.topic() == at.topic.as_str() && u32::try_from(e.partition()) == Ok(at.partition))
                .and_then(|element| element.offset().to_raw())
                .and_then(|offset| u64::try_from(offset).ok());
            let (Some(next), Ok(bounds)) = (next, watermarks(self.client, &at)) else { continue };
            if next < bounds.earliest || next > bounds.end {
                told = true;
                member.tell(Err(ConsumeError::PositionGone { at }));
            }
        }
        if !told {
            let cause = "a position to read from is not in the log any more".into();
            member.tell(Err(ConsumeError::Fatal { cause }));
        }
    }
}

/// Our copy of a record.
pub(super) fn stored(message: &BorrowedMessage<'_>) -> Stored {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers
            .iter()
            .map(|header| Header {
                name: header.key.to_owned(),
                value: header.value.map_or_else(Bytes::new, Bytes::copy_from_slice),
            })
            .collect()
    });
    Stored {
        offset: u64::try_from(message.offset()).unwrap_or(0),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
        record: Record {
            key: message.key().map(Bytes::copy_from_slice),
            value: message.payload().map(Bytes::copy_from_slice),
            headers,
        },
    }
}
