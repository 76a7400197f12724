//! The cluster, the controller and what may still happen to them.

use std::hash::{Hash, Hasher};

use broker_core::Ticket;
use broker_core::metadata;
use broker_core::replica::cluster::{Cluster, Message, Restart, id, index};
use broker_core::replica::{self, Acks, Input, Timer};
use broker_core::testbed::Shared;
use broker_protocol::ErrorCode;
use broker_protocol::ids::BrokerEpoch;

use super::controller::Controller;
use super::events::{self, Events};

/// How often each thing may still happen on a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    pub produces: u8,
    /// A leader looks who has lagged behind.
    pub lag_windows: u8,
    /// The session of a running broker runs out.
    pub fences: u8,
    pub crashes: u8,
    /// Of the crashes: the end of the log is lost.
    pub power_losses: u8,
    pub shutdowns: u8,
    /// A message arrives twice.
    pub duplicates: u8,
    /// An answer to a fetch takes its time.
    pub delays: u8,
    /// A leader gives AlterPartition up, whether it arrives or not.
    pub give_ups: u8,
    /// The preferred replica is to lead.
    pub elections: u8,
    /// `min.insync.replicas` is set to one less, or back.
    pub reconfigurations: u8,
    /// A leader deletes all that is committed.
    pub deletions: u8,
}

/// What an exploration starts from: all replicas in the ISR, nothing on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Setup {
    /// Not the preferred replica leads, but the next: it can lose its leadership without leaving the ISR.
    pub led_by_second: bool,
    /// How many records are committed.
    pub committed: u8,
}

/// One thing that happens; brokers are numbered from 0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// A fetch is answered on the way.
    Deliver(Shared<Message>),
    /// A fetch arrives, the answer takes its time.
    Delay(Shared<Message>),
    /// A copy arrives.
    Duplicate(Shared<Message>),
    /// The leader is told that its AlterPartition failed; it may arrive all the same.
    GiveUp(Shared<Message>),
    Produce(usize),
    LagWindow(usize),
    RetryAlterPartition(usize),
    /// The broker acts on the metadata's first so many batches, as they are then.
    Publish(usize, usize),
    Fence(usize),
    Unfence(usize),
    Crash(usize),
    ShutDown(usize),
    /// Comes back with so many records less.
    Start(usize, usize),
    ElectPreferred,
    SetMinInsyncReplicas(usize),
    DeleteRecords(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub invariant: &'static str,
    pub detail: String,
}

impl From<replica::invariants::Violation> for Violation {
    fn from(violation: replica::invariants::Violation) -> Violation {
        Violation {
            invariant: violation.invariant,
            detail: violation.detail,
        }
    }
}

impl From<metadata::invariants::Violation> for Violation {
    fn from(violation: metadata::invariants::Violation) -> Violation {
        Violation {
            invariant: violation.invariant,
            detail: violation.detail,
        }
    }
}

#[derive(Clone, Debug)]
pub struct State {
    pub cluster: Cluster,
    pub controller: Shared<Controller>,
    pub left: Budget,
    /// Brokers that stopped in good order and are not back yet, as a set of bits.
    clean: u8,
    /// The first broken invariant; nothing happens after it.
    pub violation: Option<Violation>,
    /// What the last action brought about; not part of the state.
    pub events: Events,
}

const REPLICAS: usize = 3;

/// Far more than any recovery takes.
const SETTLING_ROUNDS: usize = 60;

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.cluster.hash(hasher);
        self.controller.hash(hasher);
        (self.left, self.clean).hash(hasher);
        self.violation.as_ref().map(|it| it.invariant).hash(hasher);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &State) -> bool {
        (&self.cluster, &self.controller, self.left)
            == (&other.cluster, &other.controller, other.left)
            && (self.clean, &self.violation) == (other.clean, &other.violation)
    }
}

impl State {
    /// A partition with three replicas.
    pub fn new(min_insync_replicas: i32, setup: Setup, left: Budget) -> State {
        let mut state = State::bare(min_insync_replicas);
        state.settle();
        for _ in 0..setup.committed {
            state.apply(&Action::Produce(0), 1);
            state.settle();
        }
        if setup.led_by_second {
            state.apply(&Action::Fence(0), 1);
            state.settle();
        }
        // From here on a lag window finds whoever does not fetch.
        let leader = usize::from(setup.led_by_second);
        state.apply(&Action::LagWindow(leader), 1);
        state.left = left;
        assert!(state.violation.is_none() && state.recovers(), "{state:?}");
        state
    }

    /// Broker 1 is to lead, nobody knows yet.
    fn bare(min_insync_replicas: i32) -> State {
        let mut controller = Controller::new(REPLICAS, min_insync_replicas);
        let published = controller.published(controller.end()).clone();
        let epochs: Vec<BrokerEpoch> = published.eligible.values().copied().collect();
        let mut cluster = Cluster::new(controller.config(), &epochs);
        controller.forget_before(controller.end());
        for node in &mut cluster.nodes {
            node.seen = controller.end() - 1;
        }
        State {
            cluster,
            controller: Shared::new(controller),
            left: Budget::default(),
            clean: 0,
            violation: None,
            events: Events::default(),
        }
    }

    /// Lets everything that is due happen, in a fixed order, and no more faults: until the partition is as it
    /// should be, or for so long that it never will be.
    fn settle(&mut self) {
        for _ in 0..SETTLING_ROUNDS {
            if self.violation.is_some() || self.is_healthy() {
                return;
            }
            for node in 0..self.cluster.nodes.len() {
                self.settle_node(node);
            }
            for message in std::mem::take(&mut self.cluster.messages) {
                self.apply(&Action::Deliver(message), 1);
            }
        }
    }

    fn settle_node(&mut self, node: usize) {
        if !self.cluster.nodes[node].running {
            if !self.controller.is_fenced(node) {
                self.apply(&Action::Fence(node), 1);
            }
            self.apply(&Action::Start(node, 0), 1);
        }
        let seen = self.cluster.nodes[node].seen;
        if seen < self.controller.end() {
            self.apply(&Action::Publish(node, self.controller.end()), 1);
        }
        if self.controller.is_fenced(node) {
            self.apply(&Action::Unfence(node), 1);
        }
        let timers = &self.cluster.nodes[node].timers;
        if timers.contains(&Timer::AlterPartitionRetry) {
            self.apply(&Action::RetryAlterPartition(node), 1);
        }
    }

    /// One leader, a full ISR, equal logs, nobody waits.
    fn is_healthy(&self) -> bool {
        let partition = self.controller.partition();
        let led = partition.leader.is_some() && partition.isr.len() == self.cluster.nodes.len();
        let first = &self.cluster.nodes[0].replica;
        led && self.cluster.nodes.iter().all(|node| {
            let replica = &node.replica;
            let even = replica.log_end() == first.log_end();
            let committed = replica.high_watermark() == replica.log_end();
            let follows = replica.leader_epoch() == partition.leader_epoch;
            node.running && even && committed && follows && replica.parked() == 0
        })
    }

    /// LIVE-1: with no more faults the partition becomes healthy.
    pub fn recovers(&self) -> bool {
        let mut later = self.clone();
        later.settle();
        later.is_healthy()
    }

    /// Does one thing and what follows without a choice. `chunk` is the most records of a fetch response.
    pub fn apply(&mut self, action: &Action, chunk: usize) {
        let before = self.controller.clone();
        broker_probe::start_counting();
        let done = self.act_and_follow(action, chunk);
        let probes = broker_probe::take_counts();
        if let Err(violation) = done {
            self.violation = Some(violation);
        }
        self.events = events::of(&probes, &before, self);
        self.tidy_up();
    }

    fn act_and_follow(&mut self, action: &Action, chunk: usize) -> Result<(), Violation> {
        self.act(action, chunk)?;
        self.at_once()?;
        Ok(self.cluster.check()?)
    }

    fn act(&mut self, action: &Action, chunk: usize) -> Result<(), Violation> {
        match action {
            Action::Deliver(message) => {
                self.cluster.messages.retain(|other| other != message);
                self.deliver(message, chunk)?;
                if matches!(**message, Message::Fetch { .. }) {
                    let answer = self.cluster.messages.pop().expect("just sent");
                    self.cluster.deliver(&answer, chunk)?;
                }
            }
            Action::Delay(message) => {
                self.cluster.messages.retain(|other| other != message);
                self.deliver(message, chunk)?;
            }
            Action::Duplicate(message) => self.deliver(message, chunk)?,
            Action::GiveUp(message) => self.give_up(message)?,
            Action::Produce(node) => self.cluster.produce(*node, 1, Acks::All)?,
            Action::DeleteRecords(node) => {
                let (ticket, offset) = (Ticket(0), None);
                self.cluster
                    .step(*node, Input::DeleteRecords { ticket, offset })?
            }
            Action::LagWindow(node) => self.cluster.step(*node, Input::Timer(Timer::LagWindow))?,
            Action::RetryAlterPartition(node) => {
                self.cluster.fire(*node, Timer::AlterPartitionRetry)?
            }
            Action::Publish(node, end) => self.publish(*node, *end)?,
            Action::Fence(node) => self.control(|controller| controller.fence(*node))?,
            Action::Unfence(node) => {
                let seen = self.cluster.nodes[*node].seen;
                self.control(|controller| controller.unfence(*node, seen))?;
            }
            Action::Crash(node) => self.stop(*node),
            Action::ShutDown(node) => {
                let seen = self.cluster.nodes[*node].seen;
                self.control(|controller| controller.shut_down(*node, seen))?;
                self.stop(*node);
                self.clean |= 1 << node;
            }
            Action::Start(node, lost) => self.start(*node, *lost)?,
            Action::ElectPreferred => self.control(Controller::elect_preferred)?,
            Action::SetMinInsyncReplicas(value) => {
                self.control(|controller| controller.set_min_insync_replicas(*value))?
            }
        }
        Ok(())
    }

    /// The controller decides something: from now on that is the truth.
    fn control<T>(
        &mut self,
        decide: impl FnOnce(&mut Controller) -> Result<T, metadata::invariants::Violation>,
    ) -> Result<T, Violation> {
        let controller = &mut *self.controller;
        let decided = decide(controller)?;
        let partition = controller.partition();
        let truth = &mut *self.cluster.truth;
        truth.leader_epoch = partition.leader_epoch;
        truth.isr = partition.isr.iter().copied().collect();
        truth.elr = partition.eligible_leader_replicas.iter().copied().collect();
        Ok(decided)
    }

    fn deliver(&mut self, message: &Message, chunk: usize) -> Result<(), Violation> {
        let asked = self.cluster.deliver(message, chunk)?;
        let Some((from, broker_epoch, asked)) = asked else {
            return Ok(());
        };
        let request = asked.request;
        let result =
            self.control(|controller| controller.alter_partition(from, broker_epoch, asked))?;
        self.cluster.answer(from, broker_epoch, request, result);
        Ok(())
    }

    fn give_up(&mut self, message: &Message) -> Result<(), Violation> {
        let (node, request) = match message {
            Message::AlterPartition { from, asked, .. } => (*from, asked.request),
            Message::Altered { to, request, .. } => (*to, *request),
            other => panic!("nobody waits for {other:?}"),
        };
        let result = Err(ErrorCode::NetworkException);
        let input = Input::AlterPartitionResult { request, result };
        Ok(self.cluster.step(node, input)?)
    }

    fn publish(&mut self, node: usize, end: usize) -> Result<(), Violation> {
        self.cluster.nodes[node].seen = end;
        let published = self.controller.published(end).clone();
        Ok(self.cluster.publish(node, &published)?)
    }

    /// What a process only remembers is gone at once.
    fn stop(&mut self, node: usize) {
        let high_watermark = self.cluster.nodes[node].replica.high_watermark();
        let how = Restart {
            lost: 0,
            high_watermark,
            broker_epoch: self.cluster.nodes[node].broker_epoch,
            seen: 0,
            config: self.controller.config(),
        };
        self.cluster.restart(node, how);
        self.cluster.stop(node);
    }

    /// A broker acts on no metadata before it is registered, and then on nothing older. Its checkpoint is as
    /// old as can be if it lost data, else up to date.
    fn start(&mut self, node: usize, lost: usize) -> Result<(), Violation> {
        let was_clean = self.clean & 1 << node != 0;
        let before = &self.cluster.nodes[node];
        let high_watermark = if lost > 0 {
            0
        } else {
            before.replica.high_watermark()
        };
        let previous = if was_clean {
            before.broker_epoch
        } else {
            BrokerEpoch(-1)
        };
        self.clean &= !(1 << node);
        let seen = self.controller.end();
        let broker_epoch = self.control(|controller| controller.register(node, previous))?;
        let how = Restart {
            lost,
            high_watermark,
            broker_epoch,
            seen,
            config: self.controller.config(),
        };
        self.cluster.restart(node, how);
        Ok(())
    }

    /// What makes no difference when it happens, happens at once.
    fn at_once(&mut self) -> Result<(), Violation> {
        for node in 0..self.cluster.nodes.len() {
            while let Some(end) = self.harmless_metadata(node) {
                self.publish(node, end)?;
            }
        }
        while let Some(position) = self
            .cluster
            .messages
            .iter()
            .position(|message| self.is_harmless(message))
        {
            let message = self.cluster.messages.swap_remove(position);
            self.cluster.deliver(&message, 0)?;
        }
        for node in 0..self.cluster.nodes.len() {
            while self.cluster.nodes[node]
                .timers
                .contains(&Timer::FetchBackoff)
            {
                self.cluster.fire(node, Timer::FetchBackoff)?;
            }
            self.fetch(node);
        }
        Ok(())
    }

    /// Metadata that a follower only takes note of: it already follows in that epoch.
    fn harmless_metadata(&self, node: usize) -> Option<usize> {
        let this = &self.cluster.nodes[node];
        if !this.running || this.seen == self.controller.end() || this.replica.is_leader() {
            return None;
        }
        let next = &self.controller.published(this.seen + 1).state;
        (next.leader_epoch == this.replica.leader_epoch()).then_some(this.seen + 1)
    }

    /// An answer that tells its receiver nothing, or has none any more.
    fn is_harmless(&self, message: &Message) -> bool {
        match message {
            Message::Fetched {
                to,
                broker_epoch,
                response,
                ..
            } => {
                let node = &self.cluster.nodes[*to];
                let gone = !node.running || node.broker_epoch != *broker_epoch;
                gone || match &response.result {
                    Err(error) => *error != ErrorCode::OffsetOutOfRange,
                    Ok(fetched) => {
                        fetched.diverging.is_none()
                            && fetched.batches.is_empty()
                            && fetched.high_watermark <= node.replica.high_watermark()
                    }
                }
            }
            Message::Altered {
                to, broker_epoch, ..
            }
            | Message::Offsets {
                to, broker_epoch, ..
            } => {
                let node = &self.cluster.nodes[*to];
                !node.running || node.broker_epoch != *broker_epoch
            }
            _ => false,
        }
    }

    /// A follower always has one fetch under way that says how it is now. Sending it early loses nothing:
    /// it may arrive at any later time.
    fn fetch(&mut self, node: usize) {
        let this = &self.cluster.nodes[node];
        let Some(wanted) = this.replica.fetch_request().filter(|_| this.running) else {
            return;
        };
        let under_way = self
            .cluster
            .messages
            .iter()
            .any(|message| match &**message {
                Message::Fetch {
                    from,
                    broker_epoch,
                    request,
                } => (*from, *broker_epoch, *request) == (node, this.broker_epoch, wanted),
                Message::Fetched {
                    to,
                    broker_epoch,
                    response,
                    ..
                } => (*to, *broker_epoch, response.request) == (node, this.broker_epoch, wanted),
                _ => false,
            });
        if !under_way {
            self.cluster.send_fetch(node);
        }
    }

    /// The same state is always written the same way.
    fn tidy_up(&mut self) {
        self.cluster.messages.sort_unstable();
        self.cluster.messages.dedup();
        let running = self.cluster.nodes.iter().filter(|node| node.running);
        let seen = running.map(|node| node.seen).min();
        let seen = seen.unwrap_or(self.controller.end());
        if self.controller.remembers_before(seen) {
            self.controller.forget_before(seen);
        }
    }

    /// Whether someone else has all that is committed, should this broker lose some of it.
    fn others_are_whole(&self, node: usize) -> bool {
        let partition = self.controller.partition();
        let complete = |other: &usize| {
            let other = id(*other);
            partition.isr.contains(&other) || partition.eligible_leader_replicas.contains(&other)
        };
        let mut others = (0..self.cluster.nodes.len()).filter(|other| *other != node);
        let whole = others
            .clone()
            .all(|other| self.cluster.nodes[other].lost_in.is_none() || complete(&other));
        whole && others.any(|other| complete(&other))
    }

    /// Everything that can happen next.
    pub fn actions(&self, actions: &mut Vec<Action>) {
        if self.violation.is_some() {
            return;
        }
        for message in &self.cluster.messages {
            self.message_actions(message, actions);
        }
        for node in 0..self.cluster.nodes.len() {
            if self.cluster.nodes[node].running {
                self.running_actions(node, actions);
            } else {
                self.stopped_actions(node, actions);
            }
        }
        let partition = self.controller.partition();
        if self.left.elections > 0 && partition.leader != partition.preferred_leader() {
            actions.push(Action::ElectPreferred);
        }
        if self.left.reconfigurations > 0 {
            let now = self.controller.config().min_insync_replicas;
            actions.push(Action::SetMinInsyncReplicas(if now == 1 {
                2
            } else {
                now - 1
            }));
        }
    }

    fn message_actions(&self, message: &Shared<Message>, actions: &mut Vec<Action>) {
        let receiver = match &**message {
            Message::Fetch { request, .. } => index(request.leader),
            Message::QueryOffsets { leader, .. } => index(*leader),
            Message::Fetched { to, .. }
            | Message::Offsets { to, .. }
            | Message::Altered { to, .. } => *to,
            Message::AlterPartition { .. } => 0,
        };
        let to_controller = matches!(**message, Message::AlterPartition { .. });
        if !to_controller && !self.cluster.nodes[receiver].running {
            return;
        }
        actions.push(Action::Deliver(message.clone()));
        if self.left.delays > 0 && matches!(**message, Message::Fetch { .. }) {
            actions.push(Action::Delay(message.clone()));
        }
        if self.left.duplicates > 0 {
            actions.push(Action::Duplicate(message.clone()));
        }
        if self.left.give_ups > 0 && self.is_awaited(message) {
            actions.push(Action::GiveUp(message.clone()));
        }
    }

    fn is_awaited(&self, message: &Message) -> bool {
        match message {
            Message::AlterPartition {
                from: node,
                broker_epoch,
                ..
            }
            | Message::Altered {
                to: node,
                broker_epoch,
                ..
            } => {
                let node = &self.cluster.nodes[*node];
                node.running && node.broker_epoch == *broker_epoch
            }
            _ => false,
        }
    }

    fn running_actions(&self, node: usize, actions: &mut Vec<Action>) {
        let (this, left) = (&self.cluster.nodes[node], self.left);
        if this.replica.is_leader() {
            if left.produces > 0 {
                actions.push(Action::Produce(node));
            }
            if left.lag_windows > 0 {
                actions.push(Action::LagWindow(node));
            }
            if left.deletions > 0 && this.replica.log_start() < this.replica.high_watermark() {
                actions.push(Action::DeleteRecords(node));
            }
        }
        if this.timers.contains(&Timer::AlterPartitionRetry) {
            actions.push(Action::RetryAlterPartition(node));
        }
        let unseen = this.seen + 1..=self.controller.end();
        actions.extend(unseen.map(|end| Action::Publish(node, end)));
        let fenced = self.controller.is_fenced(node);
        if fenced && self.controller.knows_itself(node, this.seen) {
            actions.push(Action::Unfence(node));
        }
        if !fenced && left.fences > 0 {
            actions.push(Action::Fence(node));
        }
        if left.crashes > 0 {
            actions.push(Action::Crash(node));
        }
        if !fenced && left.shutdowns > 0 {
            actions.push(Action::ShutDown(node));
        }
    }

    fn stopped_actions(&self, node: usize, actions: &mut Vec<Action>) {
        if !self.controller.is_fenced(node) {
            actions.push(Action::Fence(node));
            return;
        }
        actions.push(Action::Start(node, 0));
        let clean = self.clean & 1 << node != 0;
        if self.left.power_losses > 0 && !clean && self.others_are_whole(node) {
            let log = self.cluster.nodes[node].log.len();
            actions.extend((1..=log).map(|lost| Action::Start(node, lost)));
        }
    }

    /// Takes from the budget what the action costs.
    pub fn spend(&mut self, action: &Action) {
        let running = |node: &usize| self.cluster.nodes[*node].running;
        let left = &mut self.left;
        let counter = match action {
            Action::Duplicate(_) => &mut left.duplicates,
            Action::Delay(_) => &mut left.delays,
            Action::GiveUp(_) => &mut left.give_ups,
            Action::Produce(_) => &mut left.produces,
            Action::LagWindow(_) => &mut left.lag_windows,
            Action::Fence(node) if running(node) => &mut left.fences,
            Action::Crash(_) => &mut left.crashes,
            Action::ShutDown(_) => &mut left.shutdowns,
            Action::Start(_, 1..) => &mut left.power_losses,
            Action::ElectPreferred => &mut left.elections,
            Action::SetMinInsyncReplicas(_) => &mut left.reconfigurations,
            Action::DeleteRecords(_) => &mut left.deletions,
            _ => return,
        };
        *counter -= 1;
    }
}
