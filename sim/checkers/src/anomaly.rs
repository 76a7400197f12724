//! What a checker reports.

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
    pub checked: std::collections::BTreeMap<String, u64>,
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
    }

    pub fn holds(&self) -> bool {
        self.violations.is_empty()
    }
}
