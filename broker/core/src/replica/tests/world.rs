//! A cluster of replicas with a small controller.

use std::ops::{Deref, DerefMut};

use broker_protocol::ids::BrokerEpoch;

use super::controller::Controller;
use crate::Ticket;
use crate::replica::cluster::{Cluster, Message, Restart};
pub use crate::replica::cluster::{id, index};
use crate::replica::invariants::Violation;
use crate::replica::{Acks, Config, Input};
use broker_protocol::ids::{NodeId, Offset};

pub struct World {
    pub cluster: Cluster,
    pub controller: Controller,
    pub config: Config,
}

impl Deref for World {
    type Target = Cluster;
    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Cluster {
        &mut self.cluster
    }
}

impl World {
    pub fn new(replicas: usize, config: Config) -> World {
        let ids: Vec<NodeId> = (0..replicas).map(id).collect();
        let controller = Controller::new(&ids, config);
        let epochs: Vec<BrokerEpoch> = ids.iter().map(|id| controller.eligible[id]).collect();
        World {
            cluster: Cluster::new(config, &epochs),
            controller,
            config,
        }
    }

    pub fn update_truth(&mut self) {
        let truth = &mut *self.cluster.truth;
        truth.leader_epoch = self.controller.state.leader_epoch;
        truth.isr = self.controller.isr();
        truth.elr = self.controller.elr.clone();
    }

    pub fn step(&mut self, node: usize, input: Input) -> Result<(), Violation> {
        self.cluster.step(node, input)?;
        self.check()
    }

    pub fn produce(&mut self, node: usize, count: u32, acks: Acks) -> Result<(), Violation> {
        self.cluster.produce(node, count, acks)?;
        self.check()
    }

    pub fn flushed(&mut self, node: usize) -> Result<(), Violation> {
        self.cluster.flushed(node)?;
        self.check()
    }

    pub fn deliver(&mut self, message: &Message, chunk: usize) -> Result<(), Violation> {
        let Some((from, epoch, asked)) = self.cluster.deliver(message, chunk)? else {
            return self.check();
        };
        let result =
            self.controller
                .alter_partition(asked.leader_epoch, asked.partition_epoch, &asked.isr);
        self.update_truth();
        self.cluster.answer(from, epoch, asked.request, result);
        Ok(())
    }

    /// Gives the node everything published up to `seen`, as the last state of it.
    pub fn publish(&mut self, node: usize, seen: usize) -> Result<(), Violation> {
        if seen <= self.nodes[node].seen {
            return Ok(());
        }
        self.nodes[node].seen = seen;
        let published = self.controller.history[seen - 1].clone();
        self.cluster.publish(node, &published)?;
        self.check()
    }

    /// Deletes what is below `offset`; None for the high watermark.
    pub fn delete_records(&mut self, node: usize, offset: Option<Offset>) -> Result<(), Violation> {
        let ticket = Ticket(0);
        self.step(node, Input::DeleteRecords { ticket, offset })
    }

    /// Starts from what is on disk, `lost` records less, under a new incarnation. A broker that knows it
    /// lost nothing (here: the driver) stays eligible to lead.
    pub fn restart(&mut self, node: usize, lost: usize, keeps_rank: bool, high_watermark: Offset) {
        self.controller.fence(id(node), lost > 0 && !keeps_rank);
        let broker_epoch = self.controller.unfence(id(node), true, BrokerEpoch(-1));
        self.update_truth();
        let how = Restart {
            lost,
            high_watermark,
            broker_epoch,
            // A broker serves nothing before it has caught up with its own registration.
            seen: self.controller.history.len() - 1,
            config: self.config,
        };
        self.cluster.restart(node, how);
    }
}
