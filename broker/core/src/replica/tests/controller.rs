//! The controller's side of one partition, as far as replicas can tell: elections, fencing, AlterPartition,
//! eligible leader replicas (KIP-966).

use std::collections::BTreeMap;

use broker_protocol::ErrorCode;
use broker_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, PartitionEpoch};

use crate::replica::cluster::Published;
use crate::replica::{AlteredPartition, Config, Isr, PartitionState};

pub struct Controller {
    pub state: PartitionState,
    pub elr: Isr,
    pub eligible: BTreeMap<NodeId, BrokerEpoch>,
    pub config: Config,
    pub history: Vec<Published>,
    next_broker_epoch: i64,
}

impl Controller {
    pub fn new(replicas: &[NodeId], config: Config) -> Controller {
        let state = PartitionState {
            leader: replicas[0],
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            replicas: replicas.to_vec(),
            isr: replicas.to_vec(),
        };
        let eligible = (1..)
            .zip(replicas)
            .map(|(epoch, id)| (*id, BrokerEpoch(epoch)))
            .collect();
        let history = vec![];
        let mut controller = Controller {
            state,
            elr: Isr::new(),
            eligible,
            config,
            history,
            next_broker_epoch: 100,
        };
        controller.publish();
        controller
    }

    fn publish(&mut self) {
        self.history.push(Published {
            state: self.state.clone(),
            eligible: self.eligible.clone(),
            config: self.config,
        });
    }

    pub fn isr(&self) -> Isr {
        self.state.isr.iter().copied().collect()
    }

    /// A fenced broker leaves the ISR; if that makes it too small, it stays eligible to lead. One that
    /// starts after losing data does not.
    pub fn fence(&mut self, id: NodeId, lost_data: bool) {
        self.eligible.remove(&id);
        let isr = self
            .isr()
            .into_iter()
            .filter(|member| *member != id)
            .collect();
        self.set_isr(isr);
        if lost_data {
            self.elr.remove(&id);
        }
        if self.state.leader == id {
            self.elect(None);
        }
        self.commit();
    }

    /// A new incarnation registers, or a fenced one is heard of again.
    pub fn unfence(
        &mut self,
        id: NodeId,
        new_incarnation: bool,
        epoch: BrokerEpoch,
    ) -> BrokerEpoch {
        let epoch = if new_incarnation {
            self.next_broker_epoch += 1;
            BrokerEpoch(self.next_broker_epoch)
        } else {
            epoch
        };
        self.eligible.insert(id, epoch);
        if self.state.leader == NodeId::NONE {
            self.elect(None);
        }
        self.commit();
        epoch
    }

    pub fn elect(&mut self, preferred: Option<NodeId>) {
        let alive = |id: &&NodeId| self.eligible.contains_key(id);
        let from_isr = self
            .state
            .isr
            .iter()
            .find(|id| alive(id) && preferred.is_none_or(|wanted| **id == wanted));
        let chosen = from_isr
            .or_else(|| self.state.isr.iter().find(alive))
            .copied();
        let from_elr = self.elr.iter().find(alive).copied();
        self.state.leader_epoch.0 += 1;
        self.state.leader = chosen.or(from_elr).unwrap_or(NodeId::NONE);
        if let (None, Some(id)) = (chosen, from_elr) {
            self.set_isr([id].into());
        }
    }

    pub fn change_leader(&mut self, preferred: NodeId) {
        self.elect(Some(preferred));
        self.commit();
    }

    pub fn commit(&mut self) {
        self.state.partition_epoch.0 += 1;
        self.publish();
    }

    fn set_isr(&mut self, isr: Isr) {
        let removed: Vec<NodeId> = self.isr().difference(&isr).copied().collect();
        self.elr.extend(removed);
        self.elr.retain(|id| !isr.contains(id));
        if isr.len() >= self.config.min_insync_replicas {
            self.elr.clear();
        }
        self.state.isr = isr.into_iter().collect();
    }

    pub fn alter_partition(
        &mut self,
        leader_epoch: LeaderEpoch,
        partition_epoch: PartitionEpoch,
        isr: &[(NodeId, BrokerEpoch)],
    ) -> Result<AlteredPartition, ErrorCode> {
        if leader_epoch != self.state.leader_epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if partition_epoch != self.state.partition_epoch {
            return Err(ErrorCode::InvalidUpdateVersion);
        }
        let fits = |(id, epoch): &(NodeId, BrokerEpoch)| {
            self.eligible
                .get(id)
                .is_some_and(|current| epoch.0 == -1 || current == epoch)
        };
        if !isr.iter().all(fits) {
            return Err(ErrorCode::IneligibleReplica);
        }
        let isr: Isr = isr.iter().map(|(id, _)| *id).collect();
        if isr != self.isr() {
            self.set_isr(isr);
            self.commit();
        }
        Ok(AlteredPartition {
            leader_epoch: self.state.leader_epoch,
            partition_epoch: self.state.partition_epoch,
            isr: self.state.isr.clone(),
        })
    }
}
