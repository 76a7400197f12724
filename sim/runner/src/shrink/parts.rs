//! Smaller scenarios, one measure at a time. None of them has to be valid.

use std::time::Duration;

use sim_faults::FaultSpec;
use sim_workloads::WorkloadKind;

use super::concrete::round;
use crate::scenario::{Scenario, Topic};

fn changed(scenario: &Scenario, change: impl FnOnce(&mut Scenario)) -> Scenario {
    let mut scenario = scenario.clone();
    change(&mut scenario);
    scenario
}

fn picked<T: Clone>(all: &[T], kept: &[usize]) -> Vec<T> {
    kept.iter().map(|index| all[*index].clone()).collect()
}

pub(super) fn with_faults(scenario: &Scenario, kept: &[usize]) -> Scenario {
    changed(scenario, |it| it.faults = picked(&scenario.faults, kept))
}

pub(super) fn with_workloads(scenario: &Scenario, kept: &[usize]) -> Scenario {
    changed(scenario, |it| {
        it.workloads = picked(&scenario.workloads, kept)
    })
}

/// Workloads lose the topics too, and go with their last one.
pub(super) fn with_topics(scenario: &Scenario, kept: &[usize]) -> Scenario {
    changed(scenario, |it| {
        it.topics = picked(&scenario.topics, kept);
        let topics = it.topics.clone();
        let known = |name: &String| topics.iter().any(|topic| topic.name == *name);
        it.workloads
            .iter_mut()
            .for_each(|spec| spec.topics.retain(known));
        it.workloads.retain(|spec| !spec.topics.is_empty());
    })
}

/// Smaller than `value`, the smallest first.
fn smaller(value: u32, least: u32) -> Vec<u32> {
    let mut values = vec![
        least,
        value / 4,
        value / 2,
        value - value / 4,
        value.saturating_sub(1),
    ];
    values.retain(|smaller| (least..value).contains(smaller));
    values.sort_unstable();
    values.dedup();
    values
}

fn shorter(time: Duration, least: Duration, unit: Duration) -> Vec<Duration> {
    let parts = [1_u32, 2, 4, 6, 7];
    let mut times: Vec<Duration> = parts.map(|part| round(time * part / 8, unit)).to_vec();
    times.push(least);
    times.retain(|shorter| (least..time).contains(shorter));
    times.sort_unstable();
    times.dedup();
    times
}

/// Ends earlier; what would strike after the end goes.
pub(super) fn durations(scenario: &Scenario) -> Vec<Scenario> {
    let unit = match scenario.duration > Duration::from_secs(8) {
        true => Duration::from_secs(1),
        false => Duration::from_millis(100),
    };
    let durations = shorter(scenario.duration, Duration::from_millis(100), unit);
    durations
        .into_iter()
        .map(|to| ending(scenario, to))
        .collect()
}

pub(super) fn ending(scenario: &Scenario, duration: Duration) -> Scenario {
    changed(scenario, |it| {
        it.duration = duration;
        it.faults.retain(|spec| spec.at < duration);
    })
}

/// The number of one kind of client of one workload.
type Clients = fn(&mut sim_workloads::WorkloadSpec) -> &mut u32;

const CLIENTS: [Clients; 3] = [
    |spec| &mut spec.producers,
    |spec| &mut spec.consumers,
    |spec| &mut spec.observers,
];

pub(super) fn fewer_clients(scenario: &Scenario) -> Vec<Scenario> {
    let mut all = Vec::new();
    for index in 0..scenario.workloads.len() {
        for clients in CLIENTS {
            let mut spec = scenario.workloads[index].clone();
            // A churner or a reassigner is there in any case.
            let least = u32::from(matches!(
                spec.kind,
                WorkloadKind::CreateDeleteTopics | WorkloadKind::ReassignPartitions
            ));
            for fewer in smaller(*clients(&mut spec), least) {
                all.push(changed(scenario, |it| {
                    *clients(&mut it.workloads[index]) = fewer;
                }));
            }
        }
    }
    all
}

pub(super) fn lower_rates(scenario: &Scenario) -> Vec<Scenario> {
    let mut all = Vec::new();
    for (index, spec) in scenario.workloads.iter().enumerate() {
        for lower in smaller(spec.rate, 1) {
            all.push(changed(scenario, |it| it.workloads[index].rate = lower));
        }
    }
    all
}

/// Where clients work without a limit, limits are tried that a person could follow.
pub(super) fn fewer_operations(scenario: &Scenario) -> Vec<Scenario> {
    let mut all = Vec::new();
    for (index, spec) in scenario.workloads.iter().enumerate() {
        let fewer = match spec.operations {
            0 => vec![1, 2, 5, 10, 20, 50, 100],
            limit => smaller(limit, 1),
        };
        for operations in fewer {
            all.push(changed(scenario, |it| {
                it.workloads[index].operations = operations
            }));
        }
    }
    all
}

pub(super) fn fewer_partitions(scenario: &Scenario) -> Vec<Scenario> {
    let mut all = Vec::new();
    for (index, topic) in scenario.topics.iter().enumerate() {
        for fewer in smaller(topic.partitions.unsigned_abs(), 1) {
            all.push(changed(scenario, |it| {
                let topic = &mut it.topics[index];
                topic.partitions = i32::try_from(fewer).expect("fewer than before");
                let fewer = usize::try_from(fewer).expect("32 bits fit");
                topic.assignment.truncate(fewer);
            }));
        }
    }
    all
}

pub(super) fn fewer_replicas(scenario: &Scenario) -> Vec<Scenario> {
    let mut all = Vec::new();
    for (index, topic) in scenario.topics.iter().enumerate() {
        for fewer in 1..topic.replicas {
            all.push(changed(scenario, |it| {
                limit_replicas(&mut it.topics[index], fewer)
            }));
        }
    }
    all
}

/// At most so many, and as many in sync as are left.
pub(super) fn limit_replicas(topic: &mut Topic, most: i16) {
    const IN_SYNC: &str = "min.insync.replicas";
    topic.replicas = topic.replicas.min(most);
    let count = usize::try_from(topic.replicas).unwrap_or(1);
    topic
        .assignment
        .iter_mut()
        .for_each(|of_one| of_one.truncate(count));
    let wanted = topic
        .config
        .get(IN_SYNC)
        .and_then(|value| value.parse::<i16>().ok());
    if wanted.is_some_and(|wanted| wanted > topic.replicas) {
        let replicas = topic.replicas.to_string();
        topic.config.insert(IN_SYNC.to_owned(), replicas);
    }
}

pub(super) fn shorter_faults(scenario: &Scenario) -> Vec<Scenario> {
    let mut all = Vec::new();
    for (index, spec) in scenario.faults.iter().enumerate() {
        let Some(lasts) = spec.lasts else {
            continue;
        };
        let unit = Duration::from_millis(if lasts > Duration::from_secs(1) {
            100
        } else {
            10
        });
        for shorter in shorter(lasts, Duration::from_millis(10), unit) {
            all.push(changed(scenario, |it| {
                it.faults[index].lasts = Some(shorter)
            }));
        }
    }
    all
}

/// Less time in which nothing happens: before a fault, with all that follows.
pub(super) fn earlier_faults(scenario: &Scenario) -> Vec<Scenario> {
    let mut all = Vec::new();
    let mut before = Duration::ZERO;
    for index in 0..scenario.faults.len() {
        let gap = scenario.faults[index].at.saturating_sub(before);
        before = scenario.faults[index].at;
        if gap < Duration::from_millis(200) {
            continue;
        }
        for left in shorter(gap, Duration::ZERO, Duration::from_millis(50)) {
            let less = gap.saturating_sub(left);
            all.push(changed(scenario, |it| {
                it.duration = it.duration.saturating_sub(less);
                for spec in &mut it.faults[index..] {
                    spec.at = spec.at.saturating_sub(less);
                }
            }));
        }
    }
    all
}

/// Times a person would write: all at once, then one by one. Never later or longer, so that this ends.
pub(super) fn rounder_times(scenario: &Scenario) -> Vec<Scenario> {
    let units = [1_000, 500, 100, 10].map(Duration::from_millis);
    let rounded = |spec: &FaultSpec, unit: Duration| FaultSpec {
        at: down(spec.at, unit),
        lasts: spec.lasts.map(|lasts| match lasts < unit {
            true => lasts,
            false => down(lasts, unit),
        }),
        ..spec.clone()
    };
    let mut all: Vec<Scenario> = units
        .iter()
        .map(|unit| {
            changed(scenario, |it| {
                it.faults
                    .iter_mut()
                    .for_each(|spec| *spec = rounded(spec, *unit));
            })
        })
        .collect();
    for (index, spec) in scenario.faults.iter().enumerate() {
        let better = units
            .iter()
            .take_while(|unit| rounded(spec, **unit) != *spec);
        for unit in better {
            all.push(changed(scenario, |it| {
                it.faults[index] = rounded(spec, *unit)
            }));
        }
    }
    all
}

fn down(time: Duration, unit: Duration) -> Duration {
    let below = round(time, unit);
    if below > time { below - unit } else { below }
}
