//! The operating system's clocks and tokio's timers (1 ms grain, never early).

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the one door to real time"
)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{BoxFuture, Clock, Instant, WallTime};

pub(super) struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    pub(super) fn new() -> SystemClock {
        SystemClock {
            start: std::time::Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn wall(&self) -> WallTime {
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => WallTime(millis(since)),
            Err(before) => WallTime(-millis(before.duration())),
        }
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        if duration.is_zero() {
            return Box::pin(tokio::task::yield_now());
        }
        // The deadline counts from this call; the timer is made at the first poll, inside the runtime.
        let asked = std::time::Instant::now();
        Box::pin(async move { tokio::time::sleep(duration.saturating_sub(asked.elapsed())).await })
    }
}
