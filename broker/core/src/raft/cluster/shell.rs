//! The shell around each core: executes its outputs one after another, as the server does.

use broker_protocol::ids::{NodeId, Offset};

use super::{Cluster, Entry, Envelope, Watch};
use crate::raft::invariants::{self, Violation};
use crate::raft::{BatchSummary, Input, Output, Response};

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

    fn execute_one(&mut self, id: NodeId, output: Output, entries: &[Entry]) {
        let node = self.node_mut(id);
        match output {
            Output::Send { to, request } => {
                self.network.insert(Envelope::Request {
                    to,
                    from: Some(id),
                    request,
                });
            }
            Output::Reply {
                ticket,
                mut response,
                read,
            } => {
                let (asker, request) = node.asked.remove(&ticket).expect("answered exactly once");
                let entries = read.map_or(Vec::new(), |range| node.disk.read(range));
                if let (Response::Fetch(fetch), Some(range)) = (&mut response, read) {
                    fetch.batches = batches(range.from, &entries);
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
            Output::Arm { timer, .. } => {
                node.timers.insert(timer);
            }
            Output::Disarm(timer) => {
                node.timers.remove(&timer);
            }
            Output::SaveQuorumState { id, state } => node.disk.save(id, state),
            Output::AppendLeaderChange {
                base_offset, epoch, ..
            } => node.disk.append(base_offset, epoch, 1),
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
            Output::Inconsistent(what) => {
                let detail = format!("node {id} sees {what:?}");
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
            | Output::AppendChange { .. }
            | Output::WriteSnapshot { .. }
            | Output::AppendChunk { .. }
            | Output::FinishSnapshot { .. }
            | Output::StartLogAt { .. }
            | Output::RaiseLogStart { .. }
            | Output::ShutdownComplete => {}
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

/// What a follower's shell reads off the records that arrived: one batch per offset is the simplest.
fn batches(base: Offset, entries: &[Entry]) -> Vec<BatchSummary> {
    let summary = |(offset, entry): (Offset, &Entry)| BatchSummary {
        base_offset: offset,
        last_offset: offset,
        epoch: entry.epoch,
        change: None,
    };
    (base..).zip(entries).map(summary).collect()
}
