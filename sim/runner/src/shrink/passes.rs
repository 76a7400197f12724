//! What is tried, in which order, until nothing of it helps any more.

use std::time::Duration;

use super::ddmin::ddmin;
use super::judge::Judge;
use super::{Fingerprint, RATED, nodes, parts, plain};
use crate::driver::RunOutcome;
use crate::scenario::Scenario;

/// Rounds in which the seeds are chosen anew, because others show it by then.
const CHOOSING: usize = 3;
/// Seeds that a candidate is asked for at most.
const ASKED: usize = 6;
/// More rounds than this are a circle.
const ROUNDS: usize = 12;

struct Shrinker<'a, 'b> {
    judge: &'a mut Judge<'b>,
    best: Scenario,
}

/// The smallest, and whether everything was tried.
pub(super) fn all(fixed: Scenario, judge: &mut Judge<'_>, failed: &RunOutcome) -> (Scenario, bool) {
    judge.listener().better(&fixed, "fixed faults");
    let mut shrinker = Shrinker { judge, best: fixed };
    shrinker.cut(failed);
    for round in 0..ROUNDS {
        if round < CHOOSING {
            shrinker.choose_seeds();
        }
        if !shrinker.round() {
            break;
        }
    }
    let minimal = !shrinker.judge.is_out_of_time();
    (shrinker.best, minimal)
}

/// Takes a scenario to smaller ones.
type Smaller = fn(&Scenario) -> Vec<Scenario>;

const EARLY: &[(&str, Smaller)] = &[
    ("clients", parts::fewer_clients),
    ("rate", parts::lower_rates),
    ("duration", parts::durations),
];

const LATE: &[(&str, Smaller)] = &[
    ("operations", parts::fewer_operations),
    ("partitions", parts::fewer_partitions),
    ("replicas", parts::fewer_replicas),
    ("nodes", nodes::without_one),
    ("idle time", parts::earlier_faults),
    ("duration", parts::durations),
    ("shorter faults", parts::shorter_faults),
    ("round times", parts::rounder_times),
];

impl Shrinker<'_, '_> {
    /// Whether anything helped.
    fn round(&mut self) -> bool {
        let mut helped =
            self.drop_parts("workloads", parts::with_workloads, |it| it.workloads.len());
        helped |= self.drop_parts("faults", parts::with_faults, |it| it.faults.len());
        helped |= self.drop_parts("topics", parts::with_topics, |it| it.topics.len());
        for (what, smaller) in EARLY {
            helped |= self.descend(what, *smaller);
        }
        helped |= self.take_back();
        for (what, smaller) in LATE {
            helped |= self.descend(what, *smaller);
        }
        helped
    }

    /// Most of a run comes after what broke.
    fn cut(&mut self, failed: &RunOutcome) {
        let violations = failed.result.violations.iter();
        let broke = violations
            .filter(|one| match self.judge.fingerprint() {
                Fingerprint::Broken { invariant, .. } => one.invariant == *invariant,
                Fingerprint::Panicked { .. } => false,
            })
            .map(|one| one.sim_ms)
            .min();
        let broke = broke.unwrap_or(failed.result.sim_ms);
        let after = Duration::from_millis(broke.saturating_sub(failed.faults_from_ms));
        let candidates: Vec<Scenario> = [500, 2_000]
            .iter()
            .map(|more| parts::ending(&self.best, after + Duration::from_millis(*more)))
            .filter(|shorter| shorter.duration < self.best.duration)
            .collect();
        self.take("duration", candidates);
    }

    /// Those that show it, the scenario's own first; half of them have to go on doing so.
    fn choose_seeds(&mut self) {
        let mut tried: Vec<u64> = self.best.seed.into_iter().collect();
        tried.extend((1..=RATED).filter(|seed| Some(*seed) != self.best.seed));
        let failing = self.judge.failing(&self.best, &tried);
        let (mut seeds, others): (Vec<u64>, Vec<u64>) =
            tried.into_iter().partition(|seed| failing.contains(seed));
        let hits = seeds.len().min(ASKED);
        seeds.extend(others);
        seeds.truncate(ASKED);
        self.judge.ask(seeds, hits.div_ceil(2).max(1));
    }

    /// The first that still fails.
    fn take(&mut self, what: &str, candidates: Vec<Scenario>) -> bool {
        let now = self.best.to_toml();
        let valid = candidates.iter().filter_map(|it| self.judge.valid(it));
        let different: Vec<Scenario> = valid.filter(|it| it.to_toml() != now).collect();
        let Some(index) = self.judge.first(&different) else {
            return false;
        };
        self.best = different[index].clone();
        self.judge.listener().better(&self.best, what);
        true
    }

    /// Smaller and smaller.
    fn descend(&mut self, what: &str, smaller: Smaller) -> bool {
        let mut helped = false;
        while self.take(what, smaller(&self.best)) {
            helped = true;
        }
        helped
    }

    fn drop_parts(
        &mut self,
        what: &str,
        with: fn(&Scenario, &[usize]) -> Scenario,
        count: fn(&Scenario) -> usize,
    ) -> bool {
        let whole = self.best.clone();
        let kept = ddmin(count(&whole), |candidates| {
            let made = candidates.iter().map(|kept| with(&whole, kept));
            self.first_of(made.collect())
        });
        self.settle(what, with(&whole, &kept))
    }

    /// Everything said without need, as much as possible at once.
    fn take_back(&mut self) -> bool {
        let whole = self.best.clone();
        let steps = plain::steps(&whole);
        let with = |kept: &[usize]| {
            let mut plainer = whole.clone();
            for (index, step) in steps.iter().enumerate() {
                if !kept.contains(&index) {
                    step(&mut plainer);
                }
            }
            plainer
        };
        let kept = ddmin(steps.len(), |candidates| {
            let made = candidates.iter().map(|kept| with(kept));
            self.first_of(made.collect())
        });
        self.settle("configuration", with(&kept))
    }

    /// Invalid ones do not fail.
    fn first_of(&self, candidates: Vec<Scenario>) -> Option<usize> {
        let valid = candidates.iter().enumerate();
        let valid = valid.filter_map(|(index, it)| Some((index, self.judge.valid(it)?)));
        let (indexes, valid): (Vec<usize>, Vec<Scenario>) = valid.unzip();
        self.judge.first(&valid).map(|index| indexes[index])
    }

    fn settle(&mut self, what: &str, found: Scenario) -> bool {
        if found.to_toml() == self.best.to_toml() {
            return false;
        }
        self.best = self.judge.valid(&found).unwrap_or(found);
        self.judge.listener().better(&self.best, what);
        true
    }
}
