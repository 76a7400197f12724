//! A producer as an application drives it: transaction after transaction, each with a record for both partitions.

use broker_core::transaction::{EndRequest, InitRequest, Producer, Reply, Request};
use broker_protocol::ErrorCode;

use super::state::{ID, Message, PARTITIONS, Sent, State, Tag};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Without an identity, or with one that is not good any more (KIP-360).
    Starting,
    Idle,
    /// Waits for its records.
    Writing,
    Ending {
        committed: bool,
    },
    /// Fenced, or done.
    Over,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    pub phase: Phase,
    pub producer: Option<Producer>,
    /// Of the current transaction.
    pub number: u8,
    pub transactions: u8,
    pub sequences: [i32; PARTITIONS],
    pub acknowledged: [bool; PARTITIONS],
}

impl Client {
    pub fn new(transactions: u8) -> Client {
        Client {
            phase: Phase::Starting,
            producer: None,
            number: 0,
            transactions,
            sequences: [0; PARTITIONS],
            acknowledged: [true; PARTITIONS],
        }
    }

    pub fn tag(&self, instance: usize) -> Tag {
        Tag {
            instance,
            number: self.number,
        }
    }

    pub fn acknowledged(&mut self, partition: usize) {
        self.acknowledged[partition] = true;
    }

    /// Sequences begin anew with every epoch.
    fn become_producer(&mut self, producer: Producer) {
        if self.producer != Some(producer) {
            self.sequences = [0; PARTITIONS];
        }
        self.producer = Some(producer);
    }

    fn next(&mut self) {
        let is_last = self.number == self.transactions;
        self.phase = if is_last { Phase::Over } else { Phase::Idle };
    }
}

impl State {
    pub fn init(&mut self, expected: Option<Producer>) -> Result<Producer, ErrorCode> {
        let request = InitRequest {
            transactional_id: ID.into(),
            timeout_ms: 60_000,
            expected,
            fresh_producer_id: None,
        };
        match self.request(Request::InitProducerId(request)) {
            Reply::InitProducerId(result) => result,
            other => panic!("{other:?}"),
        }
    }

    /// InitProducerId, answered at once; one that has to wait asks again later.
    pub fn client_init(&mut self, instance: usize) {
        match self.init(self.clients[instance].producer) {
            Ok(producer) => {
                self.give(instance, producer);
                self.clients[instance].next();
            }
            Err(ErrorCode::ConcurrentTransactions) => {}
            Err(_) => self.fenced(instance),
        }
    }

    /// TXN-2: nobody else ever was this producer.
    fn give(&mut self, instance: usize, producer: Producer) {
        let owner = *self.given.entry(producer).or_insert(instance);
        if owner != instance {
            self.violates("TXN-2");
        }
        self.clients[instance].become_producer(producer);
    }

    fn fenced(&mut self, instance: usize) {
        // Alone, nobody can have fenced it but its own timeout.
        if self.clients.len() == 1 && self.events & super::bit(super::TIMED_OUT) == 0 {
            self.violates("LIVE-3");
        }
        self.event(super::FENCED);
        self.clients[instance].phase = Phase::Over;
    }

    pub fn client_begin(&mut self, instance: usize) {
        let client = &mut self.clients[instance];
        let producer = client.producer.expect("it has one");
        client.number += 1;
        let tag = client.tag(instance);
        if self.version() < 2 {
            match self.add(tag, producer, &[0, 1]) {
                ErrorCode::None => {}
                ErrorCode::ConcurrentTransactions => {
                    self.clients[instance].number -= 1;
                    return;
                }
                _ => return self.fenced(instance),
            }
        }
        let client = &mut self.clients[instance];
        client.phase = Phase::Writing;
        client.acknowledged = [false; PARTITIONS];
        let sequences = client.sequences;
        client.sequences = sequences.map(|sequence| sequence + 1);
        for (partition, sequence) in sequences.into_iter().enumerate() {
            self.send(Message::Produce(Sent {
                tag,
                partition,
                producer,
                sequence,
            }));
        }
    }

    pub fn client_end(&mut self, instance: usize, committed: bool) {
        self.clients[instance].phase = Phase::Ending { committed };
        self.send_end(instance);
    }

    pub fn send_end(&mut self, instance: usize) {
        let client = &self.clients[instance];
        let Phase::Ending { committed } = client.phase else {
            return;
        };
        self.send(Message::EndTxn {
            tag: client.tag(instance),
            producer: client.producer.expect("it has one"),
            committed,
        });
    }

    /// TXN-2: an epoch that nobody was given ends nothing.
    pub fn stranger(&mut self) {
        let Some(known) = self.known() else {
            return;
        };
        let was_completing = self.is_completing();
        let request = EndRequest {
            transactional_id: ID.into(),
            producer: Producer {
                id: known.producer_id,
                epoch: known.producer_epoch + 1,
            },
            committed: true,
            client_version: self.version(),
            fresh_producer_id: None,
        };
        self.request(Request::End(request));
        if self.is_completing() && !was_completing {
            self.violates("TXN-2");
        } else {
            self.event(super::STRANGER);
        }
    }

    /// EndTxn at the coordinator. Answers go to who still waits for one.
    pub fn on_end(&mut self, tag: Tag, producer: Producer, committed: bool, answered: bool) {
        let (before, was_completing) = (self.current, self.is_completing());
        let request = EndRequest {
            transactional_id: ID.into(),
            producer,
            committed,
            client_version: self.version(),
            fresh_producer_id: None,
        };
        let reply = match self.request(Request::End(request)) {
            Reply::End(reply) => reply,
            other => panic!("{other:?}"),
        };
        let has_decided = self.is_completing() && !was_completing;
        if has_decided && before.is_some_and(|current| current != tag) {
            self.late(super::ENDS_NEXT);
        }
        let client = &self.clients[tag.instance];
        let waits = client.tag(tag.instance) == tag && client.phase == Phase::Ending { committed };
        if answered && waits {
            self.client_ended(tag, committed, reply, has_decided);
        }
    }

    fn client_ended(
        &mut self,
        tag: Tag,
        committed: bool,
        reply: Result<Producer, ErrorCode>,
        has_decided: bool,
    ) {
        let decided = self.decided.get(&tag).copied();
        let instance = tag.instance;
        match reply {
            Ok(next) => {
                // CLI-5: what it is told is what became of it. Nothing was decided of a transaction without a record.
                if decided.unwrap_or(false) != committed {
                    self.violates("CLI-5");
                }
                if !has_decided && decided.is_some() {
                    self.event(super::END_RETRIED);
                }
                let is_unsure = self.clients[instance].acknowledged != [true; PARTITIONS];
                if self.version() >= 2 {
                    self.give(instance, next);
                    self.clients[instance].next();
                } else if is_unsure {
                    // Its sequences have a gap now, or not: it needs another epoch.
                    self.clients[instance].phase = Phase::Starting;
                } else {
                    self.clients[instance].next();
                }
            }
            Err(ErrorCode::ConcurrentTransactions) => {}
            Err(error) => {
                let is_alone = self.clients.len() == 1
                    && self.events & super::bit(super::TIMED_OUT) == 0
                    && self.version() >= 2;
                if error == ErrorCode::ProducerFenced && is_alone {
                    self.violates("LIVE-3");
                }
                if decided == Some(true) && self.events & super::bit(super::ENDS_NEXT) == 0 {
                    self.violates("CLI-5");
                }
                self.clients[instance].phase = Phase::Over;
                self.event(super::FENCED);
            }
        }
    }
}
