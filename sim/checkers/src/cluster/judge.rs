//! Counting what was looked at, and writing down what was wrong.

use std::collections::BTreeMap;

use super::event::PartitionId;
use crate::anomaly::{Report, Violation};

/// More of one kind say nothing new.
const VIOLATIONS_PER_INVARIANT_MAX: usize = 20;

macro_rules! invariants {
    ($($name:ident = $id:literal),* $(,)?) => {
        /// What the cluster checker judges; ids as in the invariant list.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Invariant { $($name),* }

        impl Invariant {
            pub const ALL: &[Invariant] = &[$(Invariant::$name),*];

            pub fn id(self) -> &'static str {
                match self { $(Invariant::$name => $id),* }
            }
        }
    };
}

invariants! {
    Log1 = "LOG-1", Log2 = "LOG-2", Log3 = "LOG-3", Log4 = "LOG-4",
    Rep1 = "REP-1", Rep2 = "REP-2", Rep3 = "REP-3", Rep4 = "REP-4", Rep5 = "REP-5",
    Raft1 = "RAFT-1", Raft2 = "RAFT-2", Raft3 = "RAFT-3", Raft4 = "RAFT-4", Raft5 = "RAFT-5", Raft6 = "RAFT-6",
    Meta1 = "META-1", Meta2 = "META-2", Meta3 = "META-3", Meta4 = "META-4",
    Txn1 = "TXN-1", Txn2 = "TXN-2", Txn3 = "TXN-3", Txn5 = "TXN-5",
    Grp2 = "GRP-2",
    Cli4 = "CLI-4",
    Live1 = "LIVE-1", Live2 = "LIVE-2", Live5 = "LIVE-5",
}

/// Where and when the checker is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    pub event: u64,
    pub sim_ms: u64,
    pub node: i32,
}

#[derive(Debug, Default)]
pub struct Judge {
    pub at: Stamp,
    counts: [u64; Invariant::ALL.len()],
    found: BTreeMap<Invariant, usize>,
    violations: Vec<Violation>,
    names: BTreeMap<u128, String>,
}

impl Judge {
    /// Demands that `holds`; counts that it was looked at.
    #[inline]
    pub fn demand(
        &mut self,
        holds: bool,
        invariant: Invariant,
        anomaly: &str,
        detail: impl FnOnce(&Judge) -> String,
    ) -> bool {
        self.counts[invariant as usize] += 1;
        if !holds {
            let detail = detail(self);
            self.violate(invariant, anomaly, detail);
        }
        holds
    }

    fn violate(&mut self, invariant: Invariant, anomaly: &str, detail: String) {
        let found = self.found.entry(invariant).or_insert(0);
        *found += 1;
        if *found > VIOLATIONS_PER_INVARIANT_MAX {
            return;
        }
        self.violations.push(Violation {
            invariant: invariant.id().to_owned(),
            anomaly: anomaly.to_owned(),
            event: self.at.event,
            sim_ms: self.at.sim_ms,
            node: format!("node{}", self.at.node),
            detail,
        });
    }

    pub fn name_topic(&mut self, topic: u128, name: &str) {
        self.names.insert(topic, name.to_owned());
    }

    /// `topic-index`, or the topic id in hexadecimal if nobody told its name.
    pub fn name(&self, partition: PartitionId) -> String {
        match self.names.get(&partition.topic) {
            Some(name) => format!("{name}-{}", partition.index),
            None => format!("{:032x}-{}", partition.topic, partition.index),
        }
    }

    pub fn topic_name(&self, topic: u128) -> Option<&str> {
        self.names.get(&topic).map(String::as_str)
    }

    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    pub fn report(&self) -> Report {
        let mut report = Report {
            violations: self.violations.clone(),
            ..Report::default()
        };
        for (invariant, times) in Invariant::ALL.iter().zip(self.counts) {
            if times > 0 {
                report.count(invariant.id(), times);
            }
        }
        report
    }
}
