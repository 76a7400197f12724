//! Why a run fails: the smallest run that fails in the same way, next to its nearest one that holds; where the two part,
//! and what led from there to the violation.
//!
//! Map: [`neighbour`] which run that holds is nearest · [`milestone`] what is worth telling of a recording ·
//! [`difference`] where two recordings part · [`chain`] what happened before the violation, over messages and steps of
//! one node · [`state`] replicas at a moment · [`words`] and [`diagram`] how it reads.

pub mod chain;
pub mod diagram;
pub mod difference;
pub mod milestone;
pub mod neighbour;
pub mod state;
pub mod words;

use reports::RunResult;
use reports::recording::{LaneId, Moment, Recording};
use sim_checkers::anomaly::Violation;

use crate::driver::{self, RunError, RunOptions};
use crate::recording::Limits;
use crate::scenario::Scenario;
use crate::shrink::Fingerprint;
use chain::Link;
use difference::Difference;
use milestone::{Subject, milestones};
use neighbour::Neighbour;
use state::ReplicaAt;

/// A run with its recording.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub result: RunResult,
    pub recording: Recording,
}

/// All there is to say about a failure.
#[derive(Clone, Debug)]
pub struct Explained {
    pub scenario: Scenario,
    pub seed: u64,
    pub fingerprint: Fingerprint,
    pub failing: Recorded,
    /// What broke; none if the code under test panicked.
    pub violation: Option<Violation>,
    pub broke: Moment,
    pub subject: Subject,
    /// None if nothing near holds.
    pub neighbour: Option<Neighbour>,
    pub difference: Option<Difference>,
    pub chain: Vec<Link>,
    /// Replicas where the runs part, and where it broke.
    pub at_difference: Vec<ReplicaAt>,
    pub at_violation: Vec<ReplicaAt>,
}

/// Makes a run and records it.
///
/// # Errors
/// See [`RunError`].
pub fn record(scenario: &Scenario, seed: u64, options: &RunOptions) -> Result<Recorded, RunError> {
    let options = RunOptions {
        record: Some(Limits::default()),
        ..options.clone()
    };
    let outcome = driver::run(scenario, &scenario.name, seed, &options)?;
    Ok(Recorded {
        result: outcome.result,
        recording: outcome.recording.expect("it was asked for"),
    })
}

/// Explains the failure of a scenario that is as small as it gets.
///
/// # Errors
/// The run cannot be made.
pub fn explain(
    scenario: &Scenario,
    seed: u64,
    fingerprint: &Fingerprint,
    options: &RunOptions,
    jobs: usize,
) -> Result<Explained, RunError> {
    let failing = record(scenario, seed, options)?;
    let violation = violation(&failing.result, fingerprint);
    let broke = broke(&failing, violation.as_ref());
    let subject = Subject::of(&failing.recording, violation.as_ref());
    let neighbour = neighbour::nearest(scenario, seed, &failing, &subject, options, jobs);
    let difference = neighbour
        .as_ref()
        .and_then(|near| difference::first(&failing, &near.run, &subject, broke));
    let told = milestones(&failing.recording, &subject);
    let from = neighbour.as_ref().map_or(0, |near| near.parts.event);
    let lanes = lanes(&failing.recording, violation.as_ref());
    let chain = chain::leading_to(&failing.recording, &told, from, broke, &lanes);
    let parted = difference.as_ref().map(|difference| difference.at());
    Ok(Explained {
        at_difference: parted.map_or(Vec::new(), |at| state::at(&failing.recording, &subject, at)),
        at_violation: state::at(&failing.recording, &subject, broke),
        scenario: scenario.clone(),
        seed,
        fingerprint: fingerprint.clone(),
        violation,
        broke,
        subject,
        neighbour,
        difference,
        chain,
        failing,
    })
}

fn violation(result: &RunResult, fingerprint: &Fingerprint) -> Option<Violation> {
    let Fingerprint::Broken { invariant, anomaly } = fingerprint else {
        return None;
    };
    let mut violations = result.violations.iter();
    let shows = |one: &&Violation| one.invariant == *invariant && one.anomaly == *anomaly;
    violations.find(shows).cloned()
}

fn broke(failing: &Recorded, violation: Option<&Violation>) -> Moment {
    violation.map_or(failing.recording.end, |violation| Moment {
        us: violation.sim_ms * 1_000 + 999,
        event: violation.event,
    })
}

/// Where it was seen; everywhere if a client or nobody in particular saw it.
fn lanes(recording: &Recording, violation: Option<&Violation>) -> Vec<LaneId> {
    let indexed = || (0..).zip(&recording.lanes);
    let node = violation.map(|violation| violation.node.as_str());
    let seen = indexed().find(|(_, lane)| Some(lane.name.as_str()) == node);
    match seen {
        Some((lane, _)) => vec![lane],
        None => indexed().map(|(lane, _)| lane).collect(),
    }
}
