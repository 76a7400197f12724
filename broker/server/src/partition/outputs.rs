//! Carries out what the replica core says, in order, under the partition's lock.

use std::sync::Arc;

use broker_core::replica::{Input, Output, Reply};
use broker_protocol::ErrorCode;
use broker_protocol::ids::NodeId;
use broker_storage::{BatchInfo, LogError};
use bytes::Bytes;

use super::producers::with_markers;
use super::{Inner, Partition, PartitionEvent, Payload, fetch};
use crate::internal_topics::is_internal;
use crate::observe::{AppendRole, BatchSummary, Observation};

impl Partition {
    pub(super) fn step_locked(self: &Arc<Self>, inner: &mut Inner, input: Input, payload: Payload) {
        let mut outputs = std::mem::take(&mut inner.outputs);
        inner.take(self, input, &mut outputs);
        let mut payload = payload;
        for output in outputs.drain(..) {
            if let Err(error) = self.carry_out(inner, output, &mut payload) {
                self.fail(inner, &error);
                break;
            }
        }
        outputs.clear();
        inner.outputs = outputs;
    }

    fn carry_out(
        self: &Arc<Self>,
        inner: &mut Inner,
        output: Output,
        payload: &mut Payload,
    ) -> Result<(), LogError> {
        match output {
            Output::Append {
                base_offset, epoch, ..
            } => {
                let Payload::Produce(batch) = std::mem::replace(payload, Payload::None) else {
                    panic!(
                        "{}: the core appends at {base_offset} without a produce request",
                        self.name
                    );
                };
                let (bytes, info) = batch.place(base_offset, epoch);
                let now = self.context.env.clock.wall().0;
                let appended = inner.log().append(&bytes, &[info], now)?;
                self.note_producers(inner, &bytes, &[info], &appended.rolled)?;
                self.observe_appended(&bytes, &[info], AppendRole::Leader, epoch);
                inner.log_end_waiters.wake_all();
            }
            Output::AppendFetched { .. } => self.append_fetched(inner, payload)?,
            Output::Truncate { to } => self.truncate(inner, to)?,
            Output::TruncateFully { at } => self.restart_at(inner, at)?,
            Output::AdvanceLogStart { to } => {
                inner.log().advance_log_start(to)?;
                inner.producers.log_start_advanced(to);
                self.observe(|| Observation::LogStartAdvanced {
                    partition: self.id,
                    log_start: to,
                });
            }
            Output::Flush { id, .. } => self.flush_for_core(inner, id),
            Output::HighWatermark { high_watermark } => {
                inner.producers.high_watermark_advanced(high_watermark);
                self.observe_high_watermark(inner, high_watermark);
                inner.high_watermark_waiters.wake_all();
            }
            Output::Reply { ticket, reply } => self.reply(inner, ticket, reply),
            Output::BecameLeader { epoch, epoch_start } => {
                if inner.log().log_end() < epoch_start {
                    // Was about to begin below its start, with a batch that the leader before it had.
                    self.restart_at(inner, epoch_start)?;
                }
                self.became_leader(inner, epoch, epoch_start);
            }
            Output::BecameFollower { epoch, leader } => {
                self.observe(|| Observation::BecameFollower {
                    partition: self.id,
                    epoch,
                    leader,
                    partition_epoch: inner.core.partition_epoch(),
                });
                inner.log_end_waiters.wake_all();
                inner.high_watermark_waiters.wake_all();
                self.resign(Some(epoch));
            }
            Output::FollowerCounted { follower, log_end } => {
                let epoch = inner.core.leader_epoch();
                self.observe(|| Observation::FollowerCounted {
                    partition: self.id,
                    follower,
                    log_end,
                    epoch,
                });
            }
            Output::IsrChanged => self.observe(|| Observation::IsrChanged {
                partition: self.id,
                committed: inner.core.committed_isr().into_iter().collect(),
                maximal: inner.core.maximal_isr().into_iter().collect(),
                epoch: inner.core.leader_epoch(),
                partition_epoch: inner.core.partition_epoch(),
            }),
            Output::AlterPartition {
                request,
                leader_epoch,
                partition_epoch,
                isr,
            } => {
                let partition = self.id;
                self.send(PartitionEvent::AlterPartition {
                    partition,
                    request,
                    leader_epoch,
                    partition_epoch,
                    isr,
                });
            }
            Output::FetchReady => {
                let leader = inner.core.current_leader();
                if leader != NodeId::NONE {
                    self.send(PartitionEvent::FetchReady {
                        partition: self.id,
                        leader,
                    });
                }
            }
            Output::QueryLeaderOffsets {
                leader,
                leader_epoch,
            } => {
                self.send(PartitionEvent::QueryLeaderOffsets {
                    partition: self.id,
                    leader,
                    leader_epoch,
                });
            }
            Output::Arm(timer) => self.send(PartitionEvent::Arm {
                partition: self.id,
                timer,
            }),
        }
        Ok(())
    }

    pub(super) fn carry_out_checked(self: &Arc<Self>, inner: &mut Inner, output: Output) {
        if let Err(error) = self.carry_out(inner, output, &mut Payload::None) {
            self.fail(inner, &error);
        }
    }

    fn append_fetched(
        self: &Arc<Self>,
        inner: &mut Inner,
        payload: &mut Payload,
    ) -> Result<(), LogError> {
        let Payload::Fetched(bytes) = std::mem::replace(payload, Payload::None) else {
            panic!(
                "{}: the core appends fetched batches without a fetch response",
                self.name
            );
        };
        let batches = fetch::infos(&bytes);
        let now = self.context.env.clock.wall().0;
        let appended = inner.log().append(&bytes, &batches, now)?;
        self.note_producers(inner, &bytes, &batches, &appended.rolled)?;
        let epoch = inner.core.leader_epoch();
        self.observe_appended(&bytes, &batches, AppendRole::Follower, epoch);
        Ok(())
    }

    fn truncate(self: &Arc<Self>, inner: &mut Inner, to: i64) -> Result<(), LogError> {
        let truncated = inner.log().truncate_to(to);
        // Also when it failed: it may be done in part.
        let log_end = inner.log().log_end().min(to);
        self.observe(|| Observation::Truncated {
            partition: self.id,
            log_end,
        });
        let job = truncated?;
        if let Some(job) = job {
            self.run_truncation(job);
            self.reload_producers(inner)?;
        }
        let mut outputs = Vec::new();
        inner.take(self, Input::Truncated { log_end }, &mut outputs);
        for output in outputs {
            self.carry_out(inner, output, &mut Payload::None)?;
        }
        Ok(())
    }

    fn became_leader(
        &self,
        inner: &mut Inner,
        epoch: broker_protocol::ids::LeaderEpoch,
        epoch_start: i64,
    ) {
        tracing::info!(node = %self.context.node, partition = %self.name, %epoch, epoch_start, "leader");
        self.observe(|| Observation::BecameLeader {
            partition: self.id,
            epoch,
            epoch_start,
            isr: inner.core.committed_isr().into_iter().collect(),
            partition_epoch: inner.core.partition_epoch(),
        });
        inner.log_end_waiters.wake_all();
        inner.high_watermark_waiters.wake_all();
        // Whoever it was fetched from is asked no more.
        self.send(PartitionEvent::FetchReady {
            partition: self.id,
            leader: self.context.node,
        });
        if is_internal(&self.name.topic) {
            self.send(PartitionEvent::Elected {
                partition: self.id,
                topic: self.name.topic.clone(),
                epoch,
            });
        }
    }

    fn reply(&self, inner: &mut Inner, ticket: broker_core::Ticket, reply: Reply) {
        match reply {
            Reply::Produced(result) => {
                let Some(produce) = inner.produces.remove(&ticket) else {
                    return;
                };
                if let Ok(produced) = &result {
                    self.observe(|| Observation::ProduceAcknowledged {
                        partition: self.id,
                        base_offset: produced.base_offset,
                        last_offset: produced.base_offset + produce.records - 1,
                        acks: produce.acks,
                    });
                }
                let _client_may_have_left = produce.reply.send(result);
            }
            // Answered in place, see `fetch`.
            Reply::FollowerFetched(_) | Reply::RecordsDeleted(_) => {
                panic!("{}: ticket {ticket:?} was answered twice", self.name)
            }
        }
    }

    /// A log that failed takes nothing more: the replica goes offline and so does its directory.
    pub(super) fn fail(&self, inner: &mut Inner, error: &LogError) {
        tracing::error!(node = %self.context.node, partition = %self.name, %error, "log failed");
        let mut outputs = Vec::new();
        inner.take(
            self,
            Input::Stop(ErrorCode::KafkaStorageError),
            &mut outputs,
        );
        for output in outputs {
            if let Output::Reply { ticket, reply } = output {
                self.reply(inner, ticket, reply);
            }
        }
        inner.log_end_waiters.wake_all();
        inner.high_watermark_waiters.wake_all();
        self.resign(None);
        match error {
            LogError::Disk(error) | LogError::Offline(error) => {
                self.send(PartitionEvent::DirectoryFailed {
                    directory: self.directory,
                    error: error.clone(),
                });
            }
            LogError::Corrupt(_) => {
                let (partition, directory) = (self.id, broker_core::metadata::directory::LOST);
                self.send(PartitionEvent::AssignDirectory {
                    partition,
                    directory,
                });
            }
            LogError::LostBelowRecoveryPoint { .. } | LogError::Deleted => {}
            LogError::TruncationPending
            | LogError::OutOfRange { .. }
            | LogError::OutOfOrder { .. }
            | LogError::EpochRegressed { .. } => {
                panic!(
                    "{}: the log refuses what the core decided: {error}",
                    self.name
                )
            }
        }
    }

    fn observe_appended(
        &self,
        bytes: &Bytes,
        batches: &[BatchInfo],
        role: AppendRole,
        epoch: broker_protocol::ids::LeaderEpoch,
    ) {
        if !self.context.observer.is_listening() {
            return;
        }
        for (info, marker) in with_markers(bytes, batches) {
            self.observe(|| Observation::Appended {
                partition: self.id,
                batch: BatchSummary::of(info, marker),
                role,
                epoch,
            });
        }
    }

    fn observe_high_watermark(&self, inner: &Inner, high_watermark: i64) {
        self.observe(|| Observation::HighWatermark {
            partition: self.id,
            high_watermark,
            epoch: inner.core.leader_epoch(),
            leader: inner.core.is_leader(),
            maximal_isr: inner.core.maximal_isr().into_iter().collect(),
            min_insync_replicas: inner.config.min_insync_replicas,
        });
    }
}
