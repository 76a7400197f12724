//! CLI-3: two observations of an offset agree, and equal one record that was sent there.
//! CLI-6 (duplicate): with idempotence a record is in the log once.

use std::collections::BTreeMap;

use super::observed::{Observed, Seen};
use super::{Promise, violation};
use crate::anomaly::Report;
use crate::history::{History, Partition};

pub fn check(history: &History, observed: &Observed<'_>, promise: Promise, report: &mut Report) {
    let mut offset_of: BTreeMap<u64, (&Partition, i64)> = BTreeMap::new();
    for (partition, polled) in &observed.polled {
        for (&offset, seen) in polled {
            report.count("CLI-3", 1);
            one_content(history, observed, partition, offset, seen, report);
            for &one in seen {
                as_sent(history, observed, partition, offset, one, promise, report);
                let Some(value) = one.value else { continue };
                let earlier = offset_of.insert(value, (partition, offset));
                if promise.idempotent {
                    report.count("CLI-6", 1);
                    duplicate(history, value, earlier, (partition, offset), one, report);
                }
            }
        }
    }
}

/// All polls and the producer's acknowledgement name the same record at an offset.
fn one_content(
    history: &History,
    observed: &Observed<'_>,
    partition: &Partition,
    offset: i64,
    seen: &[Seen],
    report: &mut Report,
) {
    if let [first, second, ..] = seen {
        let detail = format!(
            "{}-{} offset {offset}: one poll returned {:?}, another {:?}",
            partition.topic, partition.index, first.value, second.value
        );
        let operation = &history.operations[second.operation];
        report.violations.push(violation(
            "CLI-3",
            "inconsistent-offsets",
            operation,
            detail,
        ));
    }
    let acknowledged = observed
        .acknowledged
        .get(partition)
        .and_then(|sent| sent.get(&offset));
    if let (Some(&(value, _)), Some(first)) = (acknowledged, seen.first())
        && first.value != Some(value)
    {
        let detail = format!(
            "{}-{} offset {offset}: acknowledged for value {value}, polled as {:?}",
            partition.topic, partition.index, first.value
        );
        let operation = &history.operations[first.operation];
        report.violations.push(violation(
            "CLI-3",
            "inconsistent-offsets",
            operation,
            detail,
        ));
    }
}

/// A polled record was sent, to this partition, with this content.
fn as_sent(
    history: &History,
    observed: &Observed<'_>,
    partition: &Partition,
    offset: i64,
    seen: Seen,
    promise: Promise,
    report: &mut Report,
) {
    let problem = match seen.value.and_then(|value| observed.sent.get(&value)) {
        None => format!("value {:?} was never sent", seen.value),
        Some((sent_to, _)) if *sent_to != partition => {
            format!(
                "value {:?} was sent to {}-{}",
                seen.value, sent_to.topic, sent_to.index
            )
        }
        Some((_, sent)) if promise.create_time && sent.content != seen.content => {
            format!(
                "value {:?} came back with other key, headers or timestamp",
                seen.value
            )
        }
        Some(_) => return,
    };
    let detail = format!(
        "{}-{} offset {offset}: {problem}",
        partition.topic, partition.index
    );
    report.violations.push(violation(
        "CLI-3",
        "phantom",
        &history.operations[seen.operation],
        detail,
    ));
}

fn duplicate(
    history: &History,
    value: u64,
    earlier: Option<(&Partition, i64)>,
    now: (&Partition, i64),
    seen: Seen,
    report: &mut Report,
) {
    if let Some(earlier) = earlier
        && earlier != now
    {
        let detail = format!(
            "value {value} is at {}-{} offset {} and at {}-{} offset {}",
            earlier.0.topic, earlier.0.index, earlier.1, now.0.topic, now.0.index, now.1
        );
        report.violations.push(violation(
            "CLI-6",
            "duplicate",
            &history.operations[seen.operation],
            detail,
        ));
    }
}
