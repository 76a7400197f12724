//! What a checker reports.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One broken invariant at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Id of the invariant list, e.g. `REP-1`.
    pub invariant: String,
    /// Jepsen's name of the anomaly, or a short name of our own.
    pub anomaly: String,
    /// The simulation's event number at which it became visible; 0 for a real cluster.
    pub event: u64,
    pub sim_ms: u64,
    /// The node at which it was seen; empty for a client's view.
    pub node: String,
    /// What exactly, with ids and offsets.
    pub detail: String,
}

/// What a checker found and how often it looked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub violations: Vec<Violation>,
    /// Times each invariant was evaluated, so that a check that never ran is seen.
    pub checked: BTreeMap<String, u64>,
    /// Anomalies by name that were seen and are lawful: how often, and the smallest one.
    #[serde(default)]
    pub lawful: BTreeMap<String, (u64, String)>,
}

impl Report {
    pub fn count(&mut self, invariant: &str, times: u64) {
        if let Some(count) = self.checked.get_mut(invariant) {
            *count += times;
        } else {
            self.checked.insert(invariant.to_string(), times);
        }
    }

    pub fn merge(&mut self, other: Report) {
        self.violations.extend(other.violations);
        for (invariant, times) in other.checked {
            self.count(&invariant, times);
        }
        for (anomaly, (times, example)) in other.lawful {
            self.lawful(&anomaly, times, example);
        }
    }

    /// Notes what looks like an anomaly and is Kafka's contract.
    pub fn lawful(&mut self, anomaly: &str, times: u64, example: String) {
        let noted = self.lawful.entry(anomaly.to_string());
        noted.or_insert((0, example)).0 += times;
    }

    pub fn holds(&self) -> bool {
        self.violations.is_empty()
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Held,
    /// Safe, but something never came back after the quiet phase (`LIVE-*`).
    Stuck,
    Violated,
    /// A panic or a failed assertion in the code under test.
    Crashed,
}

impl Verdict {
    /// Of a run that did not crash: the worst of its violations.
    pub fn of(violations: &[Violation]) -> Verdict {
        let verdict = |violation: &Violation| {
            if violation.invariant.starts_with("LIVE-") {
                Verdict::Stuck
            } else {
                Verdict::Violated
            }
        };
        violations
            .iter()
            .map(verdict)
            .max()
            .unwrap_or(Verdict::Held)
    }

    /// The process exit code of `trial`.
    pub fn exit_code(self) -> u8 {
        match self {
            Verdict::Held => 0,
            Verdict::Violated => 1,
            Verdict::Stuck => 3,
            Verdict::Crashed => 4,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Held => "held",
            Verdict::Stuck => "stuck",
            Verdict::Violated => "violated",
            Verdict::Crashed => "crashed",
        }
    }
}
