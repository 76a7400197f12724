//! Carries out what the raft core says, output by output.

use broker_core::Ticket;
use broker_core::raft::{self, Input, Output, ReadRange, Request, Response, RoleName};
use broker_env::DiskError;
use broker_protocol::ids::{LeaderEpoch, NodeId, Offset};
use bytes::Bytes;

use super::{Committed, Event, FollowUp, Leadership, MetadataUpdate, Quorum, TimerName, batches};
use crate::core_steps::CoreStep;
use crate::observe::{Observation, QuorumRole};

/// Most bytes of one answer to a fetch of the metadata log, as in Kafka.
const FETCH_BYTES_MAX: usize = 8 * 1024 * 1024;

impl Quorum {
    pub(super) async fn step(&mut self, input: Input) -> Result<(), DiskError> {
        let outputs = self.take(input);
        self.carry_out(outputs, None).await
    }

    fn take(&mut self, input: Input) -> Vec<Output> {
        let recorded = self.observer.recorded(&input);
        let mut outputs = Vec::new();
        self.raft.step(input, &mut outputs);
        if let Some(input) = &recorded {
            self.observer.step(CoreStep::Quorum {
                input,
                outputs: &outputs,
                core: &self.raft,
            });
        }
        outputs
    }

    /// A peer's answer; of records and snapshots the core sees summaries, the bytes wait here.
    pub(super) async fn receive(
        &mut self,
        from: NodeId,
        request: Request,
        mut response: Response,
        bytes: Bytes,
    ) -> Result<(), DiskError> {
        if let Response::Fetch(fetch) = &mut response {
            match batches::summarize(&bytes) {
                Ok(batches) => fetch.batches = batches,
                Err(error) => {
                    tracing::warn!(%from, %error, "fetched metadata is damaged");
                    return self.step(Input::RequestFailed { to: from, request }).await;
                }
            }
        }
        let outputs = self.take(Input::Response {
            from,
            request,
            response,
        });
        self.carry_out(outputs, Some(bytes)).await
    }

    /// Does all of `outputs` before anything that follows from them: outputs of a later step must not
    /// overtake those of an earlier one.
    pub(super) async fn carry_out(
        &mut self,
        outputs: Vec<Output>,
        received: Option<Bytes>,
    ) -> Result<(), DiskError> {
        for output in outputs {
            self.carry_out_one(output, received.as_ref()).await?;
        }
        self.observer.step(CoreStep::QuorumSettled);
        while let Some(follow_up) = self.follow_ups.pop_front() {
            match follow_up {
                FollowUp::Persisted(id) => Box::pin(self.step(Input::Persisted(id))).await?,
                FollowUp::Committed => Box::pin(self.controller_committed()).await?,
                FollowUp::SnapshotDamaged(id) => {
                    Box::pin(self.step(Input::SnapshotDamaged { id })).await?;
                }
            }
        }
        Ok(())
    }

    async fn carry_out_one(
        &mut self,
        output: Output,
        received: Option<&Bytes>,
    ) -> Result<(), DiskError> {
        match output {
            Output::Send { to, request } => {
                self.observe_sent(&request);
                self.peers.send(to, request);
            }
            Output::Reply {
                ticket,
                response,
                read,
            } => self.reply(ticket, response, read)?,
            Output::Arm {
                timer,
                min_ms,
                max_ms,
            } => self.timers.arm(TimerName::Raft(timer), min_ms, max_ms),
            Output::Disarm(timer) => self.timers.disarm(&TimerName::Raft(timer)),
            Output::SaveQuorumState { id, state } => self.save_quorum_state(id, state).await?,
            Output::AppendRecords {
                ticket,
                base_offset,
                epoch,
            } => self.append_decided(ticket, base_offset, epoch)?,
            Output::RejectAppend { ticket, error } => self.append_rejected(ticket, error)?,
            Output::Truncate { end } => self.truncate(end).await?,
            Output::Flush { id, .. } => self.flush(id),
            Output::HighWatermark(offset) => self.high_watermark_moved(offset)?,
            Output::RoleChanged {
                epoch,
                role,
                leader,
                epoch_start_offset,
            } => {
                self.leader_epoch_start = epoch_start_offset;
                self.role_changed(epoch, role, leader)?;
            }
            Output::ConfigurationChanged {
                kraft_version,
                voters,
            } => self.configuration_changed(kraft_version, &voters),
            Output::KraftVersion { ticket, result } => {
                self.kraft_decision = Some((ticket, result.map(drop)));
            }
            Output::Inconsistent(evidence) => {
                panic!(
                    "the metadata quorum of node {} is inconsistent: {evidence:?}",
                    self.node
                )
            }
            Output::ShutdownComplete => self.stopped = true,
            to_disk => self.carry_out_on_disk(to_disk, received).await?,
        }
        Ok(())
    }

    /// Appends of the core's own, and snapshots.
    async fn carry_out_on_disk(
        &mut self,
        output: Output,
        received: Option<&Bytes>,
    ) -> Result<(), DiskError> {
        let now = self.env.clock.wall();
        match output {
            Output::AppendLeaderChange {
                base_offset,
                epoch,
                voters,
                granting_voters,
                change,
            } => {
                let leader_change = batches::leader_change(self.node, &voters, &granting_voters);
                let change = change.as_ref();
                let bytes =
                    batches::leader_change_batch(&leader_change, change, base_offset, epoch, now);
                self.append_to_log(&bytes)
            }
            Output::AppendChange {
                base_offset,
                epoch,
                change,
            } => self.append_to_log(&batches::change_batch(&change, base_offset, epoch, now)),
            Output::AppendFetched { batches } => {
                let records =
                    received.expect("the core appends fetched batches only on a fetch response");
                self.append_to_log(&batches::prefix(records, batches.len()))
            }
            Output::WriteSnapshot {
                id,
                kraft_version,
                voters,
            } => {
                self.write_snapshot(id, kraft_version, voters.as_ref());
                Ok(())
            }
            Output::AppendChunk { id, position } => {
                let chunk = received.expect("the core takes a chunk only from its response");
                let id = super::snapshots::storage_id(id);
                self.snapshots.append_chunk(id, position, chunk)
            }
            Output::FinishSnapshot { id } => self.finish_snapshot(id),
            Output::StartLogAt { snapshot } => self.start_log_at(snapshot).await,
            Output::RaiseLogStart { snapshot } => self.raise_log_start(snapshot),
            other => panic!("not carried out: {other:?}"),
        }
    }

    async fn save_quorum_state(
        &mut self,
        id: broker_core::PersistId,
        state: raft::QuorumState,
    ) -> Result<(), DiskError> {
        let configuration = self.raft.configuration();
        self.log
            .save_quorum_state(state, configuration.kraft_version, &configuration.voters)
            .await?;
        self.observer.observe(|| Observation::QuorumStateSaved {
            epoch: state.epoch,
            leader: state.leader,
            voted: state.voted.map(|voted| voted.id),
        });
        self.follow_ups.push_back(FollowUp::Persisted(id));
        Ok(())
    }

    async fn truncate(&mut self, end: Offset) -> Result<(), DiskError> {
        assert!(
            end >= self.high_watermark,
            "metadata log of node {} truncated to {end} below its high watermark {}",
            self.node,
            self.high_watermark
        );
        // Also when it fails: it may then be done in part.
        self.observer
            .observe(|| Observation::MetadataTruncated { log_end: end });
        if let Some(end) = self.log.truncate(end).await? {
            self.observer
                .observe(|| Observation::MetadataFlushed { end });
        }
        Ok(())
    }

    fn reply(
        &mut self,
        ticket: Ticket,
        mut response: Response,
        read: Option<ReadRange>,
    ) -> Result<(), DiskError> {
        let asked = self
            .requests
            .remove(&ticket)
            .expect("the core answers each ticket once");
        let bytes = match (read, &mut response) {
            (Some(range), _) => self.log.read(range.from, range.to, FETCH_BYTES_MAX)?,
            (None, Response::FetchSnapshot(answer)) => self.chunk(answer, asked.chunk_bytes_max)?,
            (None, _) => Bytes::new(),
        };
        if let (Response::Vote(answer), Some((epoch, candidate))) = (&response, asked.vote)
            && answer.vote_granted
        {
            self.observer
                .observe(|| Observation::VoteGranted { epoch, candidate });
        }
        let _peer_may_have_left = asked.reply.send((response, bytes));
        Ok(())
    }

    fn chunk(
        &self,
        answer: &mut raft::FetchSnapshotResponse,
        bytes_max: usize,
    ) -> Result<Bytes, DiskError> {
        if answer.error != raft::Error::None {
            return Ok(Bytes::new());
        }
        let id = super::snapshots::storage_id(answer.snapshot);
        let bytes_max = bytes_max.min(FETCH_BYTES_MAX);
        let chunk = self.snapshots.chunk(id, answer.position, bytes_max)?;
        Ok(chunk.unwrap_or_else(|| {
            answer.error = raft::Error::SnapshotNotFound;
            Bytes::new()
        }))
    }

    pub(super) fn append_to_log(&mut self, bytes: &Bytes) -> Result<(), DiskError> {
        let batches = self.log.append(bytes)?;
        for batch in batches {
            self.observer
                .observe(|| Observation::MetadataAppended { batch });
        }
        Ok(())
    }

    /// Syncs beside the task; the core waits for `Persisted`.
    fn flush(&mut self, id: broker_core::PersistId) {
        let Some(job) = self.log.start_flush() else {
            self.follow_ups.push_back(FollowUp::Persisted(id));
            return;
        };
        let events = self.handle.events.clone();
        self.env.spawn("metadata flush", async move {
            let done = job.run().await;
            let _member_has_stopped = events.send(Event::Flushed(id, done));
        });
    }

    fn high_watermark_moved(&mut self, offset: Offset) -> Result<(), DiskError> {
        self.high_watermark = offset;
        // As told so far: a leader that commits its own removal has resigned within the same step.
        let (epoch, leader) = (self.raft.epoch(), self.leader_epoch_start.is_some());
        self.observer
            .observe(|| Observation::MetadataHighWatermark {
                high_watermark: offset,
                epoch,
                leader,
            });
        self.publish_committed()?;
        self.follow_ups.push_back(FollowUp::Committed);
        Ok(())
    }

    /// Hands committed batches on, each once and in order.
    fn publish_committed(&mut self) -> Result<(), DiskError> {
        while self.published_end < self.high_watermark {
            let bytes = self
                .log
                .read(self.published_end, self.high_watermark, FETCH_BYTES_MAX)?;
            let decoded = self.log.decode(&bytes)?;
            assert!(
                !decoded.is_empty(),
                "no batch at {} below the high watermark",
                self.published_end
            );
            for batch in decoded {
                self.published_end = batch.end;
                self.controller_replay(&batch);
                let committed = Committed {
                    records: batch.records,
                    end: batch.end,
                    epoch: batch.epoch,
                    bytes: batch.bytes,
                    timestamp: batch.timestamp,
                    high_watermark: self.high_watermark,
                };
                let update = MetadataUpdate::Records(committed);
                let _broker_has_stopped = self.committed.send(update);
            }
        }
        Ok(())
    }

    fn role_changed(
        &mut self,
        epoch: LeaderEpoch,
        role: RoleName,
        leader: Option<NodeId>,
    ) -> Result<(), DiskError> {
        tracing::info!(node = %self.node, %epoch, ?role, ?leader, "quorum role");
        self.observer.observe(|| Observation::QuorumRole {
            epoch,
            role: observed_role(role),
            leader,
            voters: self.raft.voters().iter().map(|voter| voter.id).collect(),
        });
        self.fetches.clear();
        if role != RoleName::Leader {
            self.deactivate(epoch)?;
        }
        self.publish_leadership(leader, epoch);
        Ok(())
    }

    pub(super) fn publish_leadership(&self, leader: Option<NodeId>, epoch: LeaderEpoch) {
        let active_here = self
            .controller
            .as_ref()
            .is_some_and(super::Controller::is_active);
        self.handle.status.set(Leadership {
            leader,
            epoch,
            active_here,
        });
    }

    fn observe_sent(&self, request: &Request) {
        if let Request::Fetch(fetch) = request {
            self.observer.observe(|| Observation::MetadataCounted {
                voter: self.node,
                end: fetch.fetch_offset,
                epoch: fetch.current_leader_epoch,
            });
        }
    }
}

fn observed_role(role: RoleName) -> QuorumRole {
    match role {
        RoleName::Unattached => QuorumRole::Unattached,
        RoleName::Prospective => QuorumRole::Prospective,
        RoleName::Candidate => QuorumRole::Candidate,
        RoleName::Follower => QuorumRole::Follower,
        RoleName::Leader => QuorumRole::Leader,
        RoleName::Resigned => QuorumRole::Resigned,
    }
}
