//! Interaction scripts, random histories, and what the known bugs would do.

mod mutants;
mod random;
mod script;

use std::collections::BTreeMap;

use super::*;

/// A coordinator with its log, its timers and the markers it wants sent.
struct World {
    config: Config,
    core: TransactionCoordinator,
    log: Vec<Record>,
    timers: BTreeMap<Timer, u64>,
    /// In the order they left; those of a coordinator before are forgotten with it.
    markers: Vec<Markers>,
    now_ms: u64,
    /// The wall clock, relative to the time that passes.
    skew_ms: i64,
    next_producer_id: i64,
    next_ticket: u64,
}

impl World {
    fn new(config: Config) -> World {
        let mut world = World {
            core: TransactionCoordinator::new(config.clone()),
            config,
            log: Vec::new(),
            timers: BTreeMap::new(),
            markers: Vec::new(),
            now_ms: 1_000_000,
            skew_ms: 0,
            next_producer_id: 1000,
            next_ticket: 0,
        };
        world.load();
        world
    }

    fn wall(&self) -> i64 {
        i64::try_from(self.now_ms).expect("a small time") + self.skew_ms
    }

    /// Another broker takes over.
    fn load(&mut self) {
        self.core = TransactionCoordinator::new(self.config.clone());
        self.timers.clear();
        self.markers.clear();
        for record in &self.log {
            self.core.replay(record);
        }
        let wall = self.wall();
        self.step(|core, out| core.loaded(wall, out));
    }

    /// As the shell does it: a new producer id where the core needs one.
    fn request(&mut self, mut request: Request) -> Reply {
        let reply = self.request_once(request.clone());
        if reply != Reply::NeedsProducerId {
            return reply;
        }
        let fresh = Some(self.next_producer_id);
        self.next_producer_id += 1;
        match &mut request {
            Request::InitProducerId(request) => request.fresh_producer_id = fresh,
            Request::End(request) => request.fresh_producer_id = fresh,
            other => panic!("{other:?} needs no producer id"),
        }
        self.request_once(request)
    }

    fn request_once(&mut self, request: Request) -> Reply {
        self.next_ticket += 1;
        let (ticket, wall) = (Ticket(self.next_ticket), self.wall());
        let mut replies = self.step(|core, out| core.handle(ticket, request, wall, out));
        let (answered, reply) = replies.pop().expect("answered at once");
        assert_eq!((answered, replies.len()), (ticket, 0));
        reply
    }

    /// Lets time pass and timers fire.
    fn wait(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        loop {
            let due = self.timers.iter().filter(|(_, at)| **at <= end);
            let Some((timer, at)) = due.min_by_key(|(_, at)| **at) else {
                break;
            };
            let (timer, at) = (*timer, *at);
            self.timers.remove(&timer);
            self.now_ms = self.now_ms.max(at);
            let wall = self.wall();
            self.step(|core, out| core.timer(timer, wall, out));
        }
        self.now_ms = end;
    }

    fn written(&mut self, written: &MarkersWritten) {
        let wall = self.wall();
        self.step(|core, out| core.markers_written(written, wall, out));
    }

    fn step(
        &mut self,
        run: impl FnOnce(&mut TransactionCoordinator, &mut Vec<Output>),
    ) -> Vec<(Ticket, Reply)> {
        let before = self.core.hard().clone();
        let mut out = Vec::new();
        run(&mut self.core, &mut out);
        let mut replies = Vec::new();
        for output in out {
            match output {
                Output::Record(record) => self.log.push(record),
                Output::Reply(ticket, reply) => replies.push((ticket, reply)),
                Output::SendMarkers(markers) => self.markers.push(markers),
                Output::Arm(timer, after) => drop(self.timers.insert(timer, self.now_ms + after)),
            }
        }
        let held = invariants::check(&self.core);
        let held = held.and_then(|()| invariants::check_step(&before, self.core.hard()));
        if let Err(broken) = held {
            panic!("{broken}");
        }
        self.replayed();
        replies
    }

    /// The log says what the live coordinator knows.
    fn replayed(&self) {
        let mut hard = Hard::default();
        for record in &self.log {
            hard.apply(record);
        }
        assert_eq!(&hard, self.core.hard());
    }

    fn init(&mut self, expected: Option<Producer>) -> Result<Producer, ErrorCode> {
        match self.request(Request::InitProducerId(init("x", expected))) {
            Reply::InitProducerId(result) => result,
            other => panic!("{other:?}"),
        }
    }

    fn add(&mut self, producer: Producer, partitions: &[&str]) -> ErrorCode {
        match self.request(Request::AddPartitions(add("x", producer, partitions))) {
            Reply::AddPartitions(error) => error,
            other => panic!("{other:?}"),
        }
    }

    fn end(
        &mut self,
        producer: Producer,
        committed: bool,
        version: i16,
    ) -> Result<Producer, ErrorCode> {
        match self.request(Request::End(end("x", producer, committed, version))) {
            Reply::End(result) => result,
            other => panic!("{other:?}"),
        }
    }
}

fn all_of(markers: &Markers) -> MarkersWritten {
    MarkersWritten {
        transactional_id: markers.transactional_id.clone(),
        attempt: markers.attempt,
        partitions: markers.partitions.clone(),
    }
}

fn init(id: &str, expected: Option<Producer>) -> InitRequest {
    InitRequest {
        transactional_id: id.into(),
        timeout_ms: 60_000,
        expected,
        fresh_producer_id: None,
    }
}

fn add(id: &str, producer: Producer, partitions: &[&str]) -> AddPartitionsRequest {
    AddPartitionsRequest {
        transactional_id: id.into(),
        producer,
        partitions: partitions
            .iter()
            .map(|topic| TopicPartition::new(*topic, 0))
            .collect(),
        client_version: 0,
    }
}

fn end(id: &str, producer: Producer, committed: bool, version: i16) -> EndRequest {
    EndRequest {
        transactional_id: id.into(),
        producer,
        committed,
        client_version: version,
        fresh_producer_id: None,
    }
}
