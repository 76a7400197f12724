//! One directed link between two hosts: what a segment meets on it.

use std::time::Duration;

use rand_core::RngCore;
use serde::{Deserialize, Serialize};
use sim_disk::units::{self, Chance, nanos};

/// Latency as in real networks: never below a floor, exponential above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// The fastest a segment arrives.
    #[serde(with = "units::duration")]
    pub min: Duration,
    /// The mean; at or below the minimum every segment takes the minimum.
    #[serde(with = "units::duration")]
    pub mean: Duration,
}

impl Latency {
    pub const fn new(min: Duration, mean: Duration) -> Latency {
        Latency { min, mean }
    }

    /// Nanoseconds for one segment.
    pub fn draw(self, rng: &mut impl RngCore) -> u64 {
        let (min, mean) = (nanos(self.min), nanos(self.mean));
        if mean <= min {
            min
        } else {
            min.saturating_add(exponential(mean - min, rng))
        }
    }
}

/// An exponential draw in integers, so that no processor's libm can tell two runs apart.
pub fn exponential(mean: u64, rng: &mut impl RngCore) -> u64 {
    const LN_256: u64 = 363_409;
    let mut bits = rng.next_u64();
    let mut tail = 0;
    // The distribution has no memory: below 1/256 it repeats itself, LN_256 further out.
    while bits >> 56 == 0 && tail < 4 * LN_256 {
        tail += LN_256;
        bits = rng.next_u64();
    }
    let index = usize::try_from((bits >> 56).max(1)).expect("8 bits");
    let (above, below) = (u64::from(MINUS_LN[index - 1]), u64::from(MINUS_LN[index]));
    let fraction = (bits >> 40) & 0xffff;
    let value = tail + above - (((above - below) * fraction) >> 16);
    u64::try_from((u128::from(mean) * u128::from(value)) >> 16).unwrap_or(u64::MAX)
}

/// -ln(i / 256) in 16.16 fixed point for i = 1..=256.
#[rustfmt::skip]
const MINUS_LN: [u32; 256] = [
    363409, 317983, 291410, 272557, 257933, 245984, 235882, 227130, 219411, 212507, 206260,
    200558, 195312, 190455, 185934, 181704, 177731, 173985, 170442, 167080, 163883, 160834,
    157921, 155132, 152457, 149886, 147413, 145029, 142730, 140508, 138359, 136278, 134262,
    132305, 130405, 128559, 126764, 125016, 123314, 121654, 120036, 118457, 116915, 115408,
    113935, 112495, 111085, 109706, 108354, 107030, 105733, 104460, 103212, 101987, 100784,
    99603, 98443, 97304, 96183, 95082, 93999, 92933, 91884, 90852, 89836, 88836, 87850, 86879,
    85922, 84979, 84050, 83133, 82229, 81338, 80458, 79590, 78733, 77887, 77053, 76228, 75414,
    74610, 73816, 73031, 72255, 71489, 70731, 69982, 69241, 68509, 67785, 67069, 66360, 65659,
    64966, 64280, 63600, 62928, 62263, 61604, 60952, 60307, 59667, 59034, 58407, 57786, 57170,
    56561, 55957, 55358, 54765, 54177, 53595, 53017, 52445, 51877, 51315, 50757, 50204, 49656,
    49112, 48572, 48037, 47507, 46980, 46458, 45940, 45426, 44916, 44410, 43908, 43409, 42915,
    42424, 41937, 41453, 40973, 40496, 40023, 39553, 39087, 38624, 38164, 37707, 37254, 36803,
    36356, 35911, 35470, 35032, 34596, 34164, 33734, 33307, 32883, 32461, 32043, 31627, 31213,
    30802, 30394, 29988, 29585, 29184, 28786, 28390, 27996, 27605, 27216, 26829, 26445, 26063,
    25683, 25305, 24929, 24556, 24185, 23815, 23448, 23083, 22720, 22359, 22000, 21643, 21288,
    20934, 20583, 20233, 19886, 19540, 19196, 18854, 18513, 18174, 17837, 17502, 17169, 16837,
    16507, 16178, 15851, 15526, 15202, 14880, 14560, 14241, 13924, 13608, 13294, 12981, 12669,
    12360, 12051, 11744, 11439, 11135, 10832, 10530, 10231, 9932, 9635, 9339, 9044, 8751, 8459,
    8169, 7879, 7591, 7304, 7019, 6734, 6451, 6169, 5889, 5609, 5331, 5054, 4778, 4503, 4230,
    3957, 3686, 3415, 3146, 2878, 2611, 2345, 2081, 1817, 1554, 1293, 1032, 773, 514, 257,
    0,
];

/// Which links: host names, or `*` for any.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkSelector {
    #[serde(default = "any")]
    pub from: String,
    #[serde(default = "any")]
    pub to: String,
    /// The reverse direction too. Default yes.
    #[serde(default = "yes")]
    pub both: bool,
}

fn any() -> String {
    "*".into()
}

fn yes() -> bool {
    true
}

impl LinkSelector {
    /// Every link.
    pub fn all() -> LinkSelector {
        LinkSelector {
            from: any(),
            to: any(),
            both: true,
        }
    }

    /// Everything a host sends and receives.
    pub fn of(host: &str) -> LinkSelector {
        LinkSelector {
            from: host.into(),
            to: any(),
            both: true,
        }
    }

    pub fn between(one: &str, other: &str) -> LinkSelector {
        LinkSelector {
            from: one.into(),
            to: other.into(),
            both: true,
        }
    }

    pub fn one_way(from: &str, to: &str) -> LinkSelector {
        LinkSelector {
            from: from.into(),
            to: to.into(),
            both: false,
        }
    }

    /// Never the loopback of a host.
    pub fn matches(&self, from: &str, to: &str) -> bool {
        let covers = |from, to| named(&self.from, from) && named(&self.to, to);
        from != to && (covers(from, to) || (self.both && covers(to, from)))
    }
}

fn named(pattern: &str, host: &str) -> bool {
    pattern == "*" || pattern == host
}

impl std::fmt::Display for LinkSelector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let arrow = if self.both { "<->" } else { "->" };
        write!(formatter, "{} {arrow} {}", self.from, self.to)
    }
}

/// What all the faults that are set make of one directed link.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// Nothing passes; senders retransmit until it does.
    pub blocked: bool,
    /// Nothing passes; what was sent arrives at once on release.
    pub held: bool,
    /// New connections while blocked are refused instead of waiting.
    pub refuses: bool,
    pub latency: Latency,
    /// Bytes per second; 0 is unlimited.
    pub bandwidth: u64,
    /// When the last byte given to a limited link has left it.
    pub busy_until: u64,
    pub loss: Chance,
    /// First retransmission timeout, ns; doubles each time.
    pub retransmit: u64,
    pub reset: Chance,
    /// Largest piece of a read or write; 0 is any.
    pub fragment: u32,
}

impl Link {
    /// When a segment that leaves now arrives, loss and queueing included.
    pub fn arrival(&mut self, now: u64, bytes: usize, rng: &mut impl RngCore) -> (u64, u64) {
        let mut at = now.saturating_add(self.latency.draw(rng));
        if self.bandwidth > 0 {
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            let transfer = u128::from(bytes) * 1_000_000_000 / u128::from(self.bandwidth);
            let transfer = u64::try_from(transfer).unwrap_or(u64::MAX);
            self.busy_until = self.busy_until.max(now).saturating_add(transfer);
            at = at.saturating_add(self.busy_until - now);
        }
        let mut losses = 0;
        while losses < 6 && self.loss.strikes(rng) {
            at = at.saturating_add(self.retransmit << losses);
            losses += 1;
        }
        (at, losses)
    }
}
