//! Snapshots (KIP-630): making them, deleting what they replace, and the leader's side of FetchSnapshot.

use broker_probe::{mutant, probe};
use broker_protocol::ids::Offset;

use super::{
    Error, FetchSnapshotRequest, FetchSnapshotResponse, OffsetAndEpoch, Output, Raft, Response,
    Role, Snapshot,
};
use crate::Ticket;

impl Raft {
    /// Only what is committed may be kept for good, and only more than the last snapshot holds.
    pub(super) fn on_create_snapshot(&mut self, end: Offset, out: &mut Vec<Output>) {
        let committed = self.high_watermark.is_some_and(|known| end <= known);
        let latest = self.log.latest_snapshot().map_or(0, |id| id.offset);
        if !committed || end <= latest.max(self.log.start()) || self.writing_snapshot.is_some() {
            return probe!("raft: no use for another snapshot");
        }
        let id = self.log.snapshot_id(end);
        let configuration = self.configurations.below(end);
        self.writing_snapshot = Some(id);
        out.push(Output::WriteSnapshot {
            id,
            kraft_version: configuration.kraft_version,
            voters: configuration.offset.map(|_| configuration.voters.clone()),
        });
    }

    pub(super) fn on_snapshot_written(&mut self, id: OffsetAndEpoch, size: i64) {
        let asked = self.writing_snapshot.take();
        assert_eq!(asked, Some(id), "a snapshot that nobody asked for");
        if id.offset < self.log.start() {
            return probe!("raft: a fetched snapshot overtakes the one being written");
        }
        let configuration = self.configurations.below(id.offset);
        let voters = configuration.offset.map(|_| configuration.voters.clone());
        let kraft_version = configuration.kraft_version;
        self.log.add_snapshot(Snapshot {
            id,
            size,
            kraft_version,
            voters,
        });
    }

    /// Deletes the log before a snapshot, never what only the log holds (K-16).
    pub(super) fn on_delete_before(&mut self, snapshot: OffsetAndEpoch, out: &mut Vec<Output>) {
        let known = self.log.snapshot(snapshot).is_some() && self.log.contains(snapshot);
        if !known || snapshot.offset <= self.log.start() {
            return probe!("raft: the log cannot be deleted up to there");
        }
        let snapshot = match self.high_watermark {
            Some(committed) if mutant!(K_16) => self.log.snapshot_id(committed),
            _ => snapshot,
        };
        self.log.raise_start(snapshot.offset);
        self.configurations.forget_before(snapshot.offset);
        out.push(Output::RaiseLogStart { snapshot });
    }

    pub(super) fn on_fetch_snapshot_request(
        &mut self,
        ticket: Ticket,
        request: FetchSnapshotRequest,
        out: &mut Vec<Output>,
    ) {
        let mut answer = FetchSnapshotResponse {
            error: self.fetch_snapshot_error(&request),
            leader: self.leader(),
            leader_epoch: self.epoch,
            snapshot: request.snapshot,
            size: 0,
            position: request.position,
            chunk_bytes: 0,
        };
        if answer.error == Error::None {
            match self.log.snapshot(request.snapshot) {
                None => answer.error = Error::SnapshotNotFound,
                Some(snapshot) if !(0..snapshot.size).contains(&request.position) => {
                    answer.error = Error::PositionOutOfRange;
                }
                Some(snapshot) => answer.size = snapshot.size,
            }
        }
        if answer.error == Error::None && self.voters().contains(request.replica) {
            self.count_fetch_of(request.replica.id, out);
        }
        let response = Response::FetchSnapshot(answer);
        self.say(
            Output::Reply {
                ticket,
                response,
                read: None,
            },
            out,
        );
    }

    fn fetch_snapshot_error(&self, request: &FetchSnapshotRequest) -> Error {
        let replica = request.replica.id;
        let otherwise = match &self.role {
            Role::Leader(_) if replica.0 < 0 || replica == self.id() => Error::InvalidRequest,
            Role::Leader(_) => Error::None,
            _ => Error::NotLeaderOrFollower,
        };
        self.epoch_error(request.current_leader_epoch, otherwise)
    }
}
