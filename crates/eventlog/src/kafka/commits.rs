//! Committing positions, on a thread of its own: a commit waits for the group's coordinator, and the polling must not.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tokio::sync::oneshot;

use super::admin::list;
use super::error;
use super::membership::Membership;
use crate::{ConsumeError, TopicPartition};

/// How long a commit is tried again while the group gathers or its coordinator moves.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Commit {
    pub(super) at: TopicPartition,
    pub(super) next: u64,
    pub(super) confirm: oneshot::Sender<Result<(), ConsumeError>>,
}

/// Runs until nobody can send any more.
pub(super) fn run(membership: &Membership, commits: &Receiver<Commit>) {
    while let Ok(commit) = commits.recv() {
        let answer = keep(membership, &commit.at, commit.next);
        let _ = commit.confirm.send(answer);
    }
}

/// One partition a request: with several, librdkafka reports an error only if all of them failed.
fn keep(membership: &Membership, at: &TopicPartition, next: u64) -> Result<(), ConsumeError> {
    let until = Instant::now() + PATIENCE;
    let offset = Offset::Offset(i64::try_from(next).unwrap_or(i64::MAX));
    let member = membership.member();
    loop {
        if !member.owns(at) {
            return Err(ConsumeError::NotOurs { at: at.clone() });
        }
        let positions = list([(at, offset)]).map_err(|cause| error::consume(&cause))?;
        match membership.client().commit(&positions, CommitMode::Sync) {
            Ok(()) => return Ok(()),
            Err(cause) if again(&cause) && Instant::now() < until && !member.is_stopping() => {
                std::thread::sleep(PAUSE);
            }
            Err(cause) => return Err(error::commit(&cause, at)),
        }
    }
}

fn again(cause: &KafkaError) -> bool {
    // The generation moves on in the middle of a cooperative rebalance while the partition stays ours.
    cause.rdkafka_error_code().is_some_and(|code| error::is_away(code) || code == Code::IllegalGeneration)
}
