//! A violation step by step, in words that need none of the cores' types: what another testbed needs to play it
//! again.

use std::fmt;
use std::hash::Hash;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

use crate::{Limits, raft, replica};

/// The shortest way to a violation.
#[derive(Clone, Debug)]
pub struct Counterexample {
    pub invariant: &'static str,
    pub setup: Setup,
    pub steps: Vec<Step>,
}

/// What the way begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// Node 1 leads a quorum of nodes 1 to `voters`, its first record is committed.
    Quorum {
        voters: i32,
        observers: i32,
        /// Voters are in the log (KIP-853).
        dynamic: bool,
    },
    /// Replicas 1 to 3, all in the ISR; replica 1 is preferred.
    Partition {
        leader: i32,
        min_insync_replicas: i32,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// As the explorer shows it.
    pub text: String,
    pub what: What,
}

/// One thing that happens; nodes are numbered from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Arrives(Message),
    /// A copy does.
    ArrivesTwice(Message),
    /// A fetch does; its answer takes its time.
    AnswerTakesTime(Message),
    /// Who waits for the answer is told that there is none.
    Lost(Message),
    /// The node has not heard of its leader for too long.
    ElectionTimeout(i32),
    /// The leader of the quorum does.
    Appends(i32),
    Flushes(i32),
    PowerLoss(i32),
    Killed(i32),
    StopsInGoodOrder(i32),
    Starts {
        node: i32,
        /// Without the end of its log.
        lossy: bool,
    },
    TakesSnapshot(i32),
    DeletesLog(i32),
    VoterRemoved(i32),
    VoterAdded(i32),
    /// A client's record is appended.
    Produces(i32),
    /// The leader sees that the others lag behind.
    LagWindow(i32),
    ActsOnMetadata(i32),
    Fenced(i32),
    Unfenced(i32),
    PreferredLeaderElected,
    MinInsyncReplicas(i32),
    /// Happens by itself wherever it can.
    ByItself,
    /// Has no counterpart outside of the model.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    pub from: Party,
    pub to: Party,
    pub api: Api,
    pub answer: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    Node(i32),
    /// The partition's controller; in the quorum's models there is none beside the nodes.
    Controller,
    /// The process that sent it is gone.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    Vote,
    Fetch,
    AlterPartition,
    Other,
}

/// Explores the model `name`, with the known bug that is put back on this thread, up to its first violation, on
/// one thread so that it is always the same. None: no such model. None inside: it holds within the limits.
pub fn find(name: &str, limits: Limits) -> Option<Option<Counterexample>> {
    if let Some(model) = replica::ReplicaModel::by_name(name) {
        let setup = replica::steps::setup(&model.bounds);
        return Some(search(model, setup, limits, replica::steps::what));
    }
    let model = raft::RaftModel::by_name(name)?;
    let setup = raft::steps::setup(&model);
    Some(search(model, setup, limits, raft::steps::what))
}

fn search<M>(
    model: M,
    setup: Setup,
    limits: Limits,
    what: fn(&M::Action) -> What,
) -> Option<Counterexample>
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + fmt::Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + fmt::Debug + PartialEq + Send + Sync + 'static,
{
    let checker = model
        .checker()
        .threads(1)
        .target_state_count(limits.states)
        .timeout(limits.time)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let properties = checker.model().properties();
    let must_hold = properties
        .iter()
        .filter(|property| property.expectation != Expectation::Sometimes);
    let found = must_hold.filter_map(|property| {
        let path = checker.discovery(property.name)?;
        Some((property.name, path.into_actions()))
    });
    let (invariant, actions) = found.min_by_key(|(_, actions)| actions.len())?;
    let steps = actions.iter().map(|action| Step {
        text: checker.model().format_action(action),
        what: what(action),
    });
    Some(Counterexample {
        invariant,
        setup,
        steps: steps.collect(),
    })
}
