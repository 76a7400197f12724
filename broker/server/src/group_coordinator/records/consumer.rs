//! Records of consumer groups.

use broker_core::group::Record;
use broker_core::group::consumer_group::{
    CurrentAssignment, GroupEpoch, MemberState, MemberSubscription, Partitions,
};
use broker_protocol::group_record::GroupRecord;
use broker_protocol::group_record::consumer as wire;

pub fn to_wire(record: Record) -> GroupRecord {
    match record {
        Record::ConsumerGroup { group, value } => {
            let value = value.map(|value| wire::ConsumerGroupMetadataValue {
                epoch: value.epoch,
                metadata_hash: value.metadata_hash,
                ..Default::default()
            });
            GroupRecord::ConsumerGroupMetadata(group_key(group), value)
        }
        Record::TargetEpoch { group, value } => {
            let value = value.map(|epoch| wire::ConsumerGroupTargetAssignmentMetadataValue {
                assignment_epoch: epoch,
                ..Default::default()
            });
            GroupRecord::ConsumerGroupTargetAssignmentMetadata(group_key(group), value)
        }
        Record::Subscription {
            group,
            member,
            value,
        } => {
            let value = value.map(subscription_to_wire);
            GroupRecord::ConsumerGroupMemberMetadata(member_key(group, member), value)
        }
        Record::TargetAssignment {
            group,
            member,
            value,
        } => {
            let value = value.map(|value| wire::ConsumerGroupTargetAssignmentMemberValue {
                topic_partitions: partitions_to_wire(value),
                ..Default::default()
            });
            GroupRecord::ConsumerGroupTargetAssignmentMember(member_key(group, member), value)
        }
        Record::CurrentAssignment {
            group,
            member,
            value,
        } => {
            let value = value.map(current_to_wire);
            GroupRecord::ConsumerGroupCurrentMemberAssignment(member_key(group, member), value)
        }
        Record::Offset { .. } | Record::Group { .. } => {
            panic!("a record of {} is of no consumer group", record.group())
        }
    }
}

pub fn from_wire(record: GroupRecord) -> Record {
    match record {
        GroupRecord::ConsumerGroupMetadata(key, value) => Record::ConsumerGroup {
            group: key.group_id,
            value: value.map(|value| GroupEpoch {
                epoch: value.epoch,
                metadata_hash: value.metadata_hash,
            }),
        },
        GroupRecord::ConsumerGroupTargetAssignmentMetadata(key, value) => Record::TargetEpoch {
            group: key.group_id,
            value: value.map(|value| value.assignment_epoch),
        },
        GroupRecord::ConsumerGroupMemberMetadata(key, value) => Record::Subscription {
            group: key.group_id,
            member: key.member_id,
            value: value.map(subscription_from_wire),
        },
        GroupRecord::ConsumerGroupTargetAssignmentMember(key, value) => Record::TargetAssignment {
            group: key.group_id,
            member: key.member_id,
            value: value.map(|value| partitions_from_wire(value.topic_partitions)),
        },
        GroupRecord::ConsumerGroupCurrentMemberAssignment(key, value) => {
            Record::CurrentAssignment {
                group: key.group_id,
                member: key.member_id,
                value: value.map(current_from_wire),
            }
        }
        GroupRecord::OffsetCommit(..) | GroupRecord::GroupMetadata(..) => {
            panic!("{record:?} is of no consumer group")
        }
    }
}

fn group_key(group_id: String) -> wire::ConsumerGroupKey {
    wire::ConsumerGroupKey {
        group_id,
        ..Default::default()
    }
}

fn member_key(group_id: String, member_id: String) -> wire::ConsumerGroupMemberKey {
    wire::ConsumerGroupMemberKey {
        group_id,
        member_id,
        ..Default::default()
    }
}

fn subscription_to_wire(value: MemberSubscription) -> wire::ConsumerGroupMemberMetadataValue {
    wire::ConsumerGroupMemberMetadataValue {
        instance_id: value.instance_id,
        rack_id: value.rack_id,
        client_id: value.client_id,
        client_host: value.client_host,
        subscribed_topic_names: value.topics.into_iter().collect(),
        rebalance_timeout_ms: value.rebalance_timeout_ms,
        server_assignor: value.server_assignor,
        ..Default::default()
    }
}

fn subscription_from_wire(value: wire::ConsumerGroupMemberMetadataValue) -> MemberSubscription {
    MemberSubscription {
        instance_id: value.instance_id,
        rack_id: value.rack_id,
        client_id: value.client_id,
        client_host: value.client_host,
        topics: value.subscribed_topic_names.into_iter().collect(),
        rebalance_timeout_ms: value.rebalance_timeout_ms,
        server_assignor: value.server_assignor,
    }
}

fn current_to_wire(value: CurrentAssignment) -> wire::ConsumerGroupCurrentMemberAssignmentValue {
    wire::ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch: value.epoch,
        previous_member_epoch: value.previous_epoch,
        state: match value.state {
            MemberState::Stable => 0,
            MemberState::UnrevokedPartitions => 1,
            MemberState::UnreleasedPartitions => 2,
        },
        assigned_partitions: partitions_to_wire(value.assigned),
        partitions_pending_revocation: partitions_to_wire(value.pending_revocation),
        ..Default::default()
    }
}

/// In a state of a later release a member is reconciled anew.
fn current_from_wire(value: wire::ConsumerGroupCurrentMemberAssignmentValue) -> CurrentAssignment {
    CurrentAssignment {
        epoch: value.member_epoch,
        previous_epoch: value.previous_member_epoch,
        state: match value.state {
            0 => MemberState::Stable,
            1 => MemberState::UnrevokedPartitions,
            _ => MemberState::UnreleasedPartitions,
        },
        assigned: partitions_from_wire(value.assigned_partitions),
        pending_revocation: partitions_from_wire(value.partitions_pending_revocation),
    }
}

fn partitions_to_wire(partitions: Partitions) -> Vec<wire::AssignedTopicPartitions> {
    let topics = partitions.into_iter();
    let topics = topics.map(|(topic_id, partitions)| wire::AssignedTopicPartitions {
        topic_id,
        partitions: partitions.into_iter().collect(),
        ..Default::default()
    });
    topics.collect()
}

fn partitions_from_wire(topics: Vec<wire::AssignedTopicPartitions>) -> Partitions {
    let topics = topics.into_iter();
    topics
        .map(|topic| (topic.topic_id, topic.partitions.into_iter().collect()))
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use broker_protocol::ids::Uuid;

    /// One of each kind.
    pub fn records() -> Vec<Record> {
        let (group, member) = ("g".to_string(), "m".to_string());
        let partitions: Partitions = [(Uuid([1; 16]), [0, 3].into())].into();
        let subscription = MemberSubscription {
            instance_id: Some("i".into()),
            rack_id: Some("r".into()),
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            topics: ["t".to_string()].into(),
            rebalance_timeout_ms: 7,
            server_assignor: Some("range".into()),
        };
        let current = CurrentAssignment {
            epoch: 5,
            previous_epoch: 4,
            state: MemberState::UnrevokedPartitions,
            assigned: partitions.clone(),
            pending_revocation: [(Uuid([2; 16]), [1].into())].into(),
        };
        vec![
            Record::ConsumerGroup {
                group: group.clone(),
                value: Some(GroupEpoch {
                    epoch: 5,
                    metadata_hash: -9,
                }),
            },
            Record::TargetEpoch {
                group: group.clone(),
                value: Some(5),
            },
            Record::Subscription {
                group: group.clone(),
                member: member.clone(),
                value: Some(subscription),
            },
            Record::TargetAssignment {
                group: group.clone(),
                member: member.clone(),
                value: Some(partitions),
            },
            Record::CurrentAssignment {
                group: group.clone(),
                member: member.clone(),
                value: Some(current),
            },
            Record::CurrentAssignment {
                group,
                member,
                value: None,
            },
        ]
    }
}
