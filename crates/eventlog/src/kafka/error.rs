//! Kafka's errors, sorted into ours.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::{AppendError, ConsumeError, LogError, ReadError, TopicPartition};

/// The brokers are away or busy; the same call may work in a moment.
pub(super) fn is_away(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::MessageTimedOut
            | Code::WaitingForCoordinator
            | Code::PreviousInProgress
            | Code::InProgress
            | Code::Retry
            | Code::State
            | Code::RequestTimedOut
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NetworkException
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NotController
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::RebalanceInProgress
            | Code::KafkaStorageError
            | Code::OffsetNotAvailable
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::UnstableOffsetCommit
            | Code::ThrottlingQuotaExceeded
            | Code::ISRInsufficient
            | Code::DestroyBroker
            | Code::BrokerDestroy
    )
}

/// The brokers refuse us: credentials, certificates or access rules.
pub(super) fn is_denied(code: Code) -> bool {
    matches!(
        code,
        Code::Authentication
            | Code::SSL
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
    )
}

fn code_of(error: &KafkaError) -> Option<Code> {
    match error {
        // What is done with a set of offsets or topics reports only text.
        KafkaError::Seek(_) | KafkaError::Subscription(_) | KafkaError::PauseResume(_) => None,
        other => other.rdkafka_error_code(),
    }
}

pub(super) fn log(error: &KafkaError) -> LogError {
    let cause = error.to_string();
    match code_of(error) {
        Some(code) if is_away(code) => LogError::Unavailable { cause },
        _ => LogError::Fatal { cause },
    }
}

pub(super) fn consume(error: &KafkaError) -> ConsumeError {
    let cause = error.to_string();
    match code_of(error) {
        Some(Code::FencedInstanceId) => ConsumeError::Fatal {
            cause: "another process reads as the same member of the group: each needs a name of its own"
                .into(),
        },
        Some(code) if is_away(code) => ConsumeError::Unavailable { cause },
        _ => ConsumeError::Fatal { cause },
    }
}

pub(super) fn read(error: &KafkaError) -> ReadError {
    let cause = error.to_string();
    match code_of(error) {
        Some(code) if is_away(code) => ReadError::Unavailable { cause },
        _ => ReadError::Fatal { cause },
    }
}

/// Why a group position was not kept.
pub(super) fn commit(error: &KafkaError, at: &TopicPartition) -> ConsumeError {
    match code_of(error) {
        Some(
            Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::FencedInstanceId
            | Code::AssignmentLost
            | Code::Fenced
            | Code::Fatal,
        ) => ConsumeError::NotOurs { at: at.clone() },
        _ => consume(error),
    }
}

/// Why a record is not, or not known to be, in the log.
pub(super) fn append(error: &KafkaError, at: &TopicPartition, size_bytes: usize) -> AppendError {
    let cause = error.to_string();
    let Some(code) = code_of(error) else { return AppendError::Closed { cause } };
    match code {
        Code::QueueFull => AppendError::Full,
        Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge => {
            AppendError::TooLarge { size_bytes }
        }
        Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition | Code::InvalidTopic => {
            AppendError::NoSuchTopic { at: at.clone() }
        }
        Code::PurgeQueue
        | Code::Fatal
        | Code::OutOfOrderSequenceNumber
        | Code::UnknownProducerId
        | Code::InvalidProducerEpoch
        | Code::InvalidProducerIdMapping
        | Code::GaplessGuarantee
        | Code::ProducerFenced => AppendError::Closed { cause },
        // In flight when we closed: it may be in the log.
        Code::PurgeInflight => AppendError::Unconfirmed { cause },
        code if is_denied(code) => AppendError::Denied { at: at.clone(), cause },
        // Whatever else it is, nobody knows where the record is; repeating is harmless.
        _ => AppendError::Unconfirmed { cause },
    }
}
