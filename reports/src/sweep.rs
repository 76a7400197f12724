//! Many runs, added up one by one; only what failed is kept in detail.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sim_checkers::anomaly::Verdict;

use crate::result::{ClientTotals, RunResult, rank};
use crate::text::{grouped, seconds, speed};

/// One run in a sweep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepRow {
    pub scenario: String,
    pub seed: u64,
    pub verdict: Verdict,
    pub sim_ms: u64,
    pub wall_ms: u64,
    pub events: u64,
    /// The first violation or the panic; empty if it held.
    pub reason: String,
    pub replay: String,
}

/// The sum of many runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    pub engine: String,
    /// Wall time of the sweep, which runs several jobs at once.
    pub wall_ms: u64,
    pub rows: Vec<SweepRow>,
    /// Evaluations, and runs that broke it.
    pub invariants: BTreeMap<String, (u64, u64)>,
    pub faults: BTreeMap<String, u64>,
    pub clients: ClientTotals,
    /// Runs that reached each rare path.
    pub probes: BTreeMap<String, u64>,
    /// All rare paths there are, as far as known.
    pub known_probes: BTreeSet<String>,
}

impl Sweep {
    pub fn new(engine: &str, known_probes: impl IntoIterator<Item = String>) -> Sweep {
        Sweep {
            engine: engine.to_owned(),
            known_probes: known_probes.into_iter().collect(),
            ..Sweep::default()
        }
    }

    pub fn add(&mut self, run: &RunResult) {
        for (invariant, times, violations) in run.by_invariant() {
            let sum = self.invariants.entry(invariant.to_owned()).or_default();
            sum.0 += times;
            sum.1 += u64::from(violations > 0);
        }
        for (kind, count) in &run.faults {
            *self.faults.entry(kind.clone()).or_default() += count;
        }
        for probe in &run.probes {
            *self.probes.entry(probe.clone()).or_default() += 1;
        }
        self.clients.add(&run.clients);
        self.rows.push(SweepRow {
            scenario: run.scenario.clone(),
            seed: run.seed,
            verdict: run.verdict,
            sim_ms: run.sim_ms,
            wall_ms: run.wall_ms,
            events: run.events,
            reason: run.reason(),
            replay: run.replay.clone(),
        });
    }

    /// The worst of all runs.
    pub fn verdict(&self) -> Verdict {
        self.rows
            .iter()
            .map(|row| row.verdict)
            .max()
            .unwrap_or(Verdict::Held)
    }

    pub fn failures(&self) -> impl Iterator<Item = &SweepRow> {
        self.rows.iter().filter(|row| row.verdict != Verdict::Held)
    }

    pub fn probes_missed(&self) -> Vec<String> {
        self.known_probes
            .iter()
            .filter(|probe| !self.probes.contains_key(*probe))
            .cloned()
            .collect()
    }

    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers serialize")
    }

    pub(crate) fn headline(&self) -> String {
        let failed = self.failures().count();
        format!(
            "{} runs   {failed} failed   {}",
            self.rows.len(),
            self.engine
        )
    }

    pub(crate) fn figures(&self) -> String {
        let (events, sim_ms) = self
            .rows
            .iter()
            .fold((0, 0), |sum, row| (sum.0 + row.events, sum.1 + row.sim_ms));
        let faults: u64 = self.faults.values().sum();
        format!(
            "{} events   {} simulated in {} ({})   {} faults   {} acked, {} consumed",
            grouped(events),
            seconds(sim_ms),
            seconds(self.wall_ms),
            speed(sim_ms, self.wall_ms),
            grouped(faults),
            grouped(self.clients.acked),
            grouped(self.clients.consumed)
        )
    }

    /// Scenario, runs, by verdict, events, simulated time.
    pub(crate) fn scenario_rows(&self) -> Vec<Vec<String>> {
        let mut sums: BTreeMap<&str, ([u64; 4], u64, u64)> = BTreeMap::new();
        for row in &self.rows {
            let sum = sums.entry(&row.scenario).or_default();
            sum.0[column(row.verdict)] += 1;
            sum.1 += row.events;
            sum.2 += row.sim_ms;
        }
        let cells = |(scenario, (verdicts, events, sim_ms)): (&str, ([u64; 4], u64, u64))| {
            let runs = verdicts.iter().sum();
            let mut cells = vec![scenario.to_owned(), grouped(runs)];
            cells.extend(verdicts.map(grouped));
            cells.extend([grouped(events), seconds(sim_ms)]);
            cells
        };
        sums.into_iter().map(cells).collect()
    }

    pub(crate) fn invariant_rows(&self) -> Vec<Vec<String>> {
        let ranked = self.invariants_ranked().into_iter();
        ranked
            .map(|(id, times, broken)| vec![id.to_owned(), grouped(times), grouped(broken)])
            .collect()
    }

    /// From the log to liveness: evaluations, and runs that broke it.
    pub(crate) fn invariants_ranked(&self) -> Vec<(&str, u64, u64)> {
        let mut ordered: Vec<(&String, &(u64, u64))> = self.invariants.iter().collect();
        ordered.sort_by_key(|(id, _)| rank(id));
        let ordered = ordered.into_iter();
        ordered
            .map(|(id, (times, broken))| (id.as_str(), *times, *broken))
            .collect()
    }
}

fn column(verdict: Verdict) -> usize {
    match verdict {
        Verdict::Held => 0,
        Verdict::Violated => 1,
        Verdict::Stuck => 2,
        Verdict::Crashed => 3,
    }
}

impl ClientTotals {
    pub fn add(&mut self, other: &ClientTotals) {
        self.acked += other.acked;
        self.failed += other.failed;
        self.unknown += other.unknown;
        self.consumed += other.consumed;
        self.txns_committed += other.txns_committed;
        self.txns_aborted += other.txns_aborted;
    }
}
