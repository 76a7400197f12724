//! A few replicas, their logs and a controller: every output is carried out for real.

use broker_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, Offset};

use super::controller::Controller;
use super::network::Message;
use super::node::Node;
use crate::Ticket;
use crate::replica::invariants::{self, Record, Truth, View, Violation};
use crate::replica::{Acks, Config, Input, LogState, Output, Replica, Reply};

pub struct World {
    pub nodes: Vec<Node>,
    pub controller: Controller,
    pub messages: Vec<Message>,
    pub truth: Truth,
    pub config: Config,
    pub outstanding: u64,
    next_ticket: u64,
    next_value: u64,
    appending: Vec<(Ticket, Record, i64)>,
    pub answers: Vec<(Ticket, Reply)>,
    out: Vec<Output>,
    /// Every output with its node, if someone wants to read it.
    pub trace: Option<Vec<(usize, Output)>>,
}

pub fn id(index: usize) -> NodeId {
    NodeId(i32::try_from(index).expect("a few nodes") + 1)
}

pub fn index(id: NodeId) -> usize {
    usize::try_from(id.0 - 1).expect("a broker of the world")
}

impl World {
    pub fn new(replicas: usize, config: Config) -> World {
        let ids: Vec<NodeId> = (0..replicas).map(id).collect();
        let controller = Controller::new(&ids, config.min_insync_replicas);
        let nodes = (0..replicas)
            .map(|index| Node::new(index, config, controller.eligible[&id(index)]))
            .collect();
        World {
            nodes,
            controller,
            messages: Vec::new(),
            truth: Truth::default(),
            config,
            outstanding: 0,
            next_ticket: 0,
            next_value: 0,
            appending: Vec::new(),
            answers: Vec::new(),
            out: Vec::new(),
            trace: None,
        }
    }

    pub fn step(&mut self, node: usize, input: Input) -> Result<(), Violation> {
        if !self.nodes[node].running {
            return Ok(());
        }
        let before = self.nodes[node].replica.clone();
        self.feed(node, input)?;
        self.settle(node);
        let views: Vec<View<'_>> = self.nodes.iter().map(Node::view).collect();
        invariants::progress(&before, &self.nodes[node].replica)?;
        invariants::check(&views, &self.truth)
    }

    fn feed(&mut self, node: usize, input: Input) -> Result<(), Violation> {
        let mut out = std::mem::take(&mut self.out);
        self.nodes[node].replica.step(input, &mut out);
        let mut truncated = false;
        for output in out.drain(..) {
            truncated |= matches!(output, Output::Truncate { .. });
            self.trace
                .iter_mut()
                .for_each(|trace| trace.push((node, output.clone())));
            self.carry_out(node, output)?;
        }
        self.out = out;
        if truncated {
            let log_end = self.nodes[node].end();
            self.feed(node, Input::Truncated { log_end })?;
        }
        Ok(())
    }

    fn carry_out(&mut self, node: usize, output: Output) -> Result<(), Violation> {
        let this = &mut self.nodes[node];
        match output {
            Output::Append {
                ticket,
                base_offset,
                epoch,
            } => {
                assert_eq!(base_offset, this.end());
                let (_, record, count) = self.appending.pop().expect("an append under way");
                for step in 0..count {
                    let value = record.value + u64::try_from(step).expect("a few records");
                    this.log.push(Record { epoch, value });
                }
                self.appending.push((
                    ticket,
                    Record {
                        epoch,
                        value: record.value,
                    },
                    count,
                ));
            }
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
            Output::Reply { ticket, reply } => self.answers.push((ticket, reply)),
            Output::AlterPartition {
                request,
                leader_epoch,
                partition_epoch,
                isr,
            } => {
                self.messages.push(Message::AlterPartition {
                    from: node,
                    request,
                    leader_epoch,
                    partition_epoch,
                    isr,
                });
            }
            Output::QueryLeaderOffsets {
                leader,
                leader_epoch,
            } => {
                self.messages.push(Message::QueryOffsets {
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

    pub fn update_truth(&mut self) {
        self.truth.leader_epoch = self.controller.state.leader_epoch;
        self.truth.isr = self.controller.isr();
        self.truth.elr = self.controller.elr.clone();
    }

    fn on_high_watermark(&mut self, node: usize, high_watermark: Offset) -> Result<(), Violation> {
        let views: Vec<View<'_>> = self.nodes.iter().map(Node::view).collect();
        invariants::commit(&views[node], &views, high_watermark, &mut self.truth)?;
        invariants::committed_content(&views[node], high_watermark, &self.truth)
    }

    pub fn produce(&mut self, node: usize, count: u32, acks: Acks) -> Result<(), Violation> {
        let ticket = self.ticket();
        let record = Record {
            epoch: LeaderEpoch(-1),
            value: self.next_value,
        };
        self.next_value += u64::from(count);
        self.appending.push((ticket, record, i64::from(count)));
        self.outstanding += 1;
        self.step(
            node,
            Input::Append {
                ticket,
                records: count,
                acks,
            },
        )
    }

    pub fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    /// Notes what was acknowledged with acks=all since.
    fn settle(&mut self, node: usize) {
        let produced = self
            .answers
            .extract_if(.., |(_, reply)| matches!(reply, Reply::Produced(_)));
        for (ticket, reply) in produced.collect::<Vec<_>>() {
            let Reply::Produced(result) = reply else {
                continue;
            };
            let Some(position) = self.appending.iter().position(|(id, _, _)| *id == ticket) else {
                continue;
            };
            let (_, _, count) = self.appending.remove(position);
            self.outstanding -= 1;
            let Ok(produced) = result else { continue };
            let epoch = self.nodes[node].replica.leader_epoch();
            if self.nodes[node].replica.high_watermark() < produced.base_offset + count {
                continue;
            }
            for offset in produced.base_offset..produced.base_offset + count {
                let record = self.nodes[node]
                    .view()
                    .at(offset)
                    .expect("acknowledged by this node");
                self.truth.acked.push((offset, record, epoch));
            }
        }
    }

    /// Gives the node everything published up to `seen`, as the last state of it.
    pub fn publish(&mut self, node: usize, seen: usize) -> Result<(), Violation> {
        if seen <= self.nodes[node].seen {
            return Ok(());
        }
        self.nodes[node].seen = seen;
        let published = self.controller.history[seen - 1].clone();
        self.step(node, Input::Eligible(published.eligible))?;
        self.step(node, Input::Metadata(published.state))
    }

    pub fn stop(&mut self, node: usize) {
        self.nodes[node].running = false;
    }

    /// Starts from what is on disk, `lost` records less, under a new incarnation. A broker that knows it
    /// lost nothing (here: the driver) stays eligible to lead.
    pub fn restart(&mut self, node: usize, lost: usize, keeps_rank: bool, hw_checkpoint: Offset) {
        self.controller.fence(id(node), lost > 0 && !keeps_rank);
        let epoch = self.controller.unfence(id(node), true, BrokerEpoch(-1));
        let config = self.config;
        let lost_in = (lost > 0).then_some(self.controller.state.leader_epoch);
        let this = &mut self.nodes[node];
        this.log.truncate(this.log.len() - lost);
        let log_state = LogState {
            log_start: this.replica.log_start().min(this.end()),
            log_end: this.end(),
            epochs: this.epochs(),
            high_watermark: hw_checkpoint,
        };
        this.replica = Replica::new(id(node), config, log_state);
        this.running = true;
        this.incarnation += 1;
        this.broker_epoch = epoch;
        this.lost_in = lost_in.or(this.lost_in);
        this.timers.clear();
        this.flushes.clear();
        // A broker serves nothing before it has caught up with its own registration.
        this.seen = self.controller.history.len() - 1;
    }

    pub fn flushed(&mut self, node: usize) -> Result<(), Violation> {
        let this = &mut self.nodes[node];
        let Some(flush) = this.flushes.pop() else {
            return Ok(());
        };
        this.durable = this.log.len();
        self.step(node, Input::Flushed(flush))
    }
}
