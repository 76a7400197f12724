//! TXN-4: what a group consumes in transactions is consumed once: committed ones do not overlap [processed-twice], and
//! none of them jumps over a record that is there for it [skipped-input].

use std::collections::BTreeMap;

use super::observed::{Known, Observed};
use super::violation;
use crate::anomaly::Report;
use crate::history::{Consumed, Fate, History, Isolation, Partition};

/// One transaction's share of a partition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Share {
    from: i64,
    next: i64,
    number: u64,
}

#[derive(Default)]
struct Shares {
    committed: Vec<Share>,
    unknown: Vec<Share>,
}

pub fn check(history: &History, observed: &Observed<'_>, report: &mut Report) {
    let mut all: BTreeMap<(&str, &Partition), Shares> = BTreeMap::new();
    for (number, known) in &observed.transactions {
        for consumed in &known.transaction.offsets {
            let key = (consumed.group.as_str(), &consumed.partition);
            add(all.entry(key).or_default(), *number, known, consumed);
        }
    }
    for ((group, partition), mut shares) in all {
        shares.committed.sort_unstable();
        for pair in shares.committed.windows(2) {
            report.count("TXN-4", 1);
            let (first, second) = (pair[0], pair[1]);
            let gap = Isolation::ReadCommitted;
            let (anomaly, what) = if second.from < first.next {
                ("processed-twice", "both consumed it".to_owned())
            } else if let Some(skipped) =
                observed.known_record(partition, gap, first.next, second.from)
                && !shares.may_have_consumed(skipped)
            {
                let what = format!("nobody consumed offset {skipped}");
                ("skipped-input", what)
            } else {
                continue;
            };
            let known = &observed.transactions[&second.number];
            let operation = &history.operations[known.operation];
            let Partition { topic, index } = partition;
            let detail = format!(
                "{group} {topic}-{index}: transaction {} committed {}..{}, transaction {} {}..{}: {what}",
                first.number, first.from, first.next, second.number, second.from, second.next
            );
            let found = violation("TXN-4", anomaly, operation, detail);
            report.violations.push(found);
        }
    }
}

fn add(shares: &mut Shares, number: u64, known: &Known<'_>, consumed: &Consumed) {
    let share = Share {
        from: consumed.from,
        next: consumed.next,
        number,
    };
    match known.fate {
        Fate::Committed => shares.committed.push(share),
        Fate::Unknown => shares.unknown.push(share),
        Fate::Aborted => {}
    }
}

impl Shares {
    fn may_have_consumed(&self, offset: i64) -> bool {
        let mut unknown = self.unknown.iter();
        unknown.any(|share| (share.from..share.next).contains(&offset))
    }
}
