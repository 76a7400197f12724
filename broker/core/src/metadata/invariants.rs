//! META-1 … META-3 over an image, and over one record's effect on it: pure functions for the simulator,
//! the model checker and the random tests.
//!
//! [`check_image`] costs a full scan. [`Transition`] looks at what one record touches only, so it can
//! run after every record.

use std::collections::BTreeMap;
use std::fmt;

use broker_protocol::ids::{BrokerEpoch, NodeId, TopicIdPartition};

use super::image::{MIN_INSYNC_REPLICAS, MetadataImage};
use super::partition::PartitionRegistration;
use super::record::{ConfigResourceType, LeaderRecoveryState, Record};

/// A broken invariant: its id and what was seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Violation {
    pub invariant: &'static str,
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.invariant, self.detail)
    }
}

fn demand(
    holds: bool,
    invariant: &'static str,
    detail: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds {
        Ok(())
    } else {
        Err(Violation {
            invariant,
            detail: detail(),
        })
    }
}

/// META-2 and META-3 over everything. `min_insync_default` is the static `min.insync.replicas`.
pub fn check_image(image: &MetadataImage, min_insync_default: i32) -> Result<(), Violation> {
    for (id, partition) in image.partitions() {
        check_partition(image, id, partition, min_insync_default)?;
    }
    check_determinism(image)
}

/// META-2: the image is a function of its records, whichever way they are told.
fn check_determinism(image: &MetadataImage) -> Result<(), Violation> {
    let recomputed = image.recomputed_hash();
    demand(image.hash() == recomputed, "META-2", || {
        format!(
            "kept hash {:016x}, recomputed {recomputed:016x}",
            image.hash()
        )
    })?;
    let mut reloaded = MetadataImage::default();
    image
        .to_records()
        .iter()
        .for_each(|record| reloaded.apply(record));
    demand(reloaded == *image, "META-2", || {
        "a snapshot of the image loads as another image".to_owned()
    })
}

/// META-3 for one partition.
pub fn check_partition(
    image: &MetadataImage,
    id: TopicIdPartition,
    partition: &PartitionRegistration,
    min_insync_default: i32,
) -> Result<(), Violation> {
    let demand =
        |holds, what: &str| demand(holds, "META-3", || format!("{id}: {what}: {partition:?}"));
    let PartitionRegistration {
        replicas,
        isr,
        eligible_leader_replicas: elr,
        ..
    } = partition;
    demand(is_subset(replicas, replicas), "a replica is listed twice")?;
    for (members, what) in [
        (
            &partition.adding_replicas,
            "adding replicas are no replicas",
        ),
        (
            &partition.removing_replicas,
            "removing replicas are no replicas",
        ),
        (&partition.last_known_elr, "last known leader is no replica"),
    ] {
        demand(is_subset(members, replicas), what)?;
    }
    let stays = |id: &NodeId| !partition.removing_replicas.contains(id);
    demand(replicas.iter().any(stays), "no replica is to stay")?;
    demand(is_subset(isr, replicas), "ISR is no subset of the replicas")?;
    demand(is_subset(elr, replicas), "ELR is no subset of the replicas")?;
    demand(
        !elr.iter().any(|member| isr.contains(member)),
        "ISR and ELR overlap",
    )?;
    demand(
        partition.directories.len() == replicas.len(),
        "directories do not match the replicas",
    )?;
    match partition.leader {
        Some(leader) => {
            demand(isr.contains(&leader), "leader is not in the ISR")?;
            demand(
                isr.iter().all(|&id| image.is_active(id)),
                "inactive broker in the ISR",
            )?;
        }
        // The last member keeps its place while it is away: only it has everything.
        None => demand(isr.len() <= 1, "leaderless with several in the ISR")?,
    }
    let min_isr = min_insync_replicas(image, id, min_insync_default);
    demand(
        isr.len() < min_isr || elr.is_empty(),
        "ELR beside a sufficient ISR",
    )
}

fn is_subset(members: &[NodeId], replicas: &[NodeId]) -> bool {
    let distinct = (1..members.len()).all(|index| !members[..index].contains(&members[index]));
    distinct && members.iter().all(|member| replicas.contains(member))
}

fn min_insync_replicas(
    image: &MetadataImage,
    id: TopicIdPartition,
    min_insync_default: i32,
) -> usize {
    let topic = image.topic_name(id.topic_id).unwrap_or_default();
    usize::try_from(image.min_insync_replicas(topic, min_insync_default)).unwrap_or(1)
}

/// What a record is about to touch, as it was before.
#[derive(Clone, Debug)]
pub struct Transition {
    partitions: BTreeMap<TopicIdPartition, PartitionRegistration>,
    broker_epoch: Option<(NodeId, BrokerEpoch)>,
    next_producer_id: i64,
}

impl Transition {
    /// To be called before `record` is applied.
    pub fn before(image: &MetadataImage, record: &Record) -> Transition {
        let ids = image.partitions_changed_by(record).into_iter();
        let partitions = ids
            .filter_map(|id| Some((id, image.partition(id)?.clone())))
            .collect();
        let registered = match record {
            Record::RegisterBroker(record) => image.broker(record.broker),
            _ => None,
        };
        Transition {
            partitions,
            broker_epoch: registered.map(|it| (it.id, it.epoch)),
            next_producer_id: image.producer_ids().next_producer_id,
        }
    }

    /// To be called after `record` was applied: META-1, META-3 for all it may have broken, and TXN-2.
    pub fn check(
        &self,
        image: &MetadataImage,
        record: &Record,
        min_insync_default: i32,
    ) -> Result<(), Violation> {
        for (id, before) in &self.partitions {
            if let Some(after) = image.partition(*id) {
                check_epochs(*id, before, after)?;
                let min_isr = min_insync_replicas(image, *id, min_insync_default);
                check_reassignment(*id, before, after, min_isr)?;
            }
        }
        if let Some((broker, before)) = self.broker_epoch
            && let Some(after) = image.broker(broker)
        {
            demand(after.epoch >= before, "META-1", || {
                format!(
                    "epoch of broker {broker} fell from {before} to {}",
                    after.epoch
                )
            })?;
        }
        self.check_producer_ids(image, record)?;
        for id in partitions_at_risk(image, record) {
            if let Some(partition) = image.partition(id) {
                check_partition(image, id, partition, min_insync_default)?;
            }
        }
        Ok(())
    }

    fn check_producer_ids(&self, image: &MetadataImage, record: &Record) -> Result<(), Violation> {
        let next = image.producer_ids().next_producer_id;
        let grows = next > self.next_producer_id;
        demand(
            grows || !matches!(record, Record::ProducerIds { .. }),
            "TXN-2",
            || format!("block at producer id {next} is given out twice"),
        )
    }
}

/// META-1: no change without a new epoch.
fn check_epochs(
    id: TopicIdPartition,
    before: &PartitionRegistration,
    after: &PartitionRegistration,
) -> Result<(), Violation> {
    let demand = |holds, what: &str| {
        demand(holds, "META-1", || {
            format!("{id}: {what}: {before:?} -> {after:?}")
        })
    };
    demand(
        after.leader_epoch >= before.leader_epoch,
        "leader epoch fell",
    )?;
    demand(
        after.partition_epoch >= before.partition_epoch,
        "partition epoch fell",
    )?;
    demand(
        after.leader == before.leader || after.leader_epoch > before.leader_epoch,
        "leader changed within an epoch",
    )?;
    let stays = |id: &NodeId| after.replicas.contains(id);
    demand(
        before.replicas.iter().all(stays) || after.leader_epoch > before.leader_epoch,
        "replicas went within a leader epoch",
    )?;
    demand(
        after == before || after.partition_epoch > before.partition_epoch,
        "changed within an epoch",
    )
}

/// META-3: a completed reassignment leaves what is committed on as many replicas as it was committed with.
/// Cancelling one gives the old replicas back as they are.
fn check_reassignment(
    id: TopicIdPartition,
    before: &PartitionRegistration,
    after: &PartitionRegistration,
    min_isr: usize,
) -> Result<(), Violation> {
    let is_original = |id: &&NodeId| !before.adding_replicas.contains(id);
    let original: Vec<&NodeId> = before.replicas.iter().filter(is_original).collect();
    let went = |id: &NodeId| !after.replicas.contains(id);
    let is_cancelled = after.replicas.iter().eq(original.iter().copied());
    let is_unclean = after.leader_recovery_state == LeaderRecoveryState::Recovering;
    if !before.replicas.iter().any(went) || is_cancelled || is_unclean {
        return Ok(());
    }
    let demand = |holds, what: &str| {
        demand(holds, "META-3", || {
            format!("{id}: {what}: {before:?} -> {after:?}")
        })
    };
    let shrinks = after.replicas.len() < original.len();
    let mut needed = after
        .replicas
        .iter()
        .filter(|id| shrinks || !original.contains(id));
    demand(
        needed.all(|id| after.isr.contains(id)),
        "reassigned to a replica that is not in sync",
    )?;
    demand(
        after.isr.len() >= min_isr.min(after.replicas.len()),
        "reassigned to fewer in-sync replicas than min.insync.replicas",
    )
}

/// Partitions whose validity may depend on the record.
fn partitions_at_risk(image: &MetadataImage, record: &Record) -> Vec<TopicIdPartition> {
    match record {
        Record::RegisterBroker(record) => image.partitions_with_isr_member(record.broker).collect(),
        Record::BrokerRegistrationChange(record) => {
            image.partitions_with_isr_member(record.broker).collect()
        }
        Record::UnregisterBroker { broker, .. }
        | Record::FenceBroker { broker, .. }
        | Record::UnfenceBroker { broker, .. } => {
            image.partitions_with_isr_member(*broker).collect()
        }
        Record::Config { resource, name, .. } if name == MIN_INSYNC_REPLICAS => match resource.kind
        {
            ConfigResourceType::Topic => {
                let id = image.topic_id(&resource.name);
                id.into_iter()
                    .flat_map(|id| image.partitions_of_topic(id))
                    .collect()
            }
            _ => image.partitions().map(|(id, _)| id).collect(),
        },
        _ => image.partitions_changed_by(record),
    }
}
