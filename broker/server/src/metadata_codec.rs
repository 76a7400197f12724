//! Metadata records between the core's types and Kafka's bytes.

use std::collections::BTreeMap;

use broker_core::metadata as core;
use broker_core::metadata::{
    BrokerRegistrationChangeRecord, ConfigResource, ConfigResourceType, Endpoint,
    LeaderRecoveryState, MetadataVersion, PartitionChangeRecord, PartitionRecord, Record,
    RegisterBrokerRecord, RegisterControllerRecord, VersionRange,
};
use broker_protocol::codec::EncodeError;
use broker_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, PartitionEpoch, TopicIdPartition};
use broker_protocol::metadata_record as wire;
use broker_protocol::metadata_record::{MetadataRecord, MetadataRecordError};
use bytes::Bytes;

/// Why a metadata record cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RecordError {
    #[error(transparent)]
    Malformed(#[from] MetadataRecordError),
    #[error("metadata record type {0} is not supported")]
    Unsupported(&'static str),
    #[error("metadata record {record}: {field} = {value} is out of range")]
    Value {
        record: &'static str,
        field: &'static str,
        value: i64,
    },
}

/// As nodes at this `metadata.version` read it; the core has left out what it cannot hold.
///
/// # Errors
/// A value that Kafka's schema cannot hold, such as a string above 32 KiB.
pub fn encode(record: &Record, version: MetadataVersion) -> Result<Bytes, EncodeError> {
    let record = to_wire(record);
    record.encode(record_version(&record, version))
}

fn record_version(record: &MetadataRecord, version: MetadataVersion) -> i16 {
    match record {
        MetadataRecord::RegisterBroker(_) => version.register_broker_record_version(),
        MetadataRecord::Partition(_) | MetadataRecord::PartitionChange(_) => {
            version.partition_record_version()
        }
        other => other.write_version(),
    }
}

/// # Errors
/// See [`RecordError`].
pub fn decode(bytes: Bytes) -> Result<Record, RecordError> {
    from_wire(MetadataRecord::decode(bytes)?)
}

fn to_wire(record: &Record) -> MetadataRecord {
    match record {
        Record::RegisterBroker(record) => MetadataRecord::RegisterBroker(register_broker(record)),
        Record::UnregisterBroker { broker, epoch } => {
            MetadataRecord::UnregisterBroker(wire::UnregisterBrokerRecord {
                broker_id: broker.0,
                broker_epoch: epoch.0,
                ..Default::default()
            })
        }
        Record::FenceBroker { broker, epoch } => {
            MetadataRecord::FenceBroker(wire::FenceBrokerRecord {
                id: broker.0,
                epoch: epoch.0,
                ..Default::default()
            })
        }
        Record::UnfenceBroker { broker, epoch } => {
            MetadataRecord::UnfenceBroker(wire::UnfenceBrokerRecord {
                id: broker.0,
                epoch: epoch.0,
                ..Default::default()
            })
        }
        Record::BrokerRegistrationChange(record) => {
            MetadataRecord::BrokerRegistrationChange(registration_change(record))
        }
        Record::Topic { name, topic_id } => MetadataRecord::Topic(wire::TopicRecord {
            name: name.clone(),
            topic_id: *topic_id,
            ..Default::default()
        }),
        Record::Partition(record) => MetadataRecord::Partition(partition(record)),
        Record::PartitionChange(record) => {
            MetadataRecord::PartitionChange(partition_change(record))
        }
        Record::RemoveTopic { topic_id } => MetadataRecord::RemoveTopic(wire::RemoveTopicRecord {
            topic_id: *topic_id,
            ..Default::default()
        }),
        Record::Config {
            resource,
            name,
            value,
        } => MetadataRecord::Config(wire::ConfigRecord {
            resource_type: resource.kind.code(),
            resource_name: resource.name.clone(),
            name: name.clone(),
            value: value.clone(),
            ..Default::default()
        }),
        Record::FeatureLevel { name, level } => {
            MetadataRecord::FeatureLevel(wire::FeatureLevelRecord {
                name: name.clone(),
                feature_level: *level,
                ..Default::default()
            })
        }
        Record::ProducerIds {
            broker,
            broker_epoch,
            next_producer_id,
        } => MetadataRecord::ProducerIds(wire::ProducerIdsRecord {
            broker_id: broker.0,
            broker_epoch: broker_epoch.0,
            next_producer_id: *next_producer_id,
            ..Default::default()
        }),
        Record::RegisterController(record) => {
            MetadataRecord::RegisterController(register_controller(record))
        }
        Record::ClearElr { topic_name } => MetadataRecord::ClearElr(wire::ClearElrRecord {
            topic_name: topic_name.clone().unwrap_or_default(),
            ..Default::default()
        }),
        Record::BeginTransaction { name } => {
            MetadataRecord::BeginTransaction(wire::BeginTransactionRecord {
                name: name.clone(),
                ..Default::default()
            })
        }
        Record::EndTransaction => {
            MetadataRecord::EndTransaction(wire::EndTransactionRecord::default())
        }
        Record::AbortTransaction { reason } => {
            MetadataRecord::AbortTransaction(wire::AbortTransactionRecord {
                reason: reason.clone(),
                ..Default::default()
            })
        }
        Record::NoOp => MetadataRecord::NoOp(wire::NoOpRecord::default()),
    }
}

fn from_wire(record: MetadataRecord) -> Result<Record, RecordError> {
    Ok(match record {
        MetadataRecord::RegisterBroker(record) => Record::RegisterBroker(RegisterBrokerRecord {
            broker: NodeId(record.broker_id),
            incarnation_id: record.incarnation_id,
            epoch: BrokerEpoch(record.broker_epoch),
            endpoints: record.end_points.into_iter().map(broker_endpoint).collect(),
            features: record.features.into_iter().map(broker_feature).collect(),
            rack: record.rack,
            fenced: record.fenced,
            in_controlled_shutdown: record.in_controlled_shutdown,
            log_directories: record.log_dirs,
        }),
        MetadataRecord::UnregisterBroker(record) => Record::UnregisterBroker {
            broker: NodeId(record.broker_id),
            epoch: BrokerEpoch(record.broker_epoch),
        },
        MetadataRecord::FenceBroker(record) => Record::FenceBroker {
            broker: NodeId(record.id),
            epoch: BrokerEpoch(record.epoch),
        },
        MetadataRecord::UnfenceBroker(record) => Record::UnfenceBroker {
            broker: NodeId(record.id),
            epoch: BrokerEpoch(record.epoch),
        },
        MetadataRecord::BrokerRegistrationChange(record) => {
            Record::BrokerRegistrationChange(BrokerRegistrationChangeRecord {
                broker: NodeId(record.broker_id),
                epoch: BrokerEpoch(record.broker_epoch),
                fenced: (record.fenced != 0).then_some(record.fenced > 0),
                in_controlled_shutdown: record.in_controlled_shutdown == 1,
                log_directories: (!record.log_dirs.is_empty()).then_some(record.log_dirs),
            })
        }
        MetadataRecord::Topic(record) => Record::Topic {
            name: record.name,
            topic_id: record.topic_id,
        },
        MetadataRecord::Partition(record) => Record::Partition(partition_from_wire(record)?),
        MetadataRecord::PartitionChange(record) => {
            Record::PartitionChange(partition_change_from_wire(record)?)
        }
        MetadataRecord::RemoveTopic(record) => Record::RemoveTopic {
            topic_id: record.topic_id,
        },
        MetadataRecord::Config(record) => Record::Config {
            resource: ConfigResource {
                kind: ConfigResourceType::from_code(record.resource_type).ok_or_else(|| {
                    out_of_range("ConfigRecord", "resourceType", record.resource_type.into())
                })?,
                name: record.resource_name,
            },
            name: record.name,
            value: record.value,
        },
        MetadataRecord::FeatureLevel(record) => Record::FeatureLevel {
            name: record.name,
            level: record.feature_level,
        },
        MetadataRecord::ProducerIds(record) => Record::ProducerIds {
            broker: NodeId(record.broker_id),
            broker_epoch: BrokerEpoch(record.broker_epoch),
            next_producer_id: record.next_producer_id,
        },
        MetadataRecord::RegisterController(record) => {
            Record::RegisterController(RegisterControllerRecord {
                controller: NodeId(record.controller_id),
                incarnation_id: record.incarnation_id,
                endpoints: record
                    .end_points
                    .into_iter()
                    .map(controller_endpoint)
                    .collect(),
                features: record
                    .features
                    .into_iter()
                    .map(controller_feature)
                    .collect(),
            })
        }
        MetadataRecord::ClearElr(record) => Record::ClearElr {
            topic_name: (!record.topic_name.is_empty()).then_some(record.topic_name),
        },
        MetadataRecord::BeginTransaction(record) => Record::BeginTransaction { name: record.name },
        MetadataRecord::EndTransaction(_) => Record::EndTransaction,
        MetadataRecord::AbortTransaction(record) => Record::AbortTransaction {
            reason: record.reason,
        },
        MetadataRecord::NoOp(_) => Record::NoOp,
        other => return Err(RecordError::Unsupported(other.name())),
    })
}

fn register_broker(record: &RegisterBrokerRecord) -> wire::RegisterBrokerRecord {
    let end_point = |endpoint: &Endpoint| wire::BrokerEndpoint {
        name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
        security_protocol: endpoint.security_protocol,
        ..Default::default()
    };
    let feature = |(name, range): (&String, &VersionRange)| wire::BrokerFeature {
        name: name.clone(),
        min_supported_version: range.min,
        max_supported_version: range.max,
        ..Default::default()
    };
    wire::RegisterBrokerRecord {
        broker_id: record.broker.0,
        incarnation_id: record.incarnation_id,
        broker_epoch: record.epoch.0,
        end_points: record.endpoints.iter().map(end_point).collect(),
        features: record.features.iter().map(feature).collect(),
        rack: record.rack.clone(),
        fenced: record.fenced,
        in_controlled_shutdown: record.in_controlled_shutdown,
        log_dirs: record.log_directories.clone(),
        ..Default::default()
    }
}

fn register_controller(record: &RegisterControllerRecord) -> wire::RegisterControllerRecord {
    let end_point = |endpoint: &Endpoint| wire::ControllerEndpoint {
        name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
        security_protocol: endpoint.security_protocol,
        ..Default::default()
    };
    let feature = |(name, range): (&String, &VersionRange)| wire::ControllerFeature {
        name: name.clone(),
        min_supported_version: range.min,
        max_supported_version: range.max,
        ..Default::default()
    };
    wire::RegisterControllerRecord {
        controller_id: record.controller.0,
        incarnation_id: record.incarnation_id,
        end_points: record.endpoints.iter().map(end_point).collect(),
        features: record.features.iter().map(feature).collect(),
        ..Default::default()
    }
}

fn registration_change(
    record: &BrokerRegistrationChangeRecord,
) -> wire::BrokerRegistrationChangeRecord {
    wire::BrokerRegistrationChangeRecord {
        broker_id: record.broker.0,
        broker_epoch: record.epoch.0,
        fenced: match record.fenced {
            None => 0,
            Some(true) => 1,
            Some(false) => -1,
        },
        in_controlled_shutdown: i8::from(record.in_controlled_shutdown),
        log_dirs: record.log_directories.clone().unwrap_or_default(),
        ..Default::default()
    }
}

fn ids(nodes: &[NodeId]) -> Vec<i32> {
    nodes.iter().map(|node| node.0).collect()
}

fn nodes(ids: Vec<i32>) -> Vec<NodeId> {
    ids.into_iter().map(NodeId).collect()
}

fn partition(record: &PartitionRecord) -> wire::PartitionRecord {
    let optional = |nodes: &[NodeId]| (!nodes.is_empty()).then(|| ids(nodes));
    wire::PartitionRecord {
        partition_id: record.partition.partition,
        topic_id: record.partition.topic_id,
        replicas: ids(&record.replicas),
        isr: ids(&record.isr),
        removing_replicas: ids(&record.removing_replicas),
        adding_replicas: ids(&record.adding_replicas),
        leader: record.leader.0,
        leader_recovery_state: record.leader_recovery_state.code(),
        leader_epoch: record.leader_epoch.0,
        partition_epoch: record.partition_epoch.0,
        directories: record.directories.clone(),
        eligible_leader_replicas: optional(&record.eligible_leader_replicas),
        last_known_elr: optional(&record.last_known_elr),
        ..Default::default()
    }
}

fn partition_from_wire(record: wire::PartitionRecord) -> Result<PartitionRecord, RecordError> {
    Ok(PartitionRecord {
        partition: TopicIdPartition {
            topic_id: record.topic_id,
            partition: record.partition_id,
        },
        replicas: nodes(record.replicas),
        isr: nodes(record.isr),
        removing_replicas: nodes(record.removing_replicas),
        adding_replicas: nodes(record.adding_replicas),
        leader: NodeId(record.leader),
        leader_recovery_state: recovery_state("PartitionRecord", record.leader_recovery_state)?,
        leader_epoch: LeaderEpoch(record.leader_epoch),
        partition_epoch: PartitionEpoch(record.partition_epoch),
        directories: record.directories,
        eligible_leader_replicas: nodes(record.eligible_leader_replicas.unwrap_or_default()),
        last_known_elr: nodes(record.last_known_elr.unwrap_or_default()),
    })
}

/// Kafka's "leader unchanged" and "recovery state unchanged".
const LEADER_UNCHANGED: i32 = -2;
const RECOVERY_STATE_UNCHANGED: i8 = -1;

fn partition_change(record: &PartitionChangeRecord) -> wire::PartitionChangeRecord {
    let optional = |nodes: &Option<Vec<NodeId>>| nodes.as_deref().map(ids);
    wire::PartitionChangeRecord {
        partition_id: record.partition.partition,
        topic_id: record.partition.topic_id,
        isr: optional(&record.isr),
        leader: record.leader.map_or(LEADER_UNCHANGED, |leader| leader.0),
        replicas: optional(&record.replicas),
        removing_replicas: optional(&record.removing_replicas),
        adding_replicas: optional(&record.adding_replicas),
        leader_recovery_state: record
            .leader_recovery_state
            .map_or(RECOVERY_STATE_UNCHANGED, LeaderRecoveryState::code),
        directories: record.directories.clone(),
        eligible_leader_replicas: optional(&record.eligible_leader_replicas),
        last_known_elr: optional(&record.last_known_elr),
        ..Default::default()
    }
}

fn partition_change_from_wire(
    record: wire::PartitionChangeRecord,
) -> Result<PartitionChangeRecord, RecordError> {
    let recovery = match record.leader_recovery_state {
        RECOVERY_STATE_UNCHANGED => None,
        code => Some(recovery_state("PartitionChangeRecord", code)?),
    };
    Ok(PartitionChangeRecord {
        partition: TopicIdPartition {
            topic_id: record.topic_id,
            partition: record.partition_id,
        },
        isr: record.isr.map(nodes),
        leader: (record.leader != LEADER_UNCHANGED).then_some(NodeId(record.leader)),
        replicas: record.replicas.map(nodes),
        removing_replicas: record.removing_replicas.map(nodes),
        adding_replicas: record.adding_replicas.map(nodes),
        leader_recovery_state: recovery,
        directories: record.directories,
        eligible_leader_replicas: record.eligible_leader_replicas.map(nodes),
        last_known_elr: record.last_known_elr.map(nodes),
    })
}

fn recovery_state(record: &'static str, code: i8) -> Result<LeaderRecoveryState, RecordError> {
    LeaderRecoveryState::from_code(code)
        .ok_or_else(|| out_of_range(record, "leaderRecoveryState", code.into()))
}

fn out_of_range(record: &'static str, field: &'static str, value: i64) -> RecordError {
    RecordError::Value {
        record,
        field,
        value,
    }
}

fn broker_endpoint(endpoint: wire::BrokerEndpoint) -> Endpoint {
    Endpoint {
        name: endpoint.name,
        host: endpoint.host,
        port: endpoint.port,
        security_protocol: endpoint.security_protocol,
    }
}

fn controller_endpoint(endpoint: wire::ControllerEndpoint) -> Endpoint {
    Endpoint {
        name: endpoint.name,
        host: endpoint.host,
        port: endpoint.port,
        security_protocol: endpoint.security_protocol,
    }
}

fn broker_feature(feature: wire::BrokerFeature) -> (String, VersionRange) {
    let range = VersionRange {
        min: feature.min_supported_version,
        max: feature.max_supported_version,
    };
    (feature.name, range)
}

fn controller_feature(feature: wire::ControllerFeature) -> (String, VersionRange) {
    let range = VersionRange {
        min: feature.min_supported_version,
        max: feature.max_supported_version,
    };
    (feature.name, range)
}

/// Features by name; the type `core::metadata` wants.
pub type Features = BTreeMap<String, core::VersionRange>;

#[cfg(test)]
mod tests;
