//! The one table of advertised versions, by kind of listener. The server answers ApiVersions from it,
//! after leaving out what it does not handle.

use crate::api_key::ApiKey;

/// Which requests a listener takes: `advertised.listeners` or `controller.listener.names`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListenerKind {
    Broker,
    Controller,
}

/// A closed range of versions of one API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionRange {
    pub api_key: ApiKey,
    pub min: i16,
    pub max: i16,
}

const fn range(api_key: ApiKey, min: i16, max: i16) -> VersionRange {
    VersionRange { api_key, min, max }
}

/// Produce 0-2 are advertised, because librdkafka chooses features by the lowest version it sees
/// (KAFKA-18659), and refused, because Kafka 4 has no old message formats.
pub const MIN_PRODUCE_VERSION: i16 = 3;

/// What a broker listener advertises, in key order.
pub const BROKER: &[VersionRange] = &[
    range(ApiKey::Produce, 0, 13),
    range(ApiKey::Fetch, 4, 18),
    range(ApiKey::ListOffsets, 1, 10),
    range(ApiKey::Metadata, 0, 13),
    range(ApiKey::OffsetCommit, 2, 9),
    range(ApiKey::OffsetFetch, 1, 9),
    range(ApiKey::FindCoordinator, 0, 6),
    range(ApiKey::JoinGroup, 0, 9),
    range(ApiKey::Heartbeat, 0, 4),
    range(ApiKey::LeaveGroup, 0, 5),
    range(ApiKey::SyncGroup, 0, 5),
    range(ApiKey::DescribeGroups, 0, 6),
    range(ApiKey::ListGroups, 0, 5),
    range(ApiKey::ApiVersions, 0, 4),
    range(ApiKey::CreateTopics, 2, 7),
    range(ApiKey::DeleteTopics, 1, 6),
    range(ApiKey::InitProducerId, 0, 5),
    range(ApiKey::OffsetForLeaderEpoch, 2, 4),
    range(ApiKey::AddPartitionsToTxn, 0, 5),
    range(ApiKey::AddOffsetsToTxn, 0, 4),
    range(ApiKey::EndTxn, 0, 5),
    range(ApiKey::WriteTxnMarkers, 1, 1),
    range(ApiKey::TxnOffsetCommit, 0, 5),
    range(ApiKey::DescribeConfigs, 1, 4),
    range(ApiKey::AlterConfigs, 0, 2),
    range(ApiKey::CreatePartitions, 0, 3),
    range(ApiKey::DeleteGroups, 0, 2),
    range(ApiKey::ElectLeaders, 0, 2),
    range(ApiKey::IncrementalAlterConfigs, 0, 1),
    range(ApiKey::AlterPartitionReassignments, 0, 1),
    range(ApiKey::ListPartitionReassignments, 0, 0),
    range(ApiKey::OffsetDelete, 0, 0),
    range(ApiKey::DescribeQuorum, 0, 2),
    range(ApiKey::UpdateFeatures, 0, 2),
    range(ApiKey::DescribeCluster, 0, 2),
    range(ApiKey::DescribeProducers, 0, 0),
    range(ApiKey::UnregisterBroker, 0, 0),
    range(ApiKey::DescribeTransactions, 0, 0),
    range(ApiKey::ListTransactions, 0, 2),
    range(ApiKey::ConsumerGroupHeartbeat, 0, 1),
    range(ApiKey::ConsumerGroupDescribe, 0, 1),
    range(ApiKey::DescribeTopicPartitions, 0, 0),
    range(ApiKey::AddRaftVoter, 0, 0),
    range(ApiKey::RemoveRaftVoter, 0, 0),
];

/// What a controller listener advertises, in key order.
pub const CONTROLLER: &[VersionRange] = &[
    range(ApiKey::Fetch, 4, 18),
    range(ApiKey::ApiVersions, 0, 4),
    range(ApiKey::CreateTopics, 2, 7),
    range(ApiKey::DeleteTopics, 1, 6),
    range(ApiKey::DescribeConfigs, 1, 4),
    range(ApiKey::AlterConfigs, 0, 2),
    range(ApiKey::CreatePartitions, 0, 3),
    range(ApiKey::ElectLeaders, 0, 2),
    range(ApiKey::IncrementalAlterConfigs, 0, 1),
    range(ApiKey::AlterPartitionReassignments, 0, 1),
    range(ApiKey::ListPartitionReassignments, 0, 0),
    range(ApiKey::Vote, 0, 2),
    range(ApiKey::BeginQuorumEpoch, 0, 1),
    range(ApiKey::EndQuorumEpoch, 0, 1),
    range(ApiKey::DescribeQuorum, 0, 2),
    range(ApiKey::AlterPartition, 2, 3),
    range(ApiKey::UpdateFeatures, 0, 2),
    range(ApiKey::Envelope, 0, 0),
    range(ApiKey::FetchSnapshot, 0, 1),
    range(ApiKey::DescribeCluster, 0, 2),
    range(ApiKey::BrokerRegistration, 0, 4),
    range(ApiKey::BrokerHeartbeat, 0, 1),
    range(ApiKey::UnregisterBroker, 0, 0),
    range(ApiKey::AllocateProducerIds, 0, 0),
    range(ApiKey::ControllerRegistration, 0, 0),
    range(ApiKey::AssignReplicasToDirs, 0, 0),
    range(ApiKey::AddRaftVoter, 0, 0),
    range(ApiKey::RemoveRaftVoter, 0, 0),
    range(ApiKey::UpdateRaftVoter, 0, 0),
];

/// The table of a kind of listener.
pub const fn advertised(listener: ListenerKind) -> &'static [VersionRange] {
    match listener {
        ListenerKind::Broker => BROKER,
        ListenerKind::Controller => CONTROLLER,
    }
}

/// The advertised range of one API; `None` where the listener does not take it.
pub fn range_of(listener: ListenerKind, api_key: ApiKey) -> Option<VersionRange> {
    advertised(listener)
        .iter()
        .copied()
        .find(|range| range.api_key == api_key)
}

/// Whether a request of this version is processed, not only advertised.
pub fn is_accepted(listener: ListenerKind, api_key: ApiKey, version: i16) -> bool {
    let lowest = if api_key == ApiKey::Produce {
        MIN_PRODUCE_VERSION
    } else {
        0
    };
    range_of(listener, api_key)
        .is_some_and(|range| version >= range.min.max(lowest) && version <= range.max)
}
