//! Kafka's error codes: number, name, and whether a client may try again.

use std::fmt;

macro_rules! error_codes {
    ($($(#[$default:meta])? $code:literal $variant:ident $name:literal $class:ident;)*) => {
        /// What a response says about a request or a part of it. Names are Kafka's.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ErrorCode {
            $(#[doc = $name] $(#[$default])? $variant = $code,)*
        }

        impl ErrorCode {
            /// Every code, in numeric order.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$variant),*];

            /// The number on the wire.
            pub const fn code(self) -> i16 {
                match self { $(ErrorCode::$variant => $code,)* }
            }

            /// `None` for a number this version of Kafka does not have.
            pub const fn from_code(code: i16) -> Option<ErrorCode> {
                match code { $($code => Some(ErrorCode::$variant),)* _ => None }
            }

            /// Kafka's name, in capitals.
            pub const fn name(self) -> &'static str {
                match self { $(ErrorCode::$variant => $name,)* }
            }

            /// Whether the same request may succeed later (Kafka's RetriableException).
            pub const fn is_retriable(self) -> bool {
                match self { $(ErrorCode::$variant => retriable!($class),)* }
            }
        }
    };
}

macro_rules! retriable {
    (retriable) => {
        true
    };
    (fatal) => {
        false
    };
}

error_codes! {
    -1 UnknownServerError "UNKNOWN_SERVER_ERROR" fatal;
    #[default] 0 None "NONE" fatal;
    1 OffsetOutOfRange "OFFSET_OUT_OF_RANGE" fatal;
    2 CorruptMessage "CORRUPT_MESSAGE" retriable;
    3 UnknownTopicOrPartition "UNKNOWN_TOPIC_OR_PARTITION" retriable;
    4 InvalidFetchSize "INVALID_FETCH_SIZE" fatal;
    5 LeaderNotAvailable "LEADER_NOT_AVAILABLE" retriable;
    6 NotLeaderOrFollower "NOT_LEADER_OR_FOLLOWER" retriable;
    7 RequestTimedOut "REQUEST_TIMED_OUT" retriable;
    8 BrokerNotAvailable "BROKER_NOT_AVAILABLE" fatal;
    9 ReplicaNotAvailable "REPLICA_NOT_AVAILABLE" retriable;
    10 MessageTooLarge "MESSAGE_TOO_LARGE" fatal;
    11 StaleControllerEpoch "STALE_CONTROLLER_EPOCH" fatal;
    12 OffsetMetadataTooLarge "OFFSET_METADATA_TOO_LARGE" fatal;
    13 NetworkException "NETWORK_EXCEPTION" retriable;
    14 CoordinatorLoadInProgress "COORDINATOR_LOAD_IN_PROGRESS" retriable;
    15 CoordinatorNotAvailable "COORDINATOR_NOT_AVAILABLE" retriable;
    16 NotCoordinator "NOT_COORDINATOR" retriable;
    17 InvalidTopicException "INVALID_TOPIC_EXCEPTION" fatal;
    18 RecordListTooLarge "RECORD_LIST_TOO_LARGE" fatal;
    19 NotEnoughReplicas "NOT_ENOUGH_REPLICAS" retriable;
    20 NotEnoughReplicasAfterAppend "NOT_ENOUGH_REPLICAS_AFTER_APPEND" retriable;
    21 InvalidRequiredAcks "INVALID_REQUIRED_ACKS" fatal;
    22 IllegalGeneration "ILLEGAL_GENERATION" fatal;
    23 InconsistentGroupProtocol "INCONSISTENT_GROUP_PROTOCOL" fatal;
    24 InvalidGroupId "INVALID_GROUP_ID" fatal;
    25 UnknownMemberId "UNKNOWN_MEMBER_ID" fatal;
    26 InvalidSessionTimeout "INVALID_SESSION_TIMEOUT" fatal;
    27 RebalanceInProgress "REBALANCE_IN_PROGRESS" fatal;
    28 InvalidCommitOffsetSize "INVALID_COMMIT_OFFSET_SIZE" fatal;
    29 TopicAuthorizationFailed "TOPIC_AUTHORIZATION_FAILED" fatal;
    30 GroupAuthorizationFailed "GROUP_AUTHORIZATION_FAILED" fatal;
    31 ClusterAuthorizationFailed "CLUSTER_AUTHORIZATION_FAILED" fatal;
    32 InvalidTimestamp "INVALID_TIMESTAMP" fatal;
    33 UnsupportedSaslMechanism "UNSUPPORTED_SASL_MECHANISM" fatal;
    34 IllegalSaslState "ILLEGAL_SASL_STATE" fatal;
    35 UnsupportedVersion "UNSUPPORTED_VERSION" fatal;
    36 TopicAlreadyExists "TOPIC_ALREADY_EXISTS" fatal;
    37 InvalidPartitions "INVALID_PARTITIONS" fatal;
    38 InvalidReplicationFactor "INVALID_REPLICATION_FACTOR" fatal;
    39 InvalidReplicaAssignment "INVALID_REPLICA_ASSIGNMENT" fatal;
    40 InvalidConfig "INVALID_CONFIG" fatal;
    41 NotController "NOT_CONTROLLER" retriable;
    42 InvalidRequest "INVALID_REQUEST" fatal;
    43 UnsupportedForMessageFormat "UNSUPPORTED_FOR_MESSAGE_FORMAT" fatal;
    44 PolicyViolation "POLICY_VIOLATION" fatal;
    45 OutOfOrderSequenceNumber "OUT_OF_ORDER_SEQUENCE_NUMBER" fatal;
    46 DuplicateSequenceNumber "DUPLICATE_SEQUENCE_NUMBER" fatal;
    47 InvalidProducerEpoch "INVALID_PRODUCER_EPOCH" fatal;
    48 InvalidTxnState "INVALID_TXN_STATE" fatal;
    49 InvalidProducerIdMapping "INVALID_PRODUCER_ID_MAPPING" fatal;
    50 InvalidTransactionTimeout "INVALID_TRANSACTION_TIMEOUT" fatal;
    51 ConcurrentTransactions "CONCURRENT_TRANSACTIONS" retriable;
    52 TransactionCoordinatorFenced "TRANSACTION_COORDINATOR_FENCED" fatal;
    53 TransactionalIdAuthorizationFailed "TRANSACTIONAL_ID_AUTHORIZATION_FAILED" fatal;
    54 SecurityDisabled "SECURITY_DISABLED" fatal;
    55 OperationNotAttempted "OPERATION_NOT_ATTEMPTED" fatal;
    56 KafkaStorageError "KAFKA_STORAGE_ERROR" retriable;
    57 LogDirNotFound "LOG_DIR_NOT_FOUND" fatal;
    58 SaslAuthenticationFailed "SASL_AUTHENTICATION_FAILED" fatal;
    59 UnknownProducerId "UNKNOWN_PRODUCER_ID" fatal;
    60 ReassignmentInProgress "REASSIGNMENT_IN_PROGRESS" fatal;
    61 DelegationTokenAuthDisabled "DELEGATION_TOKEN_AUTH_DISABLED" fatal;
    62 DelegationTokenNotFound "DELEGATION_TOKEN_NOT_FOUND" fatal;
    63 DelegationTokenOwnerMismatch "DELEGATION_TOKEN_OWNER_MISMATCH" fatal;
    64 DelegationTokenRequestNotAllowed "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED" fatal;
    65 DelegationTokenAuthorizationFailed "DELEGATION_TOKEN_AUTHORIZATION_FAILED" fatal;
    66 DelegationTokenExpired "DELEGATION_TOKEN_EXPIRED" fatal;
    67 InvalidPrincipalType "INVALID_PRINCIPAL_TYPE" fatal;
    68 NonEmptyGroup "NON_EMPTY_GROUP" fatal;
    69 GroupIdNotFound "GROUP_ID_NOT_FOUND" fatal;
    70 FetchSessionIdNotFound "FETCH_SESSION_ID_NOT_FOUND" retriable;
    71 InvalidFetchSessionEpoch "INVALID_FETCH_SESSION_EPOCH" retriable;
    72 ListenerNotFound "LISTENER_NOT_FOUND" retriable;
    73 TopicDeletionDisabled "TOPIC_DELETION_DISABLED" fatal;
    74 FencedLeaderEpoch "FENCED_LEADER_EPOCH" retriable;
    75 UnknownLeaderEpoch "UNKNOWN_LEADER_EPOCH" retriable;
    76 UnsupportedCompressionType "UNSUPPORTED_COMPRESSION_TYPE" fatal;
    77 StaleBrokerEpoch "STALE_BROKER_EPOCH" fatal;
    78 OffsetNotAvailable "OFFSET_NOT_AVAILABLE" retriable;
    79 MemberIdRequired "MEMBER_ID_REQUIRED" fatal;
    80 PreferredLeaderNotAvailable "PREFERRED_LEADER_NOT_AVAILABLE" retriable;
    81 GroupMaxSizeReached "GROUP_MAX_SIZE_REACHED" fatal;
    82 FencedInstanceId "FENCED_INSTANCE_ID" fatal;
    83 EligibleLeadersNotAvailable "ELIGIBLE_LEADERS_NOT_AVAILABLE" retriable;
    84 ElectionNotNeeded "ELECTION_NOT_NEEDED" retriable;
    85 NoReassignmentInProgress "NO_REASSIGNMENT_IN_PROGRESS" fatal;
    86 GroupSubscribedToTopic "GROUP_SUBSCRIBED_TO_TOPIC" fatal;
    87 InvalidRecord "INVALID_RECORD" fatal;
    88 UnstableOffsetCommit "UNSTABLE_OFFSET_COMMIT" retriable;
    89 ThrottlingQuotaExceeded "THROTTLING_QUOTA_EXCEEDED" retriable;
    90 ProducerFenced "PRODUCER_FENCED" fatal;
    91 ResourceNotFound "RESOURCE_NOT_FOUND" fatal;
    92 DuplicateResource "DUPLICATE_RESOURCE" fatal;
    93 UnacceptableCredential "UNACCEPTABLE_CREDENTIAL" fatal;
    94 InconsistentVoterSet "INCONSISTENT_VOTER_SET" fatal;
    95 InvalidUpdateVersion "INVALID_UPDATE_VERSION" fatal;
    96 FeatureUpdateFailed "FEATURE_UPDATE_FAILED" fatal;
    97 PrincipalDeserializationFailure "PRINCIPAL_DESERIALIZATION_FAILURE" fatal;
    98 SnapshotNotFound "SNAPSHOT_NOT_FOUND" fatal;
    99 PositionOutOfRange "POSITION_OUT_OF_RANGE" fatal;
    100 UnknownTopicId "UNKNOWN_TOPIC_ID" retriable;
    101 DuplicateBrokerRegistration "DUPLICATE_BROKER_REGISTRATION" fatal;
    102 BrokerIdNotRegistered "BROKER_ID_NOT_REGISTERED" fatal;
    103 InconsistentTopicId "INCONSISTENT_TOPIC_ID" retriable;
    104 InconsistentClusterId "INCONSISTENT_CLUSTER_ID" fatal;
    105 TransactionalIdNotFound "TRANSACTIONAL_ID_NOT_FOUND" fatal;
    106 FetchSessionTopicIdError "FETCH_SESSION_TOPIC_ID_ERROR" retriable;
    107 IneligibleReplica "INELIGIBLE_REPLICA" fatal;
    108 NewLeaderElected "NEW_LEADER_ELECTED" fatal;
    109 OffsetMovedToTieredStorage "OFFSET_MOVED_TO_TIERED_STORAGE" fatal;
    110 FencedMemberEpoch "FENCED_MEMBER_EPOCH" fatal;
    111 UnreleasedInstanceId "UNRELEASED_INSTANCE_ID" fatal;
    112 UnsupportedAssignor "UNSUPPORTED_ASSIGNOR" fatal;
    113 StaleMemberEpoch "STALE_MEMBER_EPOCH" fatal;
    114 MismatchedEndpointType "MISMATCHED_ENDPOINT_TYPE" fatal;
    115 UnsupportedEndpointType "UNSUPPORTED_ENDPOINT_TYPE" fatal;
    116 UnknownControllerId "UNKNOWN_CONTROLLER_ID" fatal;
    117 UnknownSubscriptionId "UNKNOWN_SUBSCRIPTION_ID" fatal;
    118 TelemetryTooLarge "TELEMETRY_TOO_LARGE" fatal;
    119 InvalidRegistration "INVALID_REGISTRATION" fatal;
    120 TransactionAbortable "TRANSACTION_ABORTABLE" fatal;
    121 InvalidRecordState "INVALID_RECORD_STATE" fatal;
    122 ShareSessionNotFound "SHARE_SESSION_NOT_FOUND" retriable;
    123 InvalidShareSessionEpoch "INVALID_SHARE_SESSION_EPOCH" retriable;
    124 FencedStateEpoch "FENCED_STATE_EPOCH" fatal;
    125 InvalidVoterKey "INVALID_VOTER_KEY" fatal;
    126 DuplicateVoter "DUPLICATE_VOTER" fatal;
    127 VoterNotFound "VOTER_NOT_FOUND" fatal;
    128 InvalidRegularExpression "INVALID_REGULAR_EXPRESSION" fatal;
    129 RebootstrapRequired "REBOOTSTRAP_REQUIRED" fatal;
    130 StreamsInvalidTopology "STREAMS_INVALID_TOPOLOGY" fatal;
    131 StreamsInvalidTopologyEpoch "STREAMS_INVALID_TOPOLOGY_EPOCH" fatal;
    132 StreamsTopologyFenced "STREAMS_TOPOLOGY_FENCED" fatal;
    133 ShareSessionLimitReached "SHARE_SESSION_LIMIT_REACHED" retriable;
}

impl ErrorCode {
    /// As a client does: an unknown number is an unknown server error.
    pub fn from_code_or_unknown(code: i16) -> ErrorCode {
        ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError)
    }

    /// Anything but `NONE`.
    pub const fn is_error(self) -> bool {
        !matches!(self, ErrorCode::None)
    }
}

impl From<ErrorCode> for i16 {
    fn from(error: ErrorCode) -> i16 {
        error.code()
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
