//! How one random fault of each kind is made, with its end (those of the network in `network`).

mod network;

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use sim_disk::units::{below, between, nanos};
use sim_disk::{Chance, DiskFault, Strikes};

use crate::chaos::Chaos;
use crate::clock::ClockFault;
use crate::fault::{Fault, ProcessFault};
use crate::network::NetworkFault;
use crate::operation::Operation;
use crate::plan::{Action, healing};
use crate::target::{Target, TargetResolver, one_of, resolve};

/// A fault and when it happens, in ns after the draw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub after: u64,
    pub fault: Fault,
}

/// What a draw may use.
pub struct Drawing<'a> {
    pub kind: &'static str,
    pub chaos: &'a Chaos,
    pub resolver: &'a dyn TargetResolver,
    pub rng: &'a mut ChaCha8Rng,
}

/// Makes a fault of its kind; no steps if the cluster has nothing to strike.
pub type Draw = fn(&mut Drawing) -> Vec<Step>;

/// Every kind of random fault. Their order is part of what a seed means: add at the end.
pub const KINDS: &[(&str, Draw)] = &[
    ("network-one-way", |drawing| drawing.one_way()),
    ("network-partition", |drawing| drawing.partition()),
    ("network-isolate", |drawing| drawing.on_one(Action::Isolate)),
    ("network-isolate-inbound", |drawing| {
        drawing.on_one(Action::IsolateInbound)
    }),
    ("network-isolate-outbound", |drawing| {
        drawing.on_one(Action::IsolateOutbound)
    }),
    ("network-grudge", |drawing| drawing.grudge()),
    ("network-hold", |drawing| drawing.hold()),
    ("network-swizzle", |drawing| drawing.swizzle()),
    ("network-slow", |drawing| drawing.slow()),
    ("network-bandwidth", |drawing| drawing.bandwidth()),
    ("network-loss", |drawing| drawing.loss()),
    ("network-resets", |drawing| drawing.resets()),
    ("network-reset", |drawing| {
        drawing.on_link(|link| NetworkFault::Reset { link })
    }),
    ("network-half-open", |drawing| {
        drawing.on_link(|link| NetworkFault::HalfOpen { link })
    }),
    ("network-fragment", |drawing| drawing.fragment()),
    ("network-refuse", |drawing| {
        drawing.on_link(|link| NetworkFault::Refuse { link })
    }),
    ("frame", |drawing| drawing.frame()),
    ("disk-read-error", |drawing| {
        drawing.strikes(DiskFault::ReadError, 0)
    }),
    ("disk-write-error", |drawing| {
        drawing.strikes(DiskFault::WriteError, 0)
    }),
    ("disk-sync-error", |drawing| {
        drawing.strikes(DiskFault::SyncError, 0)
    }),
    ("disk-sync-error-drops-cache", |drawing| {
        drawing.strikes(DiskFault::SyncErrorDropsCache, 0)
    }),
    ("disk-lying-sync", |drawing| {
        drawing.strikes(DiskFault::LyingSync, 50)
    }),
    ("disk-lost-write", |drawing| {
        drawing.strikes(DiskFault::LostWrite, 1)
    }),
    ("disk-misdirected-write", |drawing| {
        drawing.strikes(DiskFault::MisdirectedWrite, 0)
    }),
    ("disk-bit-rot", |drawing| drawing.bit_rot()),
    ("disk-full", |drawing| drawing.full()),
    ("disk-slow", |drawing| drawing.slow_disk()),
    ("disk-stalled", |drawing| {
        drawing.on_one(Action::Disk(DiskFault::Stalled))
    }),
    ("disk-wiped", |drawing| {
        drawing.on_one(Action::Disk(DiskFault::Wiped))
    }),
    ("clock-skew", |drawing| {
        drawing.clock(|by_ms| ClockFault::Skew { by_ms })
    }),
    ("clock-jump", |drawing| {
        drawing.clock(|by_ms| ClockFault::Jump { by_ms })
    }),
    ("clock-drift", |drawing| drawing.drift()),
    ("clock-freeze", |drawing| {
        drawing.on_one(Action::Clock(ClockFault::Freeze))
    }),
    ("process-kill", |drawing| {
        drawing.on_one(Action::Process(ProcessFault::Kill))
    }),
    ("process-power-loss", |drawing| {
        drawing.on_one(Action::Process(ProcessFault::PowerLoss))
    }),
    ("process-pause", |drawing| {
        drawing.on_one(Action::Process(ProcessFault::Pause))
    }),
    ("process-stop", |drawing| {
        drawing.on_one(Action::Process(ProcessFault::Stop { grace: GRACE }))
    }),
    ("blackout", |drawing| drawing.blackout()),
    ("rolling-restart", |drawing| drawing.rolling_restart()),
    ("remove-broker", |drawing| drawing.remove_broker()),
    ("add-broker", |drawing| drawing.add_broker()),
    ("remove-voter", |drawing| drawing.remove_voter()),
    ("add-voter", |drawing| drawing.add_voter()),
];

/// Time a controlled stop is given before it becomes a kill.
const GRACE: Duration = Duration::from_secs(10);

impl Drawing<'_> {
    /// Steps that set the faults now and heal them together later.
    fn lasting(&mut self, faults: Vec<Fault>) -> Vec<Step> {
        let end = self.duration();
        let ends = faults
            .iter()
            .flat_map(healing)
            .map(|fault| Step { after: end, fault });
        let ends: Vec<Step> = ends.collect();
        faults
            .into_iter()
            .map(|fault| Step { after: 0, fault })
            .chain(ends)
            .collect()
    }

    fn duration(&mut self) -> u64 {
        let lasts = self.chaos.lasts(self.kind);
        between(self.rng, nanos(lasts.min), nanos(lasts.max))
    }

    /// A node, by the weights of the aim; any node if nobody holds the office.
    fn node(&mut self) -> Option<String> {
        let aim = self.chaos.aim;
        let partition = one_of(&self.resolver.partitions(), self.rng).cloned();
        let (topic, partition) = partition.unwrap_or_default();
        let choices = [
            (aim.random, Target::Random),
            (
                aim.leader,
                Target::Leader {
                    topic: topic.clone(),
                    partition,
                },
            ),
            (aim.follower, Target::Follower { topic, partition }),
            (aim.controller, Target::Controller),
        ];
        let weights: Vec<u32> = choices.iter().map(|(weight, _)| *weight).collect();
        let target =
            weighted(&weights, self.rng).map_or(&Target::Random, |index| &choices[index].1);
        let found = resolve(target, self.resolver, self.rng);
        let found = if found.is_empty() {
            resolve(&Target::Random, self.resolver, self.rng)
        } else {
            found
        };
        found.into_iter().next()
    }

    fn on_one(&mut self, action: Action) -> Vec<Step> {
        let Some(node) = self.node() else {
            return Vec::new();
        };
        let faults = action.on(&[node], &self.resolver.nodes());
        self.lasting(faults)
    }

    fn frame(&mut self) -> Vec<Step> {
        match one_of(&self.chaos.frames, self.rng).cloned() {
            Some(rule) => self.lasting(vec![Fault::Frames(rule)]),
            None => Vec::new(),
        }
    }

    /// `percent` 0: the next one or two calls; else calls at random.
    fn strikes(&mut self, fault: fn(Strikes) -> DiskFault, percent: u32) -> Vec<Step> {
        let Some(files) = one_of(&self.chaos.data_files, self.rng).cloned() else {
            return Vec::new();
        };
        let times = u32::try_from(between(self.rng, 1, 2)).expect("small");
        let strikes = match percent {
            0 => Strikes {
                times: Some(times),
                ..Strikes::once(&files)
            },
            percent => Strikes::at_random(&files, Chance::percent(percent)),
        };
        self.on_one(Action::Disk(fault(strikes)))
    }

    fn bit_rot(&mut self) -> Vec<Step> {
        let Some(files) = one_of(&self.chaos.data_files, self.rng).cloned() else {
            return Vec::new();
        };
        let bits = u32::try_from(between(self.rng, 1, 8)).expect("small");
        self.on_one(Action::Disk(DiskFault::BitRot { files, bits }))
    }

    fn full(&mut self) -> Vec<Step> {
        let capacity = between(self.rng, 0, 1 << 20);
        self.on_one(Action::Disk(DiskFault::Full { capacity }))
    }

    fn slow_disk(&mut self) -> Vec<Step> {
        let operation = Duration::from_micros(between(self.rng, 0, 2_000));
        let sync = Duration::from_millis(between(self.rng, 5, 1_000));
        self.on_one(Action::Disk(DiskFault::Slow { operation, sync }))
    }

    /// Mostly seconds, now and then a day.
    fn clock(&mut self, fault: impl Fn(i64) -> ClockFault) -> Vec<Step> {
        let limit = [1_000, 30_000, 86_400_000][weighted(&[4, 4, 1], self.rng).unwrap_or(0)];
        let drawn = i64::try_from(between(self.rng, 1, limit)).expect("small");
        let by_ms = if below(self.rng, 2) == 0 {
            drawn
        } else {
            -drawn
        };
        self.on_one(Action::Clock(fault(by_ms)))
    }

    fn drift(&mut self) -> Vec<Step> {
        let drawn = i32::try_from(1_u64 << between(self.rng, 5, 17)).expect("small");
        let ppm = if below(self.rng, 2) == 0 {
            drawn
        } else {
            -drawn
        };
        self.on_one(Action::Clock(ClockFault::Drift { ppm }))
    }

    /// The power of all nodes goes at once and comes back for one after the other.
    fn blackout(&mut self) -> Vec<Step> {
        let nodes = self.resolver.nodes();
        let off = nodes.iter().map(|node| Step {
            after: 0,
            fault: Fault::process(node, ProcessFault::PowerLoss),
        });
        let mut steps: Vec<Step> = off.collect();
        for node in &nodes {
            steps.push(Step {
                after: self.duration(),
                fault: Fault::process(node, ProcessFault::Start),
            });
        }
        steps
    }

    /// A broker leaves for good, or so it seems: it is added again later.
    fn remove_broker(&mut self) -> Vec<Step> {
        match one_of(&self.resolver.removable(), self.rng).cloned() {
            Some(node) => self.lasting(Action::RemoveBroker.on(&[node], &[])),
            None => Vec::new(),
        }
    }

    fn add_broker(&mut self) -> Vec<Step> {
        let spare = one_of(&self.resolver.spares(), self.rng).cloned();
        let faults = spare.map(|node| Action::AddBroker.on(&[node], &[]));
        let faults = faults.into_iter().flatten();
        faults.map(|fault| Step { after: 0, fault }).collect()
    }

    /// It is added again later.
    fn remove_voter(&mut self) -> Vec<Step> {
        match one_of(&self.resolver.voters(), self.rng).cloned() {
            Some(node) => self.lasting(Action::RemoveVoter.on(&[node], &[])),
            None => Vec::new(),
        }
    }

    fn add_voter(&mut self) -> Vec<Step> {
        let candidate = one_of(&self.resolver.candidates(), self.rng).cloned();
        let faults = candidate.map(|node| Action::AddVoter.on(&[node], &[]));
        let faults = faults.into_iter().flatten();
        faults.map(|fault| Step { after: 0, fault }).collect()
    }

    /// As a deployment does it, in a random order, not waiting for the cluster to settle.
    fn rolling_restart(&mut self) -> Vec<Step> {
        let mut nodes = self.resolver.nodes();
        let mut steps = Vec::new();
        let mut at = 0;
        let releases = self.chaos.releases.iter();
        let possible: Vec<&String> = releases.filter(|it| self.resolver.can_run(it)).collect();
        // Without a choice nothing is drawn: seeds keep their meaning.
        let release = match possible.is_empty() {
            true => None,
            false => one_of(&possible, self.rng).map(|it| (*it).clone()),
        };
        while !nodes.is_empty() {
            let index = below(self.rng, u64::try_from(nodes.len()).expect("fits"));
            let node = nodes.remove(usize::try_from(index).expect("fits"));
            if let Some(release) = release.clone() {
                let node = node.clone();
                let fault = Fault::Operation(Operation::InstallRelease { node, release });
                steps.push(Step { after: at, fault });
            }
            steps.push(Step {
                after: at,
                fault: Fault::process(&node, ProcessFault::Stop { grace: GRACE }),
            });
            at += self.duration();
            steps.push(Step {
                after: at,
                fault: Fault::process(&node, ProcessFault::Start),
            });
            at += self.duration();
        }
        steps
    }
}

/// An index with the chance of its weight; none if all are 0.
pub fn weighted(weights: &[u32], rng: &mut ChaCha8Rng) -> Option<usize> {
    let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    if total == 0 {
        return None;
    }
    let mut drawn = below(rng, total);
    for (index, &weight) in weights.iter().enumerate() {
        match drawn.checked_sub(u64::from(weight)) {
            Some(rest) => drawn = rest,
            None => return Some(index),
        }
    }
    None
}
