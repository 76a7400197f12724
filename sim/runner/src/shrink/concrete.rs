//! What struck in a run, as planned faults at fixed times.

use std::time::Duration;

use sim_faults::plan::{Action, Planned, healing};
use sim_faults::{DiskFault, Fault, FaultSpec, Target};

use crate::driver::{Applied, RunOutcome};
use crate::scenario::{Scenario, Topic};

/// The scenario with the faults that struck and nothing random, from the plainest to the most exact.
pub fn variants(scenario: &Scenario, failed: &RunOutcome) -> Vec<Scenario> {
    let exact = Scenario {
        faults: fixed(&failed.struck),
        chaos: None,
        skips_refused: true,
        ..scenario.clone()
    };
    let placed = Scenario {
        topics: scenario
            .topics
            .iter()
            .map(|topic| place(topic, failed))
            .collect(),
        ..exact.clone()
    };
    let rounded = |scenario: &Scenario| Scenario {
        faults: scenario.faults.iter().map(in_milliseconds).collect(),
        ..scenario.clone()
    };
    vec![rounded(&placed), rounded(&exact), placed, exact]
}

/// Each fault with its end, if the end came as the fault's own.
pub fn fixed(struck: &[Applied]) -> Vec<FaultSpec> {
    let mut told = vec![false; struck.len()];
    let mut specs = Vec::new();
    for (index, applied) in struck.iter().enumerate() {
        if told[index] {
            continue;
        }
        let mut spec = FaultSpec::once(applied.at, Planned::Fault(applied.fault.clone()));
        if let Some(ends) = ends(struck, &told, index) {
            spec.lasts = Some(struck[ends[0]].at.saturating_sub(applied.at));
            ends.into_iter().for_each(|end| told[end] = true);
        }
        specs.push(spec);
    }
    specs
}

/// The first later moment at which all that ends the fault was done.
fn ends(struck: &[Applied], told: &[bool], index: usize) -> Option<Vec<usize>> {
    let wanted = healing(&struck[index].fault);
    let (first, rest) = wanted.split_first()?;
    let free = |from: usize| (from + 1..struck.len()).filter(|at| !told[*at]);
    free(index)
        .filter(|at| struck[*at].fault == *first)
        .find_map(|at| {
            let mut ends = vec![at];
            for fault in rest {
                let last = *ends.last().expect("it has one");
                let next = free(last)
                    .take_while(|next| struck[*next].at == struck[at].at)
                    .find(|next| struck[*next].fault == *fault)?;
                ends.push(next);
            }
            Some(ends)
        })
}

/// Replicas where the controller put them, the preferred leader first.
fn place(topic: &Topic, failed: &RunOutcome) -> Topic {
    let placed = failed.placed.get(&topic.name);
    let fits = |placed: &&Vec<Vec<i32>>| i32::try_from(placed.len()) == Ok(topic.partitions);
    match placed.filter(fits) {
        Some(placed) if topic.assignment.is_empty() => Topic {
            assignment: placed.clone(),
            ..topic.clone()
        },
        _ => topic.clone(),
    }
}

/// The same as people write it: a target and an action, where that says it all.
pub(super) fn readable(spec: &FaultSpec) -> FaultSpec {
    let on = match &spec.planned {
        Planned::Fault(Fault::Process { node, fault }) => Some((node, Action::Process(*fault))),
        Planned::Fault(Fault::Clock { node, fault }) => Some((node, Action::Clock(*fault))),
        // The action kills the process, too.
        Planned::Fault(Fault::Disk { fault, .. }) if *fault == DiskFault::Wiped => None,
        Planned::Fault(Fault::Disk { node, fault }) => Some((node, Action::Disk(fault.clone()))),
        _ => None,
    };
    FaultSpec {
        planned: on.map_or_else(
            || spec.planned.clone(),
            |(node, action)| Planned::On(Target::Node(node.clone()), action),
        ),
        ..spec.clone()
    }
}

fn in_milliseconds(spec: &FaultSpec) -> FaultSpec {
    FaultSpec {
        at: round(spec.at, Duration::from_millis(1)),
        lasts: spec
            .lasts
            .map(|lasts| round(lasts, Duration::from_millis(1))),
        ..spec.clone()
    }
}

/// To the nearest multiple.
pub(super) fn round(time: Duration, unit: Duration) -> Duration {
    let unit = unit.as_nanos().max(1);
    let rounded = (time.as_nanos() + unit / 2) / unit * unit;
    Duration::from_nanos(u64::try_from(rounded).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use sim_faults::{DiskFault, Fault, NetworkFault, ProcessFault};

    use super::*;

    fn at(ms: u64, fault: Fault) -> Applied {
        let at = Duration::from_millis(ms);
        Applied { at, fault }
    }

    fn cut() -> Fault {
        let (from, to) = ("node1".into(), "node2".into());
        Fault::Network(NetworkFault::OneWay { from, to })
    }

    fn told(struck: &[Applied]) -> Vec<String> {
        let tell = |spec: &FaultSpec| {
            let (at, lasts) = (
                spec.at.as_millis(),
                spec.lasts.map(|lasts| lasts.as_millis()),
            );
            format!("{at} {} {lasts:?}", spec.planned)
        };
        fixed(struck).iter().map(tell).collect()
    }

    #[test]
    fn faults_take_their_ends_along() {
        let process = |fault| Fault::process("node1", fault);
        let full = DiskFault::Full { capacity: 1 };
        let struck = [
            at(1, cut()),
            at(2, process(ProcessFault::Kill)),
            at(3, cut()),
            at(4, Fault::Heal(Box::new(cut()))),
            at(5, process(ProcessFault::Start)),
            at(6, Fault::disk("node2", full.clone())),
            at(7, Fault::Heal(Box::new(cut()))),
            at(9, Fault::Heal(Box::new(Fault::disk("node2", full)))),
            at(9, Fault::process("node2", ProcessFault::Kill)),
            at(9, Fault::process("node2", ProcessFault::Start)),
        ];
        let expected = [
            "1 network: cut node1 -> node2 Some(3)",
            "2 node1: kill Some(3)",
            "3 network: cut node1 -> node2 Some(4)",
            "6 node2 disk: full at 1 bytes Some(3)",
        ];
        assert_eq!(told(&struck), expected);
    }

    #[test]
    fn an_end_without_its_fault_stays_and_a_fault_without_its_end_lasts() {
        let struck = [
            at(1, Fault::process("node1", ProcessFault::Start)),
            at(2, Fault::process("node1", ProcessFault::Pause)),
            at(3, Fault::process("node2", ProcessFault::Resume)),
        ];
        let expected = [
            "1 node1: start None",
            "2 node1: pause None",
            "3 node2: resume None",
        ];
        assert_eq!(told(&struck), expected);
    }

    #[test]
    fn what_people_write_strikes_in_the_same_way() {
        let all: Vec<String> = vec!["node1".into(), "node2".into()];
        let faults = [
            Fault::process("node1", ProcessFault::PowerLoss),
            Fault::disk("node2", DiskFault::Stalled),
            Fault::disk("node2", DiskFault::Wiped),
            cut(),
        ];
        for fault in faults {
            let spec = FaultSpec::once(Duration::ZERO, Planned::Fault(fault.clone()));
            let struck = match readable(&spec).planned {
                Planned::Fault(fault) => vec![fault],
                Planned::On(Target::Node(node), action) => action.on(&[node], &all),
                other => panic!("{other}"),
            };
            assert_eq!(struck, [fault]);
        }
    }

    #[test]
    fn times_are_rounded_to_the_nearest_unit() {
        let unit = Duration::from_millis(10);
        for (from, to) in [(14, 10), (15, 20), (0, 0), (20, 20)] {
            assert_eq!(
                round(Duration::from_millis(from), unit),
                Duration::from_millis(to)
            );
        }
    }
}
