//! What can go wrong with the log, by what a caller may do about it. No error holds a record's content.

use crate::TopicPartition;

/// What a caller does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Wait and do the same again.
    Retry,
    /// This one record only: set it aside and go on.
    Park,
    /// Our mistake or a broken log: stop loudly, lose nothing.
    Stop,
}

/// Why a record was not appended, or is not known to be.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The producer's queue is full: the log does not keep up.
    #[error("the log's queue is full")]
    Full,
    /// No confirmation in time. The record may or may not be in the log.
    #[error("the log did not confirm an append: {cause}")]
    Unconfirmed {
        /// The log's own words.
        cause: String,
    },
    /// The record exceeds [`crate::MAX_RECORD_BYTES`] or the topic's own limit.
    #[error("a record of {size_bytes} bytes is larger than the log takes")]
    TooLarge {
        /// The record's size in bytes.
        size_bytes: usize,
    },
    /// No such topic or partition.
    #[error("no such topic or partition: {at}")]
    NoSuchTopic {
        /// Where it was to go.
        at: TopicPartition,
    },
    /// The log refuses us: credentials or access rules.
    #[error("the log refuses an append to {at}: {cause}")]
    Denied {
        /// Where it was to go.
        at: TopicPartition,
        /// The log's own words.
        cause: String,
    },
    /// The log was closed, or broke for good.
    #[error("the log is closed: {cause}")]
    Closed {
        /// The log's own words.
        cause: String,
    },
}

impl AppendError {
    /// No `_` arm: a new variant has to be classified here.
    pub const fn disposition(&self) -> Disposition {
        match self {
            Self::Full | Self::Unconfirmed { .. } => Disposition::Retry,
            Self::TooLarge { .. } => Disposition::Park,
            Self::NoSuchTopic { .. } | Self::Denied { .. } | Self::Closed { .. } => Disposition::Stop,
        }
    }
}

/// Why a group member cannot go on.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConsumeError {
    /// The log is away; the same call may be made again.
    #[error("the log is away: {cause}")]
    Unavailable {
        /// The log's own words.
        cause: String,
    },
    /// The position to read from is no longer, or not yet, in the log. Never skipped silently.
    #[error("the committed position of {at} is not in the log any more")]
    PositionGone {
        /// Where.
        at: TopicPartition,
    },
    /// Another member took this member's place, or the partition is no longer ours.
    #[error("{at} belongs to another member now")]
    NotOurs {
        /// Where.
        at: TopicPartition,
    },
    /// The log refuses us, is closed or broke for good.
    #[error("the log cannot be read: {cause}")]
    Fatal {
        /// The log's own words.
        cause: String,
    },
}

impl ConsumeError {
    /// No `_` arm: a new variant has to be classified here.
    pub const fn disposition(&self) -> Disposition {
        match self {
            Self::Unavailable { .. } => Disposition::Retry,
            Self::NotOurs { .. } => Disposition::Park,
            Self::PositionGone { .. } | Self::Fatal { .. } => Disposition::Stop,
        }
    }
}

/// Why a position cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The log is away; the same call may be made again.
    #[error("the log is away: {cause}")]
    Unavailable {
        /// The log's own words.
        cause: String,
    },
    /// Retention has removed it.
    #[error("offset {offset} of {at} is no longer kept")]
    Gone {
        /// Where.
        at: TopicPartition,
        /// Which offset.
        offset: u64,
    },
    /// The log refuses us, is closed or broke for good.
    #[error("the log cannot be read: {cause}")]
    Fatal {
        /// The log's own words.
        cause: String,
    },
}

impl ReadError {
    /// No `_` arm: a new variant has to be classified here.
    pub const fn disposition(&self) -> Disposition {
        match self {
            Self::Unavailable { .. } => Disposition::Retry,
            Self::Gone { .. } => Disposition::Park,
            Self::Fatal { .. } => Disposition::Stop,
        }
    }
}

/// Why the log could not be opened, or asked about its topics.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// Not a topic name.
    #[error("{name:?} is not a topic name: 1 to 249 characters of a-z A-Z 0-9 . _ -")]
    TopicName {
        /// What was given.
        name: String,
    },
    /// The embedded log's folder is in use by another process.
    #[error(
        "the embedded log in {folder} is in use by another process; it belongs to one process only: \
         stop that one, or run the roles on Kafka with --kafka BROKERS"
    )]
    InUse {
        /// The folder.
        folder: String,
    },
    /// The log is away; the same call may be made again.
    #[error("the log is away: {cause}")]
    Unavailable {
        /// The log's own words.
        cause: String,
    },
    /// A setting is wrong, or the log refuses us, is closed or broke for good.
    #[error("the log cannot be used: {cause}")]
    Fatal {
        /// The log's own words.
        cause: String,
    },
}

impl LogError {
    /// No `_` arm: a new variant has to be classified here.
    pub const fn disposition(&self) -> Disposition {
        match self {
            Self::Unavailable { .. } => Disposition::Retry,
            Self::TopicName { .. } | Self::InUse { .. } | Self::Fatal { .. } => Disposition::Stop,
        }
    }
}
