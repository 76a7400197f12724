//! One handler per API: wire to core and back. No protocol decisions here.
//!
//! [`Api`] is what the handlers of a node share; [`BrokerService`] and [`ControllerService`] dispatch the
//! requests of the two kinds of listeners. Admin requests that change metadata are forwarded from a broker
//! listener to the active controller in an Envelope (KIP-590).

mod admin;
mod alter_configs;
mod api_versions;
mod cluster;
mod consumer_groups;
mod describe_configs;
mod describe_producers;
mod directories;
mod elect_leaders;
mod features;
mod fetch;
mod find_coordinator;
mod forward;
mod group_admin;
mod groups;
mod init_producer_id;
mod inter_broker;
mod list_offsets;
mod metadata;
mod offset_for_leader_epoch;
mod offsets;
mod produce;
mod quorum;
pub mod raft_wire;
mod reassignments;
mod transaction_admin;
mod transactions;
mod txn_offset_commit;
mod voters;
mod write_txn_markers;

use std::future::Future;
use std::sync::Arc;

use broker_env::{BoxFuture, Env};
use broker_protocol::api as wire;
use broker_protocol::api_versions::{ListenerKind, is_accepted};
use broker_protocol::frame::{decode_request, encode_response, encode_response_chunks};
use broker_protocol::header::{HeaderPeek, peek};
use broker_protocol::{ApiKey, ErrorCode, Request};
use bytes::Bytes;

use crate::config::BrokerConfig;
use crate::connection::{Answer, Service};
use crate::group_coordinator::GroupCoordinators;
use crate::metadata_cache::MetadataCache;
use crate::producer_ids::ProducerIds;
use crate::quorum::QuorumHandle;
use crate::replica_manager::ReplicaManager;
use crate::transaction_coordinator::TransactionCoordinators;
use crate::transaction_verifier::TransactionVerifier;
pub use forward::Forwarder;

/// What the handlers of a node share.
pub struct Api {
    pub env: Env,
    pub config: Arc<BrokerConfig>,
    pub cluster_id: String,
    pub metadata: Arc<MetadataCache>,
    pub quorum: QuorumHandle,
    pub forwarder: Forwarder,
    /// Present on brokers.
    pub replicas: Option<Arc<ReplicaManager>>,
    /// Present on brokers.
    pub producer_ids: Option<ProducerIds>,
    pub groups: Option<Arc<GroupCoordinators>>,
    pub verifier: TransactionVerifier,
    pub transactions: Option<Arc<TransactionCoordinators>>,
}

/// What a broker listener handles, beside what it forwards.
const BROKER_APIS: &[ApiKey] = &[
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::ListOffsets,
    ApiKey::Metadata,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::TxnOffsetCommit,
    ApiKey::ConsumerGroupHeartbeat,
    ApiKey::ConsumerGroupDescribe,
    ApiKey::FindCoordinator,
    ApiKey::JoinGroup,
    ApiKey::Heartbeat,
    ApiKey::LeaveGroup,
    ApiKey::SyncGroup,
    ApiKey::DescribeGroups,
    ApiKey::ListGroups,
    ApiKey::DeleteGroups,
    ApiKey::OffsetDelete,
    ApiKey::ApiVersions,
    ApiKey::InitProducerId,
    ApiKey::OffsetForLeaderEpoch,
    ApiKey::WriteTxnMarkers,
    ApiKey::DescribeProducers,
    ApiKey::AddPartitionsToTxn,
    ApiKey::AddOffsetsToTxn,
    ApiKey::EndTxn,
    ApiKey::DescribeTransactions,
    ApiKey::ListTransactions,
    ApiKey::DescribeConfigs,
    ApiKey::DescribeCluster,
    ApiKey::DescribeTopicPartitions,
    ApiKey::CreateTopics,
    ApiKey::DeleteTopics,
    ApiKey::CreatePartitions,
    ApiKey::AlterConfigs,
    ApiKey::ElectLeaders,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::AlterPartitionReassignments,
    ApiKey::ListPartitionReassignments,
    ApiKey::UnregisterBroker,
    ApiKey::DescribeQuorum,
    ApiKey::UpdateFeatures,
    ApiKey::AddRaftVoter,
    ApiKey::RemoveRaftVoter,
];

/// What a controller listener handles.
const CONTROLLER_APIS: &[ApiKey] = &[
    ApiKey::Fetch,
    ApiKey::ApiVersions,
    ApiKey::CreateTopics,
    ApiKey::DeleteTopics,
    ApiKey::CreatePartitions,
    ApiKey::AlterConfigs,
    ApiKey::ElectLeaders,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::AlterPartitionReassignments,
    ApiKey::ListPartitionReassignments,
    ApiKey::Vote,
    ApiKey::BeginQuorumEpoch,
    ApiKey::EndQuorumEpoch,
    ApiKey::DescribeQuorum,
    ApiKey::AlterPartition,
    ApiKey::UpdateFeatures,
    ApiKey::Envelope,
    ApiKey::FetchSnapshot,
    ApiKey::DescribeCluster,
    ApiKey::BrokerRegistration,
    ApiKey::BrokerHeartbeat,
    ApiKey::UnregisterBroker,
    ApiKey::AllocateProducerIds,
    ApiKey::ControllerRegistration,
    ApiKey::AssignReplicasToDirs,
    ApiKey::AddRaftVoter,
    ApiKey::RemoveRaftVoter,
    ApiKey::UpdateRaftVoter,
];

fn handled(listener: ListenerKind) -> &'static [ApiKey] {
    match listener {
        ListenerKind::Broker => BROKER_APIS,
        ListenerKind::Controller => CONTROLLER_APIS,
    }
}

/// Serves `advertised.listeners`.
pub struct BrokerService(pub Arc<Api>);

/// Serves the listeners in `controller.listener.names`.
pub struct ControllerService(pub Arc<Api>);

impl Service for BrokerService {
    fn handle(&self, frame: Bytes, peer: &str) -> BoxFuture<'static, Answer> {
        let request = match admit(&self.0, ListenerKind::Broker, frame, peer) {
            Ok(request) => request,
            Err(answer) => return Box::pin(std::future::ready(answer)),
        };
        let api = self.0.clone();
        match request.key {
            ApiKey::Produce => Box::pin(produce::answer(api, request)),
            ApiKey::Fetch => Box::pin(fetch::answer(api, request)),
            ApiKey::ListOffsets => Box::pin(answer(request, move |request, version| async move {
                list_offsets::handle(&api, request, version)
            })),
            ApiKey::Metadata => Box::pin(answer(request, move |request, version| {
                metadata::handle(api, request, version)
            })),
            ApiKey::FindCoordinator => Box::pin(answer(request, |request, version| {
                find_coordinator::handle(api, request, version)
            })),
            ApiKey::InitProducerId => Box::pin(answer(request, move |request, version| {
                init_producer_id::handle(api, request, version)
            })),
            ApiKey::AddPartitionsToTxn
            | ApiKey::AddOffsetsToTxn
            | ApiKey::EndTxn
            | ApiKey::DescribeTransactions
            | ApiKey::ListTransactions => transaction_request(api, request),
            ApiKey::JoinGroup
            | ApiKey::SyncGroup
            | ApiKey::Heartbeat
            | ApiKey::LeaveGroup
            | ApiKey::OffsetCommit
            | ApiKey::OffsetFetch
            | ApiKey::TxnOffsetCommit
            | ApiKey::ConsumerGroupHeartbeat
            | ApiKey::ConsumerGroupDescribe
            | ApiKey::OffsetDelete
            | ApiKey::ListGroups
            | ApiKey::DescribeGroups
            | ApiKey::DeleteGroups => group_request(api, request, peer),
            ApiKey::OffsetForLeaderEpoch => {
                Box::pin(answer(request, move |request, _| async move {
                    offset_for_leader_epoch::handle(&api, request)
                }))
            }
            ApiKey::WriteTxnMarkers => Box::pin(answer(request, move |request, _| {
                write_txn_markers::handle(api, request)
            })),
            ApiKey::DescribeProducers => Box::pin(answer(request, move |request, _| async move {
                describe_producers::handle(&api, request)
            })),
            ApiKey::DescribeConfigs => Box::pin(answer(request, move |request, _| async move {
                describe_configs::handle(&api, request)
            })),
            ApiKey::DescribeCluster => {
                Box::pin(answer(request, move |request, version| async move {
                    cluster::handle(&api, ListenerKind::Broker, &request, version)
                }))
            }
            ApiKey::DescribeTopicPartitions => {
                Box::pin(answer(request, move |request, _| async move {
                    metadata::describe_topic_partitions(&api, &request)
                }))
            }
            _ => Box::pin(async move { api.forwarder.forward(request).await }),
        }
    }
}

/// What group coordinators answer.
fn group_request(api: Arc<Api>, request: RawRequest, peer: &str) -> BoxFuture<'static, Answer> {
    match request.key {
        ApiKey::JoinGroup => {
            let sender = groups::Sender::new(request.client_id.as_deref(), peer);
            Box::pin(answer(request, |request, version| {
                groups::join(api, request, version, sender)
            }))
        }
        ApiKey::SyncGroup => Box::pin(answer(request, |request, _| groups::sync(api, request))),
        ApiKey::Heartbeat => Box::pin(answer(request, |request, _| {
            groups::heartbeat(api, request)
        })),
        ApiKey::LeaveGroup => Box::pin(answer(request, |request, version| {
            groups::leave(api, request, version)
        })),
        ApiKey::OffsetCommit => Box::pin(answer(request, |request, version| {
            offsets::commit(api, request, version)
        })),
        ApiKey::OffsetFetch => Box::pin(answer(request, |request, version| {
            offsets::fetch(api, request, version)
        })),
        ApiKey::ConsumerGroupHeartbeat => {
            let sender = groups::Sender::new(request.client_id.as_deref(), peer);
            Box::pin(answer(request, |request, version| {
                consumer_groups::heartbeat(api, request, version, sender)
            }))
        }
        ApiKey::ConsumerGroupDescribe => Box::pin(answer(request, |request, _| {
            consumer_groups::describe(api, request)
        })),
        ApiKey::TxnOffsetCommit => Box::pin(answer(request, |request, version| {
            txn_offset_commit::commit(api, request, version)
        })),
        ApiKey::OffsetDelete => {
            Box::pin(answer(request, |request, _| offsets::delete(api, request)))
        }
        ApiKey::ListGroups => Box::pin(answer(request, |request, _| {
            group_admin::list(api, request)
        })),
        ApiKey::DescribeGroups => Box::pin(answer(request, |request, version| {
            group_admin::describe(api, request, version)
        })),
        ApiKey::DeleteGroups => Box::pin(answer(request, |request, _| {
            group_admin::delete(api, request)
        })),
        key => Box::pin(std::future::ready(Answer::Close(format!(
            "no handler for {key:?}"
        )))),
    }
}

/// What transaction coordinators answer.
fn transaction_request(api: Arc<Api>, request: RawRequest) -> BoxFuture<'static, Answer> {
    match request.key {
        ApiKey::AddPartitionsToTxn => Box::pin(answer(request, |request, version| {
            transactions::add_partitions(api, request, version)
        })),
        ApiKey::AddOffsetsToTxn => Box::pin(answer(request, |request, version| {
            transactions::add_offsets(api, request, version)
        })),
        ApiKey::EndTxn => Box::pin(answer(request, |request, version| {
            transactions::end(api, request, version)
        })),
        ApiKey::DescribeTransactions => Box::pin(answer(request, |request, _| {
            transaction_admin::describe(api, request)
        })),
        ApiKey::ListTransactions => Box::pin(answer(request, |request, _| {
            transaction_admin::list(api, request)
        })),
        key => Box::pin(std::future::ready(Answer::Close(format!(
            "no handler for {key:?}"
        )))),
    }
}

impl Service for ControllerService {
    fn handle(&self, frame: Bytes, peer: &str) -> BoxFuture<'static, Answer> {
        match admit(&self.0, ListenerKind::Controller, frame, peer) {
            Ok(request) => controller_request(self.0.clone(), request),
            Err(answer) => Box::pin(std::future::ready(answer)),
        }
    }
}

/// Also what an Envelope unpacks to.
fn controller_request(api: Arc<Api>, request: RawRequest) -> BoxFuture<'static, Answer> {
    match request.key {
        ApiKey::Vote => Box::pin(answer(request, move |request, version| {
            quorum::vote(api, request, version)
        })),
        ApiKey::BeginQuorumEpoch => Box::pin(answer(request, move |request, version| {
            quorum::begin_quorum_epoch(api, request, version)
        })),
        ApiKey::EndQuorumEpoch => Box::pin(answer(request, move |request, version| {
            quorum::end_quorum_epoch(api, request, version)
        })),
        ApiKey::Fetch => Box::pin(answer(request, move |request, version| {
            quorum::fetch(api, request, version)
        })),
        ApiKey::FetchSnapshot => Box::pin(answer(request, move |request, version| {
            quorum::fetch_snapshot(api, request, version)
        })),
        ApiKey::AddRaftVoter => {
            Box::pin(answer(request, move |request, _| voters::add(api, request)))
        }
        ApiKey::RemoveRaftVoter => Box::pin(answer(request, move |request, _| {
            voters::remove(api, request)
        })),
        ApiKey::UpdateRaftVoter => Box::pin(answer(request, move |request, _| {
            voters::update(api, request)
        })),
        ApiKey::DescribeQuorum => Box::pin(answer(request, move |request, version| {
            quorum::describe(api, request, version)
        })),
        ApiKey::DescribeCluster => Box::pin(answer(request, move |request, version| async move {
            cluster::handle(&api, ListenerKind::Controller, &request, version)
        })),
        ApiKey::BrokerRegistration => Box::pin(answer(request, move |request, _| {
            inter_broker::register_broker(api, request)
        })),
        ApiKey::BrokerHeartbeat => Box::pin(answer(request, move |request, _| {
            inter_broker::heartbeat(api, request)
        })),
        ApiKey::AlterPartition => Box::pin(answer(request, move |request, version| {
            inter_broker::alter_partition(api, request, version)
        })),
        ApiKey::AssignReplicasToDirs => Box::pin(answer(request, move |request, _| {
            directories::assign_replicas(api, request)
        })),
        ApiKey::AllocateProducerIds => Box::pin(answer(request, move |request, _| {
            inter_broker::allocate_producer_ids(api, request)
        })),
        ApiKey::ControllerRegistration => Box::pin(answer(request, move |request, _| {
            inter_broker::register_controller(api, request)
        })),
        ApiKey::UnregisterBroker => Box::pin(answer(request, move |request, _| {
            inter_broker::unregister_broker(api, request)
        })),
        ApiKey::CreateTopics => Box::pin(answer(request, move |request, _| {
            admin::create_topics(api, request)
        })),
        ApiKey::DeleteTopics => Box::pin(answer(request, move |request, version| {
            admin::delete_topics(api, request, version)
        })),
        ApiKey::CreatePartitions => Box::pin(answer(request, move |request, _| {
            admin::create_partitions(api, request)
        })),
        ApiKey::IncrementalAlterConfigs => Box::pin(answer(request, move |request, _| {
            alter_configs::incremental_alter_configs(api, request)
        })),
        ApiKey::AlterConfigs => Box::pin(answer(request, move |request, _| {
            alter_configs::alter_configs(api, request)
        })),
        ApiKey::ElectLeaders => Box::pin(answer(request, move |request, _| {
            elect_leaders::elect_leaders(api, request)
        })),
        ApiKey::AlterPartitionReassignments => Box::pin(answer(request, move |request, _| {
            reassignments::alter(api, request)
        })),
        ApiKey::ListPartitionReassignments => Box::pin(answer(request, move |request, _| {
            reassignments::list(api, request)
        })),
        ApiKey::UpdateFeatures => Box::pin(answer(request, move |request, version| {
            features::update_features(api, request, version)
        })),
        ApiKey::Envelope => Box::pin(answer(request, move |request, _| {
            forward::open_envelope(api, request)
        })),
        key => Box::pin(std::future::ready(Answer::Close(format!(
            "no handler for {key:?}"
        )))),
    }
}

/// A request whose header was looked at.
#[derive(Clone, Debug)]
pub struct RawRequest {
    pub key: ApiKey,
    pub version: i16,
    pub correlation_id: i32,
    pub client_id: Option<String>,
    /// Header and body.
    pub frame: Bytes,
}

/// Refuses what this listener does not speak. ApiVersions is answered whatever its version.
fn admit(
    api: &Api,
    listener: ListenerKind,
    frame: Bytes,
    peer: &str,
) -> Result<RawRequest, Answer> {
    let HeaderPeek {
        api_key,
        api_version: version,
        correlation_id,
        client_id,
    } = peek(&frame)
        .map_err(|error| Answer::Close(format!("malformed request header: {error}")))?;
    let key = ApiKey::from_code(api_key).filter(|key| handled(listener).contains(key));
    let Some(key) = key else {
        return Err(Answer::Close(format!(
            "API key {api_key} from {peer} is not served here"
        )));
    };
    let request = RawRequest {
        key,
        version,
        correlation_id,
        client_id,
        frame,
    };
    if key == ApiKey::ApiVersions {
        return Err(api_versions::answer(api, listener, &request));
    }
    if !is_accepted(listener, key, version) {
        return Err(unsupported_version(&request));
    }
    Ok(request)
}

/// Kafka closes the connection on a version it does not know: the answer's own format is unknown.
fn unsupported_version(request: &RawRequest) -> Answer {
    Answer::Close(format!(
        "{:?} version {} is not supported",
        request.key, request.version
    ))
}

/// Decodes, handles, encodes.
async fn answer<R, H, F>(raw: RawRequest, handle: H) -> Answer
where
    R: Request,
    H: FnOnce(R, i16) -> F,
    F: Future<Output = R::Response>,
{
    let version = raw.version;
    let request = match decode_request::<R>(raw.frame, version) {
        Ok((_, request)) => request,
        Err(error) => return Answer::Close(format!("malformed {:?} request: {error}", raw.key)),
    };
    let response = handle(request, version).await;
    encode::<R>(&response, version, raw.correlation_id)
}

fn encode<R: Request>(response: &R::Response, version: i16, correlation_id: i32) -> Answer {
    match encode_response::<R>(response, version, correlation_id) {
        Ok(frame) => Answer::Frame(frame.freeze()),
        Err(error) => Answer::Close(format!(
            "{:?} response of version {version}: {error}",
            R::API_KEY
        )),
    }
}

/// As [`encode`], without copying long records.
fn encode_chunks<R: Request>(response: &R::Response, version: i16, correlation_id: i32) -> Answer {
    match encode_response_chunks::<R>(response, version, correlation_id) {
        Ok(chunks) => Answer::Chunks(chunks),
        Err(error) => Answer::Close(format!(
            "{:?} response of version {version}: {error}",
            R::API_KEY
        )),
    }
}

/// The leader to try instead (KIP-951).
fn leader_hint(api: &Api, partition: broker_protocol::ids::TopicIdPartition) -> Option<(i32, i32)> {
    api.metadata.read(|image| {
        let registration = image.partition(partition)?;
        Some((
            registration.leader.map_or(-1, |leader| leader.0),
            registration.leader_epoch.0,
        ))
    })
}

/// Why a known partition is not served here.
fn not_hosted(api: &Api, partition: broker_protocol::ids::TopicIdPartition) -> ErrorCode {
    let replicas = api.replicas.as_ref();
    replicas.map_or(ErrorCode::NotLeaderOrFollower, |replicas| {
        replicas.not_hosted(partition)
    })
}

/// Brokers that accept requests, as Metadata and DescribeCluster list them under a listener name.
fn live_brokers(api: &Api, listener: &str) -> Vec<wire::MetadataResponseBroker> {
    api.metadata.read(|image| {
        let brokers = image.unfenced_brokers();
        let listed = brokers.filter_map(|broker| {
            let endpoint = broker.endpoint(listener)?;
            Some(wire::MetadataResponseBroker {
                node_id: broker.id.0,
                host: endpoint.host.clone(),
                port: i32::from(endpoint.port),
                rack: broker.rack.clone(),
                ..Default::default()
            })
        });
        listed.collect()
    })
}
