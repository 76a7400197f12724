//! The state: cores, network, and what really belongs together.

use std::collections::BTreeMap;

use broker_core::Ticket;
use broker_core::producer_state::{
    ProducerBatch, ProducerStates, Proof, TxnMarker, Verdict, VerificationGuard,
    invariants as partition_invariants,
};
use broker_core::transaction::{
    self, AddPartitionsRequest, Config, Hard, Markers, MarkersWritten, Output, Producer, Record,
    Reply, Request, Timer, TransactionCoordinator, invariants,
};
use broker_probe::mutant;
use broker_protocol::ErrorCode;
use broker_protocol::ids::TopicPartition;

use super::client::Client;
use super::{Bounds, bit};

pub const ID: &str = "x";
pub const PARTITIONS: usize = 2;
/// Time is absent but for this: later than every timeout.
const NOW: i64 = 1_000;
const LATE: i64 = 10_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    Classic,
    Verified,
    EpochPerTransaction,
}

/// What is left of the things that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    /// A producer does not wait for its records any more, and aborts.
    pub give_ups: u8,
    /// EndTxn goes out once more although the first one may still arrive.
    pub resends: u8,
    /// EndTxn is carried out, and its answer lost.
    pub lost_answers: u8,
    /// A marker is written, and the coordinator does not hear of it.
    pub lost_reports: u8,
    pub fail_overs: u8,
    pub timeouts: u8,
    /// Instances after the first.
    pub instances: u8,
    /// Requests of somebody who makes up an epoch.
    pub strangers: u8,
}

/// Which transaction, really: the instance and the number it has there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    pub instance: usize,
    pub number: u8,
}

/// A record under way, with who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sent {
    pub tag: Tag,
    pub partition: usize,
    pub producer: Producer,
    pub sequence: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message {
    Produce(Sent),
    /// The coordinator knows of the transaction: the partition may append.
    Verified(Sent, VerificationGuard),
    EndTxn {
        tag: Tag,
        producer: Producer,
        committed: bool,
    },
    Marker {
        coordinator_epoch: i32,
        attempt: u64,
        producer: Producer,
        committed: bool,
        partition: usize,
        tag: Option<Tag>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Gets an identity.
    Init(usize),
    Begin(usize),
    GiveUp(usize),
    End(usize),
    Resend(usize),
    Arrives(Message),
    /// It is carried out, and nobody hears of it.
    AnswerLost(Message),
    FailOver,
    Timeout,
    NewInstance,
    /// EndTxn with an epoch that nobody was given.
    Stranger,
}

/// A partition: what its leader knows, and what its log really says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Partition {
    pub producers: ProducerStates,
    /// Of records since the last marker.
    pub open: Vec<Tag>,
    pub end: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub coordinator: TransactionCoordinator,
    pub coordinator_epoch: i32,
    pub partitions: [Partition; PARTITIONS],
    pub clients: Vec<Client>,
    /// Sorted.
    pub network: Vec<Message>,
    pub left: Budget,
    pub protocol: Protocol,
    pub transactions: u8,
    pub next_producer_id: i64,
    /// The transaction that the coordinator has ongoing or completing, really.
    pub current: Option<Tag>,
    /// What was decided.
    pub decided: BTreeMap<Tag, bool>,
    pub given: BTreeMap<Producer, usize>,
    pub events: u32,
    pub violation: Option<&'static str>,
}

pub fn partition_name(partition: usize) -> TopicPartition {
    TopicPartition::new("t", i32::try_from(partition).expect("few partitions"))
}

impl State {
    pub fn new(bounds: Bounds) -> State {
        let mut coordinator = TransactionCoordinator::new(Config::default());
        coordinator.loaded(NOW, &mut Vec::new());
        State {
            coordinator,
            coordinator_epoch: 0,
            partitions: Default::default(),
            clients: vec![Client::new(bounds.transactions)],
            network: Vec::new(),
            left: bounds.budget,
            protocol: bounds.protocol,
            transactions: bounds.transactions,
            next_producer_id: 1,
            current: None,
            decided: BTreeMap::new(),
            given: BTreeMap::new(),
            events: 0,
            violation: None,
        }
    }

    pub fn version(&self) -> i16 {
        match self.protocol {
            Protocol::Classic | Protocol::Verified => 0,
            Protocol::EpochPerTransaction => 2,
        }
    }

    pub fn event(&mut self, event: &'static str) {
        self.events |= bit(event);
    }

    pub fn violates(&mut self, invariant: &'static str) {
        self.violation.get_or_insert(invariant);
    }

    pub fn send(&mut self, message: Message) {
        let at = self.network.partition_point(|other| *other < message);
        self.network.insert(at, message);
    }

    pub fn take(&mut self, message: &Message) {
        if let Ok(at) = self.network.binary_search(message) {
            self.network.remove(at);
        }
    }

    /// The coordinator's state of the id.
    pub fn known(&self) -> Option<&transaction::TransactionMetadata> {
        self.coordinator.hard().get(ID)
    }

    pub fn is_completing(&self) -> bool {
        self.known()
            .is_some_and(|known| known.state.is_completing())
    }

    /// The coordinator's clock goes back from transaction to transaction.
    fn now(&self) -> i64 {
        NOW - i64::from(self.clients[0].number)
    }

    /// A request with a producer id that nobody has, if it needs one.
    pub fn request(&mut self, mut request: Request) -> Reply {
        let reply = self.request_once(request.clone());
        if reply != Reply::NeedsProducerId {
            return reply;
        }
        let fresh = Some(self.next_producer_id);
        self.next_producer_id += 1;
        match &mut request {
            Request::InitProducerId(request) => request.fresh_producer_id = fresh,
            Request::End(request) => request.fresh_producer_id = fresh,
            _ => {}
        }
        self.request_once(request)
    }

    fn request_once(&mut self, request: Request) -> Reply {
        let now = self.now();
        let outputs = self.step(|core, out| core.handle(Ticket(0), request, now, out));
        let reply = outputs.into_iter().find_map(|output| match output {
            Output::Reply(_, reply) => Some(reply),
            _ => None,
        });
        reply.expect("answered at once")
    }

    /// A step of the coordinator, judged by its own invariants; its log is committed at once.
    fn step(
        &mut self,
        run: impl FnOnce(&mut TransactionCoordinator, &mut Vec<Output>),
    ) -> Vec<Output> {
        let before = self.coordinator.hard().clone();
        let mut out = Vec::new();
        run(&mut self.coordinator, &mut out);
        let held = invariants::check(&self.coordinator)
            .and_then(|()| invariants::check_step(&before, self.coordinator.hard()));
        if let Err(broken) = held {
            let known = ["TXN-2", "LIVE-3"]
                .into_iter()
                .find(|it| broken.starts_with(it));
            self.violates(known.unwrap_or("TXN-3"));
        }
        for output in &out {
            match output {
                Output::Record(record) => self.on_record(record),
                Output::SendMarkers(markers) => self.on_markers(markers),
                Output::Reply(..) | Output::Arm(..) => {}
            }
        }
        out
    }

    fn on_record(&mut self, record: &Record) {
        let Some(value) = &record.value else {
            return;
        };
        if value.state.is_completing()
            && let Some(tag) = self.current
        {
            let committed = value.state == transaction::State::PrepareCommit;
            let before = self.decided.insert(tag, committed);
            if before.is_some_and(|before| before != committed) {
                self.violates("TXN-4");
            }
        }
        if value.state.is_idle() {
            self.current = None;
        }
    }

    fn on_markers(&mut self, markers: &Markers) {
        for partition in 0..PARTITIONS {
            if markers.partitions.contains(&partition_name(partition)) {
                self.send(Message::Marker {
                    coordinator_epoch: self.coordinator_epoch,
                    attempt: markers.attempt,
                    producer: markers.producer,
                    committed: markers.committed,
                    partition,
                    tag: self.current,
                });
            }
        }
    }

    pub fn fail_over(&mut self) {
        let was_completing = self.is_completing();
        let records = self.coordinator.hard().iter().map(|(id, value)| Record {
            transactional_id: id.clone(),
            value: Some(value.clone()),
        });
        let records: Vec<Record> = records.collect();
        self.coordinator_epoch += 1;
        self.coordinator = TransactionCoordinator::new(Config::default());
        for record in &records {
            self.coordinator.replay(record);
        }
        self.step(|core, out| core.loaded(NOW, out));
        if was_completing {
            self.event(super::FAILED_OVER);
        }
    }

    pub fn time_out(&mut self) {
        let was_completing = self.is_completing();
        self.step(|core, out| core.timer(Timer::AbortTimedOut, LATE, out));
        if self.is_completing() && !was_completing {
            self.event(super::TIMED_OUT);
        }
    }

    /// Adds the partition, or asks whether it was added.
    pub fn add(&mut self, tag: Tag, producer: Producer, partitions: &[usize]) -> ErrorCode {
        let request = AddPartitionsRequest {
            transactional_id: ID.into(),
            producer,
            partitions: partitions.iter().map(|it| partition_name(*it)).collect(),
            client_version: self.version(),
        };
        let reply = self.request(Request::AddPartitions(request));
        match reply {
            Reply::AddPartitions(ErrorCode::None) => {
                self.current.get_or_insert(tag);
                ErrorCode::None
            }
            Reply::AddPartitions(error) => error,
            other => panic!("{other:?}"),
        }
    }

    fn verify(&mut self, producer: Producer, partition: usize) -> ErrorCode {
        let request = AddPartitionsRequest {
            transactional_id: ID.into(),
            producer,
            partitions: [partition_name(partition)].into(),
            client_version: self.version(),
        };
        match self.request(Request::VerifyPartitions(request)) {
            Reply::VerifyPartitions(Ok(foreign)) if foreign.is_empty() => ErrorCode::None,
            Reply::VerifyPartitions(Ok(_)) => ErrorCode::TransactionAbortable,
            Reply::VerifyPartitions(Err(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    /// A record reaches its partition. What is refused because the last transaction still completes is sent again:
    /// nothing has happened.
    pub fn on_produce(&mut self, sent: Sent) {
        let batch = self.batch(sent);
        let partition = &mut self.partitions[sent.partition];
        let (proof, asks) = match self.protocol {
            Protocol::Classic => (Proof::NotNeeded, None),
            _ => {
                let bumps = self.protocol == Protocol::EpochPerTransaction;
                let guard = partition.producers.begin_verification(&batch, bumps, NOW);
                (Proof::OpenTransaction, guard)
            }
        };
        let Some(guard) = asks else {
            self.append(sent, proof);
            return;
        };
        let answer = match self.protocol {
            Protocol::EpochPerTransaction => self.add(sent.tag, sent.producer, &[sent.partition]),
            _ => self.verify(sent.producer, sent.partition),
        };
        match answer {
            ErrorCode::None => self.send(Message::Verified(sent, guard)),
            ErrorCode::ConcurrentTransactions => self.send(Message::Produce(sent)),
            _ => self.refused(sent),
        }
    }

    fn batch(&self, sent: Sent) -> ProducerBatch {
        let end = self.partitions[sent.partition].end;
        ProducerBatch {
            producer_id: sent.producer.id,
            producer_epoch: sent.producer.epoch,
            base_sequence: sent.sequence,
            base_offset: end,
            last_offset: end,
            max_timestamp: NOW,
            transactional: true,
        }
    }

    pub fn append_verified(&mut self, sent: Sent, guard: VerificationGuard) {
        self.append(sent, Proof::Verified(guard));
    }

    fn append(&mut self, sent: Sent, proof: Proof) {
        let batch = self.batch(sent);
        let partition = &mut self.partitions[sent.partition];
        match partition.producers.check(&batch, proof) {
            Verdict::Append => {
                partition.producers.append(&batch);
                partition.open.push(sent.tag);
                partition.end += 1;
                self.on_appended(sent);
            }
            Verdict::Duplicate(_) => self.on_acknowledged(sent),
            Verdict::Refuse(_) => self.refused(sent),
        }
        self.check_partition(sent.partition);
    }

    fn refused(&mut self, sent: Sent) {
        if self.clients[sent.tag.instance].tag(sent.tag.instance) != sent.tag
            || self.decided.contains_key(&sent.tag)
        {
            self.event(super::LATE_REFUSED);
        }
    }

    /// TXN-3: the coordinator knows of it.
    fn on_appended(&mut self, sent: Sent) {
        if !self.will_end(sent.partition) {
            if self.protocol == Protocol::Classic {
                self.event(super::HANGS);
            } else {
                self.violates("TXN-3");
            }
        } else if self.current != Some(sent.tag) {
            self.late(super::JOINS_NEXT);
        }
        self.on_acknowledged(sent);
    }

    /// Whether the coordinator has the partition in a transaction, and has not heard of its marker there.
    fn will_end(&self, partition: usize) -> bool {
        let request = Request::Describe {
            transactional_id: ID.into(),
        };
        let mut out = Vec::new();
        let mut coordinator = self.coordinator.clone();
        coordinator.handle(Ticket(0), request, NOW, &mut out);
        out.into_iter().any(|output| match output {
            Output::Reply(_, Reply::Describe(Some(described))) => {
                described.partitions.contains(&partition_name(partition))
            }
            _ => false,
        })
    }

    /// What only an epoch for each transaction prevents.
    pub fn late(&mut self, event: &'static str) {
        if self.protocol == Protocol::EpochPerTransaction {
            self.violates("TXN-3");
        } else {
            self.event(event);
        }
    }

    fn on_acknowledged(&mut self, sent: Sent) {
        let client = &mut self.clients[sent.tag.instance];
        if client.tag(sent.tag.instance) == sent.tag {
            client.acknowledged(sent.partition);
        }
    }

    /// A marker reaches its partition; gives what the coordinator is told, if it is.
    pub fn on_marker(&mut self, message: &Message) -> Option<MarkersWritten> {
        let Message::Marker {
            coordinator_epoch,
            attempt,
            producer,
            committed,
            partition: at,
            tag,
        } = *message
        else {
            return None;
        };
        let partition = &mut self.partitions[at];
        let marker = TxnMarker {
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            coordinator_epoch,
            committed,
            offset: partition.end,
            timestamp: NOW,
        };
        let report = MarkersWritten {
            transactional_id: ID.into(),
            attempt,
            partitions: [partition_name(at)].into(),
        };
        match partition.producers.check_marker(&marker) {
            Ok(()) => {}
            Err(ErrorCode::TransactionCoordinatorFenced) => {
                self.event(super::OLD_MARKER);
                return None;
            }
            // The shell takes it for done.
            Err(_) if mutant!(T_17) => return None,
            Err(_) => return Some(report),
        }
        let before = partition.producers.clone();
        let ended = partition.producers.append_marker(&marker).is_some();
        partition
            .producers
            .high_watermark_advanced(partition.end + 1);
        partition.end += 1;
        let open = std::mem::take(&mut partition.open);
        if partition_invariants::progress(&before, &partition.producers).is_err() {
            self.violates("TXN-2");
        }
        if !ended {
            self.event(super::MARKER_REPEATED);
        }
        if open.iter().any(|other| Some(*other) != tag) && self.events & late_events() == 0 {
            self.violates("TXN-3");
        }
        self.event(if committed {
            super::COMMITTED
        } else {
            super::ABORTED
        });
        self.check_partition(at);
        (coordinator_epoch == self.coordinator_epoch).then_some(report)
    }

    pub fn report(&mut self, report: &MarkersWritten) {
        self.step(|core, out| core.markers_written(report, NOW, out));
    }

    fn check_partition(&mut self, partition: usize) {
        let Partition { producers, end, .. } = &self.partitions[partition];
        if partition_invariants::check(producers, *end).is_err() {
            self.violates("TXN-3");
        }
    }

    /// All that are under way; one leader has both partitions, and answers for both at once.
    fn write_markers(&mut self) {
        let mut reports: BTreeMap<u64, MarkersWritten> = BTreeMap::new();
        for message in self.network.clone() {
            if !matches!(message, Message::Marker { .. }) {
                continue;
            }
            self.take(&message);
            if let Some(report) = self.on_marker(&message) {
                let partitions = report.partitions.clone();
                let all = reports.entry(report.attempt).or_insert(report);
                all.partitions.extend(partitions);
            }
        }
        for report in reports.values() {
            self.report(report);
        }
    }

    /// LIVE-3: with no more faults and nobody who asks, every transaction ends, no partition has one open, and the
    /// producer can start again. In the classic protocol one that hangs is T-01.
    pub fn settles(&self) -> bool {
        let mut state = self.clone();
        state.time_out();
        for _ in 0..2 {
            state.write_markers();
        }
        let is_idle = |hard: &Hard| hard.iter().all(|(_, known)| known.state.is_idle());
        let hangs = state.events & bit(super::HANGS) != 0;
        let is_closed = state
            .partitions
            .iter()
            .all(|partition| hangs || partition.producers.first_unstable_offset().is_none());
        is_idle(state.coordinator.hard())
            && is_closed
            && state.violation.is_none()
            && state.init(None).is_ok()
    }
}

fn late_events() -> u32 {
    bit(super::HANGS) | bit(super::JOINS_NEXT) | bit(super::ENDS_NEXT)
}
