//! Replication throttles (KIP-73): how fast replicas that are catching up may be filled.
//!
//! A replica is throttled if its topic's `leader.` or `follower.replication.throttled.replicas` lists it. What is
//! replicated of such replicas is measured, and while it is above the broker's `leader.` or
//! `follower.replication.throttled.rate`, those that are not in sync have to wait. In-sync ones never do, but
//! what they take counts.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

/// Windows that are measured over (`replication.quota.window.num`).
const WINDOWS: u64 = 11;
/// Length of a window (`replication.quota.window.size.seconds`).
const WINDOW_MS: u64 = 1_000;

/// The bytes that throttled replicas moved lately. Times are monotonic milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ReplicationQuota {
    /// (window number, bytes), oldest first; only windows in which something was moved.
    windows: VecDeque<(u64, u64)>,
}

impl ReplicationQuota {
    pub fn record(&mut self, now_ms: u64, bytes: u64) {
        let window = now_ms / WINDOW_MS;
        self.forget(window);
        match self.windows.back_mut() {
            Some((last, sum)) if *last == window => *sum = sum.saturating_add(bytes),
            _ => self.windows.push_back((window, bytes)),
        }
    }

    /// Whether more was moved than `rate` bytes per second allow, since the oldest window that still counts
    /// began, at least over one window.
    pub fn is_exceeded(&mut self, now_ms: u64, rate: u64) -> bool {
        self.forget(now_ms / WINDOW_MS);
        let Some((oldest, _)) = self.windows.front() else {
            return false;
        };
        let elapsed_ms = now_ms.saturating_sub(oldest * WINDOW_MS).max(WINDOW_MS);
        let moved: u128 = self
            .windows
            .iter()
            .map(|(_, bytes)| u128::from(*bytes))
            .sum();
        moved * 1_000 > u128::from(rate) * u128::from(elapsed_ms)
    }

    fn forget(&mut self, window: u64) {
        let first = (window + 1).saturating_sub(WINDOWS);
        while self.windows.front().is_some_and(|(old, _)| *old < first) {
            self.windows.pop_front();
        }
    }
}

/// Whether the list, `*` or `partition:broker,…`, holds this replica.
pub fn is_listed(list: &str, partition: i32, broker: i32) -> bool {
    if list.trim() == "*" {
        return true;
    }
    let entries = list.split(',').filter_map(parse_entry);
    entries
        .into_iter()
        .any(|entry| entry == (partition, broker))
}

/// Says what is wrong with a list, if anything.
pub fn list_problem(list: &str) -> Option<String> {
    let is_fine = |entry: &str| entry.trim().is_empty() || parse_entry(entry).is_some();
    let fine = list.trim() == "*" || list.split(',').all(is_fine);
    (!fine).then(|| "must be * or partition:broker,…".to_string())
}

fn parse_entry(entry: &str) -> Option<(i32, i32)> {
    let (partition, broker) = entry.trim().split_once(':')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| digits)
    };
    Some((number(partition)?, number(broker)?))
}
