//! ConsumerGroupDescribe.

use broker_protocol::ErrorCode;

use super::{CurrentAssignment, Partitions, Topics};
use crate::group::GroupCoordinator;
use crate::group::message::{
    DescribedConsumer, DescribedConsumerGroup, DescribedPartitions, TopicPartitions,
};

impl GroupCoordinator {
    pub(in crate::group) fn describe_consumers(
        &self,
        id: &str,
        topics: &dyn Topics,
    ) -> Result<DescribedConsumerGroup, ErrorCode> {
        let stored = self.hard.group(id).filter(|group| group.consumers.exists());
        let group = &stored.ok_or(ErrorCode::GroupIdNotFound)?.consumers;
        let fresh = CurrentAssignment::default();
        let members = group.subscriptions.iter().map(|(member, subscription)| {
            let current = group.current.get(member).unwrap_or(&fresh);
            let target = group.targets.get(member);
            DescribedConsumer {
                member_id: member.clone(),
                subscription: subscription.clone(),
                epoch: current.epoch,
                assignment: named(&current.assigned, topics),
                target: target.map_or_else(Vec::new, |target| named(target, topics)),
            }
        });
        Ok(DescribedConsumerGroup {
            state: group.state(),
            epoch: group.group_epoch(),
            assignment_epoch: group.target_epoch(),
            assignor: self.preferred_assignor(id),
            members: members.collect(),
        })
    }
}

/// Without topics that are gone.
fn named(partitions: &Partitions, topics: &dyn Topics) -> DescribedPartitions {
    let named = partitions.iter().filter_map(|(id, partitions)| {
        Some(TopicPartitions {
            topic_id: *id,
            topic: topics.name(*id)?,
            partitions: partitions.iter().copied().collect(),
        })
    });
    named.collect()
}
