//! Random schedules: delays, reordering, loss and repetition of messages, leader changes, crashes that keep
//! the log, power loss of what a minority had not flushed; REP-1 … REP-5 after every step.

use broker_protocol::ids::NodeId;

use super::world::{World, id};
use crate::replica::invariants::Violation;
use crate::replica::{Acks, Config, Input, Timer};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).expect("small");
        usize::try_from(self.next() % limit).expect("below a usize")
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

struct Run {
    world: World,
    random: Random,
    /// All acknowledged data is durable, so everyone may lose what is not.
    flushed: bool,
    /// Percent of steps that are trouble.
    turbulence: usize,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut random = Random(seed);
        let flushed = random.chance(30);
        let config = Config {
            min_insync_replicas: 2,
            flush_before_ack: flushed,
        };
        let turbulence = 1 + random.below(8);
        Run {
            world: World::new(3, config),
            random,
            flushed,
            turbulence,
        }
    }

    fn chaos(&mut self, steps: usize) -> Result<(), Violation> {
        for _ in 0..steps {
            self.act()?;
        }
        Ok(())
    }

    fn act(&mut self) -> Result<(), Violation> {
        let node = self.random.below(3);
        if self.random.chance(self.turbulence) {
            return self.disturb(node);
        }
        match self.random.below(100) {
            0..45 => self.deliver(),
            45..70 if self.world.messages.len() < 12 => {
                self.world.send_fetch(node);
                Ok(())
            }
            45..70 => self.deliver(),
            70..82 => self.publish(node),
            82..90 => self.produce(node),
            90..96 => self.fire_timer(node),
            _ => self.world.flushed(node),
        }
    }

    fn disturb(&mut self, node: usize) -> Result<(), Violation> {
        match self.random.below(12) {
            0..3 => self.world.step(node, Input::Timer(Timer::LagWindow))?,
            3..6 if self.world.nodes[node].running => self.world.controller.change_leader(id(node)),
            6..7 => self.delete_records(node)?,
            7..9 => self.fence(node),
            9..12 => self.crash_or_restart(node),
            _ => {}
        }
        self.world.update_truth();
        Ok(())
    }

    fn deliver(&mut self) -> Result<(), Violation> {
        if self.world.messages.is_empty() {
            return Ok(());
        }
        let index = self.random.below(self.world.messages.len());
        let message = self.world.messages.swap_remove(index);
        if self.random.chance(3) {
            self.world.lose(&message);
            return Ok(());
        }
        if self.random.chance(5) {
            self.world.messages.push(message.clone());
        }
        let chunk = 1 + self.random.below(3);
        self.world.deliver(&message, chunk)
    }

    fn publish(&mut self, node: usize) -> Result<(), Violation> {
        let (seen, all) = (
            self.world.nodes[node].seen,
            self.world.controller.history.len(),
        );
        if seen == all {
            return Ok(());
        }
        let upto = seen + 1 + self.random.below(all - seen);
        self.world.publish(node, upto)
    }

    fn produce(&mut self, node: usize) -> Result<(), Violation> {
        let acks = if self.random.chance(80) {
            Acks::All
        } else {
            Acks::Leader
        };
        let count = if self.random.chance(70) { 1 } else { 2 };
        let leader = (0..3).find(|&index| {
            self.world.nodes[index].running && self.world.nodes[index].replica.is_leader()
        });
        self.world.produce(
            leader.filter(|_| self.random.chance(60)).unwrap_or(node),
            count,
            acks,
        )
    }

    fn fire_timer(&mut self, node: usize) -> Result<(), Violation> {
        let Some(timer) = self.world.nodes[node].timers.pop() else {
            return Ok(());
        };
        self.world.step(node, Input::Timer(timer))
    }

    fn delete_records(&mut self, node: usize) -> Result<(), Violation> {
        let offset = (self.world.nodes[node].replica.high_watermark() - 2).max(0);
        self.world.delete_records(node, Some(offset))
    }

    /// A broker that lost its session, and gets it back under the same epoch.
    fn fence(&mut self, node: usize) {
        let epoch = self.world.nodes[node].broker_epoch;
        if !self.world.nodes[node].running {
            return;
        }
        if self.world.controller.eligible.contains_key(&id(node)) {
            self.world.controller.fence(id(node), false);
        } else {
            self.world.controller.unfence(id(node), false, epoch);
        }
    }

    fn crash_or_restart(&mut self, node: usize) {
        if self.world.nodes[node].running {
            self.world.stop(node);
            if self.random.chance(50) {
                self.world.controller.fence(id(node), false);
            }
        } else {
            self.restart(node);
        }
    }

    fn restart(&mut self, node: usize) {
        let kept = if self.flushed {
            self.world.nodes[node].durable
        } else {
            0
        };
        let unflushed = self.world.nodes[node].log.len() - kept;
        let may_lose = self.flushed || self.others_are_whole(node);
        let lost = if may_lose && unflushed > 0 && self.random.chance(50) {
            1 + self.random.below(unflushed.min(4))
        } else {
            0
        };
        let high_watermark = self.world.nodes[node].replica.high_watermark();
        let checkpoint = if self.random.chance(50) {
            high_watermark
        } else {
            high_watermark / 2
        };
        self.world.restart(node, lost, self.flushed, checkpoint);
    }

    /// The budget: whoever lost data before is in the ISR again, and someone else may lead.
    fn others_are_whole(&self, node: usize) -> bool {
        let controller = &self.world.controller;
        let rank: Vec<NodeId> = controller
            .isr()
            .union(&controller.elr)
            .copied()
            .filter(|member| *member != id(node))
            .collect();
        let whole = (0..3)
            .filter(|&other| other != node)
            .all(|other| self.world.nodes[other].lost_in.is_none() || rank.contains(&id(other)));
        whole && !rank.is_empty()
    }

    /// Heals everything and demands that all replicas agree and nobody waits (LIVE-1).
    fn quiet(&mut self) -> Result<(), Violation> {
        for node in 0..3 {
            if !self.world.nodes[node].running {
                let high_watermark = self.world.nodes[node].replica.high_watermark();
                self.world.restart(node, 0, true, high_watermark);
            }
            if !self.world.controller.eligible.contains_key(&id(node)) {
                let epoch = self.world.nodes[node].broker_epoch;
                self.world.controller.unfence(id(node), false, epoch);
            }
            self.world.update_truth();
        }
        for _ in 0..200 {
            for node in 0..3 {
                let all = self.world.controller.history.len();
                self.world.publish(node, all)?;
                while !self.world.nodes[node].timers.is_empty() {
                    self.fire_timer(node)?;
                }
                self.world.flushed(node)?;
                self.world.send_fetch(node);
            }
            for message in std::mem::take(&mut self.world.messages) {
                self.world.deliver(&message, 100)?;
            }
        }
        self.live()
    }

    fn live(&self) -> Result<(), Violation> {
        let controller = &self.world.controller;
        let leader = controller.state.leader;
        let fail = |detail: String| {
            Err(Violation {
                invariant: "LIVE-1",
                detail,
            })
        };
        if leader == NodeId::NONE {
            return fail(format!(
                "no leader, ISR {:?}, ELR {:?}",
                controller.state.isr, controller.elr
            ));
        }
        let ends: Vec<_> = self
            .world
            .nodes
            .iter()
            .map(|it| (it.replica.log_end(), it.replica.high_watermark()))
            .collect();
        let even = ends
            .iter()
            .all(|(end, high_watermark)| end == high_watermark && *end == ends[0].0);
        let parked: usize = self
            .world
            .nodes
            .iter()
            .map(|node| node.replica.parked())
            .sum();
        if !even || controller.state.isr.len() != 3 || parked > 0 {
            let roles: Vec<_> = self
                .world
                .nodes
                .iter()
                .map(|node| node.replica.fetch_request())
                .collect();
            return fail(format!(
                "ends {ends:?}, {parked} parked, {:?}, {roles:?}",
                controller.state
            ));
        }
        Ok(())
    }
}

fn run(seed: u64) -> Result<World, Violation> {
    let mut run = Run::new(seed);
    run.chaos(600)?;
    run.quiet()?;
    Ok(run.world)
}

const SEEDS: u64 = 1500;

#[test]
fn random_schedules_hold() {
    broker_probe::start_counting();
    let (mut acked, mut elections) = (0, 0);
    for seed in 0..SEEDS {
        match run(seed) {
            Ok(world) => {
                acked += world.truth.acked.len();
                elections += world.truth.leader_epoch.0;
            }
            Err(violation) => panic!("seed {seed}: {violation}"),
        }
    }
    let probes = broker_probe::take_counts();
    assert!(
        acked > 1000 && elections > 1000,
        "{acked} acknowledged, {elections} elections: {probes:?}"
    );
    for rare in [
        "replica: truncated on divergence",
        "replica: stale fetch response ignored",
        "replica: fetch offset out of range",
        "replica: ISR shrinks",
        "replica: late AlterPartition answer ignored",
    ] {
        assert!(
            probes.contains_key(rare),
            "never reached: {rare}; {probes:?}"
        );
    }
}

/// Each known bug is found by schedules that hold without it.
#[cfg(feature = "mutants")]
#[test]
fn mutants_are_found() {
    for mutant in [
        "R_01", "R_02", "R_04", "R_05", "R_07", "R_10", "R_11", "R_14", "R_20",
    ] {
        broker_probe::set_mutant(Some(mutant));
        let found = (0..SEEDS).find_map(|seed| run(seed).err().map(|violation| (seed, violation)));
        broker_probe::set_mutant(None);
        println!("{mutant}: {found:?}");
        assert!(found.is_some(), "{mutant} is not found in {SEEDS} seeds");
    }
}
