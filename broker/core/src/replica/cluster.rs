//! All replicas of a partition as a value: cores, their logs and the messages between them. Scripts, random
//! tests and the model checker drive the same thing; it decides nothing by itself.
//!
//! The controller is the driver's: [`Cluster::deliver`] hands over what is asked of it, [`Cluster::answer`]
//! and [`Cluster::publish`] bring back what it says.

mod network;
mod node;

use std::collections::BTreeMap;

use broker_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, Offset};

pub use network::{AskedIsr, Message};
pub use node::Node;

use super::invariants::{self, Record, Truth, View, Violation};
use super::message::{
    Acks, Config, FetchAnswer, Input, LogState, Output, PartitionState, Reply, Timer,
};
use super::{ErrorCode, Replica};
use crate::Ticket;
use crate::testbed::Shared;

/// What the metadata says at one offset of its log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Published {
    pub state: PartitionState,
    pub eligible: BTreeMap<NodeId, BrokerEpoch>,
    pub config: Config,
}

/// Replicas 1 to n, numbered from 0, what is on its way between them, and the truth.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cluster {
    pub nodes: Vec<Shared<Node>>,
    pub messages: Vec<Shared<Message>>,
    pub truth: Shared<Truth>,
    next_value: u64,
    /// The answer to the fetch under way.
    answer: Option<Result<FetchAnswer, ErrorCode>>,
    /// Every output with its node, if someone wants to read it.
    pub trace: Option<Vec<(usize, Output)>>,
}

/// How a replica comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// Records at the end of the log that are gone.
    pub lost: usize,
    /// From `replication-offset-checkpoint`.
    pub high_watermark: Offset,
    pub broker_epoch: BrokerEpoch,
    /// Metadata it acts on next is at this offset or later.
    pub seen: usize,
    pub config: Config,
}

pub fn id(index: usize) -> NodeId {
    NodeId(i32::try_from(index).expect("a few nodes") + 1)
}

pub fn index(id: NodeId) -> usize {
    usize::try_from(id.0 - 1).expect("a broker of the cluster")
}

impl Cluster {
    /// As many empty replicas as there are broker epochs.
    pub fn new(config: Config, broker_epochs: &[BrokerEpoch]) -> Cluster {
        let nodes = broker_epochs
            .iter()
            .enumerate()
            .map(|(index, &epoch)| Shared::new(Node::new(index, config, epoch)))
            .collect();
        Cluster {
            nodes,
            messages: Vec::new(),
            truth: Shared::default(),
            next_value: 0,
            answer: None,
            trace: None,
        }
    }

    /// Does one thing at one replica; one that is down does nothing. The invariants over all replicas are the
    /// caller's to [`check`](Cluster::check), when it has done all that belongs together.
    pub fn step(&mut self, node: usize, input: Input) -> Result<(), Violation> {
        self.steps(node, [input])
    }

    fn steps<const N: usize>(&mut self, node: usize, inputs: [Input; N]) -> Result<(), Violation> {
        if !self.nodes[node].running {
            return Ok(());
        }
        let before = self.nodes[node].clone();
        for input in inputs {
            self.feed(node, input)?;
        }
        invariants::progress(&before.replica, &self.nodes[node].replica)
    }

    /// The state invariants of all replicas together.
    pub fn check(&self) -> Result<(), Violation> {
        invariants::check(&self.views(), &self.truth)
    }

    fn views(&self) -> Vec<View<'_>> {
        self.nodes.iter().map(|node| node.view()).collect()
    }

    fn feed(&mut self, node: usize, input: Input) -> Result<(), Violation> {
        let mut out = Vec::new();
        self.nodes[node].replica.step(input, &mut out);
        let mut truncated = false;
        for output in out {
            truncated |= matches!(output, Output::Truncate { .. });
            if let Some(trace) = &mut self.trace {
                trace.push((node, output.clone()));
            }
            self.carry_out(node, output)?;
        }
        if truncated {
            let log_end = self.nodes[node].end();
            self.feed(node, Input::Truncated { log_end })?;
        }
        Ok(())
    }

    fn carry_out(&mut self, node: usize, output: Output) -> Result<(), Violation> {
        let this = &mut *self.nodes[node];
        match output {
            Output::Append {
                ticket,
                base_offset,
                epoch,
            } => self.append(node, ticket, base_offset, epoch)?,
            Output::AppendFetched { log_end } => {
                let fetched = std::mem::take(&mut this.fetched);
                this.log.extend(fetched);
                assert_eq!(log_end, this.end());
            }
            Output::Truncate { to } => {
                let keep = usize::try_from(to - this.base).expect("not below the base");
                this.log.truncate(keep);
                this.durable = this.durable.min(keep);
            }
            Output::TruncateFully { at } => {
                this.log.clear();
                this.base = at;
                this.durable = 0;
            }
            Output::Flush { id, .. } => this.flushes.push(id),
            Output::HighWatermark { high_watermark } => {
                self.on_high_watermark(node, high_watermark)?
            }
            Output::Reply { ticket, reply } => self.reply(node, ticket, reply),
            Output::AlterPartition {
                request,
                leader_epoch,
                partition_epoch,
                isr,
            } => {
                let broker_epoch = this.broker_epoch;
                self.send(Message::AlterPartition {
                    from: node,
                    broker_epoch,
                    asked: AskedIsr {
                        request,
                        leader_epoch,
                        partition_epoch,
                        isr,
                    },
                });
            }
            Output::QueryLeaderOffsets {
                leader,
                leader_epoch,
            } => {
                self.send(Message::QueryOffsets {
                    from: node,
                    leader,
                    leader_epoch,
                });
            }
            Output::Arm(timer) => this.timers.push(timer),
            Output::BecameLeader { .. }
            | Output::BecameFollower { .. }
            | Output::FollowerCounted { .. }
            | Output::AdvanceLogStart { .. }
            | Output::IsrChanged
            | Output::FetchReady => {}
        }
        Ok(())
    }

    fn append(
        &mut self,
        node: usize,
        ticket: Ticket,
        base_offset: Offset,
        epoch: LeaderEpoch,
    ) -> Result<(), Violation> {
        let this = &mut *self.nodes[node];
        invariants::goes_on(&this.replica, base_offset, this.end())?;
        let (first, count) = produced_by(ticket);
        this.log
            .extend((first..first + count).map(|value| Record { epoch, value }));
        let end = this.end();
        invariants::assign(&mut self.truth, epoch, base_offset..end)
    }

    fn on_high_watermark(&mut self, node: usize, high_watermark: Offset) -> Result<(), Violation> {
        let views: Vec<View<'_>> = self.nodes.iter().map(|node| node.view()).collect();
        invariants::commit(&views[node], &views, high_watermark, &mut self.truth)?;
        invariants::committed_content(&views[node], high_watermark, &self.truth)
    }

    /// Notes what was acknowledged with acks=all; acks of the leader alone promise nothing.
    fn reply(&mut self, node: usize, ticket: Ticket, reply: Reply) {
        let produced = match reply {
            Reply::FollowerFetched(answer) => return self.answer = Some(answer),
            Reply::Produced(Ok(produced)) => produced,
            Reply::Produced(Err(_)) | Reply::RecordsDeleted(_) => return,
        };
        let (_, count) = produced_by(ticket);
        let end = produced.base_offset + i64::try_from(count).expect("a few records");
        let this = &self.nodes[node];
        if this.replica.high_watermark() < end {
            return;
        }
        let epoch = this.replica.leader_epoch();
        for offset in produced.base_offset..end {
            let record = this.view().at(offset).expect("acknowledged by this node");
            self.truth.acked.push((offset, record, epoch));
        }
    }

    /// A client sends `count` records that no other produce has.
    pub fn produce(&mut self, node: usize, count: u32, acks: Acks) -> Result<(), Violation> {
        let ticket = produce_ticket(self.next_value, count);
        self.next_value += u64::from(count);
        self.step(
            node,
            Input::Append {
                ticket,
                records: count,
                acks,
            },
        )
    }

    /// The broker acts on metadata, in the order in which the server does it.
    pub fn publish(&mut self, node: usize, published: &Published) -> Result<(), Violation> {
        let inputs = [
            Input::Metadata(published.state.clone()),
            Input::Eligible(published.eligible.clone()),
            Input::Configure(published.config),
        ];
        self.steps(node, inputs)
    }

    pub fn stop(&mut self, node: usize) {
        self.nodes[node].running = false;
    }

    /// Starts from what is on disk. What is lost counts as lost in the partition's present epoch.
    pub fn restart(&mut self, node: usize, how: Restart) {
        let lost_in = (how.lost > 0).then_some(self.truth.leader_epoch);
        let this = &mut *self.nodes[node];
        this.log.truncate(this.log.len() - how.lost);
        let log_state = LogState {
            log_start: this.replica.log_start().min(this.end()),
            log_end: this.end(),
            epochs: this.epochs(),
            high_watermark: how.high_watermark,
        };
        this.replica = Replica::new(id(node), how.config, log_state);
        this.running = true;
        this.broker_epoch = how.broker_epoch;
        this.lost_in = lost_in.max(this.lost_in);
        this.timers.clear();
        this.flushes.clear();
        this.seen = how.seen;
    }

    /// The oldest flush under way is done.
    pub fn flushed(&mut self, node: usize) -> Result<(), Violation> {
        let this = &mut *self.nodes[node];
        let Some(flush) = this.flushes.pop() else {
            return Ok(());
        };
        this.durable = this.log.len();
        self.step(node, Input::Flushed(flush))
    }

    /// The timer that was armed last goes off.
    pub fn fire(&mut self, node: usize, timer: Timer) -> Result<(), Violation> {
        let timers = &mut self.nodes[node].timers;
        if let Some(position) = timers.iter().position(|armed| *armed == timer) {
            timers.remove(position);
        }
        self.step(node, Input::Timer(timer))
    }
}

/// Tickets of produce requests say what is produced: the value of the first record, and how many.
fn produce_ticket(first_value: u64, count: u32) -> Ticket {
    Ticket(first_value << 8 | u64::from(count))
}

fn produced_by(ticket: Ticket) -> (u64, u64) {
    (ticket.0 >> 8, ticket.0 & 0xff)
}
