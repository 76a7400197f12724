//! CLI-1: a log start moves only over what somebody asked to delete, or what retention may take [deleted-early].
//! What lies below a log start that a broker named is not missed by the other checks.

use std::collections::BTreeMap;

use super::{Promise, violation};
use crate::anomaly::Report;
use crate::history::{Action, History, Outcome, Partition};

pub fn check(history: &History, promise: Promise, report: &mut Report) {
    if promise.retention || !promise.durable {
        return;
    }
    let deleted = deleted(history);
    for operation in history.operations.iter().filter(|one| one.is_ok()) {
        let Action::ListOffsets {
            partition,
            earliest,
            ..
        } = &operation.action
        else {
            continue;
        };
        report.count("CLI-1", 1);
        let asked = deleted.get(partition).map_or(&[][..], Vec::as_slice);
        let before = asked.partition_point(|(invoked, _)| *invoked < operation.completed_ns);
        let limit = before.checked_sub(1).map_or(0, |index| asked[index].1);
        if *earliest > limit {
            let Partition { topic, index } = partition;
            let detail = format!(
                "{topic}-{index} begins at {earliest}, but only what is before {limit} was to be deleted"
            );
            let early = violation("CLI-1", "deleted-early", operation, detail);
            report.violations.push(early);
        }
    }
}

/// By partition: when a deletion was asked for, and the highest offset of all until then.
fn deleted(history: &History) -> BTreeMap<&Partition, Vec<(u64, i64)>> {
    let mut deleted: BTreeMap<&Partition, Vec<(u64, i64)>> = BTreeMap::new();
    for operation in &history.operations {
        if let (Action::DeleteRecords { partition, before }, Outcome::Ok | Outcome::Info(_)) =
            (&operation.action, &operation.outcome)
        {
            let asked = deleted.entry(partition).or_default();
            asked.push((operation.invoked_ns, *before));
        }
    }
    for asked in deleted.values_mut() {
        asked.sort_unstable();
        let mut highest = 0;
        for (_, before) in asked.iter_mut() {
            highest = highest.max(*before);
            *before = highest;
        }
    }
    deleted
}
