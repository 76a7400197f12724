//! Queries: none changes the replica, so a long poll may repeat them.

use std::collections::BTreeSet;

use broker_probe::mutant;
use broker_protocol::ErrorCode;
use broker_protocol::ids::{LeaderEpoch, NodeId, Offset, PartitionEpoch};

use super::leader_epochs::{EpochEndOffset, EpochEntry};
use super::message::{ConsumerFetch, FetchAnswer, FollowerFetch, Isr, ListBounds};
use super::{Replica, Role};

impl Replica {
    pub fn local(&self) -> NodeId {
        self.local
    }

    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// The leader this replica knows; [`NodeId::NONE`] if it knows none.
    pub fn current_leader(&self) -> NodeId {
        match &self.role {
            Role::Leader(_) => self.local,
            Role::Follower(follower) => follower.leader,
            Role::Offline(_) => NodeId::NONE,
        }
    }

    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    pub fn partition_epoch(&self) -> PartitionEpoch {
        self.partition_epoch
    }

    pub fn replicas(&self) -> &[NodeId] {
        &self.replicas
    }

    pub fn log_start(&self) -> Offset {
        self.log.start
    }

    pub fn log_end(&self) -> Offset {
        self.log.end
    }

    pub fn high_watermark(&self) -> Offset {
        self.log.high_watermark
    }

    /// Start of this leader's epoch; None if it does not lead.
    pub fn epoch_start(&self) -> Option<Offset> {
        self.leader().ok().map(|leader| leader.epoch_start)
    }

    pub fn epochs(&self) -> &[EpochEntry] {
        self.log.epochs.entries()
    }

    /// The ISR as the controller last told this leader; empty for a follower.
    pub fn committed_isr(&self) -> Isr {
        self.leader()
            .map(|leader| leader.committed.clone())
            .unwrap_or_default()
    }

    /// Committed and pending ISR together; empty for a follower.
    pub fn maximal_isr(&self) -> Isr {
        self.leader()
            .map(|leader| leader.maximal_isr())
            .unwrap_or_default()
    }

    /// Whether this leader's high watermark waits for `id`: it is in the maximal ISR.
    pub fn waits_for(&self, id: NodeId) -> bool {
        self.leader().is_ok_and(|leader| leader.in_maximal_isr(id))
    }

    /// The log end the leader counts for a follower in this epoch.
    pub fn counted_end(&self, follower: NodeId) -> Option<Offset> {
        self.leader().ok()?.followers.get(&follower)?.log_end
    }

    /// Whether this leader's ISR, as the controller has it, holds the replica.
    pub fn is_in_isr(&self, replica: NodeId) -> bool {
        self.leader()
            .is_ok_and(|leader| leader.committed.contains(&replica))
    }

    /// Whether `|committed ISR| < min.insync.replicas`.
    pub fn is_under_min_isr(&self) -> bool {
        self.leader()
            .is_ok_and(|leader| leader.committed.len() < self.effective_min_insync_replicas())
    }

    /// Produce requests that wait for replication or durability.
    pub fn parked(&self) -> usize {
        self.leader().map_or(0, |leader| {
            leader.awaiting_replication.len() + leader.awaiting_flush.len()
        })
    }

    /// Smallest log start of all live replicas; None if a live one has not been heard of, or not the leader.
    pub fn low_watermark(&self) -> Option<Offset> {
        let leader = self.leader().ok()?;
        let live = leader
            .followers
            .iter()
            .filter(|(id, _)| self.eligible.contains_key(id));
        live.map(|(_, follower)| follower.log_start)
            .try_fold(self.log.start, |low, start| Some(low.min(start?)))
    }

    /// What a follower's fetch may read, without counting it.
    pub fn read_for_follower(&self, fetch: &FollowerFetch) -> Result<FetchAnswer, ErrorCode> {
        self.check_epoch_of_follower(fetch.current_leader_epoch)?;
        let leader = self.leader()?;
        if !leader.followers.contains_key(&fetch.follower) {
            // With an equal leader epoch this leader's metadata may just be late (KIP-631 reassignment).
            return Err(match fetch.current_leader_epoch {
                Some(_) => ErrorCode::UnknownLeaderEpoch,
                None => ErrorCode::NotLeaderOrFollower,
            });
        }
        let published = self.eligible.get(&fetch.follower);
        if fetch.broker_epoch.0 != -1
            && published.is_some_and(|published| *published > fetch.broker_epoch)
        {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        self.read(fetch.fetch_offset, fetch.last_fetched_epoch, self.log.end)
    }

    /// What a consumer's fetch may read: below the high watermark.
    pub fn read_for_consumer(&self, fetch: &ConsumerFetch) -> Result<FetchAnswer, ErrorCode> {
        self.check_access(fetch.current_leader_epoch, fetch.leader_only)?;
        self.read(
            fetch.fetch_offset,
            fetch.last_fetched_epoch,
            self.log.high_watermark,
        )
    }

    /// KIP-392: the replica that should serve a consumer instead of this leader, with RackAwareReplicaSelector.
    /// `same_rack`: the live brokers in the consumer's rack. None: read here.
    ///
    /// Only members of the ISR that hold the offset come into question: the leader would send the consumer
    /// back to a laggard time and again. The most caught up of them is taken.
    pub fn preferred_read_replica(
        &self,
        fetch: &ConsumerFetch,
        same_rack: &BTreeSet<NodeId>,
    ) -> Option<NodeId> {
        let leader = self.leader().ok()?;
        if same_rack.contains(&self.local) {
            return None;
        }
        let candidates = leader.followers.iter().filter(|(id, follower)| {
            let holds = follower
                .log_end
                .is_some_and(|end| end >= fetch.fetch_offset)
                && follower
                    .log_start
                    .is_some_and(|start| start <= fetch.fetch_offset);
            same_rack.contains(id) && leader.committed.contains(id) && holds
        });
        candidates
            .max_by_key(|(id, follower)| (follower.log_end, follower.caught_up, **id))
            .map(|(id, _)| *id)
    }

    /// OffsetForLeaderEpoch; Ok(None) is Kafka's undefined epoch and offset.
    pub fn end_offset_for_epoch(
        &self,
        current_leader_epoch: Option<LeaderEpoch>,
        asked: LeaderEpoch,
        leader_only: bool,
    ) -> Result<Option<EpochEndOffset>, ErrorCode> {
        self.check_access(current_leader_epoch, leader_only)?;
        Ok(self.log.epochs.end_offset_for(asked, self.log.end))
    }

    /// Bounds for ListOffsets.
    pub fn list_bounds(
        &self,
        current_leader_epoch: Option<LeaderEpoch>,
        leader_only: bool,
    ) -> Result<ListBounds, ErrorCode> {
        self.check_access(current_leader_epoch, leader_only)?;
        Ok(ListBounds {
            log_start: self.log.start,
            high_watermark: self.log.high_watermark,
            log_end: self.log.end,
            leader_epoch: self.leader_epoch,
            high_watermark_lags: self
                .epoch_start()
                .is_some_and(|start| start > self.log.high_watermark),
        })
    }

    fn check_access(&self, epoch: Option<LeaderEpoch>, leader_only: bool) -> Result<(), ErrorCode> {
        if let Role::Offline(error) = self.role {
            return Err(error);
        }
        self.check_epoch(epoch)?;
        if leader_only {
            self.leader().map(|_| ())
        } else {
            Ok(())
        }
    }

    fn check_epoch_of_follower(&self, epoch: Option<LeaderEpoch>) -> Result<(), ErrorCode> {
        match self.check_epoch(epoch) {
            Err(ErrorCode::FencedLeaderEpoch) if mutant!(R_07) => Ok(()),
            result => result,
        }
    }

    /// KIP-320: both sides must speak of the same epoch; who says nothing is believed.
    fn check_epoch(&self, epoch: Option<LeaderEpoch>) -> Result<(), ErrorCode> {
        match epoch {
            Some(epoch) if epoch < self.leader_epoch => Err(ErrorCode::FencedLeaderEpoch),
            Some(epoch) if epoch > self.leader_epoch => Err(ErrorCode::UnknownLeaderEpoch),
            _ => Ok(()),
        }
    }

    fn read(
        &self,
        fetch_offset: Offset,
        last_fetched_epoch: Option<LeaderEpoch>,
        limit: Offset,
    ) -> Result<FetchAnswer, ErrorCode> {
        let mut diverging = None;
        if let Some(last) = last_fetched_epoch {
            let end = self
                .log
                .epochs
                .end_offset_for(last, self.log.end)
                .ok_or(ErrorCode::OffsetOutOfRange)?;
            diverging = (end.epoch < last || end.end_offset < fetch_offset).then_some(end);
        }
        if fetch_offset < self.log.start || (diverging.is_none() && fetch_offset > self.log.end) {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        Ok(FetchAnswer {
            diverging,
            limit,
            high_watermark: self.log.high_watermark,
            log_start: self.log.start,
        })
    }
}
