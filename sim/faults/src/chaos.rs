//! Random faults: which kinds, how often, for how long, aimed at whom.

use std::collections::BTreeMap;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use sim_disk::units::{self, below};

use crate::draw::KINDS;
use crate::frames::FrameRule;

/// Shortest and longest time until a fault is healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lasts {
    #[serde(with = "units::duration")]
    pub min: Duration,
    #[serde(with = "units::duration")]
    pub max: Duration,
}

/// Weights of whom a fault on one node strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Aim {
    pub random: u32,
    /// The leader of a random partition.
    pub leader: u32,
    /// A follower of a random partition.
    pub follower: u32,
    /// The leader of the metadata quorum.
    pub controller: u32,
}

impl Default for Aim {
    fn default() -> Aim {
        Aim {
            random: 3,
            leader: 3,
            follower: 1,
            controller: 1,
        }
    }
}

/// The `[chaos]` of a scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chaos {
    /// Exponentially distributed.
    #[serde(with = "units::duration")]
    pub mean_interval: Duration,
    /// By kind, see [`KINDS`]; kinds without weight do not happen.
    pub weights: BTreeMap<String, u32>,
    pub lasts: Lasts,
    /// For single kinds, instead of `lasts`.
    #[serde(default)]
    pub lasts_of: BTreeMap<String, Lasts>,
    #[serde(default)]
    pub aim: Aim,
    /// What the kind "frame" chooses from.
    #[serde(default)]
    pub frames: Vec<FrameRule>,
    /// Globs that destructive disk faults choose from; name topics, not the metadata of voters, or the
    /// budget refuses them all.
    #[serde(default = "any_log")]
    pub data_files: Vec<String>,
    /// What the nodes of a "rolling-restart" come back as, drawn from those that can run at the finalized
    /// feature levels; none given: as they are.
    #[serde(default)]
    pub releases: Vec<String>,
}

fn any_log() -> Vec<String> {
    vec!["*.log".into()]
}

impl Chaos {
    /// A bit of everything every budget bears, destruction seldom.
    pub fn standard() -> Chaos {
        let often = [
            "network-partition",
            "network-isolate",
            "process-kill",
            "process-pause",
            "network-one-way",
        ];
        let sometimes = [
            "network-grudge",
            "network-hold",
            "network-slow",
            "network-loss",
            "network-resets",
            "network-reset",
            "network-half-open",
            "network-swizzle",
            "process-stop",
            "process-power-loss",
            "disk-slow",
            "disk-stalled",
            "clock-jump",
            "clock-drift",
            "clock-skew",
        ];
        let seldom = [
            "network-bandwidth",
            "network-fragment",
            "network-refuse",
            "blackout",
            "rolling-restart",
            "disk-sync-error",
            "disk-write-error",
            "disk-read-error",
            "disk-full",
            "disk-wiped",
            "clock-freeze",
        ];
        let weighted = |kinds: &[&str], weight| {
            kinds
                .iter()
                .map(|kind| ((*kind).to_owned(), weight))
                .collect::<Vec<_>>()
        };
        let weights = [
            weighted(&often, 6),
            weighted(&sometimes, 3),
            weighted(&seldom, 1),
        ];
        Chaos {
            mean_interval: Duration::from_secs(3),
            weights: weights.into_iter().flatten().collect(),
            lasts: Lasts {
                min: Duration::from_millis(200),
                max: Duration::from_secs(10),
            },
            lasts_of: BTreeMap::new(),
            aim: Aim::default(),
            frames: Vec::new(),
            data_files: any_log(),
            releases: Vec::new(),
        }
    }

    /// Checks what types cannot. The error names the key and what is possible.
    pub fn validate(&self) -> Result<(), String> {
        for kind in self.weights.keys().chain(self.lasts_of.keys()) {
            if !KINDS.iter().any(|(known, _)| known == kind) {
                let known: Vec<&str> = KINDS.iter().map(|(known, _)| *known).collect();
                return Err(format!(
                    "unknown kind of fault \"{kind}\"; known: {}",
                    known.join(", ")
                ));
            }
        }
        if self.mean_interval.is_zero() {
            return Err("mean_interval must be longer than 0".into());
        }
        if self.weights.values().all(|&weight| weight == 0) {
            return Err("weights: at least one kind needs a weight above 0".into());
        }
        let lasts = [("lasts", &self.lasts)].into_iter();
        for (kind, lasts) in lasts.chain(
            self.lasts_of
                .iter()
                .map(|(kind, lasts)| (kind.as_str(), lasts)),
        ) {
            if lasts.min > lasts.max {
                return Err(format!("{kind}: min is longer than max"));
            }
        }
        if self.frames.is_empty() && self.weights.get("frame").is_some_and(|&weight| weight > 0) {
            return Err("weights: \"frame\" needs rules in frames".into());
        }
        Ok(())
    }

    /// The same with each kind in or out by a coin, and another pace: runs that do less of many things
    /// find what runs that do all of them hide.
    pub fn swarm(&self, rng: &mut ChaCha8Rng) -> Chaos {
        let mut chaos = self.clone();
        chaos
            .weights
            .retain(|_, weight| *weight > 0 && below(rng, 2) == 0);
        if chaos.weights.is_empty() {
            chaos.weights = self.weights.clone();
        }
        chaos.mean_interval = match below(rng, 4) {
            0 => self.mean_interval / 3,
            1 => self.mean_interval * 3,
            _ => self.mean_interval,
        };
        chaos.mean_interval = chaos.mean_interval.max(Duration::from_nanos(1));
        chaos
    }

    /// How long faults of a kind last.
    pub fn lasts(&self, kind: &str) -> Lasts {
        self.lasts_of.get(kind).copied().unwrap_or(self.lasts)
    }
}
