//! When the metadata is worth another snapshot (KIP-630).

use std::time::Duration;

use broker_env::{Env, Instant};

/// Counts since the last snapshot that was loaded or made.
pub struct SnapshotSchedule {
    env: Env,
    /// `metadata.log.max.record.bytes.between.snapshots`.
    bytes_max: u64,
    /// `metadata.log.max.snapshot.interval.ms`; `None` never.
    interval: Option<Duration>,
    bytes: u64,
    since: Instant,
}

impl SnapshotSchedule {
    pub fn new(env: Env, bytes_max: u64, interval: Option<Duration>) -> SnapshotSchedule {
        let since = env.now();
        SnapshotSchedule {
            env,
            bytes_max,
            interval,
            bytes: 0,
            since,
        }
    }

    /// Whether a snapshot is due once a batch of `bytes` was applied.
    pub fn is_due(&mut self, bytes: u64) -> bool {
        self.bytes += bytes;
        let waited = self.env.now().saturating_since(self.since);
        self.bytes >= self.bytes_max || self.interval.is_some_and(|interval| waited >= interval)
    }

    pub fn kept(&mut self) {
        self.bytes = 0;
        self.since = self.env.now();
    }
}
