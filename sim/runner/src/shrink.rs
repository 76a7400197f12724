//! A failing run made small: fixed faults instead of random ones, then fewer and shorter of everything, as long as
//! the same thing breaks. Which candidate is taken depends on nothing but the candidates, so the result is the same
//! whatever runs at once.
//!
//! Map: [`fingerprint`] what "the same" is · [`concrete`] random faults as fixed ones · [`ddmin`] the search for a
//! smallest subset · [`judge`] runs candidates · `passes` what is tried, on `parts`, `nodes`, `plain`.

pub mod concrete;
pub mod ddmin;
pub mod fingerprint;
pub mod judge;
mod nodes;
mod parts;
mod passes;
mod plain;

use std::time::Instant;

use reports::RunResult;

use crate::driver::{self, RunError, RunOptions, RunOutcome};
use crate::scenario::{Expect, Scenario};

pub use fingerprint::Fingerprint;
pub use judge::{Judge, Listener};

/// How it is done.
#[derive(Clone, Debug)]
pub struct Settings {
    pub options: RunOptions,
    /// Runs at once.
    pub jobs: usize,
    /// No candidate is begun after it; none is no limit.
    pub deadline: Option<Instant>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Shrunk {
    pub scenario: Scenario,
    pub fingerprint: Fingerprint,
    /// Faults that struck in the run it began with.
    pub struck: usize,
    /// Of seeds 1 to [`RATED`], those that show it.
    pub failing: Vec<u64>,
    /// The run of the scenario with its seed.
    pub result: RunResult,
    pub runs: u64,
    /// Nothing that is tried makes it smaller; else time was over.
    pub minimal: bool,
}

impl Shrunk {
    /// Sends and transactions that clients made.
    pub fn operations(&self) -> u64 {
        operations(&self.result)
    }
}

/// Sends and transactions that clients made.
pub fn operations(result: &RunResult) -> u64 {
    let clients = result.clients;
    clients.acked + clients.failed + clients.unknown + clients.txns_committed + clients.txns_aborted
}

/// Seeds that say how surely the scenario fails.
pub const RATED: u64 = 20;

/// Why nothing came of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotShrunk {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("{scenario} holds with seed {seed}: there is nothing to shrink")]
    Holds { scenario: String, seed: u64 },
    #[error(
        "{scenario} seed {seed} fails by {fingerprint}, but with its {struck} faults at fixed times neither that seed nor \
         seeds 1 to {RATED} do: it hangs on a moment that the faults do not fix. Try another failing seed"
    )]
    NotFixed {
        scenario: String,
        seed: u64,
        fingerprint: Fingerprint,
        struck: usize,
    },
}

/// Shrinks the failure of one seed. `name` is the scenario that comes of it.
///
/// # Errors
/// See [`NotShrunk`].
pub fn shrink(
    scenario: &Scenario,
    name: &str,
    seed: u64,
    settings: &Settings,
    listener: &dyn Listener,
) -> Result<Shrunk, NotShrunk> {
    let failed = driver::run(scenario, &scenario.name, seed, &settings.options)?;
    let Some(fingerprint) = Fingerprint::of(&failed.result) else {
        let scenario = scenario.name.clone();
        return Err(NotShrunk::Holds { scenario, seed });
    };
    let mut judge = Judge::new(name, fingerprint.clone(), settings, listener);
    let fixed = fixed(scenario, &failed, seed, &mut judge)?;
    let (best, minimal) = passes::all(fixed, &mut judge, &failed);
    Ok(finish(best, judge, failed.struck.len(), minimal))
}

/// The scenario without random faults, as exact as it must be to fail.
fn fixed(
    scenario: &Scenario,
    failed: &RunOutcome,
    seed: u64,
    judge: &mut Judge<'_>,
) -> Result<Scenario, NotShrunk> {
    let bare = Scenario {
        expect: Expect::default(),
        seed: Some(seed),
        ..scenario.clone()
    };
    let variants = concrete::variants(&bare, failed);
    let variants: Vec<Scenario> = variants.iter().filter_map(|it| judge.valid(it)).collect();
    let tries = std::iter::once(vec![seed]).chain((1..=RATED).map(|seed| vec![seed]));
    for seeds in tries {
        let tried = seeds[0];
        judge.ask(seeds, 1);
        if let Some(first) = judge.first(&variants) {
            return Ok(Scenario {
                seed: Some(tried),
                ..variants[first].clone()
            });
        }
    }
    Err(NotShrunk::NotFixed {
        scenario: scenario.name.clone(),
        seed,
        fingerprint: judge.fingerprint().clone(),
        struck: failed.struck.len(),
    })
}

/// A seed that shows it: the one it began with, if it still does.
fn hint(best: &Scenario, judge: &Judge<'_>, failing: &[u64]) -> Option<u64> {
    let own = best.seed.filter(|seed| failing.contains(seed));
    let low = own.or(failing.first().copied());
    low.or_else(|| {
        let others: Vec<u64> = best.seed.into_iter().chain(judge.seeds()).collect();
        let shown = judge.failing(best, &others);
        let own = best.seed.filter(|seed| shown.contains(seed));
        own.or(shown.first().copied())
    })
}

fn known(invariant: &str) -> bool {
    crate::invariants::IDS.contains(&invariant)
}

/// Rates it, and drops what only the way here needed.
fn finish(best: Scenario, judge: Judge<'_>, struck: usize, minimal: bool) -> Shrunk {
    let best = Scenario {
        faults: best.faults.iter().map(concrete::readable).collect(),
        ..best
    };
    let strict = Scenario {
        skips_refused: false,
        ..best.clone()
    };
    let rated: Vec<u64> = (1..=RATED).collect();
    let (best, failing) = match judge.rate(&strict, RATED) {
        Some(failing) if !failing.is_empty() => (strict, failing),
        _ => {
            let failing = judge.failing(&best, &rated);
            (best, failing)
        }
    };
    let invariant = judge.fingerprint().invariant().filter(|id| known(id));
    let scenario = Scenario {
        seed: hint(&best, &judge, &failing),
        expect: Expect {
            invariants: invariant.into_iter().collect(),
            probes: Vec::new(),
        },
        ..best
    };
    let result = judge.result(&scenario, scenario.seed.unwrap_or(1));
    Shrunk {
        fingerprint: judge.fingerprint().clone(),
        struck,
        failing,
        result,
        runs: judge.runs(),
        minimal,
        scenario,
    }
}
