//! The messages: one module per API, one struct per Kafka structure, at Kafka's 4.1 level.
//!
//! Names are Kafka's; a nested structure whose name occurs in several messages carries its API's (or, if
//! the request and the response differ, its message's) name in front. `Default` gives Kafka's defaults: a
//! nullable field without a declared default is empty, not null. Everything is re-exported here.

pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod add_raft_voter;
pub mod allocate_producer_ids;
pub mod alter_configs;
pub mod alter_partition;
pub mod alter_partition_reassignments;
pub mod api_versions;
pub mod assign_replicas_to_dirs;
pub mod begin_quorum_epoch;
pub mod broker_heartbeat;
pub mod broker_registration;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod controller_registration;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_groups;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_producers;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod describe_transactions;
pub mod elect_leaders;
pub mod end_quorum_epoch;
pub mod end_txn;
pub mod envelope;
pub mod fetch;
pub mod fetch_snapshot;
pub mod find_coordinator;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod list_transactions;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod remove_raft_voter;
pub mod sync_group;
pub mod txn_offset_commit;
pub mod unregister_broker;
pub mod update_features;
pub mod update_raft_voter;
pub mod vote;
pub mod write_txn_markers;

pub use add_offsets_to_txn::*;
pub use add_partitions_to_txn::*;
pub use add_raft_voter::*;
pub use allocate_producer_ids::*;
pub use alter_configs::*;
pub use alter_partition::*;
pub use alter_partition_reassignments::*;
pub use api_versions::*;
pub use assign_replicas_to_dirs::*;
pub use begin_quorum_epoch::*;
pub use broker_heartbeat::*;
pub use broker_registration::*;
pub use consumer_group_describe::*;
pub use consumer_group_heartbeat::*;
pub use controller_registration::*;
pub use create_partitions::*;
pub use create_topics::*;
pub use delete_groups::*;
pub use delete_topics::*;
pub use describe_cluster::*;
pub use describe_configs::*;
pub use describe_groups::*;
pub use describe_producers::*;
pub use describe_quorum::*;
pub use describe_topic_partitions::*;
pub use describe_transactions::*;
pub use elect_leaders::*;
pub use end_quorum_epoch::*;
pub use end_txn::*;
pub use envelope::*;
pub use fetch::*;
pub use fetch_snapshot::*;
pub use find_coordinator::*;
pub use heartbeat::*;
pub use incremental_alter_configs::*;
pub use init_producer_id::*;
pub use join_group::*;
pub use leave_group::*;
pub use list_groups::*;
pub use list_offsets::*;
pub use list_partition_reassignments::*;
pub use list_transactions::*;
pub use metadata::*;
pub use offset_commit::*;
pub use offset_delete::*;
pub use offset_fetch::*;
pub use offset_for_leader_epoch::*;
pub use produce::*;
pub use remove_raft_voter::*;
pub use sync_group::*;
pub use txn_offset_commit::*;
pub use unregister_broker::*;
pub use update_features::*;
pub use update_raft_voter::*;
pub use vote::*;
pub use write_txn_markers::*;

use std::fmt::Debug;

use crate::api_key::ApiKey;
use crate::codec::{Decode, Encode};

/// A request, with what belongs to it.
pub trait Request: Encode + Decode + Clone + Debug + Default + PartialEq + Send + 'static {
    const API_KEY: ApiKey;
    /// Lowest version this crate reads and writes. What is advertised: [`crate::api_versions`].
    const MIN_VERSION: i16;
    /// Highest version this crate reads and writes, unstable ones included.
    const MAX_VERSION: i16;
    type Response: Encode + Decode + Clone + Debug + Default + PartialEq + Send + 'static;

    /// Version of [`crate::header::RequestHeader`] before this request.
    fn header_version(version: i16) -> i16 {
        Self::API_KEY.request_header_version(version)
    }

    /// Version of [`crate::header::ResponseHeader`] before the response.
    fn response_header_version(version: i16) -> i16 {
        Self::API_KEY.response_header_version(version)
    }
}

macro_rules! request {
    ($key:ident, $request:ident => $response:ident, $min:literal..=$max:literal) => {
        impl super::Request for $request {
            const API_KEY: crate::api_key::ApiKey = crate::api_key::ApiKey::$key;
            const MIN_VERSION: i16 = $min;
            const MAX_VERSION: i16 = $max;
            type Response = $response;
        }
    };
}
use request;

/// Calls a macro with `Key RequestType;` for every API of this crate, in key order.
#[macro_export]
macro_rules! for_each_api {
    ($callback:path) => {
        $callback! {
            Produce ProduceRequest;
            Fetch FetchRequest;
            ListOffsets ListOffsetsRequest;
            Metadata MetadataRequest;
            OffsetCommit OffsetCommitRequest;
            OffsetFetch OffsetFetchRequest;
            FindCoordinator FindCoordinatorRequest;
            JoinGroup JoinGroupRequest;
            Heartbeat HeartbeatRequest;
            LeaveGroup LeaveGroupRequest;
            SyncGroup SyncGroupRequest;
            DescribeGroups DescribeGroupsRequest;
            ListGroups ListGroupsRequest;
            ApiVersions ApiVersionsRequest;
            CreateTopics CreateTopicsRequest;
            DeleteTopics DeleteTopicsRequest;
            InitProducerId InitProducerIdRequest;
            OffsetForLeaderEpoch OffsetForLeaderEpochRequest;
            AddPartitionsToTxn AddPartitionsToTxnRequest;
            AddOffsetsToTxn AddOffsetsToTxnRequest;
            EndTxn EndTxnRequest;
            WriteTxnMarkers WriteTxnMarkersRequest;
            TxnOffsetCommit TxnOffsetCommitRequest;
            DescribeConfigs DescribeConfigsRequest;
            AlterConfigs AlterConfigsRequest;
            CreatePartitions CreatePartitionsRequest;
            DeleteGroups DeleteGroupsRequest;
            ElectLeaders ElectLeadersRequest;
            IncrementalAlterConfigs IncrementalAlterConfigsRequest;
            AlterPartitionReassignments AlterPartitionReassignmentsRequest;
            ListPartitionReassignments ListPartitionReassignmentsRequest;
            OffsetDelete OffsetDeleteRequest;
            Vote VoteRequest;
            BeginQuorumEpoch BeginQuorumEpochRequest;
            EndQuorumEpoch EndQuorumEpochRequest;
            DescribeQuorum DescribeQuorumRequest;
            AlterPartition AlterPartitionRequest;
            UpdateFeatures UpdateFeaturesRequest;
            Envelope EnvelopeRequest;
            FetchSnapshot FetchSnapshotRequest;
            DescribeCluster DescribeClusterRequest;
            DescribeProducers DescribeProducersRequest;
            BrokerRegistration BrokerRegistrationRequest;
            BrokerHeartbeat BrokerHeartbeatRequest;
            UnregisterBroker UnregisterBrokerRequest;
            DescribeTransactions DescribeTransactionsRequest;
            ListTransactions ListTransactionsRequest;
            AllocateProducerIds AllocateProducerIdsRequest;
            ConsumerGroupHeartbeat ConsumerGroupHeartbeatRequest;
            ConsumerGroupDescribe ConsumerGroupDescribeRequest;
            ControllerRegistration ControllerRegistrationRequest;
            AssignReplicasToDirs AssignReplicasToDirsRequest;
            DescribeTopicPartitions DescribeTopicPartitionsRequest;
            AddRaftVoter AddRaftVoterRequest;
            RemoveRaftVoter RemoveRaftVoterRequest;
            UpdateRaftVoter UpdateRaftVoterRequest;
        }
    };
}
