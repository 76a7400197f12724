//! What happens to partitions when brokers come and go.

use std::collections::BTreeSet;

use broker_protocol::ids::{NodeId, TopicIdPartition, Uuid};

use super::draft::Draft;
use super::error::ErrorCode;
use super::image::MetadataImage;
use super::partition_change::Election;
use super::record::{BrokerRegistrationChangeRecord, Record};
use super::reply::{ApiError, Output, Reply};
use super::request::{ElectLeadersRequest, ElectionType};
use super::soft::Soft;
use crate::Ticket;

/// Most preferred elections of one pass, so that a pass stays short.
const MAX_ELECTIONS_PER_IMBALANCE: usize = 1_000;

/// Partitions move first and the registration changes last (KIP-841), or the other way round when the
/// broker comes back: so no prefix of the records has an inactive broker in an ISR with others.
impl Draft<'_> {
    pub fn fence(&mut self, broker: NodeId) {
        self.withdraw(broker);
        self.change_registration(broker, |change| change.fenced = Some(true));
    }

    pub fn unfence(&mut self, broker: NodeId) {
        self.change_registration(broker, |change| change.fenced = Some(false));
        self.join(broker);
        for id in self.image.leaderless_partitions() {
            self.change(*id, Election::Online, |_| {});
        }
    }

    pub fn begin_controlled_shutdown(&mut self, broker: NodeId) {
        self.withdraw(broker);
        self.change_registration(broker, |change| change.in_controlled_shutdown = true);
    }

    pub fn unregister(&mut self, broker: NodeId) {
        // Out of the ELRs too: whoever comes back under this id has another past.
        self.leave(broker);
        self.remove_member(broker, true);
        let epoch = self.registration_epoch(broker);
        self.records
            .push(Record::UnregisterBroker { broker, epoch });
    }

    /// Takes the broker out of the ISRs that have others, and elects leaders elsewhere.
    pub fn withdraw(&mut self, broker: NodeId) {
        self.leave(broker);
        self.remove_member(broker, false);
    }

    /// As `withdraw`, for a broker that may have lost the end of its logs (KIP-966): it is not eligible
    /// either.
    pub fn withdraw_uncleanly(&mut self, broker: NodeId) {
        self.leave(broker);
        self.remove_member(broker, true);
    }

    /// Takes the replicas in a failed directory out, and notes the directories that are left (KIP-858).
    pub fn fail_directories(&mut self, broker: NodeId, offline: &[Uuid]) {
        let registration = self
            .image
            .broker(broker)
            .expect("its heartbeat was accepted");
        let (failed, online): (Vec<Uuid>, Vec<Uuid>) = registration
            .log_directories
            .iter()
            .partition(|id| offline.contains(id));
        if failed.is_empty() {
            return;
        }
        let members = self.partitions_of_member(broker);
        let lost = |id: &TopicIdPartition| failed.contains(&self.partition(*id).directory(broker));
        let lost: BTreeSet<_> = members.into_iter().filter(lost).collect();
        self.fail(&failed);
        for id in lost {
            self.remove_from(id, broker, false);
        }
        self.change_registration(broker, |change| change.log_directories = Some(online));
    }

    fn remove_member(&mut self, broker: NodeId, unclean: bool) {
        for id in self.partitions_of_member(broker) {
            self.remove_from(id, broker, unclean);
        }
    }

    /// The broker's replica is in a directory that is offline (KIP-858).
    pub fn withdraw_from(&mut self, id: TopicIdPartition, broker: NodeId) {
        let partition = self.partition(id);
        if partition.isr.contains(&broker) || partition.leader == Some(broker) {
            self.remove_from(id, broker, false);
        }
    }

    fn remove_from(&mut self, id: TopicIdPartition, broker: NodeId, unclean: bool) {
        self.change(id, Election::Online, |builder| {
            builder.target_isr.retain(|&member| member != broker);
            if unclean {
                builder.unclean_shutdown = Some(broker);
            }
        });
    }

    fn change_registration(
        &mut self,
        broker: NodeId,
        adjust: impl FnOnce(&mut BrokerRegistrationChangeRecord),
    ) {
        let mut change =
            BrokerRegistrationChangeRecord::new(broker, self.registration_epoch(broker));
        adjust(&mut change);
        self.records.push(Record::BrokerRegistrationChange(change));
    }

    fn registration_epoch(&self, broker: NodeId) -> broker_protocol::ids::BrokerEpoch {
        self.image
            .broker(broker)
            .unwrap_or_else(|| panic!("broker {broker} is not registered"))
            .epoch
    }
}

/// Gives preferred replicas their leadership back, as `auto.leader.rebalance.enable` wants.
pub(super) fn balance_leaders(hard: &MetadataImage, soft: &Soft, out: &mut Vec<Output>) {
    let mut draft = Draft::new(hard, &soft.config);
    for &id in hard.imbalanced_partitions() {
        if draft.records.len() >= MAX_ELECTIONS_PER_IMBALANCE {
            break;
        }
        draft.change(id, Election::Preferred, |_| {});
    }
    draft.emit(out);
}

/// ElectLeaders (KIP-460).
pub(super) fn elect_leaders(
    hard: &MetadataImage,
    soft: &Soft,
    ticket: Ticket,
    request: ElectLeadersRequest,
    out: &mut Vec<Output>,
) {
    let mut draft = Draft::new(hard, &soft.config);
    let all = request.partitions.is_none();
    let partitions = request.partitions.unwrap_or_else(|| every_partition(hard));
    let mut results = Vec::new();
    for (topic, partition) in partitions {
        let result = elect_leader(&mut draft, &topic, partition, request.kind);
        let needless = result
            .as_ref()
            .is_err_and(|error| error.code == ErrorCode::ElectionNotNeeded);
        if !(all && needless) {
            results.push(((topic, partition), result));
        }
    }
    draft.emit_in_batches(out);
    out.push(Output::Reply(ticket, Reply::ElectLeaders(results)));
}

fn every_partition(hard: &MetadataImage) -> Vec<(String, i32)> {
    let names = hard.topic_ids().keys();
    let topics = names.filter_map(|name| hard.topic(name));
    topics
        .flat_map(|topic| topic.partitions.keys().map(|&id| (topic.name.clone(), id)))
        .collect()
}

fn elect_leader(
    draft: &mut Draft<'_>,
    topic: &str,
    partition: i32,
    kind: ElectionType,
) -> Result<(), ApiError> {
    let Some(current) = draft.image.partition_by_name(topic, partition) else {
        let message = format!("No such partition as {topic}-{partition}");
        return Err(ApiError::new(ErrorCode::UnknownTopicOrPartition, message));
    };
    let topic_id = draft
        .image
        .topic_id(topic)
        .expect("its partition was found");
    let (election, needless, failed) = match kind {
        ElectionType::Preferred => {
            let needless = current.leader == current.preferred_leader();
            (
                Election::Preferred,
                needless,
                ErrorCode::PreferredLeaderNotAvailable,
            )
        }
        ElectionType::Unclean => (
            Election::Unclean,
            current.leader.is_some(),
            ErrorCode::EligibleLeadersNotAvailable,
        ),
    };
    if needless {
        return Err(ErrorCode::ElectionNotNeeded.into());
    }
    let id = TopicIdPartition {
        topic_id,
        partition,
    };
    draft
        .change(id, election, |_| {})
        .map(|_| ())
        .ok_or(ApiError::from(failed))
}
