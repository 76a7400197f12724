//! Runs a model and tells what was found in a form that needs no knowledge of Stateright.

use std::fmt;
use std::hash::Hash;
use std::time::{Duration, Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model};

/// Where an exploration stops although states are left.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub threads: usize,
    /// Generated states, repeated ones included.
    pub states: usize,
    pub time: Duration,
}

/// A property that was violated (`always`) or witnessed (`sometimes`), and a way there.
#[derive(Clone, Debug)]
pub struct Finding {
    pub property: &'static str,
    /// One action a line.
    pub path: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct CheckReport {
    pub model: String,
    /// Generated states, repeated ones included.
    pub states: usize,
    pub unique: usize,
    pub depth: usize,
    pub seconds: f64,
    /// Most memory that the process had meanwhile, where the system tells.
    pub peak_bytes: Option<u64>,
    /// How many `always` properties were checked.
    pub properties: usize,
    /// Whether all states within the model's bounds were seen; false when a limit or a violation ended it.
    pub complete: bool,
    pub violations: Vec<Finding>,
    /// Every `sometimes` property, and a witness if one was found.
    pub sometimes: Vec<(&'static str, Option<Finding>)>,
}

impl CheckReport {
    pub fn unique_per_second(&self) -> f64 {
        count(self.unique) / self.seconds
    }

    /// The heads of [`CheckReport::row`].
    pub fn heads() -> String {
        format!(
            "{:<22} {:>9} {:>10} {:>5} {:>8} {:>10} {:>8} {:>6} {:>9}  verdict",
            "model",
            "unique",
            "states",
            "depth",
            "seconds",
            "unique/s",
            "memory",
            "always",
            "sometimes"
        )
    }

    /// One line of a table.
    pub fn row(&self) -> String {
        let memory = self
            .peak_bytes
            .map_or("-".to_owned(), |bytes| format!("{} MiB", bytes >> 20));
        let reached = self
            .sometimes
            .iter()
            .filter(|(_, witness)| witness.is_some());
        let sometimes = format!("{}/{}", reached.count(), self.sometimes.len());
        let verdict = match (self.violations.first(), self.complete) {
            (Some(violation), _) => format!("VIOLATED {}", violation.property),
            (None, true) if self.holds() => "holds, all states".to_owned(),
            (None, false) if self.holds() => "holds up to the limit".to_owned(),
            (None, _) => "SOMETHING IS NEVER REACHED".to_owned(),
        };
        format!(
            "{:<22} {:>9} {:>10} {:>5} {:>8.1} {:>10.0} {memory:>8} {:>6} {sometimes:>9}  {verdict}",
            self.model,
            self.unique,
            self.states,
            self.depth,
            self.seconds,
            self.unique_per_second(),
            self.properties
        )
    }

    /// No violation, and everything that should be possible happened.
    pub fn holds(&self) -> bool {
        self.violations.is_empty() && self.sometimes.iter().all(|(_, witness)| witness.is_some())
    }
}

fn count(states: usize) -> f64 {
    f64::from(u32::try_from(states).unwrap_or(u32::MAX))
}

/// What the process takes, as Linux tells it.
mod memory {
    use std::fs;

    /// The peak counts from here on.
    pub fn forget_peak() {
        let _only_linux_has_it = fs::write("/proc/self/clear_refs", "5");
    }

    pub fn peak_bytes() -> Option<u64> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = peak.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib << 10)
    }
}

/// Explores breadth first: a depth-first search of lossy models was seen to exhaust the memory.
pub fn run<M>(name: &str, model: M, limits: Limits) -> CheckReport
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + fmt::Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + fmt::Debug + PartialEq + Send + Sync + 'static,
{
    memory::forget_peak();
    let started = Instant::now();
    let checker = model
        .checker()
        .threads(limits.threads)
        .target_state_count(limits.states)
        .timeout(limits.time)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let states = checker.state_count();
    let mut report = CheckReport {
        model: name.to_owned(),
        states,
        unique: checker.unique_state_count(),
        depth: checker.max_depth(),
        seconds: started.elapsed().as_secs_f64(),
        peak_bytes: memory::peak_bytes(),
        properties: 0,
        complete: states < limits.states && started.elapsed() < limits.time,
        violations: Vec::new(),
        sometimes: Vec::new(),
    };
    for property in checker.model().properties() {
        let finding = checker.discovery(property.name).map(|path| {
            let actions = path.into_actions();
            let path = actions
                .iter()
                .map(|action| checker.model().format_action(action))
                .collect();
            Finding {
                property: property.name,
                path,
            }
        });
        match property.expectation {
            Expectation::Sometimes => report.sometimes.push((property.name, finding)),
            Expectation::Always | Expectation::Eventually => {
                report.properties += 1;
                report.violations.extend(finding);
            }
        }
    }
    report.complete &= report.violations.is_empty();
    report
}

pub(crate) fn explore<M>(model: M, address: &str)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + fmt::Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + fmt::Debug + PartialEq + Send + Sync + 'static,
{
    model.checker().serve(address);
}

impl fmt::Display for CheckReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extent = if self.complete {
            "all states"
        } else {
            "not all states"
        };
        let CheckReport {
            model,
            states,
            unique,
            depth,
            seconds,
            ..
        } = self;
        writeln!(
            formatter,
            "{model}: {extent}: {unique} unique of {states}, depth {depth}, {seconds:.1} s"
        )?;
        for (property, witness) in &self.sometimes {
            let steps = witness.as_ref().map_or("never".to_owned(), |found| {
                format!("in {} steps", found.path.len())
            });
            writeln!(formatter, "  sometimes {property}: {steps}")?;
        }
        for Finding { property, path } in &self.violations {
            writeln!(
                formatter,
                "  VIOLATED {property}, after {} steps:",
                path.len()
            )?;
            for (number, action) in path.iter().enumerate() {
                writeln!(formatter, "  {number:>4}  {action}")?;
            }
        }
        Ok(())
    }
}
