//! Latencies, and the result.

use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::process::Usage;

/// Sub-buckets per power of two: 1.6 % resolution.
const SUB_BUCKETS: usize = 64;
const BUCKETS: usize = 64 * SUB_BUCKETS;

/// A histogram of durations, in microseconds.
#[derive(Clone, Debug)]
pub struct Latencies {
    counts: Vec<u64>,
    total: u64,
    max: Duration,
}

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies {
            counts: vec![0; BUCKETS],
            total: 0,
            max: Duration::ZERO,
        }
    }
}

impl Latencies {
    pub fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(micros)] += 1;
        self.total += 1;
        self.max = self.max.max(latency);
    }

    pub fn merge(&mut self, other: &Latencies) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// In milliseconds; the bucket that holds the quantile, `per_mille` of all being at most this.
    pub fn quantile_ms(&self, per_mille: u64) -> f64 {
        let rank = (self.total * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_micros(lowest(bucket)).as_secs_f64() * 1000.0;
            }
        }
        0.0
    }

    pub fn max_ms(&self) -> f64 {
        self.max.as_secs_f64() * 1000.0
    }
}

/// Exact below [`SUB_BUCKETS`], then that many steps per doubling.
fn bucket(micros: u64) -> usize {
    let small = usize::try_from(micros).unwrap_or(usize::MAX);
    if small < SUB_BUCKETS {
        return small;
    }
    let exponent = usize::try_from(micros.ilog2() - SUB_BUCKETS.ilog2()).expect("at most 63");
    let step = usize::try_from(micros >> exponent).expect("below two times the sub-buckets");
    exponent * SUB_BUCKETS + step
}

/// The lowest value of a bucket.
fn lowest(bucket: usize) -> u64 {
    if bucket < 2 * SUB_BUCKETS {
        return u64::try_from(bucket).expect("small");
    }
    let exponent = bucket / SUB_BUCKETS - 1;
    let step = bucket - exponent * SUB_BUCKETS;
    u64::try_from(step).expect("small") << exponent
}

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    pub load: &'static str,
    pub records: u64,
    pub bytes: u64,
    pub failed: u64,
    pub elapsed: Duration,
    pub latencies: Latencies,
    /// How long commits took, if records were sent in transactions.
    pub commits: Option<Latencies>,
    /// Of the broker, over the run.
    pub usage: Option<Usage>,
}

impl Report {
    pub fn print(&self, as_json: bool) -> std::io::Result<()> {
        let mut out = std::io::stdout();
        if as_json {
            writeln!(out, "{}", self.json())
        } else {
            write!(out, "{}", self.text())
        }
    }

    fn per_second(&self, amount: u64) -> f64 {
        to_f64(amount) / self.elapsed.as_secs_f64().max(1e-9)
    }

    fn mb_per_second(&self) -> f64 {
        self.per_second(self.bytes) / 1e6
    }

    fn cpu_us_per_record(&self) -> Option<f64> {
        let usage = self.usage.as_ref()?;
        Some(usage.cpu.as_secs_f64() * 1e6 / to_f64(self.records.max(1)))
    }

    fn json(&self) -> Value {
        let commits = self.commits.as_ref();
        json!({
            "load": self.load,
            "records": self.records,
            "bytes": self.bytes,
            "failed": self.failed,
            "seconds": rounded(self.elapsed.as_secs_f64()),
            "records_per_second": rounded(self.per_second(self.records)),
            "mb_per_second": rounded(self.mb_per_second()),
            "p50_ms": rounded(self.latencies.quantile_ms(500)),
            "p99_ms": rounded(self.latencies.quantile_ms(990)),
            "p999_ms": rounded(self.latencies.quantile_ms(999)),
            "max_ms": rounded(self.latencies.max_ms()),
            "transactions": commits.map(|commits| commits.total),
            "transactions_per_second": commits.map(|commits| rounded(self.per_second(commits.total))),
            "commit_p50_ms": commits.map(|commits| rounded(commits.quantile_ms(500))),
            "commit_p99_ms": commits.map(|commits| rounded(commits.quantile_ms(990))),
            "broker_pid": self.usage.as_ref().map(|usage| usage.pid),
            "broker_cpu_us_per_record": self.cpu_us_per_record().map(rounded),
            "broker_cpu_seconds": self.usage.as_ref().map(|usage| rounded(usage.cpu.as_secs_f64())),
            "broker_rss_bytes": self.usage.as_ref().map(|usage| usage.rss_bytes),
        })
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{} records ({} failed), {} bytes in {:.2} s\n{:.0} records/s, {:.2} MB/s\n\
             latency ms: p50 {:.3}, p99 {:.3}, p99.9 {:.3}, max {:.3}\n",
            self.records,
            self.failed,
            self.bytes,
            self.elapsed.as_secs_f64(),
            self.per_second(self.records),
            self.mb_per_second(),
            self.latencies.quantile_ms(500),
            self.latencies.quantile_ms(990),
            self.latencies.quantile_ms(999),
            self.latencies.max_ms(),
        );
        if let Some(commits) = &self.commits {
            text += &format!(
                "{} transactions, {:.0} a second; commits ms: p50 {:.3}, p99 {:.3}, max {:.3}\n",
                commits.total,
                self.per_second(commits.total),
                commits.quantile_ms(500),
                commits.quantile_ms(990),
                commits.max_ms(),
            );
        }
        if let (Some(usage), Some(cpu)) = (&self.usage, self.cpu_us_per_record()) {
            let rss = to_f64(usage.rss_bytes) / 1e6;
            text += &format!(
                "broker (pid {}): {cpu:.3} CPU µs per record, {rss:.1} MB resident\n",
                usage.pid
            );
        }
        text
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn to_f64(number: u64) -> f64 {
    number as f64
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_ordered_and_close() {
        let mut last = 0;
        for micros in (0..1_000_000).chain([u64::MAX / 2, u64::MAX]) {
            let bucket = bucket(micros);
            assert!(
                bucket >= last && bucket < BUCKETS,
                "{micros} in {bucket} after {last}"
            );
            let low = lowest(bucket);
            assert!(
                low <= micros && micros - low <= micros / 50,
                "{micros} became {low}"
            );
            last = bucket;
        }
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let mut latencies = Latencies::default();
        (1..=1000).for_each(|ms| latencies.record(Duration::from_millis(ms)));
        for (per_mille, ms) in [(500, 500.0), (990, 990.0), (1000, 1000.0)] {
            let found = latencies.quantile_ms(per_mille);
            assert!(found <= ms && found >= 0.98 * ms, "{per_mille}: {found}");
        }
        assert_eq!(latencies.max_ms(), 1000.0);
    }
}
