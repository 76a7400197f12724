//! The core's records as Kafka's, and back.

mod consumer;

use broker_core::group::{GroupMetadata, MemberMetadata, OffsetAndMetadata, Record};
use broker_protocol::group_record as wire;
use broker_protocol::group_record::GroupRecord;
use broker_protocol::ids::LeaderEpoch;
use bytes::Bytes;

/// Key and value. Names are bounded by the requests they came in.
pub fn bytes(record: Record) -> (Bytes, Option<Bytes>) {
    let encoded = to_wire(record).encode();
    encoded.expect("what was read from a request can be written")
}

pub fn to_wire(record: Record) -> GroupRecord {
    match record {
        Record::Offset {
            group,
            topic,
            partition,
            value,
        } => {
            let key = wire::OffsetCommitKey {
                group,
                topic,
                partition,
                ..Default::default()
            };
            GroupRecord::OffsetCommit(key, value.map(offset_to_wire))
        }
        Record::Group { group, value } => {
            let key = wire::GroupMetadataKey {
                group,
                ..Default::default()
            };
            GroupRecord::GroupMetadata(key, value.map(group_to_wire))
        }
        Record::ConsumerGroup { .. }
        | Record::TargetEpoch { .. }
        | Record::Subscription { .. }
        | Record::TargetAssignment { .. }
        | Record::CurrentAssignment { .. } => consumer::to_wire(record),
    }
}

pub fn from_wire(record: GroupRecord) -> Record {
    match record {
        GroupRecord::OffsetCommit(key, value) => Record::Offset {
            group: key.group,
            topic: key.topic,
            partition: key.partition,
            value: value.map(offset_from_wire),
        },
        GroupRecord::GroupMetadata(key, value) => Record::Group {
            group: key.group,
            value: value.map(group_from_wire),
        },
        GroupRecord::ConsumerGroupMetadata(..)
        | GroupRecord::ConsumerGroupMemberMetadata(..)
        | GroupRecord::ConsumerGroupTargetAssignmentMetadata(..)
        | GroupRecord::ConsumerGroupTargetAssignmentMember(..)
        | GroupRecord::ConsumerGroupCurrentMemberAssignment(..) => consumer::from_wire(record),
    }
}

fn offset_to_wire(value: OffsetAndMetadata) -> wire::OffsetCommitValue {
    wire::OffsetCommitValue {
        offset: value.offset,
        leader_epoch: value.leader_epoch.map_or(-1, |epoch| epoch.0),
        metadata: value.metadata,
        commit_timestamp: value.commit_timestamp_ms,
        expire_timestamp: value.expire_timestamp_ms.unwrap_or(-1),
        topic_id: value.topic_id,
        ..Default::default()
    }
}

fn offset_from_wire(value: wire::OffsetCommitValue) -> OffsetAndMetadata {
    OffsetAndMetadata {
        offset: value.offset,
        leader_epoch: Some(value.leader_epoch)
            .filter(|epoch| *epoch >= 0)
            .map(LeaderEpoch),
        metadata: value.metadata,
        commit_timestamp_ms: value.commit_timestamp,
        // -1 is none, not long ago (KAFKA-8069).
        expire_timestamp_ms: Some(value.expire_timestamp).filter(|at| *at >= 0),
        topic_id: value.topic_id,
    }
}

fn group_to_wire(value: GroupMetadata) -> wire::GroupMetadataValue {
    let members = value
        .members
        .into_iter()
        .map(|member| wire::MemberMetadata {
            member_id: member.member_id,
            group_instance_id: member.instance_id,
            client_id: member.client_id,
            client_host: member.client_host,
            rebalance_timeout: member.rebalance_timeout_ms,
            session_timeout: member.session_timeout_ms,
            subscription: member.subscription,
            assignment: member.assignment,
            ..Default::default()
        });
    wire::GroupMetadataValue {
        protocol_type: value.protocol_type,
        generation: value.generation,
        protocol: value.protocol,
        leader: value.leader,
        current_state_timestamp: value.state_timestamp_ms.unwrap_or(-1),
        members: members.collect(),
        ..Default::default()
    }
}

fn group_from_wire(value: wire::GroupMetadataValue) -> GroupMetadata {
    let members = value.members.into_iter().map(|member| MemberMetadata {
        // Version 0 has none.
        rebalance_timeout_ms: match member.rebalance_timeout {
            0 => member.session_timeout,
            timeout => timeout,
        },
        member_id: member.member_id,
        instance_id: member.group_instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        session_timeout_ms: member.session_timeout,
        subscription: member.subscription,
        assignment: member.assignment,
    });
    GroupMetadata {
        protocol_type: value.protocol_type,
        generation: value.generation,
        protocol: value.protocol,
        leader: value.leader,
        state_timestamp_ms: Some(value.current_state_timestamp).filter(|at| *at >= 0),
        members: members.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker_protocol::ids::Uuid;

    #[test]
    fn records_survive_the_log() {
        let member = MemberMetadata {
            member_id: "m".into(),
            instance_id: Some("i".into()),
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout_ms: 7,
            session_timeout_ms: 5,
            subscription: Bytes::from_static(b"s"),
            assignment: Bytes::from_static(b"a"),
        };
        let group = GroupMetadata {
            protocol_type: "consumer".into(),
            generation: 3,
            protocol: Some("range".into()),
            leader: Some("m".into()),
            state_timestamp_ms: Some(9),
            members: vec![member],
        };
        let offset = OffsetAndMetadata {
            offset: 8,
            leader_epoch: Some(LeaderEpoch(0)),
            metadata: "why".into(),
            commit_timestamp_ms: 1,
            expire_timestamp_ms: None,
            topic_id: Uuid([3; 16]),
        };
        let of = |value| Record::Offset {
            group: "g".into(),
            topic: "t".into(),
            partition: 1,
            value,
        };
        let classic = Record::Group {
            group: "g".into(),
            value: Some(group),
        };
        let records = [classic, of(Some(offset)), of(None)];
        for record in records.into_iter().chain(consumer::tests::records()) {
            let (key, value) = bytes(record.clone());
            let read = GroupRecord::decode(key, value).map(from_wire);
            assert_eq!(read, Ok(record));
        }
    }
}
