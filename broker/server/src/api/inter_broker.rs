//! What brokers and controllers ask of the active controller.

use std::sync::Arc;

use broker_core::metadata::{self as core, ApiError, Input, Reply};
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, PartitionEpoch};

use super::Api;

fn error(error: &ApiError) -> i16 {
    error.code.code()
}

const NOT_CONTROLLER: i16 = ErrorCode::NotController.code();

pub async fn register_broker(
    api: Arc<Api>,
    request: wire::BrokerRegistrationRequest,
) -> wire::BrokerRegistrationResponse {
    let failed = |code: i16| wire::BrokerRegistrationResponse {
        error_code: code,
        broker_epoch: -1,
        ..Default::default()
    };
    if request.cluster_id != api.cluster_id {
        return failed(ErrorCode::InconsistentClusterId.code());
    }
    let endpoints = request.listeners.iter().map(|listener| core::Endpoint {
        name: listener.name.clone(),
        host: listener.host.clone(),
        port: listener.port,
        security_protocol: listener.security_protocol,
    });
    let features = request.features.iter().map(|feature| {
        let (min, max) = (feature.min_supported_version, feature.max_supported_version);
        (feature.name.clone(), core::VersionRange { min, max })
    });
    let registration = core::BrokerRegistrationRequest {
        broker: NodeId(request.broker_id),
        incarnation_id: request.incarnation_id,
        endpoints: endpoints.collect(),
        features: features.collect(),
        rack: request.rack.clone(),
        log_directories: request.log_dirs.clone(),
        previous_broker_epoch: BrokerEpoch(request.previous_broker_epoch),
        next_offset: 0,
    };
    let reply = api
        .quorum
        .controller(move |ticket, next_offset| {
            Input::RegisterBroker(
                ticket,
                core::BrokerRegistrationRequest {
                    next_offset,
                    ..registration
                },
            )
        })
        .await;
    match reply {
        Ok(Reply::RegisterBroker(Ok(epoch))) => wire::BrokerRegistrationResponse {
            broker_epoch: epoch.0,
            ..Default::default()
        },
        Ok(Reply::RegisterBroker(Err(refused))) => failed(error(&refused)),
        Ok(other) => panic!("the controller answered a registration with {other:?}"),
        Err(_) => failed(NOT_CONTROLLER),
    }
}

pub async fn heartbeat(
    api: Arc<Api>,
    request: wire::BrokerHeartbeatRequest,
) -> wire::BrokerHeartbeatResponse {
    let failed = |code: i16| wire::BrokerHeartbeatResponse {
        error_code: code,
        is_fenced: true,
        ..Default::default()
    };
    let reply = api
        .quorum
        .controller(move |ticket, next_offset| {
            let heartbeat = core::BrokerHeartbeatRequest {
                broker: NodeId(request.broker_id),
                broker_epoch: BrokerEpoch(request.broker_epoch),
                current_metadata_offset: request.current_metadata_offset,
                want_fence: request.want_fence,
                want_shut_down: request.want_shut_down,
                offline_log_directories: request.offline_log_dirs,
                next_offset,
            };
            Input::BrokerHeartbeat(ticket, heartbeat)
        })
        .await;
    match reply {
        Ok(Reply::BrokerHeartbeat(Ok(reply))) => wire::BrokerHeartbeatResponse {
            is_caught_up: reply.is_caught_up,
            is_fenced: reply.is_fenced,
            should_shut_down: reply.should_shut_down,
            ..Default::default()
        },
        Ok(Reply::BrokerHeartbeat(Err(refused))) => failed(error(&refused)),
        Ok(other) => panic!("the controller answered a heartbeat with {other:?}"),
        Err(_) => failed(NOT_CONTROLLER),
    }
}

pub async fn alter_partition(
    api: Arc<Api>,
    request: wire::AlterPartitionRequest,
    version: i16,
) -> wire::AlterPartitionResponse {
    let failed = |code: i16| wire::AlterPartitionResponse {
        error_code: code,
        ..Default::default()
    };
    let Some(request) = alter_partition_from_wire(&request, version) else {
        return failed(ErrorCode::InvalidRequest.code());
    };
    match api
        .quorum
        .controller(move |ticket, _| Input::AlterPartition(ticket, request))
        .await
    {
        Ok(Reply::AlterPartition(Ok(results))) => alter_partition_to_wire(results),
        Ok(Reply::AlterPartition(Err(refused))) => failed(error(&refused)),
        Ok(other) => panic!("the controller answered AlterPartition with {other:?}"),
        Err(_) => failed(NOT_CONTROLLER),
    }
}

/// `None` for a recovery state Kafka does not have.
fn alter_partition_from_wire(
    request: &wire::AlterPartitionRequest,
    version: i16,
) -> Option<core::AlterPartitionRequest> {
    let mut partitions = Vec::new();
    for topic in &request.topics {
        for data in &topic.partitions {
            let by_id = data.new_isr.iter().map(|id| (NodeId(*id), BrokerEpoch(-1)));
            let by_epoch = data
                .new_isr_with_epochs
                .iter()
                .map(|member| (NodeId(member.broker_id), BrokerEpoch(member.broker_epoch)));
            partitions.push(core::AlterPartition {
                topic_id: topic.topic_id,
                partition: data.partition_index,
                leader_epoch: LeaderEpoch(data.leader_epoch),
                partition_epoch: PartitionEpoch(data.partition_epoch),
                new_isr: if version >= 3 {
                    by_epoch.collect()
                } else {
                    by_id.collect()
                },
                leader_recovery_state: core::LeaderRecoveryState::from_code(
                    data.leader_recovery_state,
                )?,
            });
        }
    }
    Some(core::AlterPartitionRequest {
        broker: NodeId(request.broker_id),
        broker_epoch: BrokerEpoch(request.broker_epoch),
        partitions,
    })
}

fn alter_partition_to_wire(
    results: Vec<core::AlterPartitionResult>,
) -> wire::AlterPartitionResponse {
    let mut topics: Vec<wire::AlterPartitionResponseTopicData> = Vec::new();
    for result in results {
        let data = match result.result {
            Ok(altered) => wire::AlterPartitionResponsePartitionData {
                partition_index: result.partition,
                leader_id: altered.leader.0,
                leader_epoch: altered.leader_epoch.0,
                isr: altered.isr.iter().map(|node| node.0).collect(),
                leader_recovery_state: altered.leader_recovery_state.code(),
                partition_epoch: altered.partition_epoch.0,
                ..Default::default()
            },
            Err(code) => wire::AlterPartitionResponsePartitionData {
                partition_index: result.partition,
                error_code: code.code(),
                ..Default::default()
            },
        };
        match topics
            .iter_mut()
            .find(|topic| topic.topic_id == result.topic_id)
        {
            Some(topic) => topic.partitions.push(data),
            None => topics.push(wire::AlterPartitionResponseTopicData {
                topic_id: result.topic_id,
                partitions: vec![data],
                ..Default::default()
            }),
        }
    }
    wire::AlterPartitionResponse {
        topics,
        ..Default::default()
    }
}

pub async fn allocate_producer_ids(
    api: Arc<Api>,
    request: wire::AllocateProducerIdsRequest,
) -> wire::AllocateProducerIdsResponse {
    let failed = |code: i16| wire::AllocateProducerIdsResponse {
        error_code: code,
        ..Default::default()
    };
    let (broker, epoch) = (NodeId(request.broker_id), BrokerEpoch(request.broker_epoch));
    match api
        .quorum
        .controller(move |ticket, _| Input::AllocateProducerIds(ticket, broker, epoch))
        .await
    {
        Ok(Reply::AllocateProducerIds(Ok(block))) => wire::AllocateProducerIdsResponse {
            producer_id_start: block.first,
            producer_id_len: block.length,
            ..Default::default()
        },
        Ok(Reply::AllocateProducerIds(Err(refused))) => failed(error(&refused)),
        Ok(other) => panic!("the controller answered AllocateProducerIds with {other:?}"),
        Err(_) => failed(NOT_CONTROLLER),
    }
}

pub async fn register_controller(
    api: Arc<Api>,
    request: wire::ControllerRegistrationRequest,
) -> wire::ControllerRegistrationResponse {
    let failed = |code: i16, message: Option<String>| wire::ControllerRegistrationResponse {
        error_code: code,
        error_message: message,
        ..Default::default()
    };
    let endpoints = request.listeners.iter().map(|listener| core::Endpoint {
        name: listener.name.clone(),
        host: listener.host.clone(),
        port: listener.port,
        security_protocol: listener.security_protocol,
    });
    let features = request.features.iter().map(|feature| {
        let (min, max) = (feature.min_supported_version, feature.max_supported_version);
        (feature.name.clone(), core::VersionRange { min, max })
    });
    let record = core::RegisterControllerRecord {
        controller: NodeId(request.controller_id),
        incarnation_id: request.incarnation_id,
        endpoints: endpoints.collect(),
        features: features.collect(),
    };
    match api
        .quorum
        .controller(move |ticket, _| Input::RegisterController(ticket, record))
        .await
    {
        Ok(Reply::RegisterController(Ok(()))) => failed(0, None),
        Ok(Reply::RegisterController(Err(refused))) => failed(error(&refused), refused.message),
        Ok(other) => panic!("the controller answered ControllerRegistration with {other:?}"),
        Err(_) => failed(NOT_CONTROLLER, None),
    }
}

pub async fn unregister_broker(
    api: Arc<Api>,
    request: wire::UnregisterBrokerRequest,
) -> wire::UnregisterBrokerResponse {
    let answer = |code: i16, message: Option<String>| wire::UnregisterBrokerResponse {
        error_code: code,
        error_message: message,
        ..Default::default()
    };
    let broker = NodeId(request.broker_id);
    match api
        .quorum
        .controller(move |ticket, _| Input::UnregisterBroker(ticket, broker))
        .await
    {
        Ok(Reply::UnregisterBroker(Ok(()))) => answer(0, None),
        Ok(Reply::UnregisterBroker(Err(refused))) => answer(error(&refused), refused.message),
        Ok(other) => panic!("the controller answered UnregisterBroker with {other:?}"),
        Err(_) => answer(NOT_CONTROLLER, None),
    }
}
