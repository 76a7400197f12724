//! DescribeGroups, ListGroups, DeleteGroups.

use broker_protocol::ErrorCode;
use broker_protocol::consumer_protocol::CONSUMER_PROTOCOL_TYPE;

use super::classic::{ClassicGroup, State};
use super::consumer_group::ConsumerGroup;
use super::message::{DescribedGroup, DescribedMember, GroupType, ListedGroup};
use super::offsets::tombstone;
use super::record::Record;
use super::{GroupCoordinator, Step};

impl GroupCoordinator {
    /// `None` if there is no such group.
    pub(super) fn describe(&self, id: &str) -> Option<DescribedGroup> {
        // Consumer groups have a request of their own.
        if self.consumer_group(id).is_some()
            || (self.hard.group(id).is_none() && !self.groups.contains_key(id))
        {
            return None;
        }
        let simple = ClassicGroup::default();
        let group = self.groups.get(id).unwrap_or(&simple);
        let stable = group.state == State::Stable;
        let protocol = group
            .protocol
            .clone()
            .filter(|_| stable)
            .unwrap_or_default();
        let members = group
            .members
            .iter()
            .map(|(member_id, member)| DescribedMember {
                member_id: member_id.clone(),
                instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                metadata: member.metadata(&protocol),
                assignment: if stable {
                    member.assignment.clone()
                } else {
                    bytes::Bytes::new()
                },
            });
        Some(DescribedGroup {
            state: group.state.name(),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            members: members.collect(),
            protocol,
        })
    }

    pub(super) fn list(&self) -> Vec<ListedGroup> {
        let simple = self.hard.groups().map(|(id, _)| id);
        let ids: std::collections::BTreeSet<&String> = simple.chain(self.groups.keys()).collect();
        let listed = ids.into_iter().map(|id| {
            if let Some(consumers) = self.consumer_group(id) {
                return ListedGroup {
                    group: id.clone(),
                    kind: GroupType::Consumer,
                    protocol_type: CONSUMER_PROTOCOL_TYPE.into(),
                    state: consumers.state(),
                };
            }
            let group = self.groups.get(id);
            ListedGroup {
                group: id.clone(),
                kind: GroupType::Classic,
                protocol_type: group
                    .and_then(|group| group.protocol_type.clone())
                    .unwrap_or_default(),
                state: group.map_or(State::Empty, |group| group.state).name(),
            }
        });
        listed.collect()
    }

    pub(super) fn delete_group(&mut self, id: &str, step: &mut Step<'_>) -> Result<(), ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let classic = self.groups.get(id);
        let consumers = self.consumer_group(id);
        if classic.is_some_and(|group| group.state != State::Empty)
            || consumers.is_some_and(ConsumerGroup::has_members)
        {
            return Err(ErrorCode::NonEmptyGroup);
        }
        let is_live = self.groups.remove(id).is_some();
        let Some(stored) = self.hard.group(id) else {
            return if is_live {
                Ok(())
            } else {
                Err(ErrorCode::GroupIdNotFound)
            };
        };
        let partitions = stored.partitions().into_iter();
        let mut records: Vec<Record> = partitions.map(|key| tombstone(id, key)).collect();
        if stored.metadata.is_some() {
            records.push(Record::Group {
                group: id.to_string(),
                value: None,
            });
        }
        records.extend(self.consumer_group_tombstones(id));
        self.write(records, step);
        Ok(())
    }
}
