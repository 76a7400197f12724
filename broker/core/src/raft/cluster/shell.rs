//! The shell around each core: executes its outputs one after another, as the server does.

use broker_protocol::ids::{NodeId, Offset};

use super::disk::{to_index, to_offset};
use super::{Cluster, Entry, Envelope, Watch};
use crate::Ticket;
use crate::raft::invariants::{self, Violation};
use crate::raft::{
    BatchSummary, Error, Input, OffsetAndEpoch, Output, ReadRange, Request, Response, VoterSet,
};

impl Cluster {
    pub(super) fn step(&mut self, id: NodeId, input: Input, entries: &[Entry], watch: Watch<'_>) {
        let mut out = Vec::new();
        let raft = self
            .node_mut(id)
            .raft
            .as_mut()
            .expect("only a running node gets input");
        raft.step(input, &mut out);
        self.execute(id, out, entries, watch);
    }

    /// The shell: executes outputs in order. `entries` came with the fetch response that was the input.
    pub(super) fn execute(
        &mut self,
        id: NodeId,
        out: Vec<Output>,
        entries: &[Entry],
        watch: Watch<'_>,
    ) {
        for output in out {
            watch(id, &output);
            self.check_released(id, &output);
            self.execute_one(id, output, entries);
        }
        self.finish_instantly(id, watch);
    }

    fn execute_one(&mut self, node_id: NodeId, output: Output, entries: &[Entry]) {
        let node = self.node_mut(node_id);
        match output {
            Output::Send { to, request } => {
                self.network.insert(Envelope::Request {
                    to,
                    from: Some(node_id),
                    request,
                });
            }
            Output::Reply {
                ticket,
                response,
                read,
            } => self.reply(node_id, ticket, response, read),
            Output::Arm { timer, .. } => {
                node.timers.insert(timer);
            }
            Output::Disarm(timer) => {
                node.timers.remove(&timer);
            }
            Output::SaveQuorumState { id, state } => node.disk.save(id, state),
            Output::AppendLeaderChange {
                base_offset,
                epoch,
                change,
                ..
            } => node.disk.append_control(base_offset, epoch, 1, change),
            Output::AppendChange {
                base_offset,
                epoch,
                change,
            } => node
                .disk
                .append_control(base_offset, epoch, 0, Some(change)),
            Output::AppendRecords {
                ticket,
                base_offset,
                epoch,
            } => {
                node.disk.append(base_offset, epoch, ticket.0);
            }
            Output::AppendFetched { batches } => node.disk.append_fetched(&batches, entries),
            Output::Truncate { end } => node.disk.truncate(end),
            Output::Flush { id, end } => node.disk.flush(id, end),
            Output::WriteSnapshot {
                id,
                kraft_version,
                voters,
            } => self.write_snapshot(node_id, id, (kraft_version, voters)),
            Output::AppendChunk { id, position } => {
                node.disk.snapshots.append_chunk(id, position, entries);
            }
            Output::FinishSnapshot { id } => node.disk.snapshots.finish(id),
            Output::StartLogAt { snapshot } => node.disk.start_log_at(snapshot),
            Output::RaiseLogStart { snapshot } => node.disk.raise_log_start(snapshot),
            Output::Inconsistent(what) => {
                let detail = format!("node {node_id} sees {what:?}");
                self.violation.get_or_insert(Violation {
                    invariant: "RAFT-1",
                    detail,
                });
            }
            Output::RejectAppend { .. }
            | Output::HighWatermark(_)
            | Output::RoleChanged { .. }
            | Output::ConfigurationChanged { .. }
            | Output::KraftVersion { .. }
            | Output::ShutdownComplete => {}
        }
    }

    fn reply(
        &mut self,
        id: NodeId,
        ticket: Ticket,
        mut response: Response,
        read: Option<ReadRange>,
    ) {
        let node = self.node_mut(id);
        let (asker, request) = node.asked.remove(&ticket).expect("answered exactly once");
        let mut entries = read.map_or(Vec::new(), |range| node.disk.read(range));
        if let (Response::Fetch(fetch), Some(range)) = (&mut response, read) {
            fetch.batches = batches(range.from, &entries);
        }
        if let (Response::FetchSnapshot(chunk), Request::FetchSnapshot(asked)) =
            (&mut response, &request)
            && chunk.error == Error::None
        {
            let snapshots = &node.disk.snapshots;
            entries = snapshots.chunk(chunk.snapshot, chunk.position, asked.max_bytes);
            chunk.chunk_bytes = to_offset(entries.len());
        }
        if let Some(to) = asker {
            self.network.insert(Envelope::Response {
                to,
                from: id,
                request,
                response,
                entries,
            });
        }
    }

    /// The state machine writes what it has applied; the core names it and knows the voters.
    fn write_snapshot(
        &mut self,
        id: NodeId,
        snapshot: OffsetAndEpoch,
        said: (i16, Option<VoterSet>),
    ) {
        let disk = &mut self.node_mut(id).disk;
        let applied = disk.snapshots.applied.expect("snapshots are asked for");
        let content = disk.log().entries[..to_index(applied)].to_vec();
        disk.snapshots.write(snapshot, content);
        let replayed = disk.snapshots.written_configuration();
        if replayed != said {
            let detail = format!("snapshot {snapshot} of node {id} says {said:?}");
            self.violation.get_or_insert(Violation {
                invariant: "RAFT-6",
                detail,
            });
        }
    }

    fn finish_instantly(&mut self, id: NodeId, watch: Watch<'_>) {
        let disk = &self.node(id).disk;
        if self.shape.instant_saves && disk.is_saving() {
            let done = self.node_mut(id).disk.finish_save();
            self.step(id, Input::Persisted(done), &[], watch);
        } else if self.shape.instant_flushes && disk.is_flushing() {
            let done = self.node_mut(id).disk.finish_flush();
            self.step(id, Input::Persisted(done), &[], watch);
        } else if self.shape.instant_flushes
            && (disk.snapshots.is_writing() || disk.snapshots.is_finishing())
        {
            self.finish_snapshot(id, watch);
        }
    }

    fn check_released(&mut self, id: NodeId, output: &Output) {
        let node = &self.nodes[&id];
        let asked = match output {
            Output::Reply { ticket, .. } => node.asked.get(ticket).map(|(_, request)| request),
            _ => None,
        };
        let (state, end) = (node.disk.saved(), node.disk.durable_end());
        if let Err(violation) = invariants::check_released(node.key, state, end, output, asked) {
            self.violation.get_or_insert(violation);
        }
    }
}

/// What a follower's shell reads off the records that arrived.
fn batches(base: Offset, entries: &[Entry]) -> Vec<BatchSummary> {
    let mut batches: Vec<BatchSummary> = Vec::new();
    for (offset, entry) in (base..).zip(entries) {
        match batches.last_mut() {
            Some(batch) if entry.continues => batch.last_offset = offset,
            _ => batches.push(BatchSummary {
                base_offset: offset,
                last_offset: offset,
                epoch: entry.epoch,
                change: entry.change.as_deref().cloned(),
            }),
        }
    }
    batches
}
