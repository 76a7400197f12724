//! A replica whose next record the leader no longer has fetches a snapshot, chunk by chunk, and goes on after
//! it (KIP-630).

use broker_probe::probe;
use broker_protocol::ids::NodeId;

use super::{
    Configurations, Error, FetchSnapshotRequest, FetchSnapshotResponse, Fetching, Inconsistency,
    OffsetAndEpoch, Output, Raft, Role, Snapshot,
};

/// The snapshot being fetched; given up with the role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Download {
    pub(super) id: OffsetAndEpoch,
    /// Bytes that have arrived.
    position: i64,
    /// Everything has, and the shell checks it.
    finishing: bool,
}

impl Raft {
    /// The leader answered a fetch with the snapshot to begin with.
    pub(super) fn begin_download(&mut self, id: OffsetAndEpoch, out: &mut Vec<Output>) -> bool {
        if id.offset < 0 || id.epoch.0 < 0 {
            return false;
        }
        if self.log.snapshot(id).is_some() {
            probe!("raft: the snapshot to fetch is there already");
            return !self.log.contains(id) && self.start_log_at(id, out);
        }
        self.download = Some(Download {
            id,
            position: 0,
            finishing: false,
        });
        true
    }

    /// The next chunk to ask for, if a snapshot is being fetched.
    pub(super) fn next_chunk(&self) -> Option<FetchSnapshotRequest> {
        let download = self.download?;
        Some(FetchSnapshotRequest {
            replica: self.config.me,
            current_leader_epoch: self.epoch,
            snapshot: download.id,
            position: download.position,
            max_bytes: self.config.snapshot_chunk_bytes,
        })
    }

    pub(super) fn finishes_download(&self) -> bool {
        self.download.is_some_and(|download| download.finishing)
    }

    pub(super) fn on_fetch_snapshot_response(
        &mut self,
        from: NodeId,
        request: FetchSnapshotRequest,
        response: FetchSnapshotResponse,
        out: &mut Vec<Output>,
    ) {
        if !self.take_chunk_in_flight(from, &request) {
            return;
        }
        let told = (response.leader, response.leader_epoch);
        let counts = self.observe_response(response.error, told, out);
        let Role::Follower { leader, .. } = self.role else {
            return self.fetch_failed(from, out);
        };
        if self.fetching != Fetching::Idle {
            return;
        }
        if !counts || response.error != Error::None || leader != from {
            self.download = None;
            return self.fetch_failed(from, out);
        }
        if self.take_chunk(&request, &response, out) {
            self.heard_leader(leader, out);
            self.fetch(out);
        } else {
            self.download = None;
            self.fetch_failed(from, out);
        }
    }

    fn take_chunk(
        &mut self,
        request: &FetchSnapshotRequest,
        response: &FetchSnapshotResponse,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(download) = &mut self.download else {
            return false;
        };
        let (id, position) = (download.id, response.position);
        let end = position.checked_add(response.chunk_bytes);
        let end = end.filter(|&end| end > position && end <= response.size);
        let (true, Some(end)) = (response.snapshot == id && position == request.position, end)
        else {
            return false;
        };
        download.position = end;
        download.finishing = end == response.size;
        out.push(Output::AppendChunk { id, position });
        if end == response.size {
            out.push(Output::FinishSnapshot { id });
        }
        true
    }

    pub(super) fn on_fetch_snapshot_failed(
        &mut self,
        to: NodeId,
        request: &FetchSnapshotRequest,
        out: &mut Vec<Output>,
    ) {
        if self.take_chunk_in_flight(to, request) {
            self.fetch_failed(to, out);
        }
    }

    fn take_chunk_in_flight(&mut self, from: NodeId, request: &FetchSnapshotRequest) -> bool {
        let matches = self.awaits_chunk(from, request);
        if matches {
            self.fetching = Fetching::Idle;
        } else {
            probe!("raft: an answer to a snapshot fetch that is no longer under way");
        }
        matches
    }

    /// Whether an answer to this request would be looked at; any other is late.
    pub fn awaits_chunk(&self, to: NodeId, request: &FetchSnapshotRequest) -> bool {
        let request = *request;
        self.fetching == Fetching::Chunk { to, request }
    }

    pub(super) fn on_snapshot_damaged(&mut self, id: OffsetAndEpoch, out: &mut Vec<Output>) {
        if self
            .download
            .take_if(|download| download.id == id)
            .is_some()
            && let Role::Follower { leader, .. } = self.role
        {
            self.fetch_failed(leader, out);
        }
    }

    /// What a snapshot holds is committed, so it can be used whoever leads by now.
    pub(super) fn on_snapshot_fetched(&mut self, snapshot: Snapshot, out: &mut Vec<Output>) {
        let id = snapshot.id;
        let awaited = self
            .download
            .take_if(|download| download.id == id)
            .is_some();
        if id.offset < self.log.start() {
            return probe!("raft: a fetched snapshot is older than the log");
        }
        self.log.add_snapshot(snapshot);
        let follows = matches!(self.role, Role::Follower { .. } | Role::Unattached);
        if follows && !self.log.contains(id) {
            self.start_log_at(id, out);
        }
        if awaited {
            self.fetch(out);
        }
    }

    /// Replaces the whole log by a snapshot that it does not contain.
    fn start_log_at(&mut self, id: OffsetAndEpoch, out: &mut Vec<Output>) -> bool {
        if let Some(high_watermark) = self.high_watermark.filter(|&known| id.offset < known) {
            out.push(Output::Inconsistent(
                Inconsistency::SnapshotBelowHighWatermark {
                    snapshot: id,
                    high_watermark,
                },
            ));
            return false;
        }
        probe!("raft: a snapshot replaces the log");
        self.log.start_at(id);
        self.cap_flush(id.offset);
        out.push(Output::StartLogAt { snapshot: id });
        let snapshot = self.log.snapshot(id);
        self.configurations = Configurations::starting_at(snapshot, &self.config.voters);
        self.announce_configuration(out);
        self.raise_high_watermark(id.offset, out);
        true
    }
}
