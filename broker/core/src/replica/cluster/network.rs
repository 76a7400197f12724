//! Messages between the replicas, and to and from the controller.

use broker_protocol::ErrorCode;
use broker_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch};

use super::{Cluster, id, index};
use crate::Ticket;
use crate::replica::invariants::{Record, Violation};
use crate::replica::{
    AlterPartitionId, AlteredPartition, FetchAnswer, FetchRequest, FetchResponse, Fetched,
    FetchedBatch, FollowerFetch, Input, LeaderOffsets,
};
use crate::testbed::Shared;

/// An ISR that a leader asks the controller for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskedIsr {
    pub request: AlterPartitionId,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    pub isr: Vec<(NodeId, BrokerEpoch)>,
}

/// On its way. Answers carry the broker epoch of the process that asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message {
    Fetch {
        from: usize,
        broker_epoch: BrokerEpoch,
        request: FetchRequest,
    },
    Fetched {
        to: usize,
        broker_epoch: BrokerEpoch,
        response: FetchResponse,
        records: Vec<Record>,
    },
    QueryOffsets {
        from: usize,
        leader: NodeId,
        leader_epoch: LeaderEpoch,
    },
    Offsets {
        to: usize,
        broker_epoch: BrokerEpoch,
        leader_epoch: LeaderEpoch,
        offsets: Option<LeaderOffsets>,
    },
    AlterPartition {
        from: usize,
        broker_epoch: BrokerEpoch,
        asked: AskedIsr,
    },
    Altered {
        to: usize,
        broker_epoch: BrokerEpoch,
        request: AlterPartitionId,
        result: Result<AlteredPartition, ErrorCode>,
    },
}

impl Cluster {
    pub(super) fn send(&mut self, message: Message) {
        self.messages.push(Shared::new(message));
    }

    /// Asks the leader for what comes next, if this replica may.
    pub fn send_fetch(&mut self, node: usize) {
        let this = &self.nodes[node];
        if let Some(request) = this.replica.fetch_request().filter(|_| this.running) {
            self.send(Message::Fetch {
                from: node,
                broker_epoch: this.broker_epoch,
                request,
            });
        }
    }

    /// The message arrives; `chunk` is the most records of a fetch response. What is asked of the
    /// controller is given back, with who asks.
    pub fn deliver(
        &mut self,
        message: &Message,
        chunk: usize,
    ) -> Result<Option<(usize, BrokerEpoch, AskedIsr)>, Violation> {
        match message.clone() {
            Message::AlterPartition {
                from,
                broker_epoch,
                asked,
            } => return Ok(Some((from, broker_epoch, asked))),
            Message::Fetch {
                from,
                broker_epoch,
                request,
            } => self.on_fetch(from, broker_epoch, request, chunk)?,
            Message::QueryOffsets {
                from,
                leader,
                leader_epoch,
            } => self.on_query(from, leader, leader_epoch),
            Message::Fetched {
                to,
                broker_epoch,
                response,
                records,
            } if self.is_from(to, broker_epoch) => {
                self.nodes[to].fetched = records;
                self.step(to, Input::FetchResponse(response))?;
                self.nodes[to].fetched = Vec::new();
            }
            Message::Offsets {
                to,
                broker_epoch,
                leader_epoch,
                offsets,
            } if self.is_from(to, broker_epoch) => self.step(
                to,
                Input::LeaderOffsets {
                    leader_epoch,
                    offsets,
                },
            )?,
            Message::Altered {
                to,
                broker_epoch,
                request,
                result,
            } if self.is_from(to, broker_epoch) => {
                self.step(to, Input::AlterPartitionResult { request, result })?
            }
            Message::Fetched { .. } | Message::Offsets { .. } | Message::Altered { .. } => {}
        }
        Ok(None)
    }

    /// Whether the process that asked still runs.
    fn is_from(&self, node: usize, broker_epoch: BrokerEpoch) -> bool {
        self.nodes[node].running && self.nodes[node].broker_epoch == broker_epoch
    }

    /// The controller's answer is on its way.
    pub fn answer(
        &mut self,
        to: usize,
        broker_epoch: BrokerEpoch,
        request: AlterPartitionId,
        result: Result<AlteredPartition, ErrorCode>,
    ) {
        self.send(Message::Altered {
            to,
            broker_epoch,
            request,
            result,
        });
    }

    /// Who waits for an answer is told that none will come; one way messages just vanish.
    pub fn lose(&mut self, message: &Message) {
        match *message {
            Message::AlterPartition {
                from: to,
                broker_epoch,
                asked: AskedIsr { request, .. },
            }
            | Message::Altered {
                to,
                broker_epoch,
                request,
                ..
            } => self.answer(to, broker_epoch, request, Err(ErrorCode::NetworkException)),
            Message::QueryOffsets {
                from: to,
                leader_epoch,
                ..
            }
            | Message::Offsets {
                to, leader_epoch, ..
            } => self.send(Message::Offsets {
                to,
                broker_epoch: self.nodes[to].broker_epoch,
                leader_epoch,
                offsets: None,
            }),
            Message::Fetch { .. } | Message::Fetched { .. } => {}
        }
    }

    fn on_query(&mut self, from: usize, leader: NodeId, leader_epoch: LeaderEpoch) {
        let leader = &self.nodes[index(leader)];
        let bounds = leader
            .replica
            .list_bounds(Some(leader_epoch), true)
            .ok()
            .filter(|_| leader.running);
        let offsets = bounds.map(|bounds| LeaderOffsets {
            log_start: bounds.log_start,
            log_end: bounds.log_end,
        });
        self.send(Message::Offsets {
            to: from,
            broker_epoch: self.nodes[from].broker_epoch,
            leader_epoch,
            offsets,
        });
    }

    fn on_fetch(
        &mut self,
        from: usize,
        broker_epoch: BrokerEpoch,
        request: FetchRequest,
        chunk: usize,
    ) -> Result<(), Violation> {
        let leader = index(request.leader);
        if !self.nodes[leader].running {
            return Ok(());
        }
        let fetch = FollowerFetch {
            follower: id(from),
            broker_epoch,
            current_leader_epoch: Some(request.leader_epoch),
            fetch_offset: request.fetch_offset,
            last_fetched_epoch: request.last_fetched_epoch,
            log_start: request.log_start,
        };
        let ticket = FETCH;
        self.step(leader, Input::FollowerFetch { ticket, fetch })?;
        let answer = self.answer.take().expect("answered at once");
        let result = answer.map(|answer| self.read(leader, request.fetch_offset, answer, chunk));
        let view = self.nodes[leader].view();
        let batches = result.iter().flat_map(|fetched| &fetched.batches);
        let records: Vec<Record> = batches
            .filter_map(|batch| view.at(batch.base_offset))
            .collect();
        self.send(Message::Fetched {
            to: from,
            broker_epoch,
            response: FetchResponse { request, result },
            records,
        });
        Ok(())
    }

    /// One batch a record.
    fn read(&self, leader: usize, from: Offset, answer: FetchAnswer, chunk: usize) -> Fetched {
        let view = self.nodes[leader].view();
        let last = answer
            .limit
            .min(from + i64::try_from(chunk).expect("small"));
        let offsets = if answer.diverging.is_some() {
            0..0
        } else {
            from..last
        };
        let batch = |offset| FetchedBatch {
            base_offset: offset,
            last_offset: offset,
            leader_epoch: view.at(offset).expect("below the limit").epoch,
        };
        Fetched {
            diverging: answer.diverging,
            high_watermark: answer.high_watermark,
            log_start: answer.log_start,
            batches: offsets.map(batch).collect(),
        }
    }
}

/// Fetches are answered at once, so they need no ticket of their own.
const FETCH: Ticket = Ticket(u64::MAX);
