//! Counters over all clients of a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What clients got done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientStats {
    /// Records acknowledged, surely not written, and of unknown fate.
    pub acked: u64,
    pub failed: u64,
    pub unknown: u64,
    /// Records polled, each time.
    pub consumed: u64,
    /// Of values and keys acknowledged.
    pub bytes_sent: u64,
    /// Of values and keys polled.
    pub bytes_consumed: u64,
    /// Transactions whose commit is acknowledged, and that were aborted.
    pub txns_committed: u64,
    pub txns_aborted: u64,
    pub topics_created: u64,
    pub topics_deleted: u64,
    /// Moves of replicas begun and cancelled.
    pub reassignments: u64,
    /// Leaders elected on demand.
    pub elections: u64,
    /// By operation, of those that succeeded.
    pub latency: BTreeMap<String, Latency>,
    /// Failures and lost positions, by kind of client and error.
    pub errors: BTreeMap<String, u64>,
}

/// Milliseconds of simulated time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    pub count: u64,
    pub min: f64,
    pub mean: f64,
    /// Percentiles are at most 6 % too high.
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

/// Durations in buckets, sixteen per power of two of microseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    buckets: BTreeMap<u32, u64>,
    count: u64,
    sum_ns: u128,
    min_ns: u64,
    max_ns: u64,
}

impl Histogram {
    pub fn add(&mut self, ns: u64) {
        self.min_ns = if self.count == 0 {
            ns
        } else {
            self.min_ns.min(ns)
        };
        self.max_ns = self.max_ns.max(ns);
        self.sum_ns += u128::from(ns);
        self.count += 1;
        *self.buckets.entry(bucket_of(ns / 1_000)).or_default() += 1;
    }

    pub fn summary(&self) -> Latency {
        if self.count == 0 {
            return Latency::default();
        }
        let mean = u64::try_from(self.sum_ns / u128::from(self.count)).unwrap_or(u64::MAX);
        Latency {
            count: self.count,
            min: millis(self.min_ns),
            mean: millis(mean),
            p50: millis(self.percentile(50)),
            p99: millis(self.percentile(99)),
            max: millis(self.max_ns),
        }
    }

    fn percentile(&self, percent: u64) -> u64 {
        let rank = (self.count * percent).div_ceil(100);
        let mut seen = 0;
        for (bucket, count) in &self.buckets {
            seen += count;
            if seen >= rank {
                return (end_of(*bucket) * 1_000).clamp(self.min_ns, self.max_ns);
            }
        }
        self.max_ns
    }
}

const SUB_BITS: u32 = 4;

fn bucket_of(micros: u64) -> u32 {
    let bits = 64 - micros.leading_zeros();
    let Some(shift) = bits.checked_sub(SUB_BITS + 1) else {
        return u32::try_from(micros).expect("below 16");
    };
    let sub = u32::try_from(micros >> shift).expect("five bits");
    (shift << SUB_BITS) + sub
}

/// The greatest value of a bucket.
fn end_of(bucket: u32) -> u64 {
    let Some(shift) = (bucket >> SUB_BITS).checked_sub(1) else {
        return u64::from(bucket);
    };
    let sub = u64::from(bucket - (shift << SUB_BITS));
    ((sub + 1) << shift) - 1
}

/// Exact to the microsecond.
fn millis(ns: u64) -> f64 {
    let micros = u32::try_from(ns / 1_000).unwrap_or(u32::MAX);
    f64::from(micros) / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_and_hold_what_they_say() {
        for micros in (0..10_000).chain([1 << 20, (1 << 40) + 12345]) {
            let bucket = bucket_of(micros);
            assert!(
                end_of(bucket) >= micros,
                "{micros} is above the end of {bucket}"
            );
            assert!(
                end_of(bucket) <= micros + micros / 16,
                "{micros} in a bucket to {}",
                end_of(bucket)
            );
            assert!(
                bucket == 0 || end_of(bucket - 1) < micros,
                "{micros} is below {bucket}"
            );
        }
    }

    #[test]
    fn a_summary_of_a_hundred() {
        let mut histogram = Histogram::default();
        (1..=100).for_each(|ms| histogram.add(ms * 1_000_000));
        let summary = histogram.summary();
        assert_eq!(
            (summary.count, summary.min, summary.mean, summary.max),
            (100, 1.0, 50.5, 100.0)
        );
        assert!(
            (50.0..53.2).contains(&summary.p50) && (99.0..=100.0).contains(&summary.p99),
            "{summary:?}"
        );
    }
}
