//! A partition that moves (KIP-455): the controller of `broker_core::metadata` unchanged, over a log that is committed
//! at once, while brokers are fenced and come back and the leader finds replicas in and out of sync.
//!
//! There are no logs here: whatever the leader asks for may be so. META-1 and META-3 are judged for each record.

use std::fmt;

use broker_core::metadata::PartitionRegistration;
use broker_core::metadata::invariants::Violation;
use broker_core::replica::cluster::{id, index};
use broker_core::testbed::Shared;
use broker_probe::{current_mutant, set_mutant};
use broker_protocol::ids::NodeId;
use stateright::{Model, Property};

use crate::replica::controller::Controller;

const BROKERS: usize = 4;
const REPLICAS: usize = 3;
const MIN_INSYNC_REPLICAS: usize = 2;

/// Where the partition is to go: one replica replaced, two of them, one more, one less, another order.
const TARGETS: [&[usize]; 5] = [&[0, 1, 3], &[3, 0], &[0, 1, 2, 3], &[0, 1], &[2, 1, 0]];

/// How often each thing may still happen on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    pub reassignments: u8,
    pub cancellations: u8,
    /// A broker's session runs out.
    pub fences: u8,
    /// The leader asks for an ISR with one member less.
    pub shrinks: u8,
}

#[derive(Clone, Debug)]
pub struct ReassignmentModel {
    pub budget: Budget,
    /// The known bug of the thread that made the model, for the checker's threads.
    mutant: Option<&'static str>,
}

/// One thing that happens; brokers are numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// To one of the targets.
    Reassign(usize),
    Cancel,
    Fence(usize),
    Unfence(usize),
    Leaves(usize),
    Joins(usize),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    controller: Shared<Controller>,
    left: Budget,
    violated: Option<&'static str>,
    seen: Seen,
}

/// What happened on the way here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Seen {
    completed: bool,
    completed_beside_a_sick_replica: bool,
    cancelled: bool,
}

impl ReassignmentModel {
    pub fn by_name(name: &str) -> Option<ReassignmentModel> {
        (name == "reassignment").then(|| ReassignmentModel {
            budget: Budget {
                reassignments: 2,
                cancellations: 1,
                fences: 1,
                shrinks: 1,
            },
            mutant: current_mutant(),
        })
    }
}

impl State {
    fn partition(&self) -> &PartitionRegistration {
        self.controller.partition()
    }

    fn act(&mut self, action: Action) -> Result<(), Violation> {
        let controller = &mut *self.controller;
        let end = controller.end();
        match action {
            Action::Reassign(target) => controller.reassign(Some(TARGETS[target])).map(drop),
            Action::Cancel => {
                self.seen.cancelled |= controller.reassign(None)?;
                Ok(())
            }
            Action::Fence(broker) => controller.fence(broker),
            Action::Unfence(broker) => controller.unfence(broker, end),
            Action::Leaves(broker) => {
                let mut isr = controller.partition().isr.clone();
                isr.retain(|&member| member != id(broker));
                controller.set_isr(&isr)
            }
            Action::Joins(broker) => {
                let mut isr = controller.partition().isr.clone();
                isr.push(id(broker));
                controller.set_isr(&isr)
            }
        }
    }

    fn note(&mut self, action: Action, before: &PartitionRegistration) {
        let now = self.controller.partition();
        let is_end = before.is_reassigning() && !now.is_reassigning();
        if is_end && action != Action::Cancel {
            self.seen.completed = true;
            let sick = now
                .replicas
                .iter()
                .any(|replica| !now.isr.contains(replica));
            self.seen.completed_beside_a_sick_replica |= sick;
        }
    }

    /// LIVE-2: no reassignment stays pending whose new replicas are in sync, enough of them and one of them alive,
    /// whatever is with a replica that it neither adds nor removes (KAFKA-19975). One that lowers their number
    /// waits for all (KAFKA-15665).
    fn waits_for_nobody_unrelated(&self) -> bool {
        let partition = self.partition();
        let stays = |id: &&NodeId| !partition.removing_replicas.contains(id);
        let target: Vec<&NodeId> = partition.replicas.iter().filter(stays).collect();
        let in_sync = |id: &&NodeId| partition.isr.contains(id);
        let original = partition.replicas.len() - partition.adding_replicas.len();
        let enough = target.iter().filter(|id| in_sync(id)).count() >= MIN_INSYNC_REPLICAS;
        let arrived = partition
            .adding_replicas
            .iter()
            .filter(stays)
            .all(|id| in_sync(&id));
        let may_end = target.len() >= original && enough && arrived;
        !(partition.is_reassigning() && may_end && partition.leader.is_some())
    }
}

impl Model for ReassignmentModel {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        set_mutant(None);
        let min_insync_replicas = i32::try_from(MIN_INSYNC_REPLICAS).expect("two");
        let mut controller = Controller::with_replicas(BROKERS, REPLICAS, min_insync_replicas);
        controller.forget_before(controller.end());
        vec![State {
            controller: Shared::new(controller),
            left: self.budget,
            violated: None,
            seen: Seen::default(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.violated.is_some() {
            return;
        }
        let (partition, left) = (state.partition(), state.left);
        if left.reassignments > 0 {
            actions.extend((0..TARGETS.len()).map(Action::Reassign));
        }
        if left.cancellations > 0 && partition.is_reassigning() {
            actions.push(Action::Cancel);
        }
        for broker in 0..BROKERS {
            match state.controller.is_fenced(broker) {
                true => actions.push(Action::Unfence(broker)),
                false if left.fences > 0 => actions.push(Action::Fence(broker)),
                false => {}
            }
        }
        let Some(leader) = partition.leader else {
            return;
        };
        for &replica in partition
            .replicas
            .iter()
            .filter(|&&replica| replica != leader)
        {
            let broker = index(replica);
            match partition.isr.contains(&replica) {
                true if left.shrinks > 0 => actions.push(Action::Leaves(broker)),
                false if !state.controller.is_fenced(broker) => actions.push(Action::Joins(broker)),
                _ => {}
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        set_mutant(self.mutant);
        let mut next = last.clone();
        let left = &mut next.left;
        match action {
            Action::Reassign(_) => left.reassignments -= 1,
            Action::Cancel => left.cancellations -= 1,
            Action::Fence(_) => left.fences -= 1,
            Action::Leaves(_) => left.shrinks -= 1,
            Action::Unfence(_) | Action::Joins(_) => {}
        }
        if let Err(violation) = next.act(action) {
            next.violated = Some(violation.invariant);
        }
        next.note(action, last.partition());
        let end = next.controller.end();
        next.controller.forget_before(end);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("META-1", |_, state: &State| {
                state.violated != Some("META-1")
            }),
            Property::always("META-3", |_, state: &State| {
                state.violated != Some("META-3")
            }),
            Property::always("LIVE-2", |_, state: &State| {
                state.violated != Some("LIVE-2") && state.waits_for_nobody_unrelated()
            }),
            Property::sometimes("a reassignment ends", |_, state: &State| {
                state.seen.completed
            }),
            Property::sometimes("one ends beside a sick replica", |_, state: &State| {
                state.seen.completed_beside_a_sick_replica
            }),
            Property::sometimes("one is cancelled", |_, state: &State| state.seen.cancelled),
        ]
    }

    fn format_action(&self, action: &Action) -> String {
        action.to_string()
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Action::Reassign(target) => {
                let brokers: Vec<NodeId> = TARGETS[target].iter().copied().map(id).collect();
                write!(formatter, "is to move to {brokers:?}")
            }
            Action::Cancel => write!(formatter, "the move is cancelled"),
            Action::Fence(broker) => write!(formatter, "{} is fenced", id(broker)),
            Action::Unfence(broker) => write!(formatter, "{} is unfenced", id(broker)),
            Action::Leaves(broker) => write!(formatter, "{} leaves the ISR", id(broker)),
            Action::Joins(broker) => write!(formatter, "{} joins the ISR", id(broker)),
        }
    }
}
