//! Every version of every API that a listener advertises is served: a valid request is answered, the answer
//! decodes without a byte too many, and says no error where none is due. Then any well-formed request at all.

mod support;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use broker_protocol::api as wire;
use broker_protocol::api_versions::MIN_PRODUCE_VERSION;
use broker_protocol::codec::arbitrary::{Arbitrary, Generator};
use broker_protocol::frame::decode_response;
use broker_protocol::ids::Uuid;
use broker_protocol::{ApiKey, ErrorCode, Request, for_each_api};
use support::good::Good;
use support::node::Node;
use support::wire::{Answer, Wire, batch};

const TOPIC: &str = "served";

/// A request that makes sense.
struct Case<'a> {
    version: i16,
    topic_id: &'a Uuid,
}

impl Case<'_> {
    fn name(&self) -> String {
        TOPIC.into()
    }
}

trait Valid: Request {
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
    DescribeGroupsRequest ListGroupsRequest InitProducerIdRequest DeleteGroupsRequest VoteRequest
    BeginQuorumEpochRequest EndQuorumEpochRequest AlterPartitionRequest EnvelopeRequest FetchSnapshotRequest
    BrokerRegistrationRequest BrokerHeartbeatRequest UnregisterBrokerRequest AllocateProducerIdsRequest
    ControllerRegistrationRequest DeleteTopicsRequest
}

impl Valid for wire::ProduceRequest {
    fn valid(case: &Case) -> Self {
        let data = wire::PartitionProduceData { records: Some(batch(&["value"])), ..Default::default() };
        let topic = wire::TopicProduceData {
            name: if case.version < 13 { case.name() } else { String::new() },
            topic_id: if case.version < 13 { Uuid::ZERO } else { *case.topic_id },
            partition_data: vec![data],
            ..Default::default()
        };
        wire::ProduceRequest { acks: -1, timeout_ms: 5000, topic_data: vec![topic], ..Default::default() }
    }
    fn codes(response: &wire::ProduceResponse) -> Vec<i16> {
        let partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
        partitions.map(|partition| partition.error_code).collect()
    }
}

impl Valid for wire::FetchRequest {
    fn valid(case: &Case) -> Self {
        let partition = wire::FetchPartition { partition_max_bytes: 1 << 20, ..Default::default() };
        let topic = wire::FetchTopic {
            topic: if case.version < 13 { case.name() } else { String::new() },
            topic_id: if case.version < 13 { Uuid::ZERO } else { *case.topic_id },
            partitions: vec![partition],
            ..Default::default()
        };
        wire::FetchRequest { max_wait_ms: 10, topics: vec![topic], ..Default::default() }
    }
    fn codes(response: &wire::FetchResponse) -> Vec<i16> {
        let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| partition.error_code).chain([response.error_code]).collect()
    }
}

impl Valid for wire::ListOffsetsRequest {
    fn valid(case: &Case) -> Self {
        // Earliest, latest, by time; then the special ones as they came.
        let specials = [(1, -2), (1, -1), (1, 0), (7, -3)].into_iter().filter(|(from, _)| case.version >= *from);
        let partition = |(_, timestamp)| wire::ListOffsetsPartition { timestamp, ..Default::default() };
        let topics = specials.map(|special| wire::ListOffsetsTopic {
            name: case.name(),
            partitions: vec![partition(special)],
            ..Default::default()
        });
        wire::ListOffsetsRequest { replica_id: -1, topics: topics.collect(), ..Default::default() }
    }
    fn codes(response: &wire::ListOffsetsResponse) -> Vec<i16> {
        let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| partition.error_code).collect()
    }
}

impl Valid for wire::MetadataRequest {
    fn valid(case: &Case) -> Self {
        let topic = wire::MetadataRequestTopic { name: Some(case.name()), ..Default::default() };
        wire::MetadataRequest { topics: Some(vec![topic]), ..Default::default() }
    }
    fn codes(response: &wire::MetadataResponse) -> Vec<i16> {
        assert_eq!(response.brokers.len(), 1);
        response.topics.iter().map(|topic| topic.error_code).collect()
    }
}

impl Valid for wire::FindCoordinatorRequest {
    fn valid(case: &Case) -> Self {
        match case.version {
            0..=3 => wire::FindCoordinatorRequest { key: "group".into(), ..Default::default() },
            _ => wire::FindCoordinatorRequest { coordinator_keys: vec!["group".into()], ..Default::default() },
        }
    }
}

impl Valid for wire::ApiVersionsRequest {
    fn valid(case: &Case) -> Self {
        let name = |text: &str| if case.version >= 3 { text.to_string() } else { String::new() };
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
        wire::CreateTopicsRequest { topics: vec![topic], validate_only: true, ..Default::default() }
    }
    fn codes(response: &wire::CreateTopicsResponse) -> Vec<i16> {
        response.topics.iter().map(|topic| topic.error_code).collect()
    }
}

impl Valid for wire::OffsetForLeaderEpochRequest {
    fn valid(case: &Case) -> Self {
        let partition = wire::OffsetForLeaderPartition { current_leader_epoch: -1, ..Default::default() };
        let topic =
            wire::OffsetForLeaderTopic { topic: case.name(), partitions: vec![partition], ..Default::default() };
        wire::OffsetForLeaderEpochRequest {
            replica_id: if case.version >= 3 { -1 } else { wire::OffsetForLeaderEpochRequest::default().replica_id },
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
        assert!(response.results.iter().all(|result| !result.configs.is_empty()), "{response:?}");
        response.results.iter().map(|result| result.error_code).collect()
    }
}

impl Valid for wire::CreatePartitionsRequest {
    fn valid(case: &Case) -> Self {
        let topic =
            wire::CreatePartitionsTopic { name: case.name(), count: 5, assignments: None, ..Default::default() };
        wire::CreatePartitionsRequest {
            topics: vec![topic],
            timeout_ms: 5000,
            validate_only: true,
            ..Default::default()
        }
    }
    fn codes(response: &wire::CreatePartitionsResponse) -> Vec<i16> {
        response.results.iter().map(|result| result.error_code).collect()
    }
}

impl Valid for wire::IncrementalAlterConfigsRequest {
    fn valid(case: &Case) -> Self {
        let change =
            wire::AlterableConfig { name: "retention.ms".into(), value: Some("100000".into()), ..Default::default() };
        let resource = wire::AlterConfigsResource {
            resource_type: 2,
            resource_name: case.name(),
            configs: vec![change],
            ..Default::default()
        };
        wire::IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() }
    }
    fn codes(response: &wire::IncrementalAlterConfigsResponse) -> Vec<i16> {
        response.responses.iter().map(|resource| resource.error_code).collect()
    }
}

impl Valid for wire::DescribeQuorumRequest {
    fn valid(_: &Case) -> Self {
        let topic = wire::DescribeQuorumRequestTopicData {
            topic_name: "__cluster_metadata".into(),
            partitions: vec![wire::DescribeQuorumRequestPartitionData::default()],
            ..Default::default()
        };
        wire::DescribeQuorumRequest { topics: vec![topic], ..Default::default() }
    }
    fn codes(response: &wire::DescribeQuorumResponse) -> Vec<i16> {
        let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| partition.error_code).chain([response.error_code]).collect()
    }
}

impl Valid for wire::DescribeClusterRequest {
    fn codes(response: &wire::DescribeClusterResponse) -> Vec<i16> {
        vec![response.error_code]
    }
}

impl Valid for wire::DescribeTopicPartitionsRequest {
    fn valid(case: &Case) -> Self {
        let topic = wire::TopicRequest { name: case.name(), ..Default::default() };
        wire::DescribeTopicPartitionsRequest { topics: vec![topic], cursor: None, ..Default::default() }
    }
    fn codes(response: &wire::DescribeTopicPartitionsResponse) -> Vec<i16> {
        response.topics.iter().map(|topic| topic.error_code).collect()
    }
}

/// Sends the valid request; on the broker's listener its errors count too.
fn exercise<R: Valid>(wire: &mut Wire, case: &Case, judged: bool) -> Result<(), String>
where
    R::Response: Debug,
{
    let response = wire.try_call(&R::valid(case), case.version)?;
    let errors: Vec<ErrorCode> =
        R::codes(&response).into_iter().map(ErrorCode::from_code_or_unknown).filter(|code| code.is_error()).collect();
    match errors.as_slice() {
        [..] if !judged => Ok(()),
        [] => Ok(()),
        errors => Err(format!("{} v{}: {errors:?} in {response:?}", R::API_KEY, case.version)),
    }
}

macro_rules! dispatch {
    ($($key:ident $request:ident;)*) => {
        fn exercise_api(key: ApiKey, wire: &mut Wire, case: &Case, judged: bool) -> Result<(), String> {
            match key {
                $(ApiKey::$key => exercise::<wire::$request>(wire, case, judged),)*
                other => Err(format!("{other} is advertised, but its messages are not in the protocol crate")),
            }
        }

        fn send_anything(key: ApiKey, wire: &mut Wire, version: i16, generator: &mut Generator) -> Result<(), String> {
            match key {
                $(ApiKey::$key => anything::<wire::$request>(wire, version, generator),)*
                other => Err(format!("{other} is advertised, but its messages are not in the protocol crate")),
            }
        }
    };
}
for_each_api!(dispatch);

fn advertised(wire: &mut Wire) -> Vec<wire::ApiVersion> {
    let response = wire.call(&wire::ApiVersionsRequest::default(), 0);
    assert_eq!(response.error_code, 0);
    response.api_keys
}

fn each_advertised_version(port: u16, topic_id: &Uuid, judged: bool) -> usize {
    let (mut served, mut wrong) = (0, Vec::new());
    for api in advertised(&mut Wire::connect(port)) {
        let key = ApiKey::from_code(api.api_key).expect("a key of Kafka 4.1");
        for version in api.min_version..=api.max_version {
            if key == ApiKey::Produce && version < MIN_PRODUCE_VERSION {
                continue;
            }
            let case = Case { version, topic_id };
            match exercise_api(key, &mut Wire::connect(port), &case, judged) {
                Ok(()) => served += 1,
                Err(error) => wrong.push(error),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    served
}

#[test]
fn every_advertised_version_gets_a_well_formed_answer_without_error() {
    let mut node = Node::start("");
    let topic_id = node.connect().create_topic(TOPIC, 1, &[]);
    let mut good = Good::start(&node);
    let served = each_advertised_version(node.port, &topic_id, true);
    assert!(served > 60, "only {served} versions");
    good.check(&mut node);
}

#[test]
fn every_version_a_controller_advertises_gets_a_well_formed_answer() {
    let mut node = Node::start("");
    let topic_id = node.connect().create_topic(TOPIC, 1, &[]);
    let mut good = Good::start(&node);
    let served = each_advertised_version(node.controller_port, &topic_id, false);
    assert!(served > 40, "only {served} versions");
    good.check(&mut node);
}

#[test]
fn what_is_advertised_is_in_order_and_once() {
    let node = Node::start("");
    for port in [node.port, node.controller_port] {
        let keys: Vec<i16> = advertised(&mut Wire::connect(port)).iter().map(|api| api.api_key).collect();
        let sorted: BTreeSet<i16> = keys.iter().copied().collect();
        assert_eq!(keys, Vec::from_iter(sorted));
    }
}

#[test]
fn produce_below_3_is_advertised_for_librdkafka_and_refused() {
    let node = Node::start("");
    for version in 0..MIN_PRODUCE_VERSION {
        let mut wire = node.connect();
        // Key, version, correlation id, null client id, acks, timeout, no topics.
        let frame = [&[0, 0, 0], &[u8::try_from(version).expect("small")][..], &[0, 0, 0, 1, 0xff, 0xff, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0]].concat();
        wire.send_frame(&frame);
        assert_eq!(wire.answer(Duration::from_secs(5)), Answer::Closed, "v{version}");
    }
}

/// Long enough for an answer, short enough for those that have none: acks=0, a fetch that waits.
const ANSWER_LIMIT: Duration = Duration::from_millis(150);

fn anything<R: Request + Arbitrary>(wire: &mut Wire, version: i16, generator: &mut Generator) -> Result<(), String> {
    wire.send_request(&R::arbitrary(generator, version), version);
    match wire.answer(ANSWER_LIMIT) {
        Answer::Frame(frame) => match decode_response::<R>(frame, version) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{} v{version}: {error}", R::API_KEY)),
        },
        Answer::Closed | Answer::Nothing => Ok(()),
    }
}

/// Hostile to itself, not to the quorum: only what clients may send.
#[test]
fn any_well_formed_request_leaves_the_broker_well() {
    let mut node = Node::start("auto.create.topics.enable=false");
    let mut good = Good::start(&node);
    let mut generator = Generator::new(7);
    let mut wrong = Vec::new();
    for api in advertised(&mut node.connect()) {
        let key = ApiKey::from_code(api.api_key).expect("a key of Kafka 4.1");
        let first = if key == ApiKey::Produce { MIN_PRODUCE_VERSION } else { api.min_version };
        for version in first..=api.max_version {
            for _ in 0..4 {
                let mut wire = node.connect();
                wrong.extend(send_anything(key, &mut wire, version, &mut generator).err());
            }
        }
        node.assert_alive();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    good.check(&mut node);
}
