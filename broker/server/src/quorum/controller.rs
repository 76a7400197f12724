//! The controller on this node: runs the metadata core while the node leads, follows by replay otherwise.
//!
//! Records are applied when they are appended and answers leave when they are committed. When leadership
//! is lost the image, which is ahead of what is committed, is dropped and rebuilt from the log (M-10).

use std::collections::{BTreeMap, VecDeque};

use broker_core::Ticket;
use broker_core::metadata::{
    self, Input, MetadataImage, MetadataVersion, Output, Record, Replay, Reply, Soft,
};
use broker_core::raft;
use broker_env::DiskError;
use broker_probe::mutant;
use broker_protocol::ids::{LeaderEpoch, NodeId, Offset};
use bytes::Bytes;
use tokio::sync::oneshot;

use super::log::DecodedBatch;
use super::{ControllerInput, NotController, Quorum, TimerName};
use crate::features;
use crate::observe::Observation;

type ReplySender = oneshot::Sender<Result<Reply, NotController>>;

pub struct Controller {
    config: metadata::ControllerConfig,
    bootstrap: Vec<Record>,
    no_op_interval_ms: u64,
    /// Standby: what is committed. Active: everything appended.
    image: MetadataImage,
    replay: Replay,
    active: Option<Active>,
}

struct Active {
    epoch: LeaderEpoch,
    soft: Soft,
    waiting: BTreeMap<Ticket, ReplySender>,
    /// Answers, each with the offset that must be committed first; ascending.
    parked: VecDeque<(Offset, Ticket, Reply)>,
    /// The batch the raft core is being asked to append.
    appending: Option<(Ticket, Vec<Record>)>,
}

impl Controller {
    pub fn new(
        config: metadata::ControllerConfig,
        bootstrap: Vec<Record>,
        no_op_interval_ms: u64,
    ) -> Controller {
        Controller {
            config,
            bootstrap,
            no_op_interval_ms,
            image: MetadataImage::default(),
            replay: Replay::default(),
            active: None,
        }
    }

    pub fn is_active(&self) -> bool {
        self.active.is_some()
    }

    fn apply(&mut self, records: &[Record]) {
        let complete = self.replay.read(records);
        complete.iter().for_each(|record| self.image.apply(record));
    }

    /// Who must be registered before a feature changes.
    pub fn set_voters(&mut self, voters: Vec<NodeId>) {
        if let Some(active) = &mut self.active {
            active.soft.config.voters = voters.iter().copied().collect();
        }
        self.config.voters = voters.into_iter().collect();
    }
}

impl Quorum {
    pub(super) async fn controller_request(
        &mut self,
        input: ControllerInput,
        reply: ReplySender,
    ) -> Result<(), DiskError> {
        let ticket = self.ticket();
        let next_offset = self.log.end();
        let Some(active) = self
            .controller
            .as_mut()
            .and_then(|controller| controller.active.as_mut())
        else {
            let _nobody_waits = reply.send(Err(NotController));
            return Ok(());
        };
        active.waiting.insert(ticket, reply);
        let input = self.complete(input(ticket, next_offset)).await?;
        self.decide(input).await
    }

    /// Runs the metadata core; a no-op unless this node is the active controller.
    pub(super) async fn decide(&mut self, input: Input) -> Result<(), DiskError> {
        let Some(controller) = &mut self.controller else {
            return Ok(());
        };
        let Some(active) = &mut controller.active else {
            return Ok(());
        };
        let mut outputs = Vec::new();
        metadata::decide(&controller.image, &mut active.soft, input, &mut outputs);
        for output in outputs {
            match output {
                Output::Records(records) => self.append_records(records).await?,
                Output::Reply(ticket, reply) => self.park(ticket, reply),
                Output::UpgradeKraftVersion(version) => {
                    self.finalize_kraft_version(version).await?;
                }
                Output::ArmSession { broker, after_ms } => {
                    self.timers
                        .arm(TimerName::Session(broker), after_ms, after_ms);
                }
                Output::DisarmSession { broker } => self.timers.disarm(&TimerName::Session(broker)),
                Output::ArmLeaderBalance { after_ms } => {
                    self.timers
                        .arm(TimerName::LeaderBalance, after_ms, after_ms);
                }
                Output::ArmUncleanElection { after_ms } => {
                    self.timers
                        .arm(TimerName::UncleanElection, after_ms, after_ms);
                }
            }
        }
        self.release_committed();
        Ok(())
    }

    async fn append_records(&mut self, records: Vec<Record>) -> Result<(), DiskError> {
        let ticket = self.ticket();
        let count = u32::try_from(records.len()).expect("a batch of records fits a u32");
        let Some(controller) = &self.controller else {
            return Ok(());
        };
        let Some(active) = &controller.active else {
            return Ok(());
        };
        let (epoch, most) = (active.epoch, active.soft.config.batch_records_max);
        // As Kafka's: whatever is larger was to be split when it was made (KAFKA-14204).
        let splits = controller.image.metadata_version().has_transactions();
        assert!(
            records.len() <= most || !splits,
            "the controller of epoch {epoch} was to append {} records at once, at most {most}",
            records.len()
        );
        let Some(active) = self.active() else {
            return Ok(());
        };
        active.appending = Some((ticket, records));
        Box::pin(self.step(raft::Input::Append {
            ticket,
            epoch,
            records: count,
        }))
        .await
    }

    /// The raft core took the batch: it goes to the log and to the image.
    pub(super) fn append_decided(
        &mut self,
        ticket: Ticket,
        base_offset: Offset,
        epoch: LeaderEpoch,
    ) -> Result<(), DiskError> {
        let appending = self.active().and_then(|active| active.appending.take());
        let Some((expected, records)) = appending else {
            panic!("raft appends ticket {ticket:?} at {base_offset}, but nothing was handed in");
        };
        assert_eq!(
            expected, ticket,
            "raft appends another batch than the one handed in"
        );
        let now = self.env.clock.wall();
        let image = self.controller.as_ref().map(|controller| &controller.image);
        let version = image.map_or(MetadataVersion::LATEST, MetadataImage::metadata_version);
        let bytes: Bytes = super::batches::record_batch(&records, base_offset, epoch, now, version);
        self.append_to_log(&bytes)?;
        if let Some(controller) = &mut self.controller {
            controller.apply(&records);
        }
        Ok(())
    }

    pub(super) fn append_rejected(
        &mut self,
        ticket: Ticket,
        error: raft::Error,
    ) -> Result<(), DiskError> {
        tracing::warn!(node = %self.node, ?ticket, ?error, "the quorum refused the controller's batch");
        if let Some(active) = self.active() {
            active.appending = None;
        }
        self.deactivate(self.raft.epoch())
    }

    fn park(&mut self, ticket: Ticket, reply: Reply) {
        let end = self.log.end();
        if let Some(active) = self.active() {
            active.parked.push_back((end, ticket, reply));
        }
    }

    /// Called when the high watermark moved: activates a new leader, releases answers.
    pub(super) async fn controller_committed(&mut self) -> Result<(), DiskError> {
        self.release_committed();
        let standby = self
            .controller
            .as_ref()
            .is_some_and(|controller| !controller.is_active());
        let epoch_start = self.leader_epoch_start.filter(|_| self.leads());
        match epoch_start {
            Some(start) if standby && self.published_end > start => self.activate().await,
            _ => Ok(()),
        }
    }

    async fn activate(&mut self) -> Result<(), DiskError> {
        let epoch = self.raft.epoch();
        assert_eq!(
            self.published_end,
            self.log.end(),
            "a new leader's controller must have applied its whole log before it acts"
        );
        let Some(controller) = &mut self.controller else {
            return Ok(());
        };
        if let Err(error) =
            features::check(&controller.config.supported_features, &controller.image)
        {
            // The publisher ends the node for it: it must decide nothing before.
            tracing::error!(node = %self.node, %error, "not the active controller");
            return Ok(());
        }
        controller.active = Some(Active {
            epoch,
            soft: Soft::new(controller.config.clone()),
            waiting: BTreeMap::new(),
            parked: VecDeque::new(),
            appending: None,
        });
        let bootstrap = controller.bootstrap.clone();
        let left_open = controller.replay.is_open();
        let no_op_interval_ms = controller.no_op_interval_ms;
        let applied_end = self.published_end;
        tracing::info!(node = %self.node, %epoch, applied_end, "active controller");
        self.observer
            .observe(|| Observation::ControllerActive { epoch, applied_end });
        self.arm_no_op(no_op_interval_ms);
        if left_open {
            self.decide(Input::TransactionLeftOpen).await?;
        }
        self.decide(Input::Activated { bootstrap }).await?;
        self.publish_leadership(Some(self.node), epoch);
        Ok(())
    }

    /// Leadership is gone: fail who waits, drop what is not committed.
    pub(super) fn deactivate(&mut self, epoch: LeaderEpoch) -> Result<(), DiskError> {
        let Some(controller) = &mut self.controller else {
            return Ok(());
        };
        let Some(active) = controller.active.take() else {
            return Ok(());
        };
        for (_, waiting) in active.waiting {
            let _nobody_waits = waiting.send(Err(NotController));
        }
        self.timers
            .retain(|name| matches!(name, TimerName::Raft(_) | TimerName::Retention));
        self.observer
            .observe(|| Observation::ControllerInactive { epoch });
        if mutant!(M_10) {
            return Ok(());
        }
        self.rebuild_image()
    }

    fn rebuild_image(&mut self) -> Result<(), DiskError> {
        let mut replay = Replay::default();
        let (mut image, mut from) = match self.snapshots.latest_up_to(self.published_end) {
            Some(id) => (self.snapshots.load(id)?.image, id.end_offset),
            None => (MetadataImage::default(), self.log.start()),
        };
        while from < self.published_end {
            let batches = self.log.read_decoded(from, self.published_end)?;
            assert!(
                !batches.is_empty(),
                "no metadata batch at {from} below {}",
                self.published_end
            );
            for batch in batches {
                let complete = replay.read(&batch.records);
                complete.iter().for_each(|record| image.apply(record));
                from = batch.end;
            }
        }
        if let Some(controller) = &mut self.controller {
            controller.image = image;
            controller.replay = replay;
        }
        Ok(())
    }

    /// A snapshot replaces what this node knew.
    pub(super) fn controller_load(&mut self, image: &MetadataImage) {
        if let Some(controller) = &mut self.controller {
            assert!(
                controller.active.is_none(),
                "the active controller's log is replaced by a snapshot"
            );
            controller.image = image.clone();
            controller.replay = Replay::default();
        }
    }

    /// A standby controller follows by replay; an active one is ahead.
    pub(super) fn controller_replay(&mut self, batch: &DecodedBatch) {
        if let Some(controller) = &mut self.controller
            && controller.active.is_none()
        {
            controller.apply(&batch.records);
        }
    }

    fn release_committed(&mut self) {
        let high_watermark = self.high_watermark;
        let Some(active) = self.active() else { return };
        while let Some((end, ..)) = active.parked.front()
            && *end <= high_watermark
        {
            let (_, ticket, reply) = active.parked.pop_front().expect("the front is there");
            if let Some(waiting) = active.waiting.remove(&ticket) {
                let _nobody_waits = waiting.send(Ok(reply));
            }
        }
    }

    pub(super) async fn no_op(&mut self) -> Result<(), DiskError> {
        let interval_ms = self
            .controller
            .as_ref()
            .map_or(0, |controller| controller.no_op_interval_ms);
        self.arm_no_op(interval_ms);
        self.decide(Input::NoOpTimer).await
    }

    fn arm_no_op(&mut self, interval_ms: u64) {
        if interval_ms > 0 {
            self.timers.arm(TimerName::NoOp, interval_ms, interval_ms);
        }
    }

    fn active(&mut self) -> Option<&mut Active> {
        self.controller.as_mut()?.active.as_mut()
    }
}
