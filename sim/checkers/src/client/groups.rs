//! Groups: committed offsets are what is read back (GRP-1), and nobody shares a partition (GRP-4).

use std::collections::BTreeMap;

use super::{Promise, violation};
use crate::anomaly::Report;
use crate::history::{Action, GroupAction, History, Operation, Outcome, Partition};

/// Of a group's partition.
type Key<'a> = (&'a str, &'a Partition);

/// One commit. `acknowledged_ns`: `None` if it is not known to have happened; then it may, at any later time.
struct Commit {
    offset: i64,
    begun_ns: u64,
    acknowledged_ns: Option<u64>,
}

pub fn check(history: &History, promise: Promise, report: &mut Report) {
    let mut commits: BTreeMap<Key<'_>, Vec<Commit>> = BTreeMap::new();
    let mut owners: BTreeMap<(&str, i32, &Partition), u32> = BTreeMap::new();
    for operation in &history.operations {
        match &operation.action {
            Action::Group(GroupAction::Commit { group, offsets, .. }) => {
                let Some(acknowledged_ns) = acknowledged(operation) else {
                    continue;
                };
                for (partition, offset) in offsets {
                    commits.entry((group, partition)).or_default().push(Commit {
                        offset: *offset,
                        begun_ns: operation.invoked_ns,
                        acknowledged_ns,
                    });
                }
            }
            Action::Group(GroupAction::Assigned {
                group,
                generation,
                partitions,
            }) => {
                for (partition, _) in partitions {
                    let first = *owners
                        .entry((group, *generation, partition))
                        .or_insert(operation.process);
                    *report.checked.entry("GRP-4".to_string()).or_default() += 1;
                    if first != operation.process {
                        let detail = format!(
                            "{partition:?} belongs to client{first}, too, in generation {generation} of {group}"
                        );
                        let shared = violation("GRP-4", "shared-partition", operation, detail);
                        report.violations.push(shared);
                    }
                }
            }
            _ => {}
        }
    }
    for operation in history.operations.iter().filter(|_| promise.durable) {
        if let Action::Group(GroupAction::Assigned {
            group, partitions, ..
        }) = &operation.action
        {
            for (partition, begins_at) in partitions {
                let commits = commits.get(&(group.as_str(), partition));
                *report.checked.entry("GRP-1".to_string()).or_default() += 1;
                let commits = commits.map_or(&[][..], Vec::as_slice);
                if let Err(detail) = explain(commits, *begins_at, operation) {
                    let detail = format!("{group} {partition:?}: {detail}");
                    let lost = violation("GRP-1", "lost-commit", operation, detail);
                    report.violations.push(lost);
                }
            }
        }
    }
}

/// `None` for what was surely not committed.
fn acknowledged(operation: &Operation) -> Option<Option<u64>> {
    match operation.outcome {
        Outcome::Ok => Some(Some(operation.completed_ns)),
        Outcome::Info(_) => Some(None),
        Outcome::Fail(_) => None,
    }
}

/// Some commit of this offset that no other one has surely replaced before the offset was asked for.
fn explain(commits: &[Commit], found: Option<i64>, asked: &Operation) -> Result<(), String> {
    let is_before =
        |commit: &Commit, begun_ns: u64| commit.acknowledged_ns.is_some_and(|at| at < begun_ns);
    let surely: Vec<&Commit> = commits
        .iter()
        .filter(|commit| is_before(commit, asked.invoked_ns))
        .collect();
    let Some(found) = found else {
        return match surely.last() {
            None => Ok(()),
            Some(commit) => Err(format!("nothing is committed, but {} was", commit.offset)),
        };
    };
    let newest_begun = surely
        .iter()
        .map(|commit| commit.begun_ns)
        .max()
        .unwrap_or(0);
    let explains = |commit: &Commit| {
        commit.offset == found
            && commit.begun_ns <= asked.completed_ns
            && !is_before(commit, newest_begun)
    };
    if commits.iter().any(explains) {
        return Ok(());
    }
    let last = surely.iter().max_by_key(|commit| commit.begun_ns);
    let last = last.map_or(-1, |commit| commit.offset);
    Err(format!(
        "reads {found}, the last commit that was acknowledged is {last}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROMISE: Promise = Promise {
        durable: true,
        idempotent: false,
        ordered_sends: false,
        complete_final_reads: false,
        create_time: true,
    };

    fn partition() -> Partition {
        Partition {
            topic: "t".into(),
            index: 0,
        }
    }

    fn operation(process: u32, at: u64, outcome: Outcome, action: GroupAction) -> Operation {
        Operation {
            process,
            invoked_ns: at * 10,
            completed_ns: at * 10 + 5,
            invoked_event: at,
            completed_event: at,
            action: Action::Group(action),
            outcome,
        }
    }

    fn commit(at: u64, offset: i64, outcome: Outcome) -> Operation {
        let action = GroupAction::Commit {
            group: "g".into(),
            generation: 1,
            offsets: vec![(partition(), offset)],
        };
        operation(1, at, outcome, action)
    }

    fn assigned(process: u32, at: u64, generation: i32, begins_at: Option<i64>) -> Operation {
        let action = GroupAction::Assigned {
            group: "g".into(),
            generation,
            partitions: vec![(partition(), begins_at)],
        };
        operation(process, at, Outcome::Ok, action)
    }

    fn broken(operations: Vec<Operation>) -> Vec<String> {
        let mut report = Report::default();
        check(&History { operations }, PROMISE, &mut report);
        report
            .violations
            .into_iter()
            .map(|violation| violation.invariant)
            .collect()
    }

    #[test]
    fn an_acknowledged_commit_is_read_back_until_a_later_one_is() {
        let info = || Outcome::Info("timeout".into());
        let fail = || Outcome::Fail("ILLEGAL_GENERATION".into());
        let cases = [
            (vec![], None, true),
            (vec![], Some(3), false),
            (vec![commit(1, 3, Outcome::Ok)], Some(3), true),
            (vec![commit(1, 3, Outcome::Ok)], None, false),
            (
                vec![commit(1, 3, Outcome::Ok), commit(2, 5, Outcome::Ok)],
                Some(3),
                false,
            ),
            (
                vec![commit(1, 3, Outcome::Ok), commit(2, 5, Outcome::Ok)],
                Some(5),
                true,
            ),
            (
                vec![commit(1, 3, Outcome::Ok), commit(2, 5, info())],
                Some(3),
                true,
            ),
            (
                vec![commit(1, 3, Outcome::Ok), commit(2, 5, info())],
                Some(5),
                true,
            ),
            (
                vec![commit(1, 3, info()), commit(2, 5, Outcome::Ok)],
                Some(3),
                true,
            ),
            (
                vec![commit(1, 3, Outcome::Ok), commit(2, 5, fail())],
                Some(5),
                false,
            ),
            (vec![commit(1, 3, info())], None, true),
        ];
        for (mut operations, found, holds) in cases {
            operations.push(assigned(2, 9, 2, found));
            let expected: Vec<String> = if holds { vec![] } else { vec!["GRP-1".into()] };
            assert_eq!(broken(operations.clone()), expected, "{operations:?}");
        }
    }

    #[test]
    fn a_partition_has_one_owner_per_generation() {
        let twice = |second: i32| vec![assigned(1, 1, 1, None), assigned(2, 2, second, None)];
        assert_eq!(broken(twice(1)), ["GRP-4"]);
        assert!(broken(twice(2)).is_empty());
    }
}
