//! The metadata quorum over the cores of `broker_core::raft`, unchanged: three voters, with snapshots, or with
//! voters that come and go (KIP-853).
//!
//! A state is the whole cluster with its network and disks; an action is one thing that happens. Messages
//! wait in a set and arrive in any order, late or never, or twice; a power loss takes what is not synced.
//! Time is absent: every armed timer may run out at any moment. [`Bounds`] keep the states finite, and three
//! cuts keep them few: exploration starts with node 1 elected and its first record committed; messages that
//! bind nobody arrive at once ([`binds_nobody`]); timers that only repeat do not run out ([`matters`]).

mod properties;
pub(crate) mod steps;
mod variants;

use broker_core::raft::cluster::{Action, Cluster, Envelope, Shape};
use broker_core::raft::{Output, Raft, Request, Role, Timer};
use broker_probe::set_mutant;
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    pub appends: u8,
    pub power_losses: u8,
    pub losses: u8,
    pub duplicates: u8,
    pub resignations: u8,
    pub elections: u8,
    pub snapshots: u8,
    /// Of the log before a snapshot.
    pub deletions: u8,
    pub additions: u8,
    pub removals: u8,
    pub disk_replacements: u8,
    /// A static voter comes back with an empty disk and the same identity (K-20).
    pub wipes: u8,
}

#[derive(Clone, Debug)]
pub struct RaftModel {
    pub shape: Shape,
    pub bounds: Bounds,
    /// The only voter whose election timer runs out, if not that of each may: it hears nobody, the others do.
    cut_off: Option<NodeId>,
    /// The known bug of the thread that made the model, for the checker's threads.
    mutant: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    cluster: Cluster,
    left: Faults,
    seen: Seen,
}

/// What happened on the way here and no longer shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Seen {
    /// A log was truncated.
    truncation: bool,
    /// A fetched snapshot replaced a log.
    installation: bool,
    /// A voter change was truncated.
    change_undone: bool,
    /// This voter got an empty disk.
    wiped: Option<NodeId>,
}

impl Seen {
    fn note(&mut self, outputs: &[Output]) {
        let truncates = |output: &Output| matches!(output, Output::Truncate { .. });
        let changes = |output: &Output| matches!(output, Output::ConfigurationChanged { .. });
        let installs = |output: &Output| matches!(output, Output::StartLogAt { .. });
        self.truncation |= outputs.iter().any(truncates);
        self.installation |= outputs.iter().any(installs);
        let truncation = outputs.iter().position(truncates);
        self.change_undone |= truncation.is_some_and(|at| outputs[at..].iter().any(changes));
    }
}

/// Followers none of whose messages is on its way or waits at the leader.
fn wipes(cluster: &Cluster) -> Vec<Action> {
    let concerns = |envelope: &Envelope, id: NodeId| match envelope {
        Envelope::Request { to, from, .. } => *to == id || *from == Some(id),
        Envelope::Response { to, from, .. } => *to == id || *from == id,
    };
    let leads = |id: NodeId| cluster.leaders().any(|leader| leader.id() == id);
    let running = cluster.nodes.values().filter(|node| node.raft.is_some());
    running
        .map(|node| node.key.id)
        .filter(|&id| !leads(id) && !cluster.network.iter().any(|it| concerns(it, id)))
        .map(Action::WipeDisk)
        .collect()
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
        Action::CreateSnapshot(..) => Some(&mut left.snapshots),
        Action::DeleteBefore(..) => Some(&mut left.deletions),
        Action::AddVoter(..) => Some(&mut left.additions),
        Action::RemoveVoter(..) => Some(&mut left.removals),
        Action::ReplaceDisk(_) => Some(&mut left.disk_replacements),
        Action::WipeDisk(_) => Some(&mut left.wipes),
        _ => None,
    }
}

impl RaftModel {
    fn may_run_out(&self, action: &Action) -> bool {
        match (self.cut_off, action) {
            (Some(cut_off), Action::Timer(id, Timer::Election)) => *id == cut_off,
            (_, Action::Timer(_, Timer::CheckQuorum)) => self.shape.voters == 1,
            (_, Action::Timer(_, Timer::BeginQuorumEpoch)) => self.bounds.faults.wipes > 0,
            (_, action) => matters(action),
        }
    }
}

impl Model for RaftModel {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        set_mutant(None);
        let mut cluster = Cluster::new(self.shape, &mut |_, _| {});
        cluster.apply(&Action::Timer(NodeId(1), Timer::Election), &mut |_, _| {});
        let next = |cluster: &Cluster| {
            let work = cluster.disk_work().into_iter();
            let next = work.chain(cluster.deliveries()).next();
            next.or_else(|| at_once(cluster))
        };
        while let Some(action) = next(&cluster) {
            cluster.apply(&action, &mut |_, _| {});
        }
        vec![State {
            cluster,
            left: self.bounds.faults,
            seen: Seen::default(),
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
        let timers = cluster.timers().into_iter();
        actions.extend(timers.filter(|action| self.may_run_out(action)));
        actions.extend(cluster.appends());
        actions.extend(cluster.power_losses());
        actions.extend(cluster.losses());
        actions.extend(cluster.duplicates());
        actions.extend(cluster.resignations());
        actions.extend(cluster.snapshots());
        actions.extend(cluster.deletions());
        actions.extend(cluster.additions());
        actions.extend(cluster.removals());
        actions.extend(cluster.disk_replacements());
        actions.extend(wipes(cluster));
        actions.retain(|action| counter(&mut left, action).is_none_or(|left| *left > 0));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        set_mutant(self.mutant);
        let mut next = last.clone();
        if let Action::WipeDisk(id) = action {
            next.seen.wiped = Some(id);
        }
        if let Some(left) = counter(&mut next.left, &action) {
            *left -= 1;
        }
        let mut action = Some(action);
        while let Some(now) = action {
            let mut outputs = Vec::new();
            let mut note = |_, output: &Output| {
                outputs.push(output.clone());
            };
            next.cluster.apply(&now, &mut note);
            next.seen.note(&outputs);
            action = at_once(&next.cluster);
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("RAFT-1", |_, state| RaftModel::holds(state, "RAFT-1")),
            Property::always("RAFT-2", |_, state| RaftModel::holds(state, "RAFT-2")),
            Property::always("RAFT-3", |_, state| RaftModel::holds(state, "RAFT-3")),
            Property::always("RAFT-4", |_, state| RaftModel::holds(state, "RAFT-4")),
            Property::always("RAFT-5", |_, state| RaftModel::holds(state, "RAFT-5")),
            Property::always("RAFT-6", |_, state| RaftModel::holds(state, "RAFT-6")),
            Property::always("LIVE-2", |_, state| {
                properties::nobody_waits_for_ever(state)
            }),
            Property::sometimes("a record is committed", |_, state: &State| {
                state.cluster.ghost.committed_end() > 1
            }),
        ];
        properties.extend(self.own_properties());
        properties
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
            matches!(
                cluster.raft(*id).role(),
                Role::Follower { .. } | Role::Unattached
            )
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
