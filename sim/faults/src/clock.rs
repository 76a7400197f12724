//! A node's clocks as a function of true time, in integers.
//!
//! The monotonic clock runs at its own rate and stands still while the node is paused; the wall clock
//! is the monotonic one plus an offset that faults change, unless it is frozen. A change of rate moves
//! the true time at which a sleep ends, so after [`ClockModel::inject`], [`ClockModel::heal`],
//! [`ClockModel::pause`] and [`ClockModel::resume`] an engine asks [`ClockModel::true_time_of`] again.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What can be wrong with a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ClockFault {
    /// The wall clock is this far off the true time: no NTP, a wrong hardware clock.
    Skew { by_ms: i64 },
    /// Both clocks run this many parts per million fast (or slow): a bad oscillator, a hot machine.
    Drift { ppm: i32 },
    /// The wall clock steps: NTP after an outage, an operator, a leap second.
    Jump { by_ms: i64 },
    /// The wall clock stands still while the monotonic one runs: a broken virtual clock source.
    Freeze,
}

impl ClockFault {
    /// Stable name for counters and scenario weights.
    pub fn kind(&self) -> &'static str {
        match self {
            ClockFault::Skew { .. } => "clock-skew",
            ClockFault::Drift { .. } => "clock-drift",
            ClockFault::Jump { .. } => "clock-jump",
            ClockFault::Freeze => "clock-freeze",
        }
    }
}

impl fmt::Display for ClockFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClockFault::Skew { by_ms } => write!(formatter, "skew {by_ms:+} ms"),
            ClockFault::Drift { ppm } => write!(formatter, "drift {ppm:+} ppm"),
            ClockFault::Jump { by_ms } => write!(formatter, "jump {by_ms:+} ms"),
            ClockFault::Freeze => write!(formatter, "freeze"),
        }
    }
}

const MILLION: i128 = 1_000_000;
/// No oscillator is worse than 50 %, and a rate of -100 % would stop time.
const PPM_LIMIT: i32 = 500_000;

/// One node's clocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockModel {
    /// Since this true time the rate is what it is now …
    anchor_true: u64,
    /// … and this was the monotonic time then.
    anchor_monotonic: u64,
    ppm: i32,
    paused: bool,
    /// Wall time, ns since the Unix epoch, at true time 0.
    wall_start: i128,
    /// Wall minus what a perfect wall clock would show, ns.
    wall_offset: i128,
    /// The wall time shown while frozen, ns.
    frozen: Option<i128>,
}

impl ClockModel {
    /// Perfect clocks: monotonic 0 and the given wall time (ms since the Unix epoch) at true time 0.
    pub fn new(wall_start_ms: i64) -> ClockModel {
        ClockModel {
            anchor_true: 0,
            anchor_monotonic: 0,
            ppm: 0,
            paused: false,
            wall_start: i128::from(wall_start_ms) * MILLION,
            wall_offset: 0,
            frozen: None,
        }
    }

    /// The monotonic clock at true time `now`, ns. Never goes back as `now` grows.
    pub fn monotonic(&self, now: u64) -> u64 {
        if self.paused {
            return self.anchor_monotonic;
        }
        let passed = now.saturating_sub(self.anchor_true);
        if self.ppm == 0 {
            return self.anchor_monotonic.saturating_add(passed);
        }
        let gained = i128::from(passed) * (MILLION + i128::from(self.ppm)) / MILLION;
        clamp(i128::from(self.anchor_monotonic) + gained)
    }

    /// The wall clock at true time `now`, ms since the Unix epoch.
    pub fn wall_ms(&self, now: u64) -> i64 {
        let ns = self.frozen.unwrap_or_else(|| self.running_wall(now));
        i64::try_from(ns.div_euclid(MILLION)).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX })
    }

    /// The first true time at which the monotonic clock shows at least `monotonic`; none while paused.
    pub fn true_time_of(&self, monotonic: u64) -> Option<u64> {
        if monotonic <= self.anchor_monotonic {
            return Some(self.anchor_true);
        }
        if self.paused {
            return None;
        }
        if self.ppm == 0 {
            return Some(
                self.anchor_true
                    .saturating_add(monotonic - self.anchor_monotonic),
            );
        }
        let rate = MILLION + i128::from(self.ppm);
        let gained = i128::from(monotonic - self.anchor_monotonic) * MILLION;
        let passed = (gained + rate - 1) / rate;
        Some(clamp(i128::from(self.anchor_true) + passed))
    }

    /// Sets a fault at true time `now`.
    pub fn inject(&mut self, now: u64, fault: ClockFault) {
        match fault {
            ClockFault::Skew { by_ms } => self.set_offset(now, i128::from(by_ms) * MILLION),
            ClockFault::Jump { by_ms } => {
                let offset = self.wall_offset + i128::from(by_ms) * MILLION;
                self.set_offset(now, offset);
            }
            ClockFault::Drift { ppm } => {
                self.anchor(now);
                self.ppm = ppm.clamp(-PPM_LIMIT, PPM_LIMIT);
            }
            ClockFault::Freeze => {
                self.frozen = Some(self.frozen.unwrap_or_else(|| self.running_wall(now)))
            }
        }
    }

    /// Ends a fault, as NTP would: the wall clock steps to the true time, the rate is right again.
    pub fn heal(&mut self, now: u64, fault: ClockFault) {
        match fault {
            ClockFault::Drift { .. } => {
                self.anchor(now);
                self.ppm = 0;
                self.wall_offset = 0;
            }
            ClockFault::Freeze => self.frozen = None,
            ClockFault::Skew { .. } | ClockFault::Jump { .. } => self.set_offset(now, 0),
        }
    }

    /// Ends all faults.
    pub fn heal_all(&mut self, now: u64) {
        self.heal(now, ClockFault::Freeze);
        self.heal(now, ClockFault::Drift { ppm: 0 });
    }

    /// The node stops: so does its monotonic clock, while its wall clock goes on.
    pub fn pause(&mut self, now: u64) {
        self.anchor(now);
        self.paused = true;
    }

    /// The node goes on.
    pub fn resume(&mut self, now: u64) {
        self.anchor(now);
        self.paused = false;
    }

    /// A new process on the node: its monotonic clock starts at 0, as [`broker_env::Instant`] may.
    pub fn restart(&mut self, now: u64) {
        self.anchor(now);
        self.anchor_monotonic = 0;
        self.paused = false;
    }

    fn running_wall(&self, now: u64) -> i128 {
        let passed = i128::from(now.saturating_sub(self.anchor_true));
        self.wall_start
            + i128::from(now)
            + self.wall_offset
            + passed * i128::from(self.ppm) / MILLION
    }

    fn set_offset(&mut self, now: u64, offset: i128) {
        self.anchor(now);
        let before = self.running_wall(now);
        self.wall_offset = offset;
        let stepped = self.running_wall(now) - before;
        self.frozen = self.frozen.map(|frozen| frozen + stepped);
    }

    /// Starts a new stretch of constant rate.
    fn anchor(&mut self, now: u64) {
        let monotonic = self.monotonic(now);
        let passed = i128::from(now.saturating_sub(self.anchor_true));
        self.wall_offset += passed * i128::from(self.ppm) / MILLION;
        self.anchor_true = now.max(self.anchor_true);
        self.anchor_monotonic = monotonic;
    }
}

fn clamp(value: i128) -> u64 {
    u64::try_from(value).unwrap_or(if value < 0 { 0 } else { u64::MAX })
}
