//! What happens to partitions when brokers come and go, by timer, and on demand (ElectLeaders).

use std::collections::{BTreeMap, BTreeSet};

use broker_probe::probe;
use broker_protocol::ids::{NodeId, TopicIdPartition, Uuid};

use super::create_topics::check_batch_size;
use super::draft::Draft;
use super::error::ErrorCode;
use super::image::MetadataImage;
use super::partition_change::Election;
use super::record::{BrokerRegistrationChangeRecord, Record};
use super::reply::{ApiError, Output, Reply};
use super::request::{ElectLeadersRequest, ElectionType};
use super::soft::Soft;
use crate::Ticket;

/// Most elections of one pass of a timer, so that a pass stays short.
const MAX_ELECTIONS_PER_PASS: usize = 1_000;

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

/// The periodic elections of an active controller.
pub(super) fn begin_timers(soft: &Soft, out: &mut Vec<Output>) {
    out.extend(leader_balance_in(
        soft,
        soft.config.leader_balance_interval_ms,
    ));
    out.push(Output::ArmUncleanElection {
        after_ms: soft.config.unclean_leader_election_interval_ms,
    });
}

/// None if `auto.leader.rebalance.enable` is off.
fn leader_balance_in(soft: &Soft, after_ms: Option<u64>) -> Option<Output> {
    soft.config.leader_balance_interval_ms?;
    after_ms.map(|after_ms| Output::ArmLeaderBalance { after_ms })
}

/// Gives preferred replicas their leadership back, as `auto.leader.rebalance.enable` wants, where more than
/// `leader.imbalance.per.broker.percentage` of a broker's partitions are led elsewhere.
pub(super) fn balance_leaders(hard: &MetadataImage, soft: &Soft, out: &mut Vec<Output>) {
    let mut away: BTreeMap<NodeId, u64> = BTreeMap::new();
    for preferred in imbalanced(hard).map(|(_, preferred)| preferred) {
        *away.entry(preferred).or_insert(0) += 1;
    }
    let allowed = soft.config.leader_imbalance_per_broker_percentage;
    away.retain(|&broker, count| {
        let all = u64::try_from(hard.preferred_count(broker)).unwrap_or(u64::MAX);
        count.saturating_mul(100) > all.saturating_mul(allowed)
    });
    let mut draft = Draft::new(hard, &soft.config);
    for (id, _) in imbalanced(hard).filter(|(_, preferred)| away.contains_key(preferred)) {
        if draft.records.len() >= MAX_ELECTIONS_PER_PASS {
            break;
        }
        draft.change(id, Election::Preferred, |_| {});
    }
    if !draft.records.is_empty() {
        probe!("metadata: leadership balanced");
    }
    let is_done = draft.records.len() < MAX_ELECTIONS_PER_PASS;
    draft.emit(out);
    let interval = soft.config.leader_balance_interval_ms;
    out.extend(leader_balance_in(
        soft,
        if is_done { interval } else { Some(0) },
    ));
}

/// Partitions led elsewhere than by their preferred replica, with that replica.
fn imbalanced(hard: &MetadataImage) -> impl Iterator<Item = (TopicIdPartition, NodeId)> {
    hard.imbalanced_partitions()
        .iter()
        .filter_map(|&id| Some((id, hard.partition(id)?.preferred_leader()?)))
}

/// Elects where nobody complete is left, if the configuration has come to allow that.
pub(super) fn elect_unclean_leaders(hard: &MetadataImage, soft: &Soft, out: &mut Vec<Output>) {
    let mut draft = Draft::new(hard, &soft.config);
    for &id in hard.leaderless_partitions() {
        if draft.records.len() >= MAX_ELECTIONS_PER_PASS {
            break;
        }
        let topic = hard.topic_name(id.topic_id).expect("an indexed partition");
        if draft.unclean_election_enabled(topic) {
            draft.change(id, Election::Unclean, |_| {});
        }
    }
    let is_done = draft.records.len() < MAX_ELECTIONS_PER_PASS;
    draft.emit(out);
    let interval = soft.config.unclean_leader_election_interval_ms;
    let after_ms = if is_done { interval } else { 0 };
    out.push(Output::ArmUncleanElection { after_ms });
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
        let result = check_batch_size(draft.records.len() + 1)
            .and_then(|()| elect_leader(&mut draft, &topic, partition, request.kind));
        let needless = result
            .as_ref()
            .is_err_and(|error| error.code == ErrorCode::ElectionNotNeeded);
        if !(all && needless) {
            results.push(((topic, partition), result));
        }
    }
    draft.emit(out);
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
