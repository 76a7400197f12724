//! The run that holds and is nearest to one that fails: one fault less, shorter or later; else another seed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reports::recording::Moment;
use sim_disk::units::show;

use super::milestone::{Milestone, Subject, milestones};
use super::{Recorded, record};
use crate::driver::RunOptions;
use crate::pool;
use crate::scenario::{Scenario, in_words};

/// A run that holds.
#[derive(Clone, Debug)]
pub struct Neighbour {
    /// How it differs, as in "without …".
    pub how: String,
    pub seed: u64,
    pub run: Recorded,
    /// Where in the failing run the first milestone differs.
    pub parts: Moment,
}

struct Candidate {
    how: String,
    scenario: Scenario,
    seed: u64,
}

/// Of the runs that hold, the one that goes along with the failing one for longest. Another seed is another run from its
/// first event, so that it is looked for only if no change of a fault helps.
pub fn nearest(
    scenario: &Scenario,
    seed: u64,
    failing: &Recorded,
    subject: &Subject,
    options: &RunOptions,
    jobs: usize,
) -> Option<Neighbour> {
    let told = milestones(&failing.recording, subject);
    let changed = changed(scenario, seed);
    let near = holding(&changed, u64::MAX, &told, subject, options, jobs);
    if near.is_some() {
        return near;
    }
    let others: Vec<Candidate> = (1..=20)
        .filter(|other| *other != seed)
        .map(|seed| Candidate {
            how: format!("with seed {seed}"),
            scenario: scenario.clone(),
            seed,
        })
        .collect();
    holding(&others, 1, &told, subject, options, jobs)
}

/// With each fault in turn: without it, for less time, later, earlier.
fn changed(scenario: &Scenario, seed: u64) -> Vec<Candidate> {
    let mut all = Vec::new();
    for (index, spec) in scenario.faults.iter().enumerate() {
        let words = in_words(spec);
        let mut push = |how: String, change: &dyn Fn(&mut Scenario)| {
            let mut scenario = scenario.clone();
            change(&mut scenario);
            all.push(Candidate {
                how,
                scenario,
                seed,
            });
        };
        push(format!("without \"{words}\""), &|it| {
            it.faults.remove(index);
        });
        if let Some(lasts) = spec.lasts {
            let half = lasts / 2;
            push(format!("with \"{words}\" for {} only", show(half)), &|it| {
                it.faults[index].lasts = Some(half);
            });
        }
        for later in [100, 500].map(Duration::from_millis) {
            push(format!("with \"{words}\" {} later", show(later)), &|it| {
                it.faults[index].at += later;
            });
            push(format!("with \"{words}\" {} earlier", show(later)), &|it| {
                it.faults[index].at = spec.at.saturating_sub(later);
            });
        }
    }
    all
}

/// The nearest of those that hold; of no more than `enough`, the first ones.
fn holding(
    candidates: &[Candidate],
    enough: u64,
    told: &[Milestone],
    subject: &Subject,
    options: &RunOptions,
    jobs: usize,
) -> Option<Neighbour> {
    let count = u64::try_from(candidates.len()).expect("a count fits");
    let found = AtomicU64::new(0);
    let mut all: Vec<(u64, Neighbour)> = Vec::new();
    pool::run(
        jobs,
        count,
        |index| {
            if found.load(Ordering::Relaxed) >= enough {
                return None;
            }
            let candidate = &candidates[usize::try_from(index).expect("below a length")];
            let made = record(&candidate.scenario, candidate.seed, options).ok();
            let held = made.filter(|run| run.result.held());
            found.fetch_add(u64::from(held.is_some()), Ordering::Relaxed);
            Some((candidate, held))
        },
        |index, (candidate, held)| {
            if let Some(run) = held {
                let neighbour = Neighbour {
                    how: candidate.how.clone(),
                    seed: candidate.seed,
                    parts: parts(told, &milestones(&run.recording, subject)),
                    run,
                };
                all.push((index, neighbour));
            }
            true
        },
    );
    // Of equally near ones the first, whatever was ready first.
    all.sort_by_key(|(index, _)| *index);
    let farthest = all.iter().map(|(_, it)| it.parts.event).max()?;
    let nearest = all.into_iter().find(|(_, it)| it.parts.event == farthest);
    nearest.map(|(_, neighbour)| neighbour)
}

/// The first milestone of the failing run that is not the holding run's at the same event.
fn parts(failing: &[Milestone], holding: &[Milestone]) -> Moment {
    let mut both = failing.iter().zip(holding);
    let other = both.find(|(one, other)| one != other).map(|(one, _)| one);
    let other = other.or(failing.get(holding.len()));
    other.or(failing.last()).map(|it| it.at).unwrap_or_default()
}
