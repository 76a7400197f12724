//! The replicas of the partition in question at a moment.

use reports::recording::{
    LaneId, LogAction, Moment, PartitionIndex, ProcessState, Recording, Registration,
};

use super::milestone::Subject;

/// One replica; -1 is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaAt {
    pub partition: PartitionIndex,
    pub lane: LaneId,
    pub is_up: bool,
    /// The epoch it believes to lead in.
    pub leads: Option<i32>,
    pub log_start: i64,
    pub log_end: i64,
    pub high_watermark: i64,
    pub last_stable: i64,
    /// (epoch, first offset) of what is in the log, ascending.
    pub epochs: Vec<(i32, i64)>,
    /// As the metadata had it then: leader epoch, partition epoch, ISR.
    pub registered: Option<Registration>,
}

/// All replicas of the subject that had a log by then, by partition and lane.
pub fn at(recording: &Recording, subject: &Subject, at: Moment) -> Vec<ReplicaAt> {
    let own = recording.replicas.iter();
    let own = own.filter(|series| subject.is_about(series.partition));
    let mut all: Vec<ReplicaAt> = own
        .map(|series| {
            let mut replica = log(recording, series.partition, series.lane, at);
            let points = series.points.iter();
            if let Some(point) = points.take_while(|point| point.at.event <= at.event).last() {
                replica.high_watermark = point.high_watermark;
                replica.last_stable = point.last_stable;
                if replica.log_end < 0 {
                    replica.log_end = point.log_end;
                }
            }
            replica
        })
        .filter(|replica| replica.log_end >= 0)
        .collect();
    all.sort_by_key(|replica| (replica.partition, replica.lane));
    all
}

fn log(recording: &Recording, partition: PartitionIndex, lane: LaneId, at: Moment) -> ReplicaAt {
    let mut replica = ReplicaAt {
        partition,
        lane,
        is_up: is_up(recording, lane, at),
        leads: leads(recording, partition, lane, at),
        log_start: 0,
        log_end: -1,
        high_watermark: -1,
        last_stable: -1,
        epochs: Vec::new(),
        registered: registered(recording, partition, at),
    };
    let changes = recording.logs.iter();
    let own = changes.filter(|it| (it.partition, it.lane) == (partition, lane));
    for change in own.take_while(|change| change.at.event <= at.event) {
        replica.change(change.what);
    }
    replica
}

impl ReplicaAt {
    fn change(&mut self, what: LogAction) {
        match what {
            LogAction::Append(first, last, epoch) => {
                if self.epochs.last().is_none_or(|(latest, _)| *latest < epoch) {
                    self.epochs.push((epoch, first));
                }
                self.log_end = last + 1;
            }
            LogAction::Load(start, end) => {
                self.log_start = start;
                self.cut(end);
            }
            LogAction::Truncate(end) => self.cut(end),
            LogAction::Start(start) => self.log_start = start,
            LogAction::Delete => {
                self.log_end = -1;
                self.epochs.clear();
            }
        }
    }

    fn cut(&mut self, end: i64) {
        self.log_end = end;
        self.epochs.retain(|(_, first)| *first < end);
    }
}

fn is_up(recording: &Recording, lane: LaneId, at: Moment) -> bool {
    let changes = recording.processes.iter();
    let own = changes.filter(|it| it.lane == lane && it.at.event <= at.event);
    own.fold(true, |is_up, change| match change.what {
        ProcessState::Started => true,
        ProcessState::Stopped
        | ProcessState::Killed
        | ProcessState::PowerLost
        | ProcessState::Failed(_) => false,
        ProcessState::Paused | ProcessState::Resumed => is_up,
    })
}

fn leads(
    recording: &Recording,
    partition: PartitionIndex,
    lane: LaneId,
    at: Moment,
) -> Option<i32> {
    let offices = recording.leaderships.iter();
    let own = offices.filter(|it| (it.partition, it.lane) == (partition, lane));
    let mut then = own
        .filter(|it| it.begin.event <= at.event && it.end.is_none_or(|end| end.event > at.event));
    then.next_back().map(|office| office.epoch)
}

fn registered(
    recording: &Recording,
    partition: PartitionIndex,
    at: Moment,
) -> Option<Registration> {
    let all = recording.registrations.iter();
    let own = all.filter(|it| it.partition == partition && it.at.event <= at.event);
    own.max_by_key(|it| it.at.event).cloned()
}
