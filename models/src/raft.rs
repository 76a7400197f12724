//! The metadata quorum: three voters over the cores of `broker_core::raft`, unchanged.
//!
//! A state is the whole cluster with its network and disks; an action is one thing that happens. Messages
//! wait in a set and arrive in any order, late or never, or twice; a power loss takes what is not synced.
//! Time is absent: every armed timer may run out at any moment. [`Bounds`] keep the states finite, and three
//! cuts keep them few: exploration starts with node 1 elected and its first record committed; messages that
//! bind nobody arrive at once ([`binds_nobody`]); timers that only repeat do not run out ([`matters`]).

use broker_core::raft::cluster::{Action, Cluster, Envelope, QuorumKind, Shape};
use broker_core::raft::{Output, Raft, Request, Role, Timer};
use broker_probe::{current_mutant, set_mutant};
use broker_protocol::ids::{LeaderEpoch, NodeId, Offset};
use stateright::{Model, Property};

/// How much of everything may happen on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    pub epoch: LeaderEpoch,
    /// Longest log.
    pub log_end: Offset,
    /// Most messages on their way.
    pub network: usize,
    pub faults: Faults,
}

/// What is left of the things that are counted, not bounded by the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Faults {
    pub appends: u8,
    pub power_losses: u8,
    pub losses: u8,
    pub duplicates: u8,
    pub resignations: u8,
    pub elections: u8,
}

#[derive(Clone, Debug)]
pub struct RaftModel {
    pub shape: Shape,
    pub bounds: Bounds,
    /// The known bug of the thread that made the model, for the checker's threads.
    mutant: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    cluster: Cluster,
    left: Faults,
    truncated: bool,
}

impl RaftModel {
    pub fn by_name(name: &str) -> Option<RaftModel> {
        match name {
            "raft" => Some(RaftModel::network()),
            "raft-disk" => Some(RaftModel::disk()),
            "raft-epochs" => Some(RaftModel::epochs()),
            _ => None,
        }
    }

    /// Messages arrive in any order, late, never, and one of them twice.
    pub fn network() -> RaftModel {
        RaftModel::new(Bounds {
            epoch: LeaderEpoch(2),
            log_end: 3,
            network: 3,
            faults: Faults {
                appends: 1,
                power_losses: 0,
                losses: 0,
                duplicates: 1,
                resignations: 0,
                elections: 2,
            },
        })
    }

    /// Three elections, as many as figure 8 of the Raft paper needs.
    pub fn epochs() -> RaftModel {
        RaftModel::new(Bounds {
            epoch: LeaderEpoch(3),
            log_end: 4,
            network: 3,
            faults: Faults {
                appends: 1,
                power_losses: 0,
                losses: 0,
                duplicates: 0,
                resignations: 0,
                elections: 3,
            },
        })
    }

    /// Flushes take time, and a power loss falls between write and sync.
    pub fn disk() -> RaftModel {
        let model = RaftModel::new(Bounds {
            epoch: LeaderEpoch(2),
            log_end: 3,
            network: 3,
            faults: Faults {
                appends: 1,
                power_losses: 1,
                losses: 0,
                duplicates: 0,
                resignations: 0,
                elections: 1,
            },
        });
        RaftModel {
            shape: Shape {
                instant_flushes: false,
                ..model.shape
            },
            ..model
        }
    }

    fn new(bounds: Bounds) -> RaftModel {
        RaftModel {
            shape: Shape {
                voters: 3,
                observers: 0,
                quorum: QuorumKind::Static,
                tell: false,
                instant_saves: true,
                instant_flushes: true,
            },
            bounds,
            mutant: current_mutant(),
        }
    }

    fn holds(state: &State, invariant: &str) -> bool {
        state
            .cluster
            .violation
            .as_ref()
            .is_none_or(|violation| violation.invariant != invariant)
    }
}

/// The counter an action uses up, if it is counted.
fn counter<'a>(left: &'a mut Faults, action: &Action) -> Option<&'a mut u8> {
    match action {
        Action::Append(..) => Some(&mut left.appends),
        Action::PowerLoss(_) => Some(&mut left.power_losses),
        Action::Lose(_) => Some(&mut left.losses),
        Action::Duplicate(_) => Some(&mut left.duplicates),
        Action::Resign(_) => Some(&mut left.resignations),
        Action::Timer(_, Timer::Election) => Some(&mut left.elections),
        _ => None,
    }
}

impl Model for RaftModel {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        set_mutant(None);
        let mut cluster = Cluster::new(self.shape, &mut |_, _| {});
        cluster.apply(&Action::Timer(NodeId(1), Timer::Election), &mut |_, _| {});
        while let Some(action) = cluster
            .disk_work()
            .into_iter()
            .chain(cluster.deliveries())
            .next()
        {
            cluster.apply(&action, &mut |_, _| {});
        }
        vec![State {
            cluster,
            left: self.bounds.faults,
            truncated: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.cluster.violation.is_some() {
            return;
        }
        let (cluster, mut left) = (&state.cluster, state.left);
        actions.extend(cluster.disk_work());
        actions.extend(cluster.deliveries());
        actions.extend(cluster.starts());
        actions.extend(cluster.timers().into_iter().filter(matters));
        actions.extend(cluster.appends());
        actions.extend(cluster.power_losses());
        actions.extend(cluster.losses());
        actions.extend(cluster.duplicates());
        actions.extend(cluster.resignations());
        actions.retain(|action| counter(&mut left, action).is_none_or(|left| *left > 0));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        set_mutant(self.mutant);
        let mut next = last.clone();
        if let Some(left) = counter(&mut next.left, &action) {
            *left -= 1;
        }
        let mut truncates = false;
        let mut action = Some(action);
        while let Some(now) = action {
            next.cluster.apply(&now, &mut |_, output| {
                truncates |= matches!(output, Output::Truncate { .. })
            });
            action = at_once(&next.cluster);
        }
        next.truncated |= truncates;
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("RAFT-1", |_, state| RaftModel::holds(state, "RAFT-1")),
            Property::always("RAFT-2", |_, state| RaftModel::holds(state, "RAFT-2")),
            Property::always("RAFT-3", |_, state| RaftModel::holds(state, "RAFT-3")),
            Property::always("RAFT-4", |_, state| RaftModel::holds(state, "RAFT-4")),
            Property::sometimes("another leader is elected", |_, state: &State| {
                state
                    .cluster
                    .leaders()
                    .any(|leader| leader.id() != NodeId(1))
            }),
            Property::sometimes("a record is committed", |_, state: &State| {
                state.cluster.ghost.committed_end() > 1
            }),
            Property::sometimes("a log is truncated", |_, state: &State| state.truncated),
        ]
    }

    fn within_boundary(&self, state: &State) -> bool {
        let Bounds {
            epoch,
            log_end,
            network,
            ..
        } = self.bounds;
        let lawful = |raft: &Raft| raft.epoch() <= epoch && raft.log().end() <= log_end;
        state.cluster.network.len() <= network
            && state
                .cluster
                .nodes
                .values()
                .filter_map(|node| node.raft.as_ref())
                .all(lawful)
    }

    fn format_action(&self, action: &Action) -> String {
        action.to_string()
    }
}

/// What happens without a choice: messages that bind nobody, and the next fetch of a follower whose last one
/// failed.
fn at_once(cluster: &Cluster) -> Option<Action> {
    let retries = cluster.timers().into_iter().filter(|action| match action {
        Action::Timer(id, Timer::Retry(_)) => {
            matches!(cluster.raft(*id).role(), Role::Follower { .. })
        }
        _ => false,
    });
    let mut harmless = cluster
        .deliveries()
        .into_iter()
        .filter(|action| binds_nobody(cluster, action));
    harmless.next().or_else(|| retries.into_iter().next())
}

/// Timers that repeat a request or end a wait add states, and no behaviour that delay, loss, resignation and
/// the election timer do not show.
fn matters(action: &Action) -> bool {
    matches!(action, Action::Timer(_, Timer::Election))
}

/// No vote, no record and no epoch depends on when these arrive: pre-votes, answers to BeginQuorumEpoch, and
/// answers to fetches that their sender has given up.
fn binds_nobody(cluster: &Cluster, delivery: &Action) -> bool {
    match delivery {
        Action::Deliver(Envelope::Request {
            request: Request::Vote(vote),
            ..
        }) => vote.pre_vote,
        Action::Deliver(Envelope::Response {
            to, from, request, ..
        }) => match request {
            Request::Vote(vote) => vote.pre_vote,
            Request::BeginQuorumEpoch(_) => true,
            Request::EndQuorumEpoch(_) => false,
            Request::Fetch(fetch) => !cluster.raft(*to).awaits_fetch(*from, fetch),
            Request::FetchSnapshot(fetch) => !cluster.raft(*to).awaits_chunk(*from, fetch),
            Request::AddVoter(_)
            | Request::RemoveVoter(_)
            | Request::UpdateVoter(_)
            | Request::ApiVersions(_) => false,
        },
        _ => false,
    }
}
