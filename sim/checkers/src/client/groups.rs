//! Groups: committed offsets are what is read back (GRP-1), and nobody shares a partition (GRP-4). Offsets that were
//! committed in a transaction are there from its end on, if it committed (TXN-4).
//!
//! Who asks for offsets waits for those that are pending (`require_stable`), as members that read committed do.

use std::collections::BTreeMap;

use super::atomicity::Evidence;
use super::{Promise, violation};
use crate::anomaly::Report;
use crate::history::{
    Action, Fate, GroupAction, History, Operation, Outcome, Partition, Transaction,
};

/// Of a group's partition.
type Key<'a> = (&'a str, &'a Partition);

/// One commit. `acknowledged_ns`: `None` if it is not known to have happened; then it may, at any later time.
struct Commit {
    begun_ns: u64,
    /// Nobody can read it before.
    visible_ns: u64,
    acknowledged_ns: Option<u64>,
    transaction: Option<u64>,
}

/// All commits of one partition.
#[derive(Default)]
struct Commits {
    by_offset: BTreeMap<i64, Vec<Commit>>,
    /// In order of acknowledgement: when, and what began last of all until then, with its offset.
    acknowledged: Vec<(u64, u64, i64)>,
    /// Offsets of transactions that did not commit.
    aborted: BTreeMap<i64, u64>,
}

/// Transactions whose offsets were read, each with the operation that read them.
pub fn check(history: &History, promise: Promise, report: &mut Report) -> Evidence {
    let commits = commits(history);
    let mut owners: BTreeMap<(&str, i32, &Partition), u32> = BTreeMap::new();
    let mut evidence = Evidence::new();
    let operations = history.operations.iter().enumerate();
    for (index, operation) in operations.filter(|(_, one)| one.is_ok()) {
        let Action::Group(GroupAction::Assigned {
            group,
            generation,
            partitions,
        }) = &operation.action
        else {
            continue;
        };
        for (partition, begins_at) in partitions {
            let owner = owners.entry((group, *generation, partition));
            let first = *owner.or_insert(operation.process);
            report.count("GRP-4", 1);
            if first != operation.process {
                let detail = format!(
                    "{partition:?} belongs to client{first}, too, in generation {generation} of {group}"
                );
                let shared = violation("GRP-4", "shared-partition", operation, detail);
                report.violations.push(shared);
            }
            if promise.durable {
                report.count("GRP-1", 1);
                let none = Commits::default();
                let commits = commits.get(&(group.as_str(), partition)).unwrap_or(&none);
                match commits.explain(*begins_at, operation) {
                    Ok(Some(number)) => {
                        evidence.entry(number).or_insert(index);
                    }
                    Ok(None) => {}
                    Err((invariant, anomaly, detail)) => {
                        let detail = format!("{group} {partition:?}: {detail}");
                        let found = violation(invariant, anomaly, operation, detail);
                        report.violations.push(found);
                    }
                }
            }
        }
    }
    evidence
}

fn commits(history: &History) -> BTreeMap<Key<'_>, Commits> {
    let mut commits: BTreeMap<Key<'_>, Commits> = BTreeMap::new();
    for operation in &history.operations {
        match &operation.action {
            Action::Group(GroupAction::Commit { group, offsets, .. }) => {
                for (partition, offset) in offsets {
                    let known = commits.entry((group, partition)).or_default();
                    known.add(*offset, operation, operation.invoked_ns, None);
                }
            }
            Action::Transaction(transaction) => {
                for consumed in &transaction.offsets {
                    let key = (consumed.group.as_str(), &consumed.partition);
                    let known = commits.entry(key).or_default();
                    known.add_transaction(consumed.next, operation, transaction);
                }
            }
            _ => {}
        }
    }
    commits.values_mut().for_each(Commits::order);
    commits
}

impl Commits {
    fn add(
        &mut self,
        offset: i64,
        operation: &Operation,
        visible_ns: u64,
        transaction: Option<u64>,
    ) {
        let acknowledged_ns = match operation.outcome {
            Outcome::Ok => Some(operation.completed_ns),
            Outcome::Info(_) => None,
            Outcome::Fail(_) => return,
        };
        let begun_ns = operation.invoked_ns;
        if let Some(at) = acknowledged_ns {
            self.acknowledged.push((at, begun_ns, offset));
        }
        self.by_offset.entry(offset).or_default().push(Commit {
            begun_ns,
            visible_ns,
            acknowledged_ns,
            transaction,
        });
    }

    fn add_transaction(&mut self, offset: i64, operation: &Operation, transaction: &Transaction) {
        match (transaction.fate(&operation.outcome), transaction.end) {
            (Fate::Committed | Fate::Unknown, Some(end)) => {
                let number = Some(transaction.number);
                self.add(offset, operation, end.invoked_ns, number);
            }
            _ => {
                self.aborted.insert(offset, transaction.number);
            }
        }
    }

    fn order(&mut self) {
        self.acknowledged.sort_unstable();
        let mut newest = (0, 0);
        for (_, begun_ns, offset) in &mut self.acknowledged {
            newest = newest.max((*begun_ns, *offset));
            (*begun_ns, *offset) = newest;
        }
    }

    /// Some commit of this offset that no other one has surely replaced before the offset was asked for; its
    /// transaction, if only that explains it.
    fn explain(
        &self,
        found: Option<i64>,
        asked: &Operation,
    ) -> Result<Option<u64>, (&'static str, &'static str, String)> {
        let surely = self
            .acknowledged
            .partition_point(|(at, _, _)| *at < asked.invoked_ns);
        let surely = surely.checked_sub(1).map(|index| self.acknowledged[index]);
        let Some(found) = found else {
            return match surely {
                None => Ok(None),
                Some((_, _, offset)) => {
                    let detail = format!("nothing is committed, but {offset} was");
                    Err(("GRP-1", "lost-commit", detail))
                }
            };
        };
        let newest_begun = surely.map_or(0, |(_, begun_ns, _)| begun_ns);
        let explains = |commit: &&Commit| {
            let is_replaced = commit.acknowledged_ns.is_some_and(|at| at < newest_begun);
            commit.visible_ns <= asked.completed_ns && !is_replaced
        };
        let of_this = self.by_offset.get(&found).map_or(&[][..], Vec::as_slice);
        let mut explaining = of_this.iter().filter(explains);
        if let Some(first) = explaining.next() {
            let same = explaining.all(|other| other.transaction == first.transaction);
            return Ok(first.transaction.filter(|_| same));
        }
        let early = of_this
            .iter()
            .filter(|commit| commit.begun_ns <= asked.completed_ns);
        let mut pending = early.filter_map(|commit| {
            commit
                .transaction
                .filter(|_| commit.visible_ns > asked.completed_ns)
        });
        if let Some(number) = pending.next().or(self.aborted.get(&found).copied()) {
            let detail = format!("reads {found}, which transaction {number} has not committed");
            return Err(("TXN-4", "uncommitted-offsets", detail));
        }
        let last = surely.map_or(-1, |(_, _, offset)| offset);
        let detail = format!("reads {found}, the last commit that was acknowledged is {last}");
        Err(("GRP-1", "lost-commit", detail))
    }
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
        retention: false,
        quiet: None,
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
            transaction: None,
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
