//! What can go wrong, by Kafka's names.

use std::time::Duration;

use broker_core::producer::transaction::TransactionState;
use broker_env::NetworkError;
use broker_protocol::ErrorCode;
use broker_protocol::codec::{DecodeError, EncodeError};
use broker_protocol::frame::FrameError;
use broker_protocol::ids::{NodeId, TopicPartition};

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error(transparent)]
    Connect(#[from] NetworkError),
    #[error("no connection within {0:?}")]
    ConnectTimeout(Duration),
    /// The last attempts to connect failed; the next one comes after a pause.
    #[error("not connected: waiting before the next attempt")]
    BackingOff,
    #[error("no broker is known by id {0}")]
    UnknownNode(NodeId),
    #[error("no broker could be reached: {0}")]
    NoBroker(Box<CallError>),
    #[error("the broker does not support {api} in a version this client speaks")]
    UnsupportedVersion { api: &'static str },
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The connection was lost before the request was written.
    #[error("connection lost before sending: {0}")]
    NotSent(String),
    #[error("connection lost: {0}")]
    Lost(String),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("malformed answer: {0}")]
    Decode(#[from] DecodeError),
    #[error("the broker answered {0}")]
    Refused(ErrorCode),
    #[error("the client is closed")]
    Closed,
}

impl CallError {
    /// Whether a byte of the request may have reached the broker, so that it may have been carried out.
    pub fn may_have_arrived(&self) -> bool {
        matches!(
            self,
            CallError::Lost(_) | CallError::Timeout(_) | CallError::Frame(_) | CallError::Decode(_)
        )
    }
}

/// Why a record was not acknowledged (CLI-5).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProduceError {
    /// The record is surely not in the log and never will be.
    #[error("{error}: {reason}")]
    Definite { error: ErrorCode, reason: String },
    /// The record may be in the log, now or later.
    #[error("{error}: {reason}; the record may be in the log")]
    Unknown { error: ErrorCode, reason: String },
}

impl ProduceError {
    pub fn is_unknown(&self) -> bool {
        matches!(self, ProduceError::Unknown { .. })
    }

    pub fn error(&self) -> ErrorCode {
        match self {
            ProduceError::Definite { error, .. } | ProduceError::Unknown { error, .. } => *error,
        }
    }

    pub(crate) fn definite(error: ErrorCode, reason: impl Into<String>) -> ProduceError {
        ProduceError::Definite {
            error,
            reason: reason.into(),
        }
    }

    pub(crate) fn unknown(error: ErrorCode, reason: impl Into<String>) -> ProduceError {
        ProduceError::Unknown {
            error,
            reason: reason.into(),
        }
    }
}

/// Why a transaction, or the call that is about it, has no success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// The transaction can only be aborted.
    #[error("{0}: the transaction has to be aborted")]
    Abortable(ErrorCode),
    /// The producer is of no use any more; another one of the transactional id, or its operator, has to go on.
    #[error("{0}: the producer has to be closed")]
    Fatal(ErrorCode),
    /// The call does not fit the state.
    #[error("not possible in the state {0:?}")]
    State(TransactionState),
    /// It goes on; the same call may be made again.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("the client is closed")]
    Closed,
}

impl From<TransactionState> for TransactionError {
    fn from(state: TransactionState) -> TransactionError {
        match state {
            TransactionState::AbortableError(error) => TransactionError::Abortable(error),
            TransactionState::FatalError(error) => TransactionError::Fatal(error),
            other => TransactionError::State(other),
        }
    }
}

/// What a consumer tells the application.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsumerError {
    /// `NoOffsetForPartitionException`: no position and `auto.offset.reset` is none. Seek to go on.
    #[error("{0} has no position, and no policy to find one")]
    NoOffsetForPartition(TopicPartition),
    /// `OffsetOutOfRangeException` with `auto.offset.reset` none. Seek to go on.
    #[error("{partition}: offset {offset} is not in the log")]
    OffsetOutOfRange {
        partition: TopicPartition,
        offset: i64,
    },
    /// `LogTruncationException`: records the application has got are gone from the log, from `divergent`
    /// on if that is known. Without a reset policy, seek to go on.
    #[error(
        "{partition}: the log was truncated below position {position} (divergent from {divergent:?})"
    )]
    LogTruncation {
        partition: TopicPartition,
        position: i64,
        divergent: Option<i64>,
    },
    /// A final error of a partition. Seek to go on.
    #[error("{partition}: {error}")]
    Partition {
        partition: TopicPartition,
        error: ErrorCode,
    },
    #[error("{0} is not assigned")]
    NotAssigned(TopicPartition),
    /// The last error before the time was over.
    #[error("timed out after {limit:?}: {last}")]
    Timeout { limit: Duration, last: String },
    #[error("the consumer is closed")]
    Closed,
}

/// Why a member of a group cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// The coordinator's final verdict, e.g. FENCED_INSTANCE_ID.
    #[error("{0}")]
    Group(ErrorCode),
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
    /// The last error before the time was over.
    #[error("timed out: {last}")]
    Timeout { last: String },
    #[error("the client is closed")]
    Closed,
}

/// Why an admin call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// The broker's verdict, with its message.
    #[error("{error}: {message}")]
    Api { error: ErrorCode, message: String },
    /// Retriable errors until the time was over; the change may have been made.
    #[error("timed out after {limit:?}: {last}")]
    Timeout { limit: Duration, last: String },
    #[error("the client is closed")]
    Closed,
}

impl AdminError {
    /// The broker's verdict, if it gave one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            AdminError::Api { error, .. } => Some(*error),
            AdminError::Timeout { .. } | AdminError::Closed => None,
        }
    }

    pub(crate) fn api(error: ErrorCode, message: Option<String>) -> AdminError {
        AdminError::Api {
            error,
            message: message.unwrap_or_else(|| "no message from the broker".to_string()),
        }
    }
}
