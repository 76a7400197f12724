//! What happened in a run, as far as it was recorded: what the space-time diagram and `trial explain` are made of.
//!
//! Every moment is simulated time together with the number of the trace's latest event, so that what is
//! recorded here has a place among the lines of `replay --trace`. A recording is bounded: what did not fit is
//! counted in [`Dropped`], never passed over in silence.

mod columns;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Raised when a field changes its meaning; a reader refuses what it does not know.
pub const FORMAT: u32 = 1;

/// Index into [`Recording::lanes`].
pub type LaneId = u16;

/// Index into [`Recording::partitions`].
pub type PartitionIndex = u32;

/// When: simulated microseconds since the start, and the number of the latest event.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(from = "(u64, u64)", into = "(u64, u64)")]
pub struct Moment {
    pub us: u64,
    pub event: u64,
}

/// A run as it went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    pub format: u32,
    /// Nodes in order of ids, then clients.
    pub lanes: Vec<Lane>,
    /// `topic-index`; the metadata quorum's log is `__cluster_metadata-0`.
    pub partitions: Vec<String>,
    /// Kafka's names of the API keys that occur.
    pub apis: BTreeMap<i16, String>,
    /// The end of the run.
    pub end: Moment,
    /// In order of sending.
    #[serde(with = "columns")]
    pub messages: Vec<Message>,
    pub processes: Vec<ProcessChange>,
    /// In order of their begin.
    pub faults: Vec<FaultSpan>,
    /// As the nodes themselves believed; two may hold the same office in different epochs. In order of begin.
    pub leaderships: Vec<Leadership>,
    /// Partitions as the metadata log has them, at the first node that published each state.
    pub registrations: Vec<Registration>,
    pub replicas: Vec<ReplicaSeries>,
    /// What was done to the logs of replicas, in order.
    pub logs: Vec<LogChange>,
    /// All replicas at the first violations, and at the end.
    pub snapshots: Vec<Snapshot>,
    pub clients: ClientSeries,
    pub dropped: Dropped,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {
    pub name: String,
    /// `broker`, `controller`, `broker, controller` or `client`.
    pub role: String,
    /// `node.id`; none for a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<i32>,
}

/// A request or response, from the write of its first byte to the arrival of its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    pub from: LaneId,
    pub to: LaneId,
    pub sent: Moment,
    /// None: it never arrived whole.
    pub received: Option<Moment>,
    /// Of a response, that of its request; -1 if no request is known.
    pub api_key: i16,
    pub version: i16,
    pub correlation_id: i32,
    pub is_response: bool,
    /// With the length in front.
    pub bytes: u32,
    /// A request and its response have the same connection and correlation id.
    pub connection: u64,
}

/// What became of a node's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessChange {
    pub lane: LaneId,
    pub at: Moment,
    pub what: ProcessState,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProcessState {
    Started,
    /// Ended under control, with the clean-shutdown marker written.
    Stopped,
    Killed,
    PowerLost,
    /// Ended by itself, and why.
    Failed(String),
    Paused,
    Resumed,
}

/// One fault, from its strike to its healing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultSpan {
    /// As in the counters, e.g. `network-partition`.
    pub kind: String,
    pub what: String,
    /// Whom it strikes; empty is everybody.
    pub lanes: Vec<LaneId>,
    pub begin: Moment,
    /// The same as `begin` for what strikes once; none if it lasted to the end of the run.
    pub end: Option<Moment>,
}

/// A leader in an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leadership {
    pub partition: PartitionIndex,
    pub lane: LaneId,
    pub epoch: i32,
    pub begin: Moment,
    pub end: Option<Moment>,
}

/// A partition's state in the metadata log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    pub partition: PartitionIndex,
    pub at: Moment,
    /// Who published it first.
    pub lane: LaneId,
    pub leader: Option<LaneId>,
    pub leader_epoch: i32,
    pub partition_epoch: i32,
    pub replicas: Vec<LaneId>,
    pub isr: Vec<LaneId>,
    /// Eligible leader replicas (KIP-966).
    pub elr: Vec<LaneId>,
}

/// Offsets of one replica over time, thinned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaSeries {
    pub partition: PartitionIndex,
    pub lane: LaneId,
    pub points: Vec<Offsets>,
}

/// Offsets at a moment; -1 is not known. The last stable offset is that of the replica's own log and high watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(Moment, i64, i64, i64)", into = "(Moment, i64, i64, i64)")]
pub struct Offsets {
    pub at: Moment,
    pub log_end: i64,
    pub high_watermark: i64,
    pub last_stable: i64,
}

/// Something done to a replica's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    from = "(PartitionIndex, LaneId, Moment, LogAction)",
    into = "(PartitionIndex, LaneId, Moment, LogAction)"
)]
pub struct LogChange {
    pub partition: PartitionIndex,
    pub lane: LaneId,
    pub at: Moment,
    pub what: LogAction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogAction {
    /// One batch: first and last offset, leader epoch.
    Append(i64, i64, i32),
    /// Opened: log start and end.
    Load(i64, i64),
    /// Cut to this end.
    Truncate(i64),
    /// Starts here now.
    Start(i64),
    Delete,
}

/// All replicas at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub at: Moment,
    pub replicas: Vec<ReplicaState>,
}

/// A replica as its node has it, or had it when it was last up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaState {
    pub partition: PartitionIndex,
    pub lane: LaneId,
    pub is_up: bool,
    /// The epoch it leads in.
    pub leads: Option<i32>,
    pub log_start: i64,
    pub log_end: i64,
    pub high_watermark: i64,
    pub last_stable: i64,
    /// (epoch, first offset), ascending.
    pub epochs: Vec<(i32, i64)>,
}

/// What clients did, in buckets of equal simulated time from 0 on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSeries {
    pub bucket_us: u64,
    /// Sends by when they ended.
    pub acked: Vec<u64>,
    pub failed: Vec<u64>,
    pub unknown: Vec<u64>,
    /// Records by when the poll returned.
    pub consumed: Vec<u64>,
    /// Latency of acknowledged sends that ended in the bucket, µs; 0 if there were none.
    pub p50_us: Vec<u64>,
    pub p99_us: Vec<u64>,
    pub max_us: Vec<u64>,
}

/// What a bounded recording has no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Before the first kept one, and after the last.
    pub messages_before: u64,
    pub messages_after: u64,
    pub logs_before: u64,
    pub logs_after: u64,
    pub processes: u64,
    pub faults: u64,
    pub leaderships: u64,
    pub registrations: u64,
    /// Replicas without a series, and without a place in snapshots.
    pub replicas: u64,
    /// Offsets closer together than this are left out; 0 is none.
    pub thinned_us: u64,
}

impl Dropped {
    /// Whether anything but offsets of replicas is missing.
    pub fn is_any(&self) -> bool {
        Dropped {
            thinned_us: 0,
            ..*self
        } != Dropped::default()
    }
}

impl Recording {
    /// One line without its end.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers serialize")
    }

    /// # Errors
    /// Text that is no recording, or one of another format.
    pub fn from_json(text: &str) -> Result<Recording, String> {
        let recording: Recording =
            serde_json::from_str(text).map_err(|error| format!("no recording: {error}"))?;
        if recording.format != FORMAT {
            return Err(format!(
                "a recording of format {}; this build reads {FORMAT}",
                recording.format
            ));
        }
        Ok(recording)
    }

    pub fn lane(&self, lane: LaneId) -> &str {
        self.lanes
            .get(usize::from(lane))
            .map_or("?", |lane| lane.name.as_str())
    }
}

impl From<(u64, u64)> for Moment {
    fn from((us, event): (u64, u64)) -> Moment {
        Moment { us, event }
    }
}

impl From<Moment> for (u64, u64) {
    fn from(moment: Moment) -> (u64, u64) {
        (moment.us, moment.event)
    }
}

impl From<(Moment, i64, i64, i64)> for Offsets {
    fn from((at, log_end, high_watermark, last_stable): (Moment, i64, i64, i64)) -> Offsets {
        Offsets {
            at,
            log_end,
            high_watermark,
            last_stable,
        }
    }
}

impl From<Offsets> for (Moment, i64, i64, i64) {
    fn from(point: Offsets) -> Self {
        (
            point.at,
            point.log_end,
            point.high_watermark,
            point.last_stable,
        )
    }
}

impl From<(PartitionIndex, LaneId, Moment, LogAction)> for LogChange {
    fn from((partition, lane, at, what): (PartitionIndex, LaneId, Moment, LogAction)) -> LogChange {
        LogChange {
            partition,
            lane,
            at,
            what,
        }
    }
}

impl From<LogChange> for (PartitionIndex, LaneId, Moment, LogAction) {
    fn from(change: LogChange) -> Self {
        (change.partition, change.lane, change.at, change.what)
    }
}
