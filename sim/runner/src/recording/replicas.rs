//! Logs, offices and the metadata's view of partitions, out of what the nodes tell of themselves.

mod offices;
mod track;

use std::collections::BTreeMap;

use broker_protocol::ids::{LeaderEpoch, NodeId, TopicIdPartition, Uuid};
use broker_server::observe::{Observation, PartitionState, QuorumRole};
use reports::recording::{
    Dropped, LaneId, Leadership, LogAction, LogChange, Moment, PartitionIndex, Registration,
    ReplicaSeries, ReplicaState, Snapshot,
};

use super::Limits;
use super::window::Window;
use offices::Offices;
use track::Tracks;

/// Further violations rarely say more about the replicas than the first.
const SNAPSHOTS_MAX: usize = 3;
/// The quorum's log has no topic id that nodes tell.
const QUORUM: PartitionIndex = 0;
const QUORUM_NAME: &str = "__cluster_metadata-0";

/// All replicas of all nodes.
pub struct Replicas {
    lanes: BTreeMap<i32, LaneId>,
    partitions: BTreeMap<TopicIdPartition, PartitionIndex>,
    names: BTreeMap<Uuid, String>,
    tracks: Tracks,
    logs: Window<LogChange>,
    offices: Offices,
    latest: BTreeMap<PartitionIndex, PartitionState>,
    registrations: Vec<Registration>,
    snapshots: Vec<Snapshot>,
    entries: usize,
    dropped_registrations: u64,
}

/// What was told in all.
pub struct Told {
    pub partitions: Vec<String>,
    pub series: Vec<ReplicaSeries>,
    pub logs: Vec<LogChange>,
    pub leaderships: Vec<Leadership>,
    pub registrations: Vec<Registration>,
    pub snapshots: Vec<Snapshot>,
    pub dropped: Dropped,
}

impl Replicas {
    /// `lanes` by `node.id`.
    pub fn new(lanes: impl Iterator<Item = (i32, LaneId)>, limits: Limits) -> Replicas {
        Replicas {
            lanes: lanes.collect(),
            partitions: BTreeMap::new(),
            names: BTreeMap::new(),
            tracks: Tracks::new(limits),
            logs: Window::new(limits.logs),
            offices: Offices::new(limits.entries),
            latest: BTreeMap::new(),
            registrations: Vec::new(),
            snapshots: Vec::new(),
            entries: limits.entries,
            dropped_registrations: 0,
        }
    }

    pub fn name_topic(&mut self, topic: u128, name: &str) {
        let topic = Uuid(topic.to_be_bytes());
        self.names.insert(topic, name.to_owned());
    }

    pub fn observe(&mut self, lane: LaneId, at: Moment, observation: &Observation) {
        match observation {
            Observation::Appended { .. }
            | Observation::Truncated { .. }
            | Observation::LogLoaded { .. }
            | Observation::LogStartAdvanced { .. }
            | Observation::LogDeleted { .. }
            | Observation::HighWatermark { .. } => self.log(lane, at, observation),
            Observation::BecameLeader {
                partition, epoch, ..
            } => {
                let partition = self.partition(*partition);
                self.offices.takes(partition, lane, epoch.0, at);
            }
            Observation::BecameFollower { partition, .. } => {
                let partition = self.partition(*partition);
                self.offices.leaves(partition, lane, at);
            }
            Observation::PartitionRegistered { partition, state } => {
                self.registered(*partition, lane, at, state);
            }
            other => self.quorum(lane, at, other),
        }
    }

    fn log(&mut self, lane: LaneId, at: Moment, observation: &Observation) {
        match observation {
            Observation::Appended {
                partition, batch, ..
            } => {
                let partition = self.partition(*partition);
                self.tracks.appended((partition, lane), at, batch);
                let (base, last) = (batch.base_offset, batch.last_offset);
                let what = LogAction::Append(base, last, batch.leader_epoch.0);
                self.change(partition, lane, at, what);
            }
            Observation::Truncated { partition, log_end } => {
                let partition = self.partition(*partition);
                self.truncated(partition, lane, at, *log_end);
            }
            Observation::LogLoaded {
                partition,
                log_start,
                log_end,
                epochs,
                high_watermark,
                batches,
                ..
            } => {
                let partition = self.partition(*partition);
                let key = (partition, lane);
                self.tracks.loaded(key, at, (*log_start, *log_end), batches);
                self.tracks.epochs(key, plain(epochs));
                self.tracks.high_watermark(key, at, *high_watermark);
                self.change(partition, lane, at, LogAction::Load(*log_start, *log_end));
            }
            Observation::LogStartAdvanced {
                partition,
                log_start,
            } => {
                let partition = self.partition(*partition);
                self.tracks.starts((partition, lane), *log_start);
                self.change(partition, lane, at, LogAction::Start(*log_start));
            }
            Observation::LogDeleted { partition } => {
                let partition = self.partition(*partition);
                self.offices.leaves(partition, lane, at);
                self.tracks.deleted((partition, lane));
                self.change(partition, lane, at, LogAction::Delete);
            }
            Observation::HighWatermark {
                partition,
                high_watermark,
                ..
            } => {
                let key = (self.partition(*partition), lane);
                self.tracks.high_watermark(key, at, *high_watermark);
            }
            other => unreachable!("not about a log: {other:?}"),
        }
    }

    fn quorum(&mut self, lane: LaneId, at: Moment, observation: &Observation) {
        let key = (QUORUM, lane);
        match observation {
            Observation::QuorumRole { epoch, role, .. } => match role {
                QuorumRole::Leader => self.offices.takes(QUORUM, lane, epoch.0, at),
                _ => self.offices.leaves(QUORUM, lane, at),
            },
            Observation::MetadataAppended { batch } => {
                self.tracks.appended(key, at, batch);
                let (base, last) = (batch.base_offset, batch.last_offset);
                let what = LogAction::Append(base, last, batch.leader_epoch.0);
                self.change(QUORUM, lane, at, what);
            }
            Observation::MetadataTruncated { log_end } => {
                self.truncated(QUORUM, lane, at, *log_end);
            }
            Observation::MetadataLogLoaded {
                log_start,
                log_end,
                batches,
                ..
            } => {
                self.tracks.loaded(key, at, (*log_start, *log_end), batches);
                self.change(QUORUM, lane, at, LogAction::Load(*log_start, *log_end));
            }
            Observation::MetadataLogReplaced { end, .. } => {
                self.tracks.loaded(key, at, (*end, *end), &[]);
                self.change(QUORUM, lane, at, LogAction::Load(*end, *end));
            }
            Observation::MetadataLogStartAdvanced { log_start } => {
                self.tracks.starts(key, *log_start);
                self.change(QUORUM, lane, at, LogAction::Start(*log_start));
            }
            Observation::MetadataHighWatermark { high_watermark, .. } => {
                self.tracks.high_watermark(key, at, *high_watermark);
            }
            _ => {}
        }
    }

    fn truncated(&mut self, partition: PartitionIndex, lane: LaneId, at: Moment, log_end: i64) {
        self.tracks.truncated((partition, lane), at, log_end);
        self.change(partition, lane, at, LogAction::Truncate(log_end));
    }

    fn change(&mut self, partition: PartitionIndex, lane: LaneId, at: Moment, what: LogAction) {
        let _number = self.logs.push(LogChange {
            partition,
            lane,
            at,
            what,
        });
    }

    fn registered(
        &mut self,
        id: TopicIdPartition,
        lane: LaneId,
        at: Moment,
        state: &PartitionState,
    ) {
        let partition = self.partition(id);
        let latest = self.latest.get(&partition);
        let is_new = latest.is_none_or(|latest| {
            latest.partition_epoch <= state.partition_epoch && latest != state
        });
        if !is_new {
            return;
        }
        self.latest.insert(partition, state.clone());
        if self.registrations.len() == self.entries {
            self.dropped_registrations += 1;
            return;
        }
        self.registrations.push(Registration {
            partition,
            at,
            lane,
            leader: state.leader.and_then(|leader| self.lane(leader)),
            leader_epoch: state.leader_epoch.0,
            partition_epoch: state.partition_epoch.0,
            replicas: self.lanes_of(&state.replicas),
            isr: self.lanes_of(&state.isr),
            elr: self.lanes_of(&state.eligible),
        });
    }

    /// The process of a node ended, and with it what it held.
    pub fn ended(&mut self, lane: LaneId, at: Moment) {
        self.offices.ended(lane, at);
    }

    /// Something was found just now.
    pub fn keep_around(&mut self, at: Moment, is_up: &[bool]) {
        self.logs.keep_around();
        let is_known = self.snapshots.iter().any(|taken| taken.at == at);
        if self.snapshots.len() < SNAPSHOTS_MAX && !is_known {
            let snapshot = self.snapshot(at, is_up);
            self.snapshots.push(snapshot);
        }
    }

    fn snapshot(&self, at: Moment, is_up: &[bool]) -> Snapshot {
        let tracks = self.tracks.iter();
        let replicas = tracks.map(|((partition, lane), track)| ReplicaState {
            partition,
            lane,
            is_up: is_up.get(usize::from(lane)).copied().unwrap_or(false),
            leads: self.offices.epoch(partition, lane),
            log_start: track.log_start,
            log_end: track.log_end,
            high_watermark: track.high_watermark,
            last_stable: track.last_stable(),
            epochs: track.epochs.clone(),
        });
        Snapshot {
            at,
            replicas: replicas.collect(),
        }
    }

    pub fn finish(&mut self, end: Moment, is_up: &[bool]) -> Told {
        let snapshot = self.snapshot(end, is_up);
        self.snapshots.push(snapshot);
        let logs = std::mem::replace(&mut self.logs, Window::new(0));
        let (leaderships, dropped_leaderships) = self.offices.finish();
        let dropped = Dropped {
            logs_before: logs.before,
            logs_after: logs.after,
            leaderships: dropped_leaderships,
            registrations: self.dropped_registrations,
            replicas: self.tracks.without_room,
            thinned_us: self.tracks.thinned_us(),
            ..Dropped::default()
        };
        Told {
            partitions: self.partition_names(),
            series: self.tracks.finish(),
            logs: logs.into_entries(),
            leaderships,
            registrations: std::mem::take(&mut self.registrations),
            snapshots: std::mem::take(&mut self.snapshots),
            dropped,
        }
    }

    /// By index; a topic whose name nobody told goes by the start of its id.
    fn partition_names(&self) -> Vec<String> {
        let mut names = vec![QUORUM_NAME.to_owned()];
        names.resize(self.partitions.len() + 1, String::new());
        for (id, index) in &self.partitions {
            let topic = self.names.get(&id.topic_id).cloned();
            let topic = topic.unwrap_or_else(|| format!("topic {}", id.topic_id));
            let index = usize::try_from(*index).expect("usize has at least 32 bits");
            names[index] = format!("{topic}-{}", id.partition);
        }
        names
    }

    fn partition(&mut self, id: TopicIdPartition) -> PartitionIndex {
        let next = u32::try_from(self.partitions.len() + 1).expect("fewer than 2^32 partitions");
        *self.partitions.entry(id).or_insert(next)
    }

    fn lane(&self, node: NodeId) -> Option<LaneId> {
        self.lanes.get(&node.0).copied()
    }

    fn lanes_of(&self, nodes: &[NodeId]) -> Vec<LaneId> {
        let lanes = nodes.iter().filter_map(|node| self.lane(*node));
        lanes.collect()
    }
}

fn plain(epochs: &[(LeaderEpoch, i64)]) -> Vec<(i32, i64)> {
    let epochs = epochs.iter().map(|(epoch, start)| (epoch.0, *start));
    epochs.collect()
}
