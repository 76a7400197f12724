//! Messages between the replicas and the controller.

use broker_protocol::ErrorCode;
use broker_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, PartitionEpoch};

use super::world::{World, id, index};
use crate::replica::invariants::{Record, Violation};
use crate::replica::{
    AlterPartitionId, AlteredPartition, FetchRequest, FetchResponse, Fetched, FetchedBatch,
    FollowerFetch, Input, LeaderOffsets, Reply,
};

#[derive(Clone, Debug)]
pub enum Message {
    Fetch {
        from: usize,
        broker_epoch: BrokerEpoch,
        request: FetchRequest,
    },
    Fetched {
        to: usize,
        incarnation: u32,
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
        incarnation: u32,
        leader_epoch: LeaderEpoch,
        offsets: Option<LeaderOffsets>,
    },
    AlterPartition {
        from: usize,
        request: AlterPartitionId,
        leader_epoch: LeaderEpoch,
        partition_epoch: PartitionEpoch,
        isr: Vec<(NodeId, BrokerEpoch)>,
    },
    Altered {
        to: usize,
        incarnation: u32,
        request: AlterPartitionId,
        result: Result<AlteredPartition, ErrorCode>,
    },
}

impl World {
    pub fn send_fetch(&mut self, node: usize) {
        let this = &self.nodes[node];
        if let Some(request) = this.replica.fetch_request().filter(|_| this.running) {
            self.messages.push(Message::Fetch {
                from: node,
                broker_epoch: this.broker_epoch,
                request,
            });
        }
    }

    pub fn deliver(&mut self, message: Message, chunk: usize) -> Result<(), Violation> {
        match message {
            Message::Fetch {
                from,
                broker_epoch,
                request,
            } => self.on_fetch(from, broker_epoch, request, chunk),
            Message::Fetched {
                to,
                incarnation,
                response,
                records,
            } => {
                if self.nodes[to].incarnation != incarnation {
                    return Ok(());
                }
                self.nodes[to].fetched = records;
                self.step(to, Input::FetchResponse(response))
            }
            Message::QueryOffsets {
                from,
                leader,
                leader_epoch,
            } => {
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
                let incarnation = self.nodes[from].incarnation;
                self.messages.push(Message::Offsets {
                    to: from,
                    incarnation,
                    leader_epoch,
                    offsets,
                });
                Ok(())
            }
            Message::Offsets {
                to,
                incarnation,
                leader_epoch,
                offsets,
            } => {
                if self.nodes[to].incarnation != incarnation {
                    return Ok(());
                }
                self.step(
                    to,
                    Input::LeaderOffsets {
                        leader_epoch,
                        offsets,
                    },
                )
            }
            Message::AlterPartition {
                from,
                request,
                leader_epoch,
                partition_epoch,
                isr,
            } => {
                let result = self
                    .controller
                    .alter_partition(leader_epoch, partition_epoch, &isr);
                self.update_truth();
                let incarnation = self.nodes[from].incarnation;
                self.messages.push(Message::Altered {
                    to: from,
                    incarnation,
                    request,
                    result,
                });
                Ok(())
            }
            Message::Altered {
                to,
                incarnation,
                request,
                result,
            } => {
                if self.nodes[to].incarnation != incarnation {
                    return Ok(());
                }
                self.step(to, Input::AlterPartitionResult { request, result })
            }
        }
    }

    /// Who waits for an answer is told that none will come; one way messages just vanish.
    pub fn lose(&mut self, message: Message) -> Result<(), Violation> {
        let network = ErrorCode::NetworkException;
        match message {
            Message::AlterPartition {
                from: to, request, ..
            }
            | Message::Altered { to, request, .. } => {
                let incarnation = self.nodes[to].incarnation;
                self.messages.push(Message::Altered {
                    to,
                    incarnation,
                    request,
                    result: Err(network),
                });
            }
            Message::QueryOffsets {
                from: to,
                leader_epoch,
                ..
            }
            | Message::Offsets {
                to, leader_epoch, ..
            } => {
                let incarnation = self.nodes[to].incarnation;
                self.messages.push(Message::Offsets {
                    to,
                    incarnation,
                    leader_epoch,
                    offsets: None,
                });
            }
            Message::Fetch { .. } | Message::Fetched { .. } => {}
        }
        Ok(())
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
        let ticket = self.ticket();
        self.step(leader, Input::FollowerFetch { ticket, fetch })?;
        let answer = self
            .answers
            .iter()
            .position(|(answered, _)| *answered == ticket)
            .expect("answered at once");
        let (_, Reply::FollowerFetched(result)) = self.answers.remove(answer) else {
            panic!("another reply")
        };
        let result = result.map(|answer| {
            let node = &self.nodes[leader];
            let last = answer
                .limit
                .min(request.fetch_offset + i64::try_from(chunk).expect("small"));
            let offsets = if answer.diverging.is_some() {
                0..0
            } else {
                request.fetch_offset..last
            };
            let batch = |offset| FetchedBatch {
                base_offset: offset,
                last_offset: offset,
                leader_epoch: node.view().at(offset).expect("below the limit").epoch,
            };
            Fetched {
                diverging: answer.diverging,
                high_watermark: answer.high_watermark,
                log_start: answer.log_start,
                batches: offsets.map(batch).collect(),
            }
        });
        let incarnation = self.nodes[from].incarnation;
        let view = self.nodes[leader].view();
        let batches = result.iter().flat_map(|fetched| &fetched.batches);
        let records = batches
            .filter_map(|batch| view.at(batch.base_offset))
            .collect();
        let response = FetchResponse { request, result };
        self.messages.push(Message::Fetched {
            to: from,
            incarnation,
            response,
            records,
        });
        Ok(())
    }
}
