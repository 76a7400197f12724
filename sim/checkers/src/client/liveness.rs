//! LIVE-3: after the faults transactions end, producers can start, and nothing keeps the last stable offset below
//! the high watermark. LIVE-4: after the faults groups become stable and commits succeed.
//!
//! Who is fenced or is told to rejoin has not failed by that, so the last operation of each kind counts, and a run
//! ends with one for each transactional id and group.

use std::collections::BTreeMap;

use super::{Promise, Quiet, violation};
use crate::anomaly::Report;
use crate::history::{Action, GroupAction, History, Isolation, Operation, Outcome, Partition};

/// What has to work in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Duty<'a> {
    Start(&'a str),
    Transaction(&'a str),
    Stable(&'a str),
    Commit(&'a str),
}

pub fn check(history: &History, promise: Promise, report: &mut Report) {
    let Some(quiet) = promise.quiet else { return };
    let mut last: BTreeMap<Duty<'_>, &Operation> = BTreeMap::new();
    let mut ends: BTreeMap<&Partition, Ends<'_>> = BTreeMap::new();
    let after = |operation: &&Operation| operation.invoked_ns >= quiet.from_ns;
    for operation in history.operations.iter().filter(after) {
        if let Some(duty) = duty(&operation.action) {
            let latest = last.entry(duty).or_insert(operation);
            if latest.invoked_ns <= operation.invoked_ns {
                *latest = operation;
            }
        }
        if let Action::ListOffsets {
            partition,
            latest,
            isolation,
            ..
        } = &operation.action
            && operation.is_ok()
        {
            let ends = ends.entry(partition).or_default();
            ends.note(operation, *isolation, *latest);
        }
    }
    for (duty, operation) in last {
        duty.judge(operation, quiet, report);
    }
    for (partition, ends) in ends {
        ends.judge(partition, report);
    }
}

fn duty(action: &Action) -> Option<Duty<'_>> {
    match action {
        Action::InitTransactions {
            transactional_id, ..
        } => Some(Duty::Start(transactional_id)),
        Action::Transaction(one) if one.end.is_some() => {
            Some(Duty::Transaction(&one.transactional_id))
        }
        Action::Group(GroupAction::Assigned { group, .. }) => Some(Duty::Stable(group)),
        Action::Group(GroupAction::Commit { group, .. }) => Some(Duty::Commit(group)),
        _ => None,
    }
}

impl Duty<'_> {
    /// It has to succeed, within the bound.
    fn judge(self, operation: &Operation, quiet: Quiet, report: &mut Report) {
        let (invariant, anomaly, what) = match self {
            Duty::Start(id) => ("LIVE-3", "no-producer", format!("{id} cannot start again")),
            Duty::Transaction(id) => (
                "LIVE-3",
                "stuck-transaction",
                format!("a transaction of {id} does not end"),
            ),
            Duty::Stable(group) => (
                "LIVE-4",
                "unstable-group",
                format!("{group} does not become stable"),
            ),
            Duty::Commit(group) => (
                "LIVE-4",
                "refused-commit",
                format!("{group} accepts no commit"),
            ),
        };
        report.count(invariant, 1);
        let took = operation.completed_ns.saturating_sub(operation.invoked_ns);
        let why = match &operation.outcome {
            Outcome::Ok if took <= quiet.bound_ns => return,
            Outcome::Ok => format!("it took {} ms", took / 1_000_000),
            Outcome::Fail(why) | Outcome::Info(why) => why.clone(),
        };
        let stuck = violation(invariant, anomaly, operation, format!("{what}: {why}"));
        report.violations.push(stuck);
    }
}

/// The last ends that clients were told.
#[derive(Default)]
struct Ends<'a> {
    high_watermark: Option<i64>,
    last_stable: Option<(i64, &'a Operation)>,
}

impl<'a> Ends<'a> {
    fn note(&mut self, operation: &'a Operation, isolation: Isolation, latest: i64) {
        match isolation {
            Isolation::ReadUncommitted => self.high_watermark = Some(latest),
            Isolation::ReadCommitted => self.last_stable = Some((latest, operation)),
        }
    }

    /// Nobody writes any more when the last answers come, so the two are equal if no transaction is open.
    fn judge(&self, partition: &Partition, report: &mut Report) {
        let (Some(end), Some((stable, operation))) = (self.high_watermark, self.last_stable) else {
            return;
        };
        report.count("LIVE-3", 1);
        if stable < end {
            let Partition { topic, index } = partition;
            let detail = format!(
                "{topic}-{index}: a transaction is open: last stable offset {stable}, high watermark {end}"
            );
            let stuck = violation("LIVE-3", "open-transaction", operation, detail);
            report.violations.push(stuck);
        }
    }
}
