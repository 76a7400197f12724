//! Time: a monotonic clock for intervals and a wall clock for what records carry.

use std::time::Duration;

use crate::BoxFuture;

/// Nanoseconds on a node's monotonic clock; comparable only within one run of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    pub fn saturating_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, duration: Duration) -> Instant {
        Instant(
            self.0
                .saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

/// Milliseconds since the Unix epoch, as Kafka's timestamps. May jump in either direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(pub i64);

/// A node's clocks. In simulation each node has its own: skewed, drifting, jumping or frozen.
pub trait Clock: Send + Sync {
    /// Monotonic: never goes back, and stands still only while the node is paused.
    fn now(&self) -> Instant;
    /// Wall time; may jump. Only data to store in a record, never a base for an interval.
    fn wall(&self) -> WallTime;
    /// Completes once `now()` has advanced by `duration`. Zero yields once.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}
