//! The metadata quorum over the cores of `broker_core::raft`, unchanged: three voters, with snapshots, or with
//! voters that come and go (KIP-853).
//!
//! A state is the whole cluster with its network and disks; an action is one thing that happens. Messages
//! wait in a set and arrive in any order, late or never, or twice; a power loss takes what is not synced.
//! Time is absent: every armed timer may run out at any moment. [`Bounds`] keep the states finite, and three
//! cuts keep them few: exploration starts with node 1 elected and its first record committed; messages that
//! bind nobody arrive at once ([`binds_nobody`]); timers that only repeat do not run out ([`matters`]).

pub(crate) mod steps;

use broker_core::raft::cluster::{Action, Cluster, Envelope, QuorumKind, Shape};
use broker_core::raft::{Output, Raft, Request, Role, Timer, VoterSet};
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

impl RaftModel {
    pub fn by_name(name: &str) -> Option<RaftModel> {
        match name {
            "raft" => Some(RaftModel::network()),
            "raft-disk" => Some(RaftModel::disk()),
            "raft-epochs" => Some(RaftModel::epochs()),
            "raft-snapshot" => Some(RaftModel::snapshot()),
            "raft-voters" => Some(RaftModel::voters()),
            "raft-joining" => Some(RaftModel::joining()),
            "raft-replaced-disk" => Some(RaftModel::replaced_disk()),
            "raft-nightly" => Some(RaftModel::nightly()),
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
                duplicates: 1,
                elections: 2,
                ..Faults::default()
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
                elections: 3,
                ..Faults::default()
            },
        })
    }

    /// Logs are deleted before snapshots, under replicas that still want the records.
    pub fn snapshot() -> RaftModel {
        RaftModel::new(Bounds {
            epoch: LeaderEpoch(2),
            log_end: 3,
            network: 3,
            faults: Faults {
                appends: 1,
                elections: 2,
                snapshots: 1,
                deletions: 1,
                ..Faults::default()
            },
        })
    }

    /// One of three voters is removed, the leader too, while another is elected.
    pub fn voters() -> RaftModel {
        RaftModel::new(Bounds {
            epoch: LeaderEpoch(2),
            log_end: 5,
            network: 3,
            faults: Faults {
                elections: 2,
                removals: 1,
                ..Faults::default()
            },
        })
        .with_quorum(QuorumKind::Dynamic, 3, 0)
    }

    /// An observer becomes the third voter, and one of the three is removed.
    pub fn joining() -> RaftModel {
        RaftModel::new(Bounds {
            epoch: LeaderEpoch(2),
            log_end: 6,
            network: 3,
            faults: Faults {
                elections: 1,
                additions: 1,
                removals: 1,
                ..Faults::default()
            },
        })
        .with_quorum(QuorumKind::Dynamic, 2, 1)
    }

    /// A voter comes back with an empty disk, which is none of the voters (KIP-853).
    pub fn replaced_disk() -> RaftModel {
        RaftModel::new(Bounds {
            epoch: LeaderEpoch(2),
            log_end: 4,
            network: 3,
            faults: Faults {
                appends: 1,
                elections: 2,
                disk_replacements: 1,
                ..Faults::default()
            },
        })
        .with_quorum(QuorumKind::Dynamic, 3, 0)
    }

    /// Several kinds of faults at once, as far as an hour and the memory of a small machine go.
    pub fn nightly() -> RaftModel {
        RaftModel::new(Bounds {
            epoch: LeaderEpoch(3),
            log_end: 4,
            network: 3,
            faults: Faults {
                appends: 1,
                power_losses: 1,
                duplicates: 1,
                elections: 2,
                snapshots: 1,
                deletions: 1,
                ..Faults::default()
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
                elections: 1,
                ..Faults::default()
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

    fn with_quorum(mut self, quorum: QuorumKind, voters: i32, observers: i32) -> RaftModel {
        self.shape = Shape {
            voters,
            observers,
            quorum,
            ..self.shape
        };
        self
    }

    fn new(bounds: Bounds) -> RaftModel {
        RaftModel {
            shape: Shape {
                voters: 3,
                observers: 0,
                instant_saves: true,
                instant_flushes: true,
                ..Shape::default()
            },
            bounds,
            mutant: current_mutant(),
        }
    }

    /// What a model that explores its subject must come across.
    fn own_properties(&self) -> Vec<Property<RaftModel>> {
        let Faults {
            snapshots,
            additions,
            removals,
            disk_replacements,
            ..
        } = self.bounds.faults;
        let mut properties = Vec::new();
        if snapshots > 0 {
            properties.extend(snapshot_properties());
        }
        if additions > 0 {
            properties.extend(addition_properties());
        }
        if removals > 0 {
            properties.extend(removal_properties());
        }
        if disk_replacements > 0 {
            properties.push(Property::sometimes(
                "an empty disk of no voter is filled",
                |_, state: &State| observers_with_records(state).next().is_some(),
            ));
        }
        if properties.is_empty() {
            properties.push(Property::sometimes(
                "a log is truncated",
                |_, state: &State| state.seen.truncation,
            ));
        }
        if removals > 0 && additions == 0 {
            properties.push(Property::sometimes(
                "a voter change is truncated",
                |_, state: &State| state.seen.change_undone,
            ));
        }
        properties
    }

    fn holds(state: &State, invariant: &str) -> bool {
        state
            .cluster
            .violation
            .as_ref()
            .is_none_or(|violation| violation.invariant != invariant)
    }
}

fn snapshot_properties() -> Vec<Property<RaftModel>> {
    vec![
        Property::sometimes(
            "a log starts behind its first record",
            |_, state: &State| {
                let mut logs = state.cluster.nodes.values().map(|node| node.disk.log());
                logs.any(|log| log.start > 0)
            },
        ),
        Property::sometimes("a snapshot replaces a log", |_, state: &State| {
            state.seen.installation
        }),
        Property::sometimes("another leader starts at a snapshot", |_, state: &State| {
            other_leaders(state).any(|leader| leader.log().start() > 0)
        }),
    ]
}

fn addition_properties() -> Vec<Property<RaftModel>> {
    vec![
        Property::sometimes("an added voter is committed", |_, state: &State| {
            committed_voters(state).any(|voters| voters.len() == 3)
        }),
        Property::sometimes("the added voter leads", |_, state: &State| {
            other_leaders(state).any(|leader| leader.id() == NodeId(3))
        }),
    ]
}

fn removal_properties() -> Vec<Property<RaftModel>> {
    vec![
        Property::sometimes("a removed voter is committed", |_, state: &State| {
            committed_voters(state)
                .any(|voters| voters.len() < 3 && voters.get(NodeId(2)).is_some())
        }),
        Property::sometimes("a leader is no voter any more", |_, state: &State| {
            state.cluster.leaders().any(|leader| !leader.is_voter())
        }),
    ]
}

/// Leaders but the one that exploration starts with.
fn other_leaders(state: &State) -> impl Iterator<Item = &Raft> {
    let leaders = state.cluster.leaders();
    leaders.filter(|leader| leader.id() != NodeId(1))
}

/// Those who follow with a log, and are none of a leader's voters.
fn observers_with_records(state: &State) -> impl Iterator<Item = &Raft> {
    let follower = |raft: &&Raft| raft.high_watermark().is_some_and(|end| end > 0);
    let outside = |raft: &&Raft| {
        let key = state.cluster.nodes[&raft.id()].key;
        state
            .cluster
            .leaders()
            .any(|leader| !leader.voters().contains(key))
    };
    let cores = state
        .cluster
        .nodes
        .values()
        .filter_map(|node| node.raft.as_ref());
    cores.filter(follower).filter(outside)
}

/// The voters of leaders who have committed them.
fn committed_voters(state: &State) -> impl Iterator<Item = &VoterSet> {
    let committed = |leader: &&Raft| {
        let offset = leader.configuration().offset;
        leader.high_watermark() > offset
    };
    state.cluster.leaders().filter(committed).map(Raft::voters)
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
        actions.extend(cluster.timers().into_iter().filter(matters));
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
        actions.retain(|action| counter(&mut left, action).is_none_or(|left| *left > 0));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        set_mutant(self.mutant);
        let mut next = last.clone();
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
            Property::sometimes("another leader is elected", |_, state: &State| {
                other_leaders(state).next().is_some()
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
