//! Rates and latencies over simulated time, out of the history.

use reports::recording::ClientSeries;
use sim_checkers::history::{Action, History, Outcome};

/// As many as a plot has room for.
const BUCKETS: u64 = 240;
const BUCKET_US_MIN: u64 = 100_000;

/// Of a run that ended at `end_us`.
pub fn series(history: &History, end_us: u64) -> ClientSeries {
    let bucket_us = end_us.div_ceil(BUCKETS).max(BUCKET_US_MIN);
    let count = usize::try_from(end_us / bucket_us + 1).expect("at most as many as buckets");
    let empty = vec![0; count];
    let mut series = ClientSeries {
        bucket_us,
        acked: empty.clone(),
        failed: empty.clone(),
        unknown: empty.clone(),
        consumed: empty.clone(),
        p50_us: empty.clone(),
        p99_us: empty.clone(),
        max_us: empty,
    };
    let mut took: Vec<Vec<u64>> = vec![Vec::new(); count];
    for operation in &history.operations {
        let bucket = operation.completed_ns / 1_000 / bucket_us;
        let bucket = usize::try_from(bucket).map_or(count - 1, |bucket| bucket.min(count - 1));
        match (&operation.action, &operation.outcome) {
            (Action::Send { .. }, Outcome::Ok) => {
                series.acked[bucket] += 1;
                let ns = operation.completed_ns.saturating_sub(operation.invoked_ns);
                took[bucket].push(ns / 1_000);
            }
            (Action::Send { .. }, Outcome::Fail(_)) => series.failed[bucket] += 1,
            (Action::Send { .. }, Outcome::Info(_)) => series.unknown[bucket] += 1,
            (Action::Poll { records, .. }, _) => {
                series.consumed[bucket] += u64::try_from(records.len()).unwrap_or(u64::MAX);
            }
            _ => {}
        }
    }
    for (bucket, mut took) in took.into_iter().enumerate() {
        took.sort_unstable();
        series.p50_us[bucket] = percentile(&took, 50);
        series.p99_us[bucket] = percentile(&took, 99);
        series.max_us[bucket] = took.last().copied().unwrap_or(0);
    }
    series
}

/// The smallest that is not below so many hundredths of all; 0 of none.
fn percentile(sorted: &[u64], hundredths: usize) -> u64 {
    let rank = (sorted.len() * hundredths).div_ceil(100);
    let index = rank.max(1) - 1;
    sorted.get(index).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use sim_checkers::history::{Operation, Partition};

    use super::*;

    fn send(from_ms: u64, to_ms: u64, outcome: Outcome) -> Operation {
        let partition = Partition {
            topic: "t".into(),
            index: 0,
        };
        Operation {
            process: 1,
            invoked_ns: from_ms * 1_000_000,
            completed_ns: to_ms * 1_000_000,
            invoked_event: 0,
            completed_event: 0,
            transaction: None,
            action: Action::Send {
                partition,
                value: 0,
                content: 0,
                acks: -1,
                offset: None,
                sequence: 0,
            },
            outcome,
        }
    }

    #[test]
    fn operations_count_in_the_bucket_in_which_they_end() {
        let mut operations = vec![
            send(0, 250, Outcome::Ok),
            send(240, 250, Outcome::Ok),
            send(0, 20, Outcome::Fail("no".into())),
            send(0, 9_999, Outcome::Info("late".into())),
        ];
        operations.extend((0..98).map(|_| send(245, 250, Outcome::Ok)));
        let series = series(&History { operations }, 1_000_000);
        assert_eq!(series.bucket_us, 100_000);
        assert_eq!(series.acked.len(), 11);
        assert_eq!((series.acked[2], series.failed[0]), (100, 1));
        assert_eq!(series.unknown[10], 1, "what ends after the end, at the end");
        let latencies = (series.p50_us[2], series.p99_us[2], series.max_us[2]);
        assert_eq!(latencies, (5_000, 10_000, 250_000));
        assert_eq!(series.p50_us[3], 0);
    }
}
