//! Changes in the making: records of one decision, and what the partitions look like after them.
//!
//! A decision may touch a partition twice, e.g. when two brokers expire together. Each step has to see
//! the earlier ones, though none is applied yet (KAFKA-13173).

use std::collections::{BTreeMap, BTreeSet};

use broker_probe::mutant;
use broker_protocol::ids::{NodeId, TopicIdPartition, Uuid};

use super::image::MetadataImage;
use super::partition::{PartitionRegistration, directory};
use super::partition_change::{Election, PartitionChangeBuilder};
use super::record::{PartitionChangeRecord, Record};
use super::reply::Output;
use super::soft::ControllerConfig;

/// Most records of one request of a user, as in Kafka. An append that cannot succeed would take down one
/// controller after the other (KAFKA-14204).
pub const MAX_RECORDS_PER_USER_OP: usize = 10_000;

/// Most records of one batch unless configured otherwise. Smaller than Kafka's, which never splits what one
/// request writes: other controllers fetch, sync and apply whole batches.
pub const MAX_RECORDS_PER_BATCH: usize = 1_000;

pub(super) struct Draft<'a> {
    pub image: &'a MetadataImage,
    config: &'a ControllerConfig,
    pub records: Vec<Record>,
    partitions: BTreeMap<TopicIdPartition, PartitionRegistration>,
    /// Brokers that this decision fences, shuts down or removes.
    leaving: BTreeSet<NodeId>,
    /// The broker that this decision unfences.
    joining: Option<NodeId>,
    /// Log directories that this decision takes offline.
    failed_directories: BTreeSet<Uuid>,
}

impl<'a> Draft<'a> {
    pub fn new(image: &'a MetadataImage, config: &'a ControllerConfig) -> Draft<'a> {
        Draft {
            image,
            config,
            records: Vec::new(),
            partitions: BTreeMap::new(),
            leaving: BTreeSet::new(),
            joining: None,
            failed_directories: BTreeSet::new(),
        }
    }

    /// From here on the broker counts as fenced.
    pub fn leave(&mut self, broker: NodeId) {
        self.leaving.insert(broker);
    }

    /// From here on the broker counts as unfenced.
    pub fn join(&mut self, broker: NodeId) {
        self.joining = Some(broker);
    }

    /// From here on no replica in these directories can lead.
    pub fn fail(&mut self, directories: &[Uuid]) {
        self.failed_directories.extend(directories);
    }

    /// Whether the broker may lead, and be in an ISR, after this decision.
    pub fn is_active(&self, broker: NodeId) -> bool {
        if self.leaving.contains(&broker) {
            return false;
        }
        // A controlled shutdown is over only with the next registration, not with unfencing.
        let registration = self
            .image
            .broker(broker)
            .filter(|it| !it.in_controlled_shutdown);
        registration.is_some_and(|it| !it.fenced || self.joining == Some(broker))
    }

    pub fn partition(&self, id: TopicIdPartition) -> &PartitionRegistration {
        let drafted = self.partitions.get(&id).filter(|_| !mutant!(M_02));
        let current = drafted.or_else(|| self.image.partition(id));
        current.unwrap_or_else(|| panic!("partition {id} is indexed but not there"))
    }

    /// Partitions whose ISR or ELR holds `broker`, or did before this decision.
    pub fn partitions_of_member(&self, broker: NodeId) -> BTreeSet<TopicIdPartition> {
        let image = self.image;
        let drafted = self
            .partitions
            .iter()
            .filter(|(_, partition)| partition.isr.contains(&broker));
        let mut ids: BTreeSet<_> = drafted.map(|(&id, _)| id).collect();
        ids.extend(image.partitions_with_isr_member(broker));
        ids.extend(image.partitions_with_elr_member(broker));
        ids
    }

    /// Builds a change of a partition and adds it, unless it changes nothing.
    pub fn change(
        &mut self,
        id: TopicIdPartition,
        election: Election,
        adjust: impl FnOnce(&mut PartitionChangeBuilder<'_>),
    ) -> Option<&PartitionRegistration> {
        let record = self.build_change(id, election, adjust)?;
        let next = self.partition(id).merge(&record);
        self.records.push(Record::PartitionChange(record));
        self.partitions.insert(id, next);
        self.partitions.get(&id)
    }

    /// Gives the broker's replicas in directories it no longer has a new place, to be filled from the
    /// leader. Who was needed for what was committed keeps its old place, and so cannot lead: its data
    /// went with the disk.
    pub fn replace_directories(&mut self, broker: NodeId, directories: &[Uuid]) {
        let target = match directories {
            [only] => *only,
            _ => directory::UNASSIGNED,
        };
        for id in self.image.partitions_on(broker) {
            let current = self.partition(id);
            let old = current.directory(broker);
            let placed = old != directory::UNASSIGNED && old != directory::MIGRATING;
            let gone = placed && !directories.contains(&old);
            let needed = current.isr.contains(&broker) || current.last_known_elr.contains(&broker);
            if !gone || needed {
                continue;
            }
            self.assign_directory(id, broker, target);
        }
    }

    /// Notes where the broker, one of the partition's replicas, hosts it.
    pub fn assign_directory(&mut self, id: TopicIdPartition, broker: NodeId, directory: Uuid) {
        let current = self.partition(id);
        if current.directory(broker) == directory {
            return;
        }
        let position = current.replicas.iter().position(|&it| it == broker);
        let mut next = current.directories.clone();
        next[position.expect("one of the replicas")] = directory;
        let mut record = PartitionChangeRecord::new(id);
        record.directories = Some(next);
        let next = current.merge(&record);
        self.records.push(Record::PartitionChange(record));
        self.partitions.insert(id, next);
    }

    fn build_change(
        &self,
        id: TopicIdPartition,
        election: Election,
        adjust: impl FnOnce(&mut PartitionChangeBuilder<'_>),
    ) -> Option<PartitionChangeRecord> {
        let current = self.partition(id);
        let is_acceptable = |broker: NodeId| self.can_lead(current, broker);
        let default_directory = |broker: NodeId| {
            let registration = self.image.broker(broker);
            registration.map_or(directory::UNASSIGNED, |it| it.default_directory())
        };
        let mut builder =
            PartitionChangeBuilder::new(id, current, &is_acceptable, &default_directory);
        let topic = self
            .image
            .topic_name(id.topic_id)
            .expect("a partition's topic is there");
        let min_isr = self
            .image
            .min_insync_replicas(topic, self.config.min_insync_replicas);
        builder.min_insync_replicas = usize::try_from(min_isr).expect("at least one");
        builder.elr_enabled = self.image.elr_enabled();
        builder.bumps_leader_epoch_on_shrink =
            self.image.metadata_version().bumps_leader_epoch_on_shrink();
        builder.election = election;
        if election == Election::Online && self.unclean_election_enabled(topic) {
            builder.election = Election::Unclean;
        }
        adjust(&mut builder);
        builder.build()
    }

    /// Whether the broker may lead, judged by its state and that of the directory its replica is in.
    pub fn can_lead(&self, partition: &PartitionRegistration, broker: NodeId) -> bool {
        let directory = partition.directory(broker);
        let registration = self.image.broker(broker);
        let online = registration.is_some_and(|it| it.has_online_directory(directory));
        online && !self.failed_directories.contains(&directory) && self.is_active(broker)
    }

    /// `unclean.leader.election.enable` as it is in force for the topic.
    pub fn unclean_election_enabled(&self, topic: &str) -> bool {
        let default = self.config.unclean_leader_election_enable;
        self.image.unclean_election_enabled(topic, default)
    }

    /// Ends the decision with one batch.
    pub fn emit(self, out: &mut Vec<Output>) {
        if !self.records.is_empty() {
            out.push(Output::Records(self.records));
        }
    }

    /// Ends the decision with as many batches as it takes; only for changes whose every prefix is valid.
    pub fn emit_in_batches(self, out: &mut Vec<Output>) {
        out.extend(
            self.records
                .chunks(self.config.batch_records_max)
                .map(|batch| Output::Records(batch.to_vec())),
        );
    }
}
