//! What makes two failures the same one.

use std::fmt;

use reports::RunResult;
use sim_checkers::anomaly::Verdict;

/// The kind of a failure, without what differs from run to run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fingerprint {
    Broken {
        invariant: String,
        anomaly: String,
    },
    /// `file:line:column`, or the message if no place is known.
    Panicked {
        place: String,
    },
}

impl Fingerprint {
    /// Of the first violation that decides the verdict; none if the run held.
    pub fn of(result: &RunResult) -> Option<Fingerprint> {
        let decides =
            |invariant: &str| result.verdict == Verdict::Stuck || !invariant.starts_with("LIVE");
        match (result.verdict, &result.crash) {
            (Verdict::Held, _) => None,
            (Verdict::Crashed, Some(crash)) => Some(Fingerprint::Panicked {
                place: place(crash).to_owned(),
            }),
            _ => {
                let mut violations = result.violations.iter();
                let first = violations.find(|violation| decides(&violation.invariant))?;
                Some(Fingerprint::Broken {
                    invariant: first.invariant.clone(),
                    anomaly: first.anomaly.clone(),
                })
            }
        }
    }

    /// Whether the run failed so, perhaps among other things.
    pub fn shows_in(&self, result: &RunResult) -> bool {
        match self {
            Fingerprint::Broken { invariant, anomaly } => result
                .violations
                .iter()
                .any(|one| one.invariant == *invariant && one.anomaly == *anomaly),
            Fingerprint::Panicked { place: wanted } => {
                let crash = result.crash.as_deref();
                crash.is_some_and(|crash| place(crash) == wanted)
            }
        }
    }

    /// What exactly broke in a run that failed so.
    pub fn detail(&self, result: &RunResult) -> String {
        let mut violations = result.violations.iter();
        let shows = violations.find(|one| match self {
            Fingerprint::Broken { invariant, anomaly } => {
                one.invariant == *invariant && one.anomaly == *anomaly
            }
            Fingerprint::Panicked { .. } => false,
        });
        shows.map_or_else(|| result.reason(), |one| one.detail.clone())
    }

    pub fn invariant(&self) -> Option<String> {
        match self {
            Fingerprint::Broken { invariant, .. } => Some(invariant.clone()),
            Fingerprint::Panicked { .. } => None,
        }
    }
}

/// A crash ends with " at " and the place.
fn place(crash: &str) -> &str {
    let place = crash.rsplit_once(" at ").map(|(_, place)| place.trim());
    place.filter(|place| !place.is_empty()).unwrap_or(crash)
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fingerprint::Broken { invariant, anomaly } => {
                write!(formatter, "{invariant} {anomaly}")
            }
            Fingerprint::Panicked { place } => write!(formatter, "a panic at {place}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use sim_checkers::anomaly::Violation;

    use super::*;

    fn result(verdict: Verdict, broken: &[(&str, &str)], crash: Option<&str>) -> RunResult {
        let mut result = RunResult::new("s", 1, "native", "");
        result.verdict = verdict;
        result.crash = crash.map(str::to_owned);
        let violation = |(invariant, anomaly): &(&str, &str)| Violation {
            invariant: (*invariant).to_owned(),
            anomaly: (*anomaly).to_owned(),
            event: 1,
            sim_ms: 1,
            node: String::new(),
            detail: "offset 7".to_owned(),
        };
        result.violations = broken.iter().map(violation).collect();
        result
    }

    #[test]
    fn it_is_of_what_decides_the_verdict() {
        let both = [("LIVE-1", "unsettled"), ("REP-1", "lost")];
        let cases = [
            (result(Verdict::Held, &[], None), None),
            (result(Verdict::Violated, &both, None), Some("REP-1 lost")),
            (
                result(Verdict::Stuck, &both[..1], None),
                Some("LIVE-1 unsettled"),
            ),
            (
                result(
                    Verdict::Crashed,
                    &both,
                    Some("node1: task `a` panicked: bad at x.rs:1:2"),
                ),
                Some("a panic at x.rs:1:2"),
            ),
        ];
        for (result, expected) in cases {
            let fingerprint = Fingerprint::of(&result);
            let told = fingerprint.as_ref().map(ToString::to_string);
            assert_eq!(told.as_deref(), expected);
            assert!(fingerprint.is_none_or(|fingerprint| fingerprint.shows_in(&result)));
        }
    }

    #[test]
    fn another_kind_of_the_same_invariant_is_another_failure() {
        let lost = Fingerprint::of(&result(Verdict::Violated, &[("REP-1", "lost")], None));
        let lost = lost.expect("it failed");
        assert!(!lost.shows_in(&result(Verdict::Violated, &[("REP-1", "forked")], None)));
        assert!(lost.shows_in(&result(
            Verdict::Crashed,
            &[("REP-2", "x"), ("REP-1", "lost")],
            Some("node1: gone")
        )));
    }

    #[test]
    fn the_same_place_in_another_task_is_the_same_panic() {
        let crash = |text| result(Verdict::Crashed, &[], Some(text));
        let first = Fingerprint::of(&crash("node1: task `a` panicked: offset 3 at a.rs:1:2"));
        let first = first.expect("it crashed");
        assert!(first.shows_in(&crash("node2: task `b` panicked: offset 9 at a.rs:1:2")));
        assert!(!first.shows_in(&crash("node1: task `a` panicked: offset 3 at a.rs:7:2")));
    }
}
