//! One run's result.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sim_checkers::anomaly::{Verdict, Violation};

use crate::text::{grouped, seconds, speed};

/// What a run found. The field names are a contract: `trial run --json` prints this object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunResult {
    pub scenario: String,
    pub seed: u64,
    pub engine: String,
    pub verdict: Verdict,
    pub violations: Vec<Violation>,
    /// Hexadecimal; equal for equal runs.
    pub trace_hash: String,
    pub events: u64,
    pub sim_ms: u64,
    pub wall_ms: u64,
    /// Times each kind of fault struck.
    pub faults: BTreeMap<String, u64>,
    pub clients: ClientTotals,
    /// Rare paths that were reached.
    pub probes: Vec<String>,
    /// The command that runs it again.
    pub replay: String,
    /// Known bug that was put back for this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutant: Option<String>,
    /// What the code under test said when it crashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crash: Option<String>,
    #[serde(default)]
    pub timeline: Vec<TimelineEntry>,
    #[serde(default)]
    pub client_table: Vec<ClientRow>,
    #[serde(default)]
    pub latency: Vec<LatencyRow>,
    /// Times each invariant was evaluated.
    #[serde(default)]
    pub invariants: BTreeMap<String, u64>,
}

/// What happened to the cluster from outside, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    pub sim_ms: u64,
    pub event: u64,
    pub what: String,
}

/// Operations of all clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientTotals {
    pub acked: u64,
    pub failed: u64,
    pub unknown: u64,
    pub consumed: u64,
    pub txns_committed: u64,
    pub txns_aborted: u64,
}

/// One client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRow {
    pub name: String,
    /// What it does, e.g. `producer`.
    pub kind: String,
    pub acked: u64,
    pub failed: u64,
    pub unknown: u64,
    pub consumed: u64,
}

/// Simulated latency of one kind of operation, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyRow {
    pub operation: String,
    pub count: u64,
    pub p50_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
}

impl RunResult {
    /// A run of which nothing is known yet but what it is.
    pub fn new(scenario: &str, seed: u64, engine: &str, replay: &str) -> RunResult {
        RunResult {
            scenario: scenario.to_owned(),
            seed,
            engine: engine.to_owned(),
            verdict: Verdict::Held,
            violations: Vec::new(),
            trace_hash: String::new(),
            events: 0,
            sim_ms: 0,
            wall_ms: 0,
            faults: BTreeMap::new(),
            clients: ClientTotals::default(),
            probes: Vec::new(),
            replay: replay.to_owned(),
            mutant: None,
            crash: None,
            timeline: Vec::new(),
            client_table: Vec::new(),
            latency: Vec::new(),
            invariants: BTreeMap::new(),
        }
    }

    pub fn held(&self) -> bool {
        self.verdict == Verdict::Held
    }

    /// On a real cluster nothing is simulated, and no run is the same again.
    pub fn is_simulated(&self) -> bool {
        !matches!(self.engine.as_str(), "process" | "kafka")
    }

    /// How much there was and how long it took, in one line.
    pub(crate) fn figures(&self) -> String {
        let events = grouped(self.events);
        if !self.is_simulated() {
            return format!("{events} events in {}", seconds(self.wall_ms));
        }
        format!(
            "{events} events   {} simulated in {} ({})",
            seconds(self.sim_ms),
            seconds(self.wall_ms),
            speed(self.sim_ms, self.wall_ms)
        )
    }

    /// One line without its end.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers serialize")
    }

    /// # Errors
    /// Text that is no result.
    pub fn from_json(text: &str) -> Result<RunResult, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Every invariant that was evaluated or broken, from the log to liveness: evaluations, violations.
    pub fn by_invariant(&self) -> Vec<(&str, u64, usize)> {
        let mut found: BTreeMap<(usize, &str), (u64, usize)> = BTreeMap::new();
        for (invariant, times) in &self.invariants {
            found.entry(rank(invariant)).or_default().0 = *times;
        }
        for violation in &self.violations {
            found.entry(rank(&violation.invariant)).or_default().1 += 1;
        }
        found
            .into_iter()
            .map(|((_, id), (times, violations))| (id, times, violations))
            .collect()
    }

    /// What broke, in one line; empty if nothing did.
    pub fn reason(&self) -> String {
        match (&self.crash, self.violations.first()) {
            (Some(crash), _) => crash.lines().next().unwrap_or_default().to_owned(),
            (None, Some(first)) => {
                format!("{} {}: {}", first.invariant, first.anomaly, first.detail)
            }
            (None, None) => String::new(),
        }
    }
}

/// Families from the bottom up; unknown ones come last.
const FAMILIES: [&str; 8] = ["LOG", "REP", "RAFT", "META", "TXN", "GRP", "CLI", "LIVE"];

pub(crate) fn rank(invariant: &str) -> (usize, &str) {
    let family = invariant.split('-').next().unwrap_or_default();
    (
        FAMILIES
            .iter()
            .position(|known| *known == family)
            .unwrap_or(FAMILIES.len()),
        invariant,
    )
}
