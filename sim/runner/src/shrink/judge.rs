//! Whether a candidate fails in the same way, asked of several seeds.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use reports::RunResult;

use super::{Fingerprint, Settings};
use crate::driver::{self, RunError};
use crate::pool;
use crate::scenario::Scenario;

/// Hears how it goes.
pub trait Listener: Sync {
    /// So many runs were made.
    fn ran(&self, runs: u64);
    /// A smaller scenario still fails. `by` is what was tried.
    fn better(&self, scenario: &Scenario, by: &str);
}

/// Runs candidates.
pub struct Judge<'a> {
    name: &'a str,
    fingerprint: Fingerprint,
    settings: &'a Settings,
    listener: &'a dyn Listener,
    /// Asked in this order, and how many of them have to show it.
    seeds: Vec<u64>,
    needed: usize,
    /// By the scenario's text.
    known: Mutex<BTreeMap<String, bool>>,
    runs: AtomicU64,
}

impl<'a> Judge<'a> {
    pub fn new(
        name: &'a str,
        fingerprint: Fingerprint,
        settings: &'a Settings,
        listener: &'a dyn Listener,
    ) -> Judge<'a> {
        Judge {
            name,
            fingerprint,
            settings,
            listener,
            seeds: Vec::new(),
            needed: 1,
            known: Mutex::default(),
            runs: AtomicU64::new(0),
        }
    }

    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    pub fn listener(&self) -> &'a dyn Listener {
        self.listener
    }

    pub fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// Those that are asked now.
    pub fn seeds(&self) -> Vec<u64> {
        self.seeds.clone()
    }

    pub fn is_out_of_time(&self) -> bool {
        let deadline = self.settings.deadline;
        deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// From now on `needed` of these seeds have to show it.
    pub fn ask(&mut self, seeds: Vec<u64>, needed: usize) {
        if (&self.seeds, self.needed) != (&seeds, needed) {
            self.known_mut().clear();
        }
        (self.seeds, self.needed) = (seeds, needed);
    }

    /// What its file would say; none if no such file could be read.
    pub fn valid(&self, candidate: &Scenario) -> Option<Scenario> {
        let file = format!("{}.toml", self.name);
        Scenario::parse(&file, &candidate.to_toml()).ok()
    }

    /// The first candidate that fails in the same way, whatever is finished first; none if none does, or
    /// if time is over.
    pub fn first(&self, candidates: &[Scenario]) -> Option<usize> {
        let found = AtomicUsize::new(usize::MAX);
        let count = u64::try_from(candidates.len()).expect("a count fits");
        pool::run(
            self.settings.jobs,
            count,
            |index| {
                let index = usize::try_from(index).expect("below a length");
                let beaten = index > found.load(Ordering::Relaxed);
                if !beaten && self.shows(&candidates[index]) {
                    found.fetch_min(index, Ordering::Relaxed);
                }
                Some(())
            },
            |_, ()| {
                self.listener.ran(self.runs());
                true
            },
        );
        Some(found.into_inner()).filter(|index| *index < candidates.len())
    }

    /// The seeds, of these, that show it; ascending.
    pub fn failing(&self, scenario: &Scenario, seeds: &[u64]) -> Vec<u64> {
        let mut failing = Vec::new();
        let count = u64::try_from(seeds.len()).expect("a count fits");
        pool::run(
            self.settings.jobs,
            count,
            |index| {
                let seed = seeds[usize::try_from(index).expect("below a length")];
                Some((seed, self.shows_with(scenario, seed)))
            },
            |_, (seed, shows)| {
                failing.extend(shows.then_some(seed));
                self.listener.ran(self.runs());
                true
            },
        );
        failing.sort_unstable();
        failing
    }

    /// Of seeds 1 to this one, those that show it, ascending; none if a seed asks for what the budget does
    /// not bear.
    pub fn rate(&self, scenario: &Scenario, seeds: u64) -> Option<Vec<u64>> {
        let mut failing = Some(Vec::new());
        pool::run(
            self.settings.jobs,
            seeds,
            |index| Some(self.run(scenario, index + 1)),
            |index, made| {
                match made {
                    Err(_) => failing = None,
                    Ok(result) if self.fingerprint.shows_in(&result) => {
                        failing.iter_mut().for_each(|it| it.push(index + 1));
                    }
                    Ok(_) => {}
                }
                failing.is_some()
            },
        );
        failing.iter_mut().for_each(|it| it.sort_unstable());
        failing
    }

    /// The run with a seed that is known to be possible.
    pub fn result(&self, scenario: &Scenario, seed: u64) -> RunResult {
        match self.run(scenario, seed) {
            Ok(result) => result,
            Err(error) => panic!("a run that was made before cannot be made: {error}"),
        }
    }

    fn run(&self, scenario: &Scenario, seed: u64) -> Result<RunResult, RunError> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        let outcome = driver::run(scenario, self.name, seed, &self.settings.options)?;
        Ok(outcome.result)
    }

    fn shows_with(&self, scenario: &Scenario, seed: u64) -> bool {
        let result = self.run(scenario, seed);
        result.is_ok_and(|result| self.fingerprint.shows_in(&result))
    }

    fn shows(&self, candidate: &Scenario) -> bool {
        let text = candidate.to_toml();
        if let Some(known) = self.known_now().get(&text) {
            return *known;
        }
        let (mut shown, mut left) = (0, self.seeds.len());
        for seed in &self.seeds {
            if shown >= self.needed || shown + left < self.needed {
                break;
            }
            if self.is_out_of_time() {
                return false;
            }
            shown += usize::from(self.shows_with(candidate, *seed));
            left -= 1;
        }
        let shows = shown >= self.needed;
        self.known_now().insert(text, shows);
        shows
    }

    fn known_now(&self) -> MutexGuard<'_, BTreeMap<String, bool>> {
        self.known.lock().expect("no panic under this lock")
    }

    fn known_mut(&mut self) -> &mut BTreeMap<String, bool> {
        self.known.get_mut().expect("no panic under this lock")
    }
}
