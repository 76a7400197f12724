//! Faults on this world: every kind is expressible, typed ones if a classifier was given.

use std::collections::BTreeMap;

use sim_disk::{DiskFault, SimDisk};
use sim_faults::{
    ClockFault, Effect, Fault, FrameRule, NetworkFault, ProcessFault, Unsupported, World,
};

use crate::handle::{Handle, HostId};
use crate::network::connection::{ConnectionRef, SideState};
use crate::node::{Death, NodeStatus};
use crate::state::State;

impl World for Handle {
    fn now_ns(&self) -> u64 {
        self.now()
    }

    fn hosts(&self) -> Vec<String> {
        self.shared.lock().names.keys().cloned().collect()
    }

    fn is_up(&self, host: &str) -> bool {
        let status = self.host(host).map(|host| self.status(host));
        matches!(status, Some(NodeStatus::Running | NodeStatus::Paused))
    }

    fn is_paused(&self, host: &str) -> bool {
        self.host(host)
            .is_some_and(|host| self.status(host) == NodeStatus::Paused)
    }

    fn apply(&mut self, fault: &Fault) -> Result<(), Unsupported> {
        self.note(fault);
        match fault {
            Fault::Network(network) => self.inject_network(network),
            Fault::Frames(rule) => self
                .inject_frames(rule)
                .map_err(|reason| unsupported(fault, reason))?,
            Fault::Disk { node, fault: disk } => self.inject_disk(self.wanted(fault, node)?, disk),
            Fault::Clock { node, fault: clock } => {
                self.inject_clock(self.wanted(fault, node)?, *clock)
            }
            Fault::Process {
                node,
                fault: process,
            } => self.inject_process(self.wanted(fault, node)?, *process),
            Fault::Operation(_) => {}
            Fault::Heal(healed) => self.heal(healed)?,
            Fault::HealAll => self.heal_all(),
        }
        Ok(())
    }

    fn disk(&self, host: &str) -> Option<SimDisk> {
        self.host(host).map(|host| Handle::disk(self, host))
    }

    fn fault_counts(&self) -> BTreeMap<&'static str, u64> {
        let (mut counts, disks) = {
            let state = self.shared.lock();
            let disks: Vec<SimDisk> = state.nodes.iter().map(|node| node.disk.clone()).collect();
            let mut counts = state.fault_counts.clone();
            add(&mut counts, state.wires.rules.fault_counts());
            if let Some(frames) = &state.wires.frames {
                add(&mut counts, frames.fault_counts());
            }
            (counts, disks)
        };
        disks
            .iter()
            .for_each(|disk| add(&mut counts, &disk.fault_counts()));
        counts
    }
}

fn add(counts: &mut BTreeMap<&'static str, u64>, more: &BTreeMap<&'static str, u64>) {
    for (kind, count) in more {
        *counts.entry(kind).or_insert(0) += count;
    }
}

fn unsupported(fault: &Fault, reason: &str) -> Unsupported {
    Unsupported::new("native", fault, reason)
}

impl Handle {
    fn wanted(&self, fault: &Fault, name: &str) -> Result<HostId, Unsupported> {
        self.host(name)
            .ok_or_else(|| unsupported(fault, "no such host"))
    }

    /// Traces the fault, and counts those that neither the rules nor a disk count.
    fn note(&self, fault: &Fault) {
        let mut state = self.shared.lock();
        let node = fault
            .node()
            .and_then(|name| state.names.get(name).copied())
            .unwrap_or(u32::MAX);
        state.control(node, &format!("fault: {fault}"));
        if matches!(
            fault,
            Fault::Clock { .. } | Fault::Process { .. } | Fault::Operation(_)
        ) {
            *state.fault_counts.entry(fault.kind()).or_insert(0) += 1;
        }
    }

    fn inject_network(&self, fault: &NetworkFault) {
        let mut state = self.shared.lock();
        let effects = state.wires.rules.inject(fault);
        effects.into_iter().for_each(|effect| state.affect(effect));
        state.unblock();
    }

    fn inject_frames(&self, rule: &FrameRule) -> Result<(), &'static str> {
        let mut state = self.shared.lock();
        state
            .wires
            .frames
            .as_mut()
            .ok_or("the run has no frame classifier")?
            .inject(rule);
        Ok(())
    }

    fn inject_disk(&self, host: HostId, fault: &DiskFault) {
        if matches!(fault, DiskFault::Wiped) {
            self.kill(host, Death::Reset);
        }
        Handle::disk(self, host).inject(fault);
    }

    fn inject_clock(&self, host: HostId, fault: ClockFault) {
        let mut state = self.shared.lock();
        let now = state.now;
        state.nodes[crate::index(host.0)].clock.inject(now, fault);
        state.clock_changed(host.0);
    }

    fn inject_process(&self, host: HostId, fault: ProcessFault) {
        match fault {
            ProcessFault::Kill => self.kill(host, Death::Reset),
            ProcessFault::PowerLoss => drop(self.power_loss(host)),
            ProcessFault::Pause => self.pause(host),
            ProcessFault::Resume => self.resume(host),
            ProcessFault::Start => self.restart(host),
            ProcessFault::Stop { grace } => self.terminate(host, grace),
        }
    }

    fn heal(&mut self, fault: &Fault) -> Result<(), Unsupported> {
        match fault {
            Fault::Network(network) => {
                let mut state = self.shared.lock();
                state.wires.rules.heal(network);
                state.unblock();
            }
            Fault::Frames(rule) => {
                if let Some(frames) = &mut self.shared.lock().wires.frames {
                    frames.heal(rule);
                }
            }
            Fault::Disk { node, fault: disk } => {
                Handle::disk(self, self.wanted(fault, node)?).heal(disk);
            }
            Fault::Clock { node, fault: clock } => {
                let host = self.wanted(fault, node)?;
                self.set_clock(host, |model, now| model.heal(now, *clock));
            }
            Fault::Process { .. } | Fault::Operation(_) => {
                if let Some(healing) = fault.healing() {
                    self.apply(&healing)?;
                }
            }
            Fault::Heal(_) | Fault::HealAll => {}
        }
        Ok(())
    }

    fn set_clock(&self, host: HostId, change: impl FnOnce(&mut sim_faults::ClockModel, u64)) {
        let mut state = self.shared.lock();
        let now = state.now;
        change(&mut state.nodes[crate::index(host.0)].clock, now);
        state.clock_changed(host.0);
    }

    fn heal_all(&self) {
        {
            let mut state = self.shared.lock();
            state.wires.rules.heal_all();
            if let Some(frames) = &mut state.wires.frames {
                frames.heal_all();
            }
            state.unblock();
        }
        for host in Handle::hosts(self) {
            Handle::disk(self, host).heal_all();
            self.set_clock(host, |model, now| model.heal_all(now));
            self.resume(host);
        }
    }
}

impl State {
    fn affect(&mut self, effect: Effect) {
        let (wanted, silence) = match effect {
            Effect::ResetConnections { from, to } => ((from.0, to.0), false),
            Effect::SilenceConnections { from, to } => ((from.0, to.0), true),
        };
        for slot in
            0..u32::try_from(self.network.connections.len()).expect("fewer than 2^32 connections")
        {
            let connection = &self.network.connections[crate::index(slot)];
            let exists = connection.sides[0].state != SideState::Absent;
            if !exists || connection.link(0) != wanted {
                continue;
            }
            let reference = ConnectionRef {
                slot,
                generation: connection.generation,
            };
            if silence {
                self.silence(reference)
            } else {
                self.reset_both(reference)
            }
        }
    }

    fn silence(&mut self, reference: ConnectionRef) {
        let connection = self.network.get(reference).expect("the caller found it");
        connection.silenced = true;
        self.network.blocked.remove(&(reference.slot, 0));
        self.network.blocked.remove(&(reference.slot, 1));
    }
}
