//! TXN-2: once a producer has its identity, those before it with the same transactional id neither append nor
//! commit [zombie-append, zombie-commit].

use std::collections::BTreeMap;

use super::observed::Observed;
use super::violation;
use crate::anomaly::Report;
use crate::history::{Action, Fate, History, Operation};

pub fn check(history: &History, observed: &Observed<'_>, report: &mut Report) {
    let starts = Starts::new(history);
    for (number, known) in &observed.transactions {
        report.count("TXN-2", 1);
        let fenced = starts.fenced_at(&known.transaction.transactional_id, known.begun_ns);
        let end = known.transaction.end;
        if let (Some(fenced_ns), Fate::Committed, Some(end)) = (fenced, known.fate, end)
            && end.invoked_ns > fenced_ns
        {
            let operation = &history.operations[known.operation];
            let what = format!("transaction {number} committed");
            complain("zombie-commit", &what, fenced_ns, operation, report);
        }
    }
    for operation in history.operations.iter().filter(|one| one.is_ok()) {
        let Action::Send { value, .. } = operation.action else {
            continue;
        };
        let number = operation.transaction;
        let known = number.and_then(|number| observed.transactions.get(&number));
        let Some(known) = known else { continue };
        let fenced = starts.fenced_at(&known.transaction.transactional_id, known.begun_ns);
        if let Some(fenced_ns) = fenced
            && operation.invoked_ns > fenced_ns
        {
            let what = format!("value {value} was appended");
            complain("zombie-append", &what, fenced_ns, operation, report);
        }
    }
}

fn complain(anomaly: &str, what: &str, fenced_ns: u64, operation: &Operation, report: &mut Report) {
    let detail = format!(
        "{what}, asked for after a later producer of the same transactional id began at {fenced_ns} ns"
    );
    let found = violation("TXN-2", anomaly, operation, detail);
    report.violations.push(found);
}

/// By transactional id: (invoked, completed) of each acknowledged InitProducerId, by invocation.
struct Starts<'a>(BTreeMap<&'a str, Vec<(u64, u64)>>);

impl<'a> Starts<'a> {
    fn new(history: &'a History) -> Starts<'a> {
        let mut starts: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
        for operation in history.operations.iter().filter(|one| one.is_ok()) {
            if let Action::InitTransactions {
                transactional_id, ..
            } = &operation.action
            {
                let times = (operation.invoked_ns, operation.completed_ns);
                starts.entry(transactional_id).or_default().push(times);
            }
        }
        for times in starts.values_mut() {
            times.sort_unstable();
            // The first completion of all that are invoked then or later.
            let mut first = u64::MAX;
            for (_, completed) in times.iter_mut().rev() {
                first = first.min(*completed);
                *completed = first;
            }
        }
        Starts(starts)
    }

    /// When the first producer that began after this moment was ready.
    fn fenced_at(&self, transactional_id: &str, begun_ns: u64) -> Option<u64> {
        let times = self.0.get(transactional_id)?;
        let later = times.partition_point(|(invoked, _)| *invoked <= begun_ns);
        times.get(later).map(|(_, completed)| *completed)
    }
}
