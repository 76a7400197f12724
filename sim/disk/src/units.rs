//! Chances in parts per million and durations with units, as scenario files write them.

use std::time::Duration;

use rand_core::RngCore;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A probability in parts per million; in text a number from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chance(u32);

impl Chance {
    pub const NEVER: Chance = Chance(0);
    pub const ALWAYS: Chance = Chance(1_000_000);

    /// Parts per million; more than a million counts as always.
    pub const fn per_million(parts: u32) -> Chance {
        if parts > 1_000_000 {
            Chance::ALWAYS
        } else {
            Chance(parts)
        }
    }

    /// Per cent; more than a hundred counts as always.
    pub const fn percent(percent: u32) -> Chance {
        Chance::per_million(percent.saturating_mul(10_000))
    }

    pub const fn parts_per_million(self) -> u32 {
        self.0
    }

    /// Draws; certain and impossible outcomes draw nothing.
    pub fn strikes(self, rng: &mut impl RngCore) -> bool {
        match self {
            Chance::NEVER => false,
            Chance::ALWAYS => true,
            Chance(parts) => below(rng, 1_000_000) < u64::from(parts),
        }
    }
}

impl std::fmt::Display for Chance {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = format!("{}.{:04}", self.0 / 10_000, self.0 % 10_000);
        write!(
            formatter,
            "{}%",
            text.trim_end_matches('0').trim_end_matches('.')
        )
    }
}

impl Serialize for Chance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / 1_000_000.0)
    }
}

impl<'de> Deserialize<'de> for Chance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Chance, D::Error> {
        let value = f64::deserialize(deserializer)?;
        if !(0.0..=1.0).contains(&value) {
            return Err(serde::de::Error::custom(format!(
                "a chance is a number from 0 to 1, not {value}"
            )));
        }
        // Lossless: between 0 and a million.
        Ok(Chance((value * 1_000_000.0).round() as u32))
    }
}

/// A uniform draw from `0..limit`; 0 if the limit is 0.
pub fn below(rng: &mut impl RngCore, limit: u64) -> u64 {
    let scaled = (u128::from(rng.next_u64()) * u128::from(limit)) >> 64;
    u64::try_from(scaled).expect("a product shifted by 64 is below the limit")
}

/// A uniform draw from `low..=high`; `low` if the range is empty.
pub fn between(rng: &mut impl RngCore, low: u64, high: u64) -> u64 {
    if high <= low {
        return low;
    }
    match (high - low).checked_add(1) {
        Some(span) => low + below(rng, span),
        None => rng.next_u64(),
    }
}

/// Nanoseconds, saturating after 584 years.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Shortest exact text of a duration: `1h`, `250ms`, `1500us`.
pub fn show(duration: Duration) -> String {
    let ns = nanos(duration);
    let units = [
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
    ];
    let small = [(1_000_000, "ms"), (1_000, "us")];
    for (size, unit) in units.into_iter().chain(small) {
        if ns > 0 && ns.is_multiple_of(size) {
            return format!("{}{unit}", ns / size);
        }
    }
    if ns == 0 {
        "0s".into()
    } else {
        format!("{ns}ns")
    }
}

/// Parses `"250ms"`; units ns, us, ms, s, m, h. The error is a sentence.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let split = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor: u64 = match unit {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "" => return Err(format!("\"{text}\" needs a unit: ns, us, ms, s, m or h")),
        _ => {
            return Err(format!(
                "\"{unit}\" is no unit of time: use ns, us, ms, s, m or h"
            ));
        }
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("\"{text}\" is no duration"))?;
    let ns = number
        .checked_mul(factor)
        .ok_or_else(|| format!("\"{text}\" is too long"))?;
    Ok(Duration::from_nanos(ns))
}

/// For `#[serde(with = "duration")]`: durations as text with a unit.
pub mod duration {
    use super::*;

    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&show(*duration))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        parse_duration(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
