//! A valid request of every API, at every version.

use broker_protocol::Request;
use broker_protocol::api as wire;
use broker_protocol::ids::Uuid;

use super::TOPIC;
use super::support::wire::batch;

/// A request that makes sense.
pub struct Case<'a> {
    pub version: i16,
    pub topic_id: &'a Uuid,
}

impl Case<'_> {
    fn name(&self) -> String {
        TOPIC.into()
    }
}

pub trait Valid: Request {
    fn valid(_: &Case) -> Self {
        Self::default()
    }
    /// Error codes that must be 0.
    fn codes(_: &Self::Response) -> Vec<i16> {
        Vec::new()
    }
}

macro_rules! defaults {
    ($($request:ident)*) => { $(impl Valid for wire::$request {})* };
}

// What a stranger to a group, a transaction or the quorum asks: the answer may be an error.
defaults! {
    OffsetCommitRequest OffsetFetchRequest JoinGroupRequest HeartbeatRequest LeaveGroupRequest SyncGroupRequest
    DescribeGroupsRequest ListGroupsRequest InitProducerIdRequest DeleteGroupsRequest OffsetDeleteRequest VoteRequest
    BeginQuorumEpochRequest EndQuorumEpochRequest AlterPartitionRequest EnvelopeRequest FetchSnapshotRequest
    BrokerRegistrationRequest BrokerHeartbeatRequest UnregisterBrokerRequest AllocateProducerIdsRequest
    ControllerRegistrationRequest DeleteTopicsRequest UpdateFeaturesRequest AssignReplicasToDirsRequest
    AddRaftVoterRequest RemoveRaftVoterRequest UpdateRaftVoterRequest AddPartitionsToTxnRequest AddOffsetsToTxnRequest
    EndTxnRequest WriteTxnMarkersRequest TxnOffsetCommitRequest DescribeProducersRequest DescribeTransactionsRequest
    ListTransactionsRequest ConsumerGroupHeartbeatRequest ConsumerGroupDescribeRequest
}

impl Valid for wire::ProduceRequest {
    fn valid(case: &Case) -> Self {
        let data = wire::PartitionProduceData {
            records: Some(batch(&["value"])),
            ..Default::default()
        };
        let topic = wire::TopicProduceData {
            name: if case.version < 13 {
                case.name()
            } else {
                String::new()
            },
            topic_id: if case.version < 13 {
                Uuid::ZERO
            } else {
                *case.topic_id
            },
            partition_data: vec![data],
            ..Default::default()
        };
        wire::ProduceRequest {
            acks: -1,
            timeout_ms: 5000,
            topic_data: vec![topic],
            ..Default::default()
        }
    }
    fn codes(response: &wire::ProduceResponse) -> Vec<i16> {
        let partitions = response
            .responses
            .iter()
            .flat_map(|topic| &topic.partition_responses);
        partitions.map(|partition| partition.error_code).collect()
    }
}

impl Valid for wire::FetchRequest {
    fn valid(case: &Case) -> Self {
        let partition = wire::FetchPartition {
            partition_max_bytes: 1 << 20,
            ..Default::default()
        };
        let topic = wire::FetchTopic {
            topic: if case.version < 13 {
                case.name()
            } else {
                String::new()
            },
            topic_id: if case.version < 13 {
                Uuid::ZERO
            } else {
                *case.topic_id
            },
            partitions: vec![partition],
            ..Default::default()
        };
        wire::FetchRequest {
            max_wait_ms: 10,
            topics: vec![topic],
            ..Default::default()
        }
    }
    fn codes(response: &wire::FetchResponse) -> Vec<i16> {
        let partitions = response
            .responses
            .iter()
            .flat_map(|topic| &topic.partitions);
        partitions
            .map(|partition| partition.error_code)
            .chain([response.error_code])
            .collect()
    }
}

impl Valid for wire::ListOffsetsRequest {
    fn valid(case: &Case) -> Self {
        // Earliest, latest, by time; then the special ones as they came.
        let specials = [(1, -2), (1, -1), (1, 0), (7, -3)]
            .into_iter()
            .filter(|(from, _)| case.version >= *from);
        let partition = |(_, timestamp)| wire::ListOffsetsPartition {
            timestamp,
            ..Default::default()
        };
        let topics = specials.map(|special| wire::ListOffsetsTopic {
            name: case.name(),
            partitions: vec![partition(special)],
            ..Default::default()
        });
        wire::ListOffsetsRequest {
            replica_id: -1,
            topics: topics.collect(),
            ..Default::default()
        }
    }
    fn codes(response: &wire::ListOffsetsResponse) -> Vec<i16> {
        let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| partition.error_code).collect()
    }
}

impl Valid for wire::MetadataRequest {
    fn valid(case: &Case) -> Self {
        let topic = wire::MetadataRequestTopic {
            name: Some(case.name()),
            ..Default::default()
        };
        wire::MetadataRequest {
            topics: Some(vec![topic]),
            ..Default::default()
        }
    }
    fn codes(response: &wire::MetadataResponse) -> Vec<i16> {
        assert_eq!(response.brokers.len(), 1);
        response
            .topics
            .iter()
            .map(|topic| topic.error_code)
            .collect()
    }
}

impl Valid for wire::FindCoordinatorRequest {
    fn valid(case: &Case) -> Self {
        match case.version {
            0..=3 => wire::FindCoordinatorRequest {
                key: "group".into(),
                ..Default::default()
            },
            _ => wire::FindCoordinatorRequest {
                coordinator_keys: vec!["group".into()],
                ..Default::default()
            },
        }
    }
}

impl Valid for wire::ApiVersionsRequest {
    fn valid(case: &Case) -> Self {
        let name = |text: &str| {
            if case.version >= 3 {
                text.to_string()
            } else {
                String::new()
            }
        };
        wire::ApiVersionsRequest {
            client_software_name: name("test"),
            client_software_version: name("1.0"),
            ..Default::default()
        }
    }
    fn codes(response: &wire::ApiVersionsResponse) -> Vec<i16> {
        vec![response.error_code]
    }
}

impl Valid for wire::CreateTopicsRequest {
    fn valid(case: &Case) -> Self {
        let topic = wire::CreatableTopic {
            name: format!("new-{}", case.version),
            num_partitions: 1,
            replication_factor: 1,
            ..Default::default()
        };
        wire::CreateTopicsRequest {
            topics: vec![topic],
            validate_only: true,
            ..Default::default()
        }
    }
    fn codes(response: &wire::CreateTopicsResponse) -> Vec<i16> {
        response
            .topics
            .iter()
            .map(|topic| topic.error_code)
            .collect()
    }
}

impl Valid for wire::OffsetForLeaderEpochRequest {
    fn valid(case: &Case) -> Self {
        let partition = wire::OffsetForLeaderPartition {
            current_leader_epoch: -1,
            ..Default::default()
        };
        let topic = wire::OffsetForLeaderTopic {
            topic: case.name(),
            partitions: vec![partition],
            ..Default::default()
        };
        wire::OffsetForLeaderEpochRequest {
            replica_id: if case.version >= 3 {
                -1
            } else {
                wire::OffsetForLeaderEpochRequest::default().replica_id
            },
            topics: vec![topic],
            ..Default::default()
        }
    }
    fn codes(response: &wire::OffsetForLeaderEpochResponse) -> Vec<i16> {
        let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| partition.error_code).collect()
    }
}

impl Valid for wire::DescribeConfigsRequest {
    fn valid(case: &Case) -> Self {
        let resource = |resource_type, resource_name| wire::DescribeConfigsResource {
            resource_type,
            resource_name,
            configuration_keys: None,
            ..Default::default()
        };
        wire::DescribeConfigsRequest {
            resources: vec![resource(2, case.name()), resource(4, "1".into())],
            include_synonyms: true,
            include_documentation: case.version >= 3,
            ..Default::default()
        }
    }
    fn codes(response: &wire::DescribeConfigsResponse) -> Vec<i16> {
        assert!(
            response
                .results
                .iter()
                .all(|result| !result.configs.is_empty()),
            "{response:?}"
        );
        response
            .results
            .iter()
            .map(|result| result.error_code)
            .collect()
    }
}

impl Valid for wire::CreatePartitionsRequest {
    fn valid(case: &Case) -> Self {
        let topic = wire::CreatePartitionsTopic {
            name: case.name(),
            count: 5,
            assignments: None,
            ..Default::default()
        };
        wire::CreatePartitionsRequest {
            topics: vec![topic],
            timeout_ms: 5000,
            validate_only: true,
            ..Default::default()
        }
    }
    fn codes(response: &wire::CreatePartitionsResponse) -> Vec<i16> {
        response
            .results
            .iter()
            .map(|result| result.error_code)
            .collect()
    }
}

impl Valid for wire::IncrementalAlterConfigsRequest {
    fn valid(case: &Case) -> Self {
        let change = wire::AlterableConfig {
            name: "retention.ms".into(),
            value: Some("100000".into()),
            ..Default::default()
        };
        let resource = wire::AlterConfigsResource {
            resource_type: 2,
            resource_name: case.name(),
            configs: vec![change],
            ..Default::default()
        };
        wire::IncrementalAlterConfigsRequest {
            resources: vec![resource],
            ..Default::default()
        }
    }
    fn codes(response: &wire::IncrementalAlterConfigsResponse) -> Vec<i16> {
        response
            .responses
            .iter()
            .map(|resource| resource.error_code)
            .collect()
    }
}

impl Valid for wire::AlterConfigsRequest {
    fn valid(case: &Case) -> Self {
        let config = wire::AlterConfigsRequestConfig {
            name: "retention.ms".into(),
            value: Some("100000".into()),
            ..Default::default()
        };
        let resource = wire::AlterConfigsRequestResource {
            resource_type: 2,
            resource_name: case.name(),
            configs: vec![config],
            ..Default::default()
        };
        wire::AlterConfigsRequest {
            resources: vec![resource],
            ..Default::default()
        }
    }
    fn codes(response: &wire::AlterConfigsResponse) -> Vec<i16> {
        let resources = response.responses.iter();
        resources.map(|resource| resource.error_code).collect()
    }
}

/// All partitions: those that need no election are left out.
impl Valid for wire::ElectLeadersRequest {
    fn valid(_: &Case) -> Self {
        wire::ElectLeadersRequest {
            topic_partitions: None,
            ..Default::default()
        }
    }
    fn codes(response: &wire::ElectLeadersResponse) -> Vec<i16> {
        vec![response.error_code]
    }
}

impl Valid for wire::AlterPartitionReassignmentsRequest {
    fn valid(case: &Case) -> Self {
        let partition = wire::ReassignablePartition {
            replicas: Some(vec![1]),
            ..Default::default()
        };
        let topic = wire::ReassignableTopic {
            name: case.name(),
            partitions: vec![partition],
            ..Default::default()
        };
        wire::AlterPartitionReassignmentsRequest {
            topics: vec![topic],
            ..Default::default()
        }
    }
    fn codes(response: &wire::AlterPartitionReassignmentsResponse) -> Vec<i16> {
        let topics = response.responses.iter();
        topics
            .flat_map(|topic| &topic.partitions)
            .map(|partition| partition.error_code)
            .chain([response.error_code])
            .collect()
    }
}

impl Valid for wire::ListPartitionReassignmentsRequest {
    fn codes(response: &wire::ListPartitionReassignmentsResponse) -> Vec<i16> {
        vec![response.error_code]
    }
}

impl Valid for wire::DescribeQuorumRequest {
    fn valid(_: &Case) -> Self {
        let topic = wire::DescribeQuorumRequestTopicData {
            topic_name: "__cluster_metadata".into(),
            partitions: vec![wire::DescribeQuorumRequestPartitionData::default()],
            ..Default::default()
        };
        wire::DescribeQuorumRequest {
            topics: vec![topic],
            ..Default::default()
        }
    }
    fn codes(response: &wire::DescribeQuorumResponse) -> Vec<i16> {
        let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        partitions
            .map(|partition| partition.error_code)
            .chain([response.error_code])
            .collect()
    }
}

impl Valid for wire::DescribeClusterRequest {
    fn codes(response: &wire::DescribeClusterResponse) -> Vec<i16> {
        vec![response.error_code]
    }
}

impl Valid for wire::DescribeTopicPartitionsRequest {
    fn valid(case: &Case) -> Self {
        let topic = wire::TopicRequest {
            name: case.name(),
            ..Default::default()
        };
        wire::DescribeTopicPartitionsRequest {
            topics: vec![topic],
            cursor: None,
            ..Default::default()
        }
    }
    fn codes(response: &wire::DescribeTopicPartitionsResponse) -> Vec<i16> {
        response
            .topics
            .iter()
            .map(|topic| topic.error_code)
            .collect()
    }
}
