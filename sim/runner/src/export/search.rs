//! Tries seeds and timings until the simulator shows what the model showed.

use std::path::Path;

use models::counterexample::Counterexample;
use reports::RunResult;

use super::{Draft, NoCounterpart, Pace, draft, text};
use crate::driver::{self, RunOptions};
use crate::pool;
use crate::scenario::Scenario;

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub struct Tries {
    /// Seeds of each timing, from 1.
    pub seeds: u64,
    pub jobs: usize,
}

/// A scenario that shows it.
#[derive(Clone, Debug)]
pub struct Exported {
    pub text: String,
    /// The smallest seed that does.
    pub seed: u64,
    pub counts: Counts,
}

/// Of the seeds tried with the timing chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub tried: u64,
    pub reproduced: u64,
    /// With the same cluster and clients, but none of the faults.
    pub without_faults: u64,
}

/// Why nothing came of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotExported {
    #[error(transparent)]
    NoCounterpart(#[from] NoCounterpart),
    /// What the runs showed instead, the most frequent first.
    #[error("the simulator did not come to {invariant} in {runs} runs; they ended: {instead}")]
    NotReproduced {
        invariant: &'static str,
        runs: u64,
        instead: String,
    },
    #[error("without the known bug the scenario does not hold either: seed {seed}: {reason}")]
    Unclean { seed: u64, reason: String },
    #[error("the scenario made of it cannot be run: {0}")]
    Invalid(String),
}

/// # Errors
/// See [`NotExported`].
pub fn search(
    way: &Counterexample,
    mutant: Option<&'static str>,
    file: &Path,
    tries: Tries,
) -> Result<Exported, NotExported> {
    let mut ends: Vec<String> = Vec::new();
    for pace in Pace::ALL {
        let draft = draft(way, pace)?;
        let trial = Trial::new(&draft, way.invariant, mutant, file, tries)?;
        let shown = trial.seeds_that_show(&trial.scenario, &mut ends)?;
        let Some(seed) = shown.first().copied() else {
            continue;
        };
        trial.holds_without_bug(seed)?;
        let bare = Scenario {
            faults: Vec::new(),
            ..trial.scenario.clone()
        };
        let without_faults = trial.seeds_that_show(&bare, &mut Vec::new())?;
        let counts = Counts {
            tried: tries.seeds,
            reproduced: count(&shown),
            without_faults: count(&without_faults),
        };
        let described = describe(way, mutant, seed, counts);
        return Ok(Exported {
            text: text(&draft, &described, way.invariant),
            seed,
            counts,
        });
    }
    Err(NotExported::NotReproduced {
        invariant: way.invariant,
        runs: count(&ends),
        instead: most_frequent(&ends),
    })
}

struct Trial<'a> {
    scenario: Scenario,
    name: String,
    invariant: &'static str,
    mutant: Option<&'static str>,
    tries: Tries,
    file: &'a Path,
}

impl Trial<'_> {
    /// The scenario is read from its own text: what is run is what the file will say.
    fn new<'a>(
        draft: &Draft,
        invariant: &'static str,
        mutant: Option<&'static str>,
        file: &'a Path,
        tries: Tries,
    ) -> Result<Trial<'a>, NotExported> {
        let name = file.display().to_string();
        let text = text(draft, "", invariant);
        let scenario = Scenario::parse(&name, &text);
        let scenario = scenario.map_err(|error| NotExported::Invalid(error.to_string()))?;
        Ok(Trial {
            scenario,
            name,
            invariant,
            mutant,
            tries,
            file,
        })
    }

    /// Ascending. The ends of runs that do not are added to `ends`.
    fn seeds_that_show(
        &self,
        scenario: &Scenario,
        ends: &mut Vec<String>,
    ) -> Result<Vec<u64>, NotExported> {
        let options = RunOptions {
            mutant: self.mutant,
            ..RunOptions::default()
        };
        let (mut shown, mut failed) = (Vec::new(), None);
        let run = |index| driver::run(scenario, &self.name, index + 1, &options);
        pool::run(
            self.tries.jobs,
            self.tries.seeds,
            |index| Some(run(index)),
            |index, made| match made {
                Ok(outcome) => {
                    let mut violations = outcome.result.violations.iter();
                    if violations.any(|violation| violation.invariant == self.invariant) {
                        shown.push(index + 1);
                    } else {
                        ends.push(end(&outcome.result));
                    }
                    true
                }
                Err(error) => {
                    failed = Some(error.to_string());
                    false
                }
            },
        );
        if let Some(error) = failed {
            return Err(NotExported::Invalid(error));
        }
        shown.sort_unstable();
        Ok(shown)
    }

    fn holds_without_bug(&self, seed: u64) -> Result<(), NotExported> {
        if self.mutant.is_none() {
            return Ok(());
        }
        let name = self.file.display().to_string();
        let made = driver::run(&self.scenario, &name, seed, &RunOptions::default());
        let outcome = made.map_err(|error| NotExported::Invalid(error.to_string()))?;
        if outcome.result.held() {
            return Ok(());
        }
        let reason = outcome.result.reason();
        Err(NotExported::Unclean { seed, reason })
    }
}

/// In a word, without what differs from seed to seed.
fn end(result: &RunResult) -> String {
    let verdict = result.verdict;
    match result.violations.first() {
        Some(first) => format!("{verdict:?} by {} {}", first.invariant, first.anomaly),
        None => format!("{verdict:?}"),
    }
}

fn describe(
    way: &Counterexample,
    mutant: Option<&'static str>,
    seed: u64,
    counts: Counts,
) -> String {
    let bug = mutant.map_or(String::new(), |mutant| {
        format!(" with {} put back", mutant.replace('_', "-"))
    });
    let Counts {
        tried,
        reproduced,
        without_faults,
    } = counts;
    let steps = way.steps.len();
    format!(
        "A counterexample of {steps} steps to {} that a model found{bug}, as `trial check --out` wrote it: each stretch\n\
         of time opens only the links on which the model delivers something. Replay with seed {seed}. The simulator came\n\
         to the same invariant with {reproduced} of seeds 1 to {tried}, and with {without_faults} of them without the faults.\n",
        way.invariant
    )
}

fn count<T>(all: &[T]) -> u64 {
    u64::try_from(all.len()).expect("a count fits")
}

fn most_frequent(ends: &[String]) -> String {
    let mut counted: std::collections::BTreeMap<&str, u64> = std::collections::BTreeMap::new();
    for end in ends {
        *counted.entry(end).or_insert(0) += 1;
    }
    let mut counted: Vec<(&str, u64)> = counted.into_iter().collect();
    counted.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    let told = counted.iter().take(3);
    let told: Vec<String> = told
        .map(|(end, times)| format!("{times} x {end}"))
        .collect();
    told.join("; ")
}
